//! Many daemons on the same jobs: they share them, one takes over what another leaves, and no more
//! connections are opened than the server has.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Settings, servers};
use tokio::time::{Instant, sleep};

use super::{Daemon, ROWS, start};
use crate::{
    deployment::Deployment,
    process::{PAUSE, Process},
    scene::{IS_BLOCKED, LIMIT, Scene, as_long},
    tables,
};

const CONTINUOUS: [&str; 1] = ["mode: continuous"];

/// Work that waits is taken over within this time.
const PROMISED: Duration = Duration::from_secs(15);

/// Whether each recorded run began where the one before had ended.
const RUNS_CHAIN: &str = "\
SELECT bool_and(from_version IS NOT DISTINCT FROM before) \
FROM (SELECT from_version, lag(through_version) OVER (ORDER BY run_id) AS before \
    FROM lakeferry.runs) AS run";

/// Prints how long it took; holds it against what is promised in the long form alone, which has the
/// machine for itself.
fn taken_over(after: &str, took: Duration) {
    println!("{after}: taken over within {took:.1?}");
    let most = as_long(Duration::MAX, PROMISED);
    assert!(took <= most, "more than {most:?}");
}

async fn append(table: &mut DeltaTable, id: i64) -> u64 {
    table.append(tables::words(&[(id, None)])).await.unwrap()
}

/// Two that hear of the same commits: each commit is applied once, and who comes second does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_does_nothing() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let (one, two) = (
            Daemon::start(&deployment).await,
            Daemon::start(&deployment).await,
        );
        one.until_filled("words").await;
        for id in 4..24 {
            let version = append(&mut words, id).await;
            one.until_version("words", version).await;
        }
        for daemon in [one, two] {
            let ended = daemon.stop().await;
            assert_eq!(ended.code, Some(0), "{}", ended.said);
            assert!(!ended.said.contains("trying again"), "{}", ended.said);
        }
        assert_eq!(deployment.sql(RUNS_CHAIN), "t");
        let idle = "SELECT count(*) FROM lakeferry.runs WHERE inserted = 0";
        assert_eq!(deployment.sql(idle), "0");
        assert_eq!(
            deployment.sql("SELECT sum(inserted) FROM lakeferry.runs"),
            "23"
        );
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "23");
    }
}

/// Two daemons, one of them in the middle of a run that waits for a lock.
async fn one_in_a_run(
    deployment: &Deployment,
    words: &mut DeltaTable,
) -> (Daemon, Daemon, tokio_postgres::Client) {
    let first = Daemon::start(deployment).await;
    first.until_filled("words").await;
    let rival = deployment.connect().await;
    let lock = "BEGIN; LOCK TABLE words IN SHARE MODE";
    rival.batch_execute(lock).await.unwrap();
    append(words, 4).await;
    Scene::until(&first.client, IS_BLOCKED).await;
    let second = Daemon::start(deployment).await;
    // It has found that the other is at it.
    let held = "lakeferry_runs_total{job=\"words\",result=\"held\"}";
    while !second.get("/metrics").await.text.contains(held) {
        sleep(PAUSE).await;
    }
    (first, second, rival)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_one_that_was_killed_is_taken_over() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let (first, second, rival) = one_in_a_run(&deployment, &mut words).await;
        first.process.kill().unwrap();
        let killed = Instant::now();
        rival.batch_execute("ROLLBACK").await.unwrap();
        second.until_version("words", 2).await;
        let took = killed.elapsed();
        taken_over("killed", took);
        let ended = second.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,\n4,");
        assert_eq!(deployment.sql(RUNS_CHAIN), "t");
    }
}

