//! A rival holds locks, for a while or for long, or wants ours.

use rand_chacha::ChaCha8Rng;
use tokio_postgres::Client;

use lakeferry_postgres_testkit::Version;

use crate::scene::{IS_BLOCKED, LIMIT, Scene, as_long, on_each_server};

/// What a rival may hold.
const LOCKS: [&str; 6] = [
    "SELECT FROM moving ORDER BY id DESC LIMIT 1 FOR UPDATE",
    "LOCK TABLE moving IN SHARE MODE",
    "LOCK TABLE moving IN ACCESS EXCLUSIVE MODE",
    "SELECT FROM lakeferry.progress FOR UPDATE",
    "LOCK TABLE lakeferry.leases IN EXCLUSIVE MODE",
    "LOCK TABLE lakeferry.runs IN ACCESS EXCLUSIVE MODE",
];

/// A statement of the product has waited for a second.
const IS_BLOCKED_LONG: &str = "\
SELECT EXISTS (SELECT FROM pg_stat_activity \
    WHERE application_name LIKE 'lakeferry/%' AND wait_event_type = 'Lock' \
        AND clock_timestamp() - query_start > interval '1 s')";

async fn hold(client: &Client, lock: &str) {
    client
        .batch_execute(&format!("BEGIN; {lock}"))
        .await
        .unwrap();
}

#[test]
fn locks_held_for_a_while() {
    on_each_server("locks_held_for_a_while", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        let rival = scene.deployment.connect().await;
        let witness = scene.deployment.connect().await;
        for lock in LOCKS {
            change_the_last_rows(&mut scene).await;
            hold(&rival, lock).await;
            let process = scene.begin(&["sync"]);
            Scene::until(&witness, IS_BLOCKED_LONG).await;
            rival.batch_execute("ROLLBACK").await.unwrap();
            let ended = process.end(LIMIT).await.unwrap();
            assert!(!ended.said.contains("trying again"), "{lock}: {ended:?}");
            scene.expect_done(&ended);
        }
    });
}

/// A change that is read as changes, of the last rows among others.
async fn change_the_last_rows(scene: &mut Scene) {
    let last = *scene.moving.rows.keys().next_back().unwrap();
    let from = last - 100;
    let predicate = format!("id >= {from}");
    scene.moving.raise(from, Some(&predicate)).await;
}

/// For longer than the product waits: it gives way, says who is in its way, and tries again.
#[test]
fn locks_held_for_long() {
    on_each_server("locks_held_for_long", async |version, random| {
        let table = "end the session that holds a lock on public.moving";
        let state = "end the session that holds a lock on the state of job default/moving";
        tokio::join!(
            for_long(
                version,
                random.clone(),
                "LOCK TABLE moving IN SHARE MODE",
                table
            ),
            for_long(
                version,
                random,
                "SELECT FROM lakeferry.progress FOR UPDATE",
                state
            ),
        );
    });
}

async fn for_long(version: Version, random: ChaCha8Rng, lock: &str, hint: &str) {
    let mut scene = Scene::filled(version, random).await;
    let rival = scene.deployment.connect().await;
    scene.commit().await;
    let before = scene.expect_version();
    hold(&rival, lock).await;
    let mut process = scene.begin(&["sync"]);
    process.until_said("55P03", LIMIT).await.unwrap();
    assert_eq!(scene.expect_version(), before);
    let said = process.said().unwrap();
    assert!(said.contains(hint), "{said}");
    rival.batch_execute("ROLLBACK").await.unwrap();
    scene.expect_done(&process.end(LIMIT).await.unwrap());
}

/// The product is the one that Postgres chooses to give way.
#[test]
fn deadlocks_with_a_user() {
    on_each_server("deadlocks_with_a_user", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        let server = scene.deployment.server();
        server.reload(&[("deadlock_timeout", "5s")]).unwrap();
        let rival = scene.deployment.connect().await;
        let witness = scene.deployment.connect().await;
        let patient = "SET deadlock_timeout = '10min'";
        rival.batch_execute(patient).await.unwrap();
        let cases = [
            // The last of the rows that the product writes, then those before it.
            (
                "SELECT FROM moving ORDER BY id DESC LIMIT 1 FOR UPDATE",
                "SELECT FROM moving FOR UPDATE",
            ),
            (
                "LOCK TABLE moving IN SHARE MODE",
                "SELECT FROM lakeferry.progress FOR UPDATE",
            ),
        ];
        for _ in 0..as_long(1, 20) {
            for (first, second) in cases {
                change_the_last_rows(&mut scene).await;
                let before = scene.expect_version();
                hold(&rival, first).await;
                let mut process = scene.begin(&["sync"]);
                Scene::until(&witness, IS_BLOCKED).await;
                rival.batch_execute(second).await.unwrap();
                process.until_said("40P01", LIMIT).await.unwrap();
                assert_eq!(scene.expect_version(), before);
                rival.batch_execute("COMMIT").await.unwrap();
                scene.expect_done(&process.end(LIMIT).await.unwrap());
            }
        }
    });
}
