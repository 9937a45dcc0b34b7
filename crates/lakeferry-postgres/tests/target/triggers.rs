//! Triggers of users work as ever, and what they do to the job's columns is seen.

use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{batch, brought, on_each_server, refused};

/// Functions for the triggers of these tests.
const FUNCTIONS: &str = "\
CREATE TABLE log (what text, id bigint); \
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN NEW.stamp := lower(TG_OP); RETURN NEW; END $$; \
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO log VALUES (lower(TG_OP), coalesce(NEW.id, OLD.id)); RETURN NULL; END $$; \
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN NEW.value := upper(NEW.value); RETURN NEW; END $$; \
CREATE FUNCTION shout_later() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN UPDATE target SET value = upper(value) WHERE value <> upper(value); \
        RETURN NULL; END $$";

#[tokio::test]
async fn triggers_beside_the_jobs_columns_work() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        desk.run(FUNCTIONS).await;
        desk.run(
            "ALTER TABLE target ADD stamp text NOT NULL DEFAULT 'none'; \
             ALTER TABLE target ALTER stamp DROP DEFAULT; \
             CREATE TRIGGER stamped BEFORE INSERT OR UPDATE ON target \
                FOR EACH ROW EXECUTE FUNCTION stamp(); \
             CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON target \
                FOR EACH ROW EXECUTE FUNCTION note(); \
             CREATE TRIGGER loud BEFORE UPDATE ON target FOR EACH ROW EXECUTE FUNCTION shout(); \
             ALTER TABLE target DISABLE TRIGGER loud; \
             CREATE FUNCTION count_new() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO log SELECT 'all', count(*) FROM new_rows; RETURN NULL; END $$; \
             CREATE TRIGGER counted AFTER INSERT ON target REFERENCING NEW TABLE AS new_rows \
                FOR EACH STATEMENT EXECUTE FUNCTION count_new()",
        )
        .await;
        let parts = [
            (Effect::Delete, &batch(&[(1, None)])),
            (Effect::Update, &batch(&[(2, Some("c"))])),
            (Effect::Insert, &batch(&[(3, None), (4, Some("d"))])),
        ];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        let parts = [(Effect::Insert, &batch(&[(3, Some("e")), (4, Some("d"))]))];
        brought(&mut session, 3, Stage::Refresh, &parts).await;
        assert_eq!(desk.rows().await, "3:e 4:d");
        let stamps = "SELECT string_agg(stamp, ' ' ORDER BY id) FROM target";
        assert_eq!(desk.ask(stamps).await, "update insert");
        let log = "SELECT string_agg(concat(what, id), ' ' ORDER BY id, what) FROM log";
        assert_eq!(
            desk.ask(log).await,
            "all0 delete1 all2 delete2 update2 insert3 update3 insert4"
        );
    })
    .await;
}

/// Counts of rows do not tell.
#[tokio::test]
async fn triggers_that_write_other_values_are_found_out() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, Some("A"))])).await;
        desk.run(FUNCTIONS).await;
        for (trigger, options, function) in [
            ("TRIGGER loud BEFORE", "", "shout"),
            ("TRIGGER loud AFTER", "", "shout_later"),
            (
                "CONSTRAINT TRIGGER loud AFTER",
                "DEFERRABLE INITIALLY DEFERRED",
                "shout_later",
            ),
        ] {
            desk.run(&format!(
                "DROP TRIGGER IF EXISTS loud ON target; \
                 CREATE {trigger} INSERT OR UPDATE ON target {options} \
                    FOR EACH ROW EXECUTE FUNCTION {function}()"
            ))
            .await;
            for (kind, effect, rows) in [
                (Stage::Changes, Effect::Insert, batch(&[(2, Some("b"))])),
                (Stage::Changes, Effect::Update, batch(&[(1, Some("b"))])),
                (
                    Stage::Refresh,
                    Effect::Insert,
                    batch(&[(1, Some("A")), (2, Some("b"))]),
                ),
                (Stage::Refresh, Effect::Insert, batch(&[(1, Some("b"))])),
            ] {
                let mut session = desk.claim().await;
                let (class, text) = refused(&mut session, kind, &[(effect, &rows)]).await;
                assert_eq!(class, FailureClass::NeedsOperator, "{text}");
                assert!(text.contains("(\"loud\")"), "{text}");
                assert!(text.contains("hint: change the trigger"), "{text}");
                assert_eq!(desk.rows().await, "1:A");
            }
        }
    })
    .await;
}
