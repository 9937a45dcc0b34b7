//! What is refused says what is wrong, how often and what to do, and changes nothing.

use lakeferry_model::{Effect, FailureClass, Session, Stage, Target};
use lakeferry_postgres::{ConnectSettings, Error};

use crate::fixture::{Desk, applied, batch, on_each_server, refused, stage, told};

async fn relations(desk: &Desk) -> String {
    desk.ask(
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    .await
}

#[tokio::test]
async fn null_and_duplicate_keys_of_a_fill() {
    on_each_server(async |desk| {
        let twice = batch(&[
            (1, Some("a")),
            (1, Some("b")),
            (2, None),
            (2, None),
            (3, None),
        ]);
        let mut session = desk.claim().await;
        let (class, text) = refused(&mut session, Stage::Fill, &[(Effect::Insert, &twice)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        let message = "duplicate key: 2 values of (id) come in more than one row of job test/job \
            for public.target";
        assert!(text.starts_with(message), "{text}");
        drop(session);
        assert_eq!(relations(&desk).await, "NULL");
        let mut desk = desk;
        desk.settings.key = vec!["id".to_owned(), "value".to_owned()];
        let mut session = desk.claim().await;
        let (class, text) = refused(&mut session, Stage::Fill, &[(Effect::Insert, &twice)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        let message = "key column \"value\" of public.target is null in 3 of 5 rows; hint: choose";
        assert!(text.starts_with(message), "{text}");
        drop(session);
        desk.settings.key = vec!["id".to_owned()];
        desk.filled(&batch(&[(1, Some("a"))])).await;
        assert_eq!(relations(&desk).await, "target");
    })
    .await;
}

#[tokio::test]
async fn disagreements_come_with_their_counts() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        let rows = batch(&[(1, Some("a")), (8, None), (9, None)]);
        for (effect, message) in [
            (
                Effect::Delete,
                "of 3 keys to delete, 2 are not in public.target",
            ),
            (
                Effect::Update,
                "of 3 keys to update, 2 are not in public.target",
            ),
            (
                Effect::Insert,
                "of 3 keys to insert, 1 are already in public.target",
            ),
        ] {
            let mut session = desk.claim().await;
            let (class, text) = refused(&mut session, Stage::Changes, &[(effect, &rows)]).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(text.starts_with(message), "{text}");
            assert!(
                text.ends_with("run backfill to rebuild by difference"),
                "{text}"
            );
            assert_eq!(desk.rows().await, "1:a 2:b");
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_table_itself_refuses() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        desk.run("CREATE DOMAIN whole AS bigint CONSTRAINT c CHECK (VALUE >= 0)")
            .await;
        for (alter, class, cause) in [
            (
                "ADD CONSTRAINT c CHECK (value <> 'x')",
                FailureClass::BadRow,
                "23514",
            ),
            ("ALTER id TYPE whole", FailureClass::BadRow, "23514"),
            (
                "ADD CONSTRAINT c EXCLUDE (value WITH =)",
                FailureClass::NeedsOperator,
                "23P01",
            ),
        ] {
            desk.run(&format!("ALTER TABLE target {alter}")).await;
            let mut session = desk.claim().await;
            let value = if cause == "23P01" { "a" } else { "x" };
            let rows = batch(&[(-3, Some(value))]);
            let (found, text) =
                refused(&mut session, Stage::Changes, &[(Effect::Insert, &rows)]).await;
            assert_eq!(found, class, "{text}");
            assert!(
                text.contains(&format!("(SQLSTATE {cause}); hint: ")),
                "{text}"
            );
            assert!(
                text.starts_with("cannot apply rows to public.target (postgres@"),
                "{text}"
            );
            assert!(text.contains("constraint \"c\""), "{text}");
            assert!(!text.contains("=("), "a row's values are shown: {text}");
            assert_eq!(desk.rows().await, "1:a 2:b");
            desk.run("ALTER TABLE target DROP CONSTRAINT IF EXISTS c, ALTER id TYPE bigint")
                .await;
        }
    })
    .await;
}

/// It is asked before COMMIT, so that the outcome can be looked at.
#[tokio::test]
async fn what_a_deferred_trigger_refuses_is_an_error() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, None)])).await;
        desk.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE 'not today'; END $$; \
             CREATE CONSTRAINT TRIGGER late AFTER DELETE ON target DEFERRABLE \
                FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
        let parts = [(Effect::Delete, &batch(&[(1, None)]))];
        let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("not today (SQLSTATE P0001)"), "{text}");
        assert_eq!(desk.rows().await, "1:a 2:-");
    })
    .await;
}

