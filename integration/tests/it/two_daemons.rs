//! Two processes on one job: whatever one of them does, or does not do any more, each change is
//! applied once, and who lost the job writes nothing.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use lakeferry_postgres_testkit::Settings;
use tokio::time::{sleep, timeout};

use crate::{
    process::{PAUSE, Process},
    proxy::Proxy,
    scene::{IS_BLOCKED, LIMIT, Scene, as_long, on_each_server},
};

/// Whether each recorded run began where the one before had ended.
const RUNS_CHAIN: &str = "\
SELECT coalesce(bool_and(from_version IS NOT DISTINCT FROM before), true) \
FROM (SELECT from_version, lag(through_version) OVER (ORDER BY run_id) AS before \
    FROM lakeferry.runs) AS run";

const ENDED: &str = "terminating connection due to administrator command";

/// Two loops of syncs, while commits go on.
#[test]
fn two_loops_while_commits_go_on() {
    on_each_server("two_loops_while_commits_go_on", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        let commits = as_long(12, 500);
        let config = scene.deployment.config();
        let (is_over, syncs) = (AtomicBool::new(false), AtomicUsize::new(0));
        let sync_on = || {
            while !is_over.load(Ordering::SeqCst) {
                let said = crate::lakeferry::lakeferry(&config, &["sync"]);
                // Who finds the other at work for too long says so.
                if said.code != 0 {
                    let failure = said.failure(1);
                    assert!(failure.contains("is working on it"), "{failure}");
                }
                syncs.fetch_add(1, Ordering::SeqCst);
            }
        };
        let handle = tokio::runtime::Handle::current();
        thread::scope(|scope| {
            // The loops end also where an assertion fails.
            let _over = OnDrop(&is_over);
            scope.spawn(sync_on);
            scope.spawn(sync_on);
            for _ in 0..commits {
                tokio::task::block_in_place(|| handle.block_on(scene.commit()));
                scene.expect_version();
            }
        });
        scene.sync_to_head();
        assert_eq!(scene.deployment.sql(RUNS_CHAIN), "t");
        println!("{commits} commits, {} syncs", syncs.load(Ordering::SeqCst));
    });
}

/// Ends the loops.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One is stopped inside its apply, past its lease: the other ends its session and takes over, and
/// what it sends when it goes on is refused.
#[test]
fn one_stopped_inside_its_apply() {
    on_each_server("one_stopped_inside_its_apply", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        scene.deployment.target_option("lease: 2s");
        let rival = scene.deployment.connect().await;
        let witness = scene.deployment.connect().await;
        for _ in 0..as_long(2, 30) {
            scene.commit().await;
            let lock = "BEGIN; LOCK TABLE moving IN SHARE MODE";
            rival.batch_execute(lock).await.unwrap();
            let mut first = scene.begin(&["sync"]);
            Scene::until(&witness, IS_BLOCKED).await;
            assert!(first.freeze().unwrap());
            let ended = terminations(&scene);
            let second = scene.begin(&["sync"]);
            until(|| terminations(&scene) > ended).await;
            rival.batch_execute("ROLLBACK").await.unwrap();
            scene.expect_done(&second.end(LIMIT).await.unwrap());
            first.resume().unwrap();
            refused(&scene, first, "57P01").await;
        }
        println!(
            "postgres {}: {} sessions of stopped processes were ended",
            scene.deployment.release(),
            terminations(&scene)
        );
        assert_eq!(scene.deployment.sql(RUNS_CHAIN), "t");
    });
}

/// A process that goes on finds that it lost the job, and the target as the other left it.
async fn refused(scene: &Scene, mut process: Process, reason: &str) {
    process.until_said(reason, LIMIT).await.unwrap();
    scene.expect_done(&process.end(LIMIT).await.unwrap());
}

fn terminations(scene: &Scene) -> usize {
    let log = scene.deployment.server().log();
    let of_product = |line: &&str| line.contains(ENDED) && line.contains("lakeferry/");
    log.lines().filter(of_product).count()
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(PAUSE).await;
        }
    };
    timeout(LIMIT, wait).await.expect("it never came true");
}

/// One is stopped inside a COPY, and loses its lease; a COPY that merely takes long does not.
#[test]
fn one_stopped_inside_a_copy() {
    on_each_server("one_stopped_inside_a_copy", async |version, random| {
        let settings = Settings::quick().with("autovacuum", "off");
        let mut scene = Scene::start(version, &settings, 60_000, random).await;
        scene.deployment.target_option("lease: 2s");
        let proxy = Proxy::start(scene.deployment.server().port());
        scene.deployment.reach_by(&proxy.url("postgres", "serving"));
        let witness = scene.deployment.connect().await;
        proxy.hold_up_copy(1_000_000);
        let mut first = scene.begin(&["sync"]);
        until(|| proxy.is_held_up()).await;

        let renewed = "SELECT expires_at > claimed_at + interval '8 s' FROM lakeferry.leases";
        Scene::until(&witness, renewed).await;
        assert_eq!(terminations(&scene), 0);
        assert_eq!(scene.expect_version(), None);

        assert!(first.freeze().unwrap());
        // The proxy must not hold up the second one.
        scene.deployment.reach_by(&scene.deployment.url());
        let second = scene.begin(&["sync"]);
        scene.expect_done(&second.end(LIMIT).await.unwrap());
        // Of the session that held the lease; one that was loading for it is ended too.
        assert!(terminations(&scene) >= 1);
        proxy.let_go();
        first.resume().unwrap();
        refused(&scene, first, "trying again").await;
    });
}

/// The other way of losing a job: the session lives on, and its compare-and-set fails.
#[test]
fn one_whose_epoch_has_passed() {
    on_each_server("one_whose_epoch_has_passed", async |version, random| {
        let settings = Settings::quick()
            .with("autovacuum", "off")
            .with("log_statement", "all");
        let mut scene = Scene::start(version, &settings, 4_000, random).await;
        scene.sync_to_head();
        let proxy = Proxy::start(scene.deployment.server().port());
        let direct = scene.deployment.url();
        scene.commit().await;
        scene.deployment.reach_by(&proxy.url("postgres", "serving"));
        proxy.hold_up_copy(1);
        let first = scene.begin(&["sync"]);
        until(|| proxy.is_held_up()).await;
        scene.deployment.sql("DELETE FROM lakeferry.leases");
        scene.deployment.reach_by(&direct);
        scene.sync_to_head();
        proxy.let_go();
        refused(&scene, first, "another run moved it").await;
        let log = scene.deployment.server().log();
        assert!(log.contains("statement: ROLLBACK"), "no write was refused");
    });
}
