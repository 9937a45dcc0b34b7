//! Nothing deletes a large share of a target by itself: the run halts with the counts, changes
//! nothing, and goes through once it is told to.

use lakeferry_delta_testkit::{
    NewTable,
    runways::{RunwaysHistory, RunwaysReplay, history_file},
};
use lakeferry_postgres_testkit::servers;

use crate::{
    deployment::Deployment,
    oracle::{Oracle, Rows, Version},
    tables,
};

/// Rows with ids from 1 through `count`.
fn rows(count: i64) -> Vec<(i64, Option<&'static str>)> {
    (1..=count).map(|id| (id, Some("word"))).collect()
}

/// By changes and by refresh, whose ways into the target are not the same.
const WAYS: [&[&str]; 2] = [&["refresh_above: 100%"], &["mode: snapshot"]];

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_delete_halts_until_it_is_accepted() {
    for version in servers() {
        for options in WAYS {
            let mut deployment = Deployment::start(version).guarded();
            let path = deployment.lake("words");
            let mut table = tables::create(&path, NewTable::with_feed(), &rows(2_000)).await;
            deployment.job("words", &path, options);
            deployment.sync();
            let count = || deployment.sql("SELECT count(*) FROM words");

            table.delete(Some("id <= 400")).await.unwrap();
            assert_eq!(deployment.sync().rows(), [0, 0, 400], "a fifth is allowed");

            table.delete(Some("id <= 721")).await.unwrap();
            let before = (deployment.dump("words"), deployment.watermark("words"));
            let failure = deployment.run(&["sync"]).failure(1);
            for part in [
                "words",
                "321 of 1600 rows",
                "20 %",
                "--accept-deletes",
                "max_delete_share",
            ] {
                assert!(failure.contains(part), "{part}: {failure}");
            }
            let after = (deployment.dump("words"), deployment.watermark("words"));
            assert_eq!(after, before, "a run that was refused left a trace");
            // It asks again each time, and only for the jobs that are named.
            deployment.run(&["sync"]).failure(1);
            assert_eq!(deployment.run(&["sync", "--accept-deletes"]).code, 2);
            let done = deployment
                .run(&["sync", "words", "--accept-deletes"])
                .jobs_done();
            assert_eq!(done[0].rows(), [0, 0, 321]);
            assert_eq!(count(), "1279");

            table.delete(None).await.unwrap();
            let failure = deployment.run(&["sync"]).failure(1);
            assert!(failure.contains("all 1279 rows"), "{failure}");
            assert!(failure.contains("allow_empty"), "{failure}");
            let failure = deployment.run(&["backfill", "words"]).failure(1);
            assert!(failure.contains("all 1279 rows"), "{failure}");
            assert_eq!(count(), "1279");
            let done = deployment
                .run(&["backfill", "words", "--accept-deletes"])
                .jobs_done();
            assert_eq!(done[0].rows(), [0, 0, 1_279]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guards_of_a_job_are_its_own() {
    for version in servers() {
        for options in WAYS {
            let mut deployment = Deployment::start(version).guarded();
            let path = deployment.lake("words");
            let mut table = tables::create(&path, NewTable::with_feed(), &rows(3)).await;
            deployment.job("careful", &path, options);
            let allowed = [options, &["allow_empty: true"]].concat();
            deployment.job("words", &path, &allowed);
            assert_eq!(deployment.run(&["sync"]).code, 0);
            // A few rows are no share of anything, but all of them are.
            table.delete(Some("id > 1")).await.unwrap();
            assert_eq!(deployment.run(&["sync"]).code, 0);
            table.delete(None).await.unwrap();
            let said = deployment.run(&["sync"]);
            let failure = said.failure(1);
            assert!(failure.contains("careful"), "{failure}");
            assert_eq!(deployment.dump("words"), "");
            assert_eq!(deployment.dump("careful"), "1,word");
            // Rows that come make up for those that go, in a small table.
            table
                .append(tables::words(&[(9, Some("nine"))]))
                .await
                .unwrap();
            assert_eq!(deployment.run(&["sync"]).code, 0);
            assert_eq!(deployment.dump("careful"), "9,nine");
        }
    }
}

/// The runways' version 1008 deletes every row: by mistake, for 1009 brings them back.
#[tokio::test(flavor = "multi_thread")]
async fn the_wipe_of_the_runways_halts_with_its_counts() {
    const WIPE: i64 = 1_008;
    let Some(parquet) = history_file() else {
        return;
    };
    let mut oracle = Oracle::start(&parquet);
    for server in servers() {
        for table in [NewTable::with_feed(), NewTable::without_feed()] {
            let mut deployment = Deployment::start(server).guarded();
            let lake = deployment.lake("runways");
            let history = RunwaysHistory::read(&parquet).unwrap();
            let mut source = RunwaysReplay::start_at(history, WIPE - 1, &lake, table)
                .await
                .unwrap();
            for job in ["waits", "asked", "follows"] {
                let allowed: &[&str] = match job {
                    "follows" => &["allow_empty: true"],
                    _ => &[],
                };
                deployment.job(job, &lake, allowed);
            }
            assert_eq!(deployment.run(&["sync"]).code, 0);
            let mut has = |table: &str, seq| {
                let dump = deployment.dump(table);
                oracle.assert_equal(&dump, Version { seq, shift: 0 }, Rows::All)
            };
            let rows = has("waits", WIPE - 1);

            source.next().await.unwrap();
            let said = deployment.run(&["sync"]);
            assert_eq!(said.code, 1, "{said}");
            let failure = deployment.run(&["sync", "waits"]).failure(1);
            assert!(failure.contains(&format!("all {rows} rows")), "{failure}");
            println!("postgres {}: {failure}", deployment.release());
            let done = deployment
                .run(&["sync", "asked", "--accept-deletes"])
                .jobs_done();
            assert_eq!(done[0].rows(), [0, 0, rows]);
            for (job, seq) in [("waits", WIPE - 1), ("asked", WIPE), ("follows", WIPE)] {
                has(job, seq);
            }

            source.next().await.unwrap();
            assert_eq!(deployment.run(&["sync"]).code, 0);
            for job in ["waits", "asked", "follows"] {
                has(job, WIPE + 1);
            }
        }
    }
}