/// Who was stopped in the middle of a statement loses its session; when it goes on, it knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_one_that_stands_still_is_taken_over_and_it_is_fenced() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        deployment.target_option("lease: 5s");
        let (mut first, second, rival) = one_in_a_run(&deployment, &mut words).await;
        assert!(first.process.freeze().unwrap());
        let frozen = Instant::now();
        let taken = "SELECT holder NOT LIKE 'process {} on %' FROM lakeferry.leases";
        let taken = taken.replace("{}", &first.process.id().to_string());
        Scene::until(&second.client, &taken).await;
        rival.batch_execute("ROLLBACK").await.unwrap();
        second.until_version("words", 2).await;
        let took = frozen.elapsed();
        taken_over("stopped", took);

        first.process.resume().unwrap();
        first.until_said("it was fenced").await;
        let log = deployment.server().log();
        let refused = "terminating connection due to administrator command";
        let place = log.find(refused).unwrap();
        let statement = log[place..].lines().nth(1).unwrap_or_default();
        assert!(statement.contains("STATEMENT:"), "{statement}");
        let last = append(&mut words, 5).await;
        second.until_version("words", last).await;
        for daemon in [first, second] {
            assert_eq!(daemon.stop().await.code, Some(0));
        }
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,\n4,\n5,");
        assert_eq!(deployment.sql(RUNS_CHAIN), "t");
    }
}

/// How many connections a daemon says it may have.
fn connections_of(said: &str) -> i64 {
    let line = said
        .lines()
        .find(|line| line.contains("its server leaves connections"));
    let (_, rest) = line.unwrap().split_once(" connections=").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// A server of 20 connections, 200 jobs that are all due, two daemons.
#[tokio::test(flavor = "multi_thread")]
async fn many_due_jobs_never_take_more_connections_than_there_are() {
    const JOBS: usize = 200;
    for version in servers() {
        let settings = Settings::quick()
            .with("autovacuum", "off")
            .with("max_connections", "20");
        let mut deployment = Deployment::start_with(version, &settings);
        deployment.config_line("http: { listen: none }");
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        let job = |number: usize| {
            let from = path.display();
            format!(
                "  job_{number}: {{ from: \"{from}\", into: serving.public.job_{number}, \
                 key: [id], schedule: EVERY 1 HOUR }}\n"
            )
        };
        let jobs: String = (0..JOBS).map(job).collect();
        deployment.raw_job(&jobs);
        let config = deployment.config();
        let folder = config.parent().unwrap();
        let client = deployment.connect().await;
        let mut daemons = [0; 2].map(|_| Process::start(&config, folder, &["run"]).unwrap());
        let (most, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
        let watch = async {
            let open = "SELECT count(*) FROM pg_stat_activity \
                WHERE application_name LIKE 'lakeferry/%'";
            while !is_over.load(Ordering::SeqCst) {
                let open = client.query_one(open, &[]).await.unwrap().get(0);
                most.fetch_max(open, Ordering::SeqCst);
                sleep(PAUSE).await;
            }
        };
        let other = deployment.connect().await;
        let finish = async {
            let all = format!(
                "SELECT to_regclass('lakeferry.progress') IS NOT NULL AND (SELECT count(*) \
                 FROM pg_class WHERE relname ~ '^job_[0-9]+$' AND relkind = 'r') = {JOBS}"
            );
            Scene::until(&other, &all).await;
            is_over.store(true, Ordering::SeqCst);
        };
        tokio::join!(watch, finish);
        let most = most.into_inner();
        let mut budget = 0;
        for daemon in &mut daemons {
            let said = daemon.said().unwrap();
            assert!(!said.contains("trying again"), "{said}");
            budget += connections_of(&said);
        }
        println!("at most {most} connections, of {budget}");
        // A quarter of 20 each, at most.
        assert!(
            (1..=budget).contains(&most) && budget <= 10,
            "{most}, {budget}"
        );
        let log = deployment.server().log();
        assert!(!log.contains("too many clients") && !log.contains("connection slots"));
        // Each was filled once.
        let runs = "SELECT count(*), count(DISTINCT job_id) FROM lakeferry.runs";
        assert_eq!(deployment.sql(runs), format!("{JOBS}|{JOBS}"));
        for daemon in daemons {
            daemon.signal(rustix::process::Signal::TERM).unwrap();
            let ended = daemon.end(LIMIT).await.unwrap();
            assert_eq!(ended.code, Some(0), "{}", ended.said);
        }
    }
}
