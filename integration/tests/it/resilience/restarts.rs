//! The server is stopped and started again, in order and as by a crash.

use std::time::Duration;

use lakeferry_postgres_testkit::{Settings, Stop};
use rand::{Rng as _, seq::IndexedRandom as _};
use tokio::time::sleep;

use crate::{
    process::PAUSE,
    proxy::Proxy,
    scene::{IS_BLOCKED, JOB, LIMIT, Scene, as_long, on_each_server},
};

const ROWS: i64 = 60_000;
/// About a third of them.
const COPY_BYTES: usize = 1_000_000;
const RESTARTS: usize = 4;
const RESTARTS_LONG: usize = 200;

fn durable() -> Settings {
    Settings::durable().with("autovacuum", "off")
}

#[test]
fn a_server_that_stops_during_the_first_fill() {
    let test = "a_server_that_stops_during_the_first_fill";
    on_each_server(test, async |version, random| {
        let mut scene = Scene::start(version, &durable(), ROWS, random).await;
        let proxy = Proxy::start(scene.deployment.server().port());
        scene.deployment.reach_by(&proxy.url("postgres", "serving"));
        for how in [Stop::Fast, Stop::Immediate] {
            proxy.hold_up_copy(COPY_BYTES);
            let mut process = scene.begin(&["sync"]);
            while !proxy.is_held_up() {
                assert!(!process.has_ended().unwrap(), "{:?}", process.said());
                sleep(PAUSE).await;
            }
            scene.deployment.server().stop(how).unwrap();
            proxy.let_go();
            process.until_said("trying again", LIMIT).await.unwrap();
            scene.deployment.server().start_again().unwrap();
            scene.expect_version();
            scene.expect_done(&process.end(LIMIT).await.unwrap());
            scene
                .deployment
                .sql("DROP TABLE moving; DROP SCHEMA lakeferry CASCADE");
        }
    });
}

#[test]
fn a_server_that_stops_during_increments() {
    on_each_server(
        "a_server_that_stops_during_increments",
        async |version, random| {
            let mut scene = Scene::start(version, &durable(), 4_000, random).await;
            scene.sync_to_head();
            for how in [Stop::Fast, Stop::Immediate] {
                scene.commit().await;
                let before = scene.expect_version();
                let rival = scene.deployment.connect().await;
                let witness = scene.deployment.connect().await;
                let lock = "BEGIN; LOCK TABLE moving IN SHARE MODE";
                rival.batch_execute(lock).await.unwrap();
                let mut process = scene.begin(&["sync"]);
                Scene::until(&witness, IS_BLOCKED).await;
                scene.deployment.server().stop(how).unwrap();
                process.until_said("trying again", LIMIT).await.unwrap();
                scene.deployment.server().start_again().unwrap();
                assert!(scene.expect_version() >= before);
                scene.expect_done(&process.end(LIMIT).await.unwrap());
            }
            for _ in 0..as_long(RESTARTS, RESTARTS_LONG) {
                scene.commit().await;
                let arguments: &[&str] = match scene.random.random_ratio(1, 4) {
                    true => &["backfill", JOB],
                    false => &["sync"],
                };
                let process = scene.begin(arguments);
                let wait = scene.random.random_range(0..900);
                sleep(Duration::from_millis(wait)).await;
                let how = [Stop::Fast, Stop::Immediate];
                let how = *how.choose(&mut scene.random).unwrap();
                scene.deployment.server().restart(how).unwrap();
                scene.expect_version();
                scene.expect_done(&process.end(LIMIT).await.unwrap());
            }
        },
    );
}

/// For longer than a run tries: the next one goes on.
#[test]
fn a_server_that_is_gone() {
    on_each_server("a_server_that_is_gone", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        scene.commit().await;
        scene.deployment.server().stop(Stop::Fast).unwrap();
        let failure = scene.deployment.run(&["sync"]).failure(3);
        for part in ["moving", "cannot connect", "127.0.0.1"] {
            assert!(failure.contains(part), "no {part:?}: {failure}");
        }
        scene.deployment.server().start_again().unwrap();
        scene.sync_to_head();
    });
}
