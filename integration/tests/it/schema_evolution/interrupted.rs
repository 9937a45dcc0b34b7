//! What is cut off between the statements and the rows, or has to wait for a lock.

use super::{World, everywhere};
use crate::process::{PAUSE, Process};

/// Holds the rows up, once the table has its new column.
const STALL: &str = "\
CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
CREATE TRIGGER stall BEFORE INSERT ON mapped FOR EACH ROW EXECUTE FUNCTION stall()";

#[test]
fn a_sync_that_is_killed_before_the_rows_is_gone_on_with() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.deployment.sql(STALL);
        world.table.add_column("note", "string").unwrap();
        world.table.rename_column("word", "text").unwrap();
        world.table.append(&[(4, &[("note", "n4")])]).unwrap();
        let config = world.deployment.config();
        let mut process = Process::start(&config, config.parent().unwrap(), &["sync"]).unwrap();
        let stalled = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while world.deployment.sql(stalled) == "0" {
            assert!(!process.has_ended().unwrap(), "{}", process.said().unwrap());
            std::thread::sleep(PAUSE);
        }
        process.kill().unwrap();
        assert_eq!(world.columns(), ["id", "text", "number", "note"]);
        // The rows are those from before.
        let notes = world
            .deployment
            .sql("SELECT count(note), count(*) FILTER (WHERE id = 4) FROM mapped");
        assert_eq!(notes, "0|0");
        world.deployment.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'; \
             DROP FUNCTION stall() CASCADE",
        );
        let done = world.deployment.sync();
        assert!(
            done.steps.iter().all(|step| !step.kind.contains("alter")),
            "{done:?}"
        );
        world.expect(&["id", "text", "number", "note"]);
        assert_eq!(world.rebuilds(), 0);
    });
}

/// Whoever reads for long holds a schema change up, and is not held up by it but for moments.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_waited_for() {
    for version in lakeferry_postgres_testkit::servers() {
        let mut world = World::filled(version, true, &[]);
        world.table.add_column("note", "string").unwrap();
        let reader = world.deployment.connect().await;
        reader
            .batch_execute("BEGIN; SELECT count(*) FROM mapped")
            .await
            .unwrap();
        let config = world.deployment.config();
        let process = Process::start(&config, config.parent().unwrap(), &["sync"]).unwrap();
        let gave_way = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while world.deployment.sql(gave_way) == "0" {
            tokio::time::sleep(PAUSE).await;
        }
        // Nobody queues behind it now.
        world.deployment.sql("SELECT count(*) FROM mapped");
        reader.batch_execute("COMMIT").await.unwrap();
        let ended = process.end(crate::scene::LIMIT).await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        world.expect(&["id", "word", "number", "note"]);
    }
}

/// A state that an earlier build left has no columns in it: it is looked at as it is, and the first
/// sync rebuilds.
#[test]
fn the_state_of_an_earlier_build() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.deployment.sql(
            "ALTER TABLE lakeferry.progress DROP COLUMN columns; \
             ALTER TABLE lakeferry.fills DROP COLUMN columns; \
             ALTER TABLE lakeferry.fill_pieces DROP COLUMN replaced; \
             ALTER TABLE lakeferry.runs DROP COLUMN replaced; \
             ALTER TABLE lakeferry.quarantine DROP COLUMN has_previous; \
             DROP TABLE lakeferry.pauses, lakeferry.requests; \
             DELETE FROM lakeferry.migrations WHERE number > 4; \
             UPDATE lakeferry.progress SET fingerprint = 'of an earlier build'",
        );
        for command in ["plan", "status"] {
            world.deployment.run(&[command]).result();
        }
        world.deployment.sync();
        assert_eq!(world.rebuilds(), 1);
        world.table.add_column("note", "string").unwrap();
        world.table.append(&[(4, &[("note", "n4")])]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number", "note"]);
        assert_eq!(world.rebuilds(), 1);
    });
}
