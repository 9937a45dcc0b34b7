//! Nothing keeps a write from happening, or spreads it, while the watermark moves on.

use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{Desk, applied, apply, batch, brought, on_each_server, refused, stage, told};

async fn unmoved(desk: &Desk) {
    assert_eq!(
        desk.ask("SELECT version FROM lakeferry.progress").await,
        "1"
    );
}

/// A trigger that holds `what` back, as Postgres lets it, without an error.
fn hold_back(what: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN RETURN NULL; END $$; \
         DROP TRIGGER IF EXISTS held ON target; \
         CREATE TRIGGER held BEFORE {what} ON target FOR EACH ROW EXECUTE FUNCTION hold()"
    )
}

#[tokio::test]
async fn a_trigger_that_holds_changes_back() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        for (what, effect, rows) in [
            ("UPDATE", Effect::Update, batch(&[(1, Some("A"))])),
            ("INSERT", Effect::Insert, batch(&[(3, Some("c"))])),
            ("DELETE", Effect::Delete, batch(&[(2, None)])),
        ] {
            desk.run(&hold_back(what)).await;
            let mut session = desk.claim().await;
            let (class, text) = refused(&mut session, Stage::Changes, &[(effect, &rows)]).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            let what = what.to_lowercase();
            let message = format!("of 1 rows to {what}, 1 were held back or changed by a trigger");
            assert!(text.starts_with(&message), "{text}");
            assert_eq!(desk.rows().await, "1:a 2:b");
            unmoved(&desk).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_trigger_that_holds_a_refresh_back() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        for (what, rows, message) in [
            (
                "UPDATE",
                batch(&[(1, Some("A")), (2, Some("b"))]),
                "of 2 rows, 1 are missing",
            ),
            (
                "DELETE",
                batch(&[(1, Some("a"))]),
                "of 1 rows, 0 are missing",
            ),
            (
                "INSERT",
                batch(&[(1, Some("a")), (2, Some("b")), (3, None)]),
                "of 3 rows, 1 are missing",
            ),
        ] {
            desk.run(&hold_back(what)).await;
            let mut session = desk.claim().await;
            let parts = [(Effect::Insert, &rows)];
            let (class, text) = refused(&mut session, Stage::Refresh, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(text.starts_with(message), "{text}");
            assert!(text.contains("and it has 2 rows"), "{text}");
            assert_eq!(desk.rows().await, "1:a 2:b");
            unmoved(&desk).await;
        }
    })
    .await;
}

/// What makes the target dangerous, and what takes it away.
const HAZARDS: [(&str, &str, &str); 4] = [
    (
        "CREATE RULE quiet AS ON UPDATE TO target DO INSTEAD NOTHING",
        "has the rule \"quiet\", which rewrites what is written; hint: DROP RULE \"quiet\" ON",
        "DROP RULE quiet ON target",
    ),
    (
        "CREATE TABLE child () INHERITS (target); INSERT INTO child VALUES (2, 'theirs')",
        "tables inherit from public.target",
        "DROP TABLE child",
    ),
    (
        "ALTER TABLE target SET UNLOGGED",
        "is not logged: a crash of the server empties it; hint: ALTER TABLE",
        "ALTER TABLE target SET LOGGED",
    ),
    (
        "ALTER TABLE target ALTER value TYPE char(9)",
        "is character(9) and not text",
        "ALTER TABLE target ALTER value TYPE text",
    ),
];

#[tokio::test]
async fn hazards_are_refused() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a"))])).await;
        for (make, message, take_away) in HAZARDS {
            for kind in [Stage::Changes, Stage::Refresh] {
                desk.run(make).await;
                let mut session = desk.claim().await;
                let rows = batch(&[(3, Some("c"))]);
                let (class, text) = refused(&mut session, kind, &[(Effect::Insert, &rows)]).await;
                assert_eq!(class, FailureClass::NeedsOperator);
                assert!(text.contains(message), "{text}");
                unmoved(&desk).await;
                desk.run(take_away).await;
            }
        }
    })
    .await;
}

/// They come while rows are staged: they are seen under the lock.
#[tokio::test]
async fn hazards_that_come_late_are_refused() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a"))])).await;
        for (make, message, take_away) in HAZARDS {
            for kind in [Stage::Changes, Stage::Refresh] {
                let mut session = desk.claim().await;
                let rows = batch(&[(3, Some("c"))]);
                stage(&mut session, kind, &[(Effect::Insert, &rows)])
                    .await
                    .unwrap();
                desk.run(make).await;
                let (class, text) = told(&apply(&mut session, 2).await.unwrap_err());
                assert_eq!(class, FailureClass::NeedsOperator);
                assert!(text.contains(message), "{text}");
                drop(session);
                unmoved(&desk).await;
                desk.run(take_away).await;
            }
        }
    })
    .await;
}

