//! Connections that are ended at random, and none to be had.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lakeferry_delta_testkit::NewTable;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::{task::JoinHandle, time::sleep};
use tokio_postgres::{Client, NoTls};

use crate::{
    deployment::Deployment,
    scene::{Scene, as_long, on_each_server},
    tables,
};

/// On each server.
const KILLS: usize = 25;
const KILLS_LONG: usize = 1_000;
/// During one sync, which makes eight attempts.
const KILLS_EACH: usize = 5;
const LONGEST_WAIT_MILLIS: u64 = 300;

const JOBS: usize = 12;

const TERMINATE: &str = "\
SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity \
    WHERE application_name LIKE 'lakeferry/%') AS ended WHERE done";

#[test]
fn connections_ended_at_random() {
    on_each_server("connections_ended_at_random", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        let kills = Arc::new(AtomicUsize::new(0));
        let least = as_long(KILLS, KILLS_LONG);
        let mut syncs = 0;
        while kills.load(Ordering::SeqCst) < least {
            scene.commit().await;
            let random = ChaCha8Rng::seed_from_u64(scene.random.random());
            let killer = kill_at_random(scene.deployment.connect().await, &kills, random);
            scene.sync_to_head();
            killer.abort();
            syncs += 1;
        }
        println!(
            "postgres {}: {} connections ended in {syncs} syncs, which all went on",
            scene.deployment.release(),
            kills.load(Ordering::SeqCst)
        );
    });
}

/// Ends connections at random moments, so many that the sync can still come through.
fn kill_at_random(
    client: Client,
    kills: &Arc<AtomicUsize>,
    mut random: ChaCha8Rng,
) -> JoinHandle<()> {
    let kills = Arc::clone(kills);
    tokio::spawn(async move {
        let mut left = random.random_range(1..=KILLS_EACH);
        while left > 0 {
            let wait = random.random_range(0..LONGEST_WAIT_MILLIS);
            sleep(Duration::from_millis(wait)).await;
            let ended: i64 = client.query_one(TERMINATE, &[]).await.unwrap().get(0);
            let ended = usize::try_from(ended).unwrap();
            kills.fetch_add(ended, Ordering::SeqCst);
            left = left.saturating_sub(ended);
        }
    })
}

/// The role may have one connection, and somebody has it.
#[test]
fn no_connection_to_be_had() {
    on_each_server("no_connection_to_be_had", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        scene.deployment.sql(
            "CREATE ROLE ferry LOGIN CONNECTION LIMIT 1; GRANT postgres TO ferry; \
             ALTER ROLE ferry SET role = postgres",
        );
        let address = scene.deployment.url().replace("postgres@", "ferry@");
        scene.deployment.reach_by(&address);
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        scene.commit().await;
        let failure = scene.deployment.run(&["sync"]).failure(3);
        for part in ["moving", "53300", "raise max_connections"] {
            assert!(failure.contains(part), "no {part:?}: {failure}");
        }
        scene.expect_version();
        drop(client);
        connection.await.unwrap().unwrap();
        scene.sync_to_head();
    });
}

/// The role may have just as many connections as the target is to have: one more would be refused.
#[test]
fn a_sync_of_many_jobs_keeps_to_the_connections_of_its_target() {
    on_each_server("many_jobs_few_connections", async |version, _| {
        let mut deployment = Deployment::start(version);
        deployment.sql(
            "CREATE ROLE ferry LOGIN CONNECTION LIMIT 7; GRANT postgres TO ferry; \
             ALTER ROLE ferry SET role = postgres",
        );
        let address = deployment.url().replace("postgres@", "ferry@");
        deployment.reach_by(&address);
        deployment.target_option("max_connections: 7");
        for job in 0..JOBS {
            let name = format!("words_{job}");
            let path = deployment.lake(&name);
            tables::create(&path, NewTable::with_feed(), &[(1, Some("one"))]).await;
            deployment.job(&name, &path, &[]);
        }
        let said = deployment.run(&["sync"]);
        assert_eq!(said.jobs_done().len(), JOBS, "{said}");
        let log = deployment.server().log();
        let refused = log
            .lines()
            .filter(|line| line.contains("too many connections"));
        let refused: Vec<_> = refused.collect();
        assert!(refused.is_empty(), "{refused:#?}");
    });
}
