//! Foreign keys of users, from the target and onto it.

use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{batch, brought, on_each_server, refused};

/// The row that is referred to may come by another job: so it is waited for, a while.
#[tokio::test]
async fn rows_that_refer_to_nothing_are_told_by_both_tables() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a"))])).await;
        desk.run("CREATE TABLE parent (name text PRIMARY KEY); INSERT INTO parent VALUES ('a')")
            .await;
        for deferrable in ["", "DEFERRABLE"] {
            desk.run(&format!(
                "ALTER TABLE target DROP CONSTRAINT IF EXISTS refers, \
                    ADD CONSTRAINT refers FOREIGN KEY (value) REFERENCES parent {deferrable}"
            ))
            .await;
            for (kind, parts) in [
                (Stage::Changes, (Effect::Insert, batch(&[(2, Some("b"))]))),
                (Stage::Refresh, (Effect::Insert, batch(&[(1, Some("b"))]))),
            ] {
                let parts = [(parts.0, &parts.1)];
                let (class, text) = refused(&mut desk.claim().await, kind, &parts).await;
                assert_eq!(class, FailureClass::Unready);
                let message = "the foreign key \"refers\" from public.target to public.parent does \
                    not hold for the rows of public.target: ";
                assert!(text.starts_with(message), "{text}");
                assert!(
                    text.contains("hint: bring the rows of public.parent first"),
                    "{text}"
                );
                assert!(!text.contains("=("), "a row's values are shown: {text}");
            }
        }
        assert_eq!(desk.rows().await, "1:a");
        desk.run("INSERT INTO parent VALUES ('b')").await;
        let mut session = desk.claim().await;
        let parts = [(Effect::Insert, &batch(&[(2, Some("b"))]))];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        let parts = [(Effect::Insert, &batch(&[(1, Some("b")), (2, Some("a"))]))];
        brought(&mut session, 3, Stage::Refresh, &parts).await;
        assert_eq!(desk.rows().await, "1:b 2:a");
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_referred_to_stay_or_take_theirs_along() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        for action in ["", "ON DELETE RESTRICT", "DEFERRABLE"] {
            desk.run(&format!(
                "DROP TABLE IF EXISTS child; CREATE TABLE child (n int, \
                    id bigint CONSTRAINT refers REFERENCES target {action}); \
                 INSERT INTO child VALUES (1, 1), (2, 2)"
            ))
            .await;
            for (kind, effect, rows) in [
                (Stage::Changes, Effect::Delete, batch(&[(1, None)])),
                (Stage::Refresh, Effect::Insert, batch(&[(2, Some("b"))])),
            ] {
                let mut session = desk.claim().await;
                let (class, text) = refused(&mut session, kind, &[(effect, &rows)]).await;
                assert_eq!(class, FailureClass::Unready);
                let message = "the foreign key \"refers\" from public.child to public.target does \
                    not hold for the rows of public.target: ";
                assert!(text.starts_with(message), "{text}");
                assert!(
                    text.contains("hint: delete the rows of public.child"),
                    "{text}"
                );
            }
        }
        assert_eq!(desk.rows().await, "1:a 2:b");
        desk.run(
            "ALTER TABLE child DROP CONSTRAINT refers, ADD FOREIGN KEY (id) REFERENCES target \
                ON DELETE CASCADE ON UPDATE CASCADE",
        )
        .await;
        let mut session = desk.claim().await;
        let parts = [
            (Effect::Delete, &batch(&[(1, None)])),
            (Effect::Update, &batch(&[(2, Some("B"))])),
        ];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        assert_eq!(
            desk.ask("SELECT string_agg(n::text, ' ') FROM child").await,
            "2"
        );
        let parts = [(Effect::Insert, &batch(&[(2, Some("b"))]))];
        brought(&mut session, 3, Stage::Refresh, &parts).await;
        assert_eq!(
            desk.ask("SELECT string_agg(n::text, ' ') FROM child").await,
            "2"
        );
        assert_eq!(desk.rows().await, "2:b");
    })
    .await;
}

/// A key that is checked after each statement sees rows go before others let go of them.
#[tokio::test]
async fn a_table_that_refers_to_itself_wants_a_deferrable_key() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, None), (2, None), (3, None)]))
            .await;
        desk.run(
            "ALTER TABLE target ALTER value TYPE text, ADD UNIQUE (value); \
             UPDATE target SET value = 'v' || id; ALTER TABLE target ADD next text; \
             UPDATE target SET next = 'v1' WHERE id = 2",
        )
        .await;
        for (deferrable, works) in [("", false), ("DEFERRABLE", true)] {
            desk.run(&format!(
                "ALTER TABLE target DROP CONSTRAINT IF EXISTS refers, ADD CONSTRAINT refers \
                    FOREIGN KEY (next) REFERENCES target (value) {deferrable}"
            ))
            .await;
            // One value goes and comes with another row.
            let parts = [
                (Effect::Delete, &batch(&[(1, None)])),
                (Effect::Insert, &batch(&[(4, Some("v1"))])),
            ];
            let mut session = desk.claim().await;
            if works {
                brought(&mut session, 2, Stage::Changes, &parts).await;
                assert_eq!(desk.rows().await, "2:v2 3:v3 4:v1");
            } else {
                let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
                assert_eq!(class, FailureClass::Unready);
                assert!(
                    text.contains("hint: declare \"refers\" DEFERRABLE"),
                    "{text}"
                );
            }
        }
    })
    .await;
}
