//! The server's disk is full: the run says so, and goes on when there is room.

use lakeferry_postgres_testkit::{Settings, can_mount};

use crate::scene::{LIMIT, Scene, on_each_server};

const MEGABYTES: u32 = 48;
const ROWS: i64 = 60_000;

/// All that there is, but for a megabyte.
const FILL_UP: &str = "\
CREATE TABLE room AS SELECT repeat('x', 1000) FROM generate_series(1, 1000); \
CREATE TABLE filler (x text); \
DO $$ BEGIN LOOP \
    INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 100); \
END LOOP; EXCEPTION WHEN disk_full THEN NULL; END $$; \
DROP TABLE room; CHECKPOINT";

const MAKE_ROOM: &str = "DROP TABLE filler; CHECKPOINT";

const LEFTOVERS: &str = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_lakeferry%'";

#[test]
fn a_full_disk() {
    if !can_mount() {
        println!("skipped: this process may not mount a small disk");
        return;
    }
    on_each_server("a_full_disk", async |version, random| {
        let settings = Settings::quick()
            .with("autovacuum", "off")
            .with_small_disk(MEGABYTES);
        let mut scene = Scene::start(version, &settings, ROWS, random).await;
        let server = scene.deployment.server();
        let disk = server.small_disk();
        let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", disk.display());
        server.psql("postgres", &tablespace).unwrap();
        let tablespace = "ALTER DATABASE serving SET TABLESPACE small";
        server.psql("postgres", tablespace).unwrap();

        scene.deployment.sql(FILL_UP);
        let failure = scene.deployment.run(&["sync"]).failure(1);
        for part in ["moving", "53100", "free disk space"] {
            assert!(failure.contains(part), "no {part:?}: {failure}");
        }
        assert_eq!(scene.expect_version(), None);
        scene.deployment.sql(MAKE_ROOM);
        scene.sync_to_head();
        assert_eq!(scene.deployment.sql(LEFTOVERS), "0");

        // Every row changes.
        scene.moving.raise(i64::MIN, None).await;
        scene.deployment.sql(FILL_UP);
        let mut process = scene.begin(&["sync"]);
        process.until_said("53100", LIMIT).await.unwrap();
        assert_eq!(scene.expect_version(), Some(1));
        scene.deployment.sql(MAKE_ROOM);
        scene.expect_done(&process.end(LIMIT).await.unwrap());
        assert_eq!(scene.deployment.sql(LEFTOVERS), "0");
    });
}