async fn claim_error(desk: &Desk, url: &str) -> (FailureClass, String) {
    let mut settings = desk.settings.clone();
    settings.connect = ConnectSettings::parse(url).unwrap();
    let target = lakeferry_postgres::PostgresTarget::<u64>::new(settings).unwrap();
    let claim = target
        .claim(&lakeferry_model::Holder("test".to_owned()))
        .await;
    let error = claim.expect_err("it is refused");
    let (class, text) = told(&error);
    let connects = text.starts_with("cannot connect (");
    assert_eq!(error.is_connecting(), connects, "{text}");
    (class, text)
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    on_each_server(async |desk| {
        desk.run("CREATE ROLE ferry LOGIN").await;
        let url = desk.url.replace("postgres@", "ferry@");
        let (class, text) = claim_error(&desk, &url).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.ends_with("hint: GRANT CREATE ON DATABASE \"app\" TO \"ferry\""),
            "{text}"
        );
        desk.run(
            "GRANT CREATE ON DATABASE app TO ferry; REVOKE CREATE ON SCHEMA public FROM public",
        )
        .await;
        let mut desk = desk;
        desk.settings.connect = ConnectSettings::parse(&url).unwrap();
        let mut session = desk.claim().await;
        let rows = batch(&[(1, None)]);
        let (class, text) = refused(&mut session, Stage::Fill, &[(Effect::Insert, &rows)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.ends_with("hint: GRANT CREATE, USAGE ON SCHEMA \"public\" TO \"ferry\""),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn servers_that_cannot_be_used() {
    on_each_server(async |desk| {
        desk.run("CREATE DATABASE old ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
            .await;
        for (from, to, class, message) in [
            (
                "/app",
                "/nowhere",
                FailureClass::NeedsOperator,
                "(SQLSTATE 3D000); hint: create",
            ),
            (
                "/app",
                "/old",
                FailureClass::NeedsOperator,
                "has the encoding SQL_ASCII",
            ),
            (
                "postgres@",
                "nobody@",
                FailureClass::NeedsOperator,
                "(SQLSTATE 28000)",
            ),
        ] {
            let (found, text) = claim_error(&desk, &desk.url.replace(from, to)).await;
            assert_eq!(found, class, "{text}");
            assert!(text.contains(message), "{text}");
        }
        desk.server
            .stop(lakeferry_postgres_testkit::Stop::Fast)
            .unwrap();
        let (class, text) = claim_error(&desk, &desk.url).await;
        assert_eq!(class, FailureClass::Transient);
        assert!(
            text.starts_with("cannot connect (postgres@127.0.0.1:"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_session_is_of_no_use_after_an_error() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        let bad = batch(&[(2, Some("a\0b"))]);
        let (class, text) = refused(&mut session, Stage::Changes, &[(Effect::Insert, &bad)]).await;
        assert_eq!(class, FailureClass::BadRow);
        assert!(
            text.starts_with("column \"value\" holds a text with the character NUL"),
            "{text}"
        );
        let error: Error = session
            .stage(Stage::Changes, &bad.schema())
            .await
            .unwrap_err();
        assert_eq!(told(&error).0, FailureClass::Bug);
    })
    .await;
}

#[tokio::test]
async fn a_stage_can_be_opened_anew() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        for kind in [
            Stage::Changes,
            Stage::Refresh,
            Stage::Refresh,
            Stage::Changes,
        ] {
            stage(
                &mut session,
                kind,
                &[(Effect::Insert, &batch(&[(2, Some("given up"))]))],
            )
            .await
            .unwrap();
        }
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Insert, &batch(&[(2, Some("b"))]))],
        )
        .await
        .unwrap();
        assert_eq!(applied(&mut session, 2).await.inserted, 1);
        assert_eq!(desk.rows().await, "1:a 2:b");
        stage(
            &mut session,
            Stage::Refresh,
            &[(Effect::Insert, &batch(&[]))],
        )
        .await
        .unwrap();
        session.release().await.unwrap();
        assert_eq!(relations(&desk).await, "target");
    })
    .await;
}