/// Rows that somebody inserted and has not yet committed are theirs.
#[tokio::test]
async fn rows_not_yet_committed_are_not_adopted() {
    on_each_server(async |desk| {
        desk.run("CREATE TABLE target (id bigint PRIMARY KEY, value text)")
            .await;
        let mut session = desk.claim().await;
        let parts = [(Effect::Insert, &batch(&[(1, Some("a"))]))];
        stage(&mut session, Stage::Refresh, &parts).await.unwrap();
        desk.hold("INSERT INTO target VALUES (5, 'theirs')").await;
        let apply = tokio::spawn(async move { apply(&mut session, 1).await });
        desk.until_waiting(1).await;
        desk.let_go().await;
        let (class, text) = told(&apply.await.unwrap().unwrap_err());
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("rows that its job did not write"), "{text}");
        assert_eq!(desk.rows().await, "5:theirs");
    })
    .await;
}

/// Whoever holds a lock for hours does not hold the job's progress with it.
#[tokio::test]
async fn an_apply_does_not_wait_for_a_lock_for_ever() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        let parts = [(Effect::Insert, &batch(&[(2, None)]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        desk.hold_target().await;
        let (class, text) = told(&apply(&mut session, 2).await.unwrap_err());
        assert_eq!(class, FailureClass::Transient);
        assert!(
            text.ends_with("hint: end the session that holds a lock on public.target"),
            "{text}"
        );
        desk.let_go().await;
        drop(session);
        unmoved(&desk).await;
    })
    .await;
}

/// What a deleted row held besides its key does not matter, not even what Postgres cannot hold.
#[tokio::test]
async fn a_delete_needs_the_key_alone() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, None)])).await;
        let parts = [(Effect::Delete, &batch(&[(1, Some("a\0b"))]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        assert_eq!(applied(&mut session, 2).await.deleted, 1);
        assert_eq!(desk.rows().await, "2:-");
    })
    .await;
}

#[tokio::test]
async fn row_level_security_asks_for_a_role_that_sees_all() {
    on_each_server(async |mut desk| {
        desk.run(
            "CREATE ROLE ferry LOGIN; GRANT CREATE ON DATABASE app TO ferry; \
             CREATE TABLE target (id bigint PRIMARY KEY, value text); \
             GRANT ALL ON TABLE target TO ferry; GRANT ALL ON SCHEMA public TO ferry",
        )
        .await;
        let url = desk.url.replace("postgres@", "ferry@");
        desk.settings.connect = lakeferry_postgres::ConnectSettings::parse(&url).unwrap();
        let mut session = desk.claim().await;
        desk.run("ALTER TABLE target ENABLE ROW LEVEL SECURITY")
            .await;
        let parts = [(Effect::Insert, &batch(&[(1, None)]))];
        let (class, text) = refused(&mut session, Stage::Refresh, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("hint: ALTER ROLE \"ferry\" BYPASSRLS"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_owner_under_forced_row_level_security_is_told_so() {
    on_each_server(async |mut desk| {
        desk.run(
            "CREATE ROLE ferry LOGIN; GRANT CREATE ON DATABASE app TO ferry; \
             GRANT ALL ON SCHEMA public TO ferry",
        )
        .await;
        let url = desk.url.replace("postgres@", "ferry@");
        desk.settings.connect = lakeferry_postgres::ConnectSettings::parse(&url).unwrap();
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        // Enabled alone, it is not for owners.
        desk.run("ALTER TABLE target ENABLE ROW LEVEL SECURITY")
            .await;
        let parts = [(Effect::Insert, &batch(&[(2, None)]))];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        drop(session);
        desk.run("ALTER TABLE target FORCE ROW LEVEL SECURITY")
            .await;
        let parts = [(Effect::Insert, &batch(&[(3, None)]))];
        for kind in [Stage::Changes, Stage::Refresh] {
            let (class, text) = refused(&mut desk.claim().await, kind, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            let message = "row-level security hides rows of public.target from \"ferry\"; hint: \
                ALTER TABLE \"public\".\"target\" NO FORCE ROW LEVEL SECURITY";
            assert!(text.starts_with(message), "{text}");
            assert_eq!(desk.rows().await, "1:a 2:-");
        }
    })
    .await;
}
