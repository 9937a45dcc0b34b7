//! A right that is missing is told before any row is on its way, with the GRANT that gives it.

use lakeferry_model::{Effect, FailureClass, Stage};
use lakeferry_postgres::ConnectSettings;

use crate::fixture::{Desk, batch, brought, on_each_server, refused};

/// Somebody else's table, in a schema where the job's role may make its staging tables.
async fn somebody_elses(desk: &mut Desk) {
    desk.run(
        "CREATE ROLE ferry LOGIN; REVOKE ALL ON SCHEMA public FROM public; \
         CREATE SCHEMA lakeferry AUTHORIZATION ferry; \
         GRANT USAGE, CREATE ON SCHEMA public TO ferry; \
         CREATE TABLE target (id bigint PRIMARY KEY, value text, drawn serial)",
    )
    .await;
    let url = desk.url.replace("postgres@", "ferry@");
    desk.settings.connect = ConnectSettings::parse(&url).unwrap();
}

#[tokio::test]
async fn each_missing_right_comes_with_its_grant() {
    on_each_server(async |mut desk| {
        somebody_elses(&mut desk).await;
        desk.run("GRANT SELECT ON target TO ferry").await;
        let rows = batch(&[(1, Some("a"))]);
        let parts = [(Effect::Insert, &rows)];
        for (grant, missing) in [
            (
                "SELECT ON target",
                "INSERT, UPDATE, DELETE ON \"public\".\"target\", and USAGE ON SEQUENCE \
                 public.target_drawn_seq",
            ),
            (
                "INSERT (id, value), UPDATE (id) ON target",
                "UPDATE, DELETE ON \"public\".\"target\", and USAGE ON SEQUENCE \
                 public.target_drawn_seq",
            ),
            (
                "UPDATE (value) ON target",
                "DELETE ON \"public\".\"target\", and USAGE ON SEQUENCE public.target_drawn_seq",
            ),
        ] {
            desk.run(&format!("GRANT {grant} TO ferry")).await;
            let (class, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            let message = format!("\"ferry\" lacks {missing} to write public.target; hint: GRANT ");
            assert!(text.starts_with(&message), "{text}");
        }
        // What it advises is all that it takes.
        let (_, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
        let (_, advice) = text.split_once("hint: ").unwrap();
        desk.run(advice).await;
        let mut session = desk.claim().await;
        brought(&mut session, 1, Stage::Refresh, &parts).await;
        let parts = [
            (Effect::Update, &batch(&[(1, Some("b"))])),
            (Effect::Insert, &batch(&[(2, None)])),
        ];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        let parts = [(Effect::Delete, &batch(&[(2, None)]))];
        brought(&mut session, 3, Stage::Changes, &parts).await;
        assert_eq!(desk.rows().await, "1:b");
        drop(session);
        desk.run("REVOKE USAGE ON SCHEMA public FROM ferry").await;
        let (class, text) = refused(&mut desk.claim().await, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("hint: GRANT USAGE ON SCHEMA \"public\" TO \"ferry\""),
            "{text}"
        );
    })
    .await;
}

/// What a trigger may not do is told as the server tells it, and not as a right on the target.
#[tokio::test]
async fn rights_of_others_are_not_taken_for_ours() {
    on_each_server(async |mut desk| {
        somebody_elses(&mut desk).await;
        desk.run(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON target TO ferry; \
             GRANT USAGE ON SEQUENCE target_drawn_seq TO ferry; CREATE TABLE log (id bigint); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN INSERT INTO log VALUES (NEW.id); RETURN NULL; END $$; \
             CREATE TRIGGER noted AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
        let parts = [(Effect::Insert, &batch(&[(1, None)]))];
        let (class, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("permission denied for table log"), "{text}");
        assert!(
            text.ends_with("hint: grant \"ferry\" what the server asks for"),
            "{text}"
        );
    })
    .await;
}
