//! A table that exists is taken as it is: what users added stays, what does not fit is refused by
//! name.

use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{applied, batch, on_each_server, refused, stage};

#[tokio::test]
async fn what_users_added_survives() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        desk.run(
            "ALTER TABLE target ADD note text DEFAULT 'new', ADD n serial; \
             UPDATE target SET note = 'mine'; \
             CREATE VIEW seen AS SELECT id, value, note FROM target; \
             CREATE INDEX by_value ON target (value); \
             CREATE TABLE child (id bigint REFERENCES target DEFERRABLE)",
        )
        .await;
        let rows = batch(&[(1, Some("A")), (3, Some("c"))]);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        applied(&mut session, 2).await;
        let parts = [
            (Effect::Update, &batch(&[(3, Some("C"))])),
            (Effect::Insert, &batch(&[(4, None)])),
        ];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        applied(&mut session, 3).await;
        let seen =
            "SELECT string_agg(format('%s %s %s', id, value, note), ',' ORDER BY id) FROM seen";
        assert_eq!(desk.ask(seen).await, "1 A mine,3 C new,4  new");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let cases = [
        (
            "id bigint PRIMARY KEY",
            "public.target has no column \"value\"",
        ),
        (
            "id bigint PRIMARY KEY, value varchar(9)",
            "\"value\" of public.target is character varying(9) and not text",
        ),
        (
            "id int PRIMARY KEY, value text",
            "\"id\" of public.target is integer and not bigint",
        ),
        (
            "id bigint, value text",
            "no unique index on exactly its key (id)",
        ),
        (
            "id bigint, value text, UNIQUE (id, value)",
            "no unique index on exactly its key (id)",
        ),
        (
            "id bigint PRIMARY KEY DEFERRABLE, value text",
            "no unique index on exactly its key (id)",
        ),
        (
            "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text",
            "\"id\" of public.target is computed",
        ),
        (
            "id bigint PRIMARY KEY, value text GENERATED ALWAYS AS ('x') STORED",
            "\"value\" of public.target is computed",
        ),
    ];
    on_each_server(async |desk| {
        for (columns, message) in cases {
            desk.run(&format!(
                "DROP TABLE IF EXISTS target; CREATE TABLE target ({columns})"
            ))
            .await;
            let mut session = desk.claim().await;
            let rows = batch(&[(1, Some("a"))]);
            let (class, text) =
                refused(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            let is_stored = columns.contains("STORED");
            assert_eq!(text.contains("DROP EXPRESSION"), is_stored, "{text}");
            assert!(
                text.contains(message) && text.contains("hint: ALTER TABLE"),
                "{text}"
            );
        }
    })
    .await;
}

/// Equal under such a collation are texts that differ, so a key would not tell rows apart.
#[tokio::test]
async fn collations_are_kept_or_refused() {
    on_each_server(async |mut desk| {
        desk.settings.key = vec!["value".to_owned()];
        desk.run(r#"CREATE TABLE target (value text COLLATE "C" PRIMARY KEY, id bigint)"#)
            .await;
        let mut session = desk.claim().await;
        let rows = batch(&[(1, Some("a")), (2, Some("B"))]);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        assert_eq!(applied(&mut session, 1).await.inserted, 2);
        let parts = [(Effect::Update, &batch(&[(7, Some("B"))]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        assert_eq!(applied(&mut session, 2).await.updated, 1);
        // Only ICU has such collations, and not every build has ICU.
        let loose = "CREATE COLLATION loose \
            (provider = icu, locale = 'und', deterministic = false)";
        if desk.client.batch_execute(loose).await.is_err() {
            return;
        }
        desk.run("ALTER TABLE target ALTER value TYPE text COLLATE loose")
            .await;
        let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("nondeterministic collation"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn rows_of_others_that_came_meanwhile_are_not_touched() {
    on_each_server(async |desk| {
        desk.run("CREATE TABLE target (id bigint PRIMARY KEY, value text)")
            .await;
        let mut session = desk.claim().await;
        desk.run("INSERT INTO target VALUES (5, 'theirs')").await;
        let rows = batch(&[(1, Some("a"))]);
        let (class, text) = refused(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("rows that its job did not write"), "{text}");
        assert_eq!(desk.rows().await, "5:theirs");
    })
    .await;
}
