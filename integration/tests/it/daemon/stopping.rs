//! A signal ends the daemon without a trace: runs end or are taken back.

use lakeferry_postgres_testkit::servers;
use rustix::process::Signal;

use super::{Daemon, start};
use crate::{deployment::Deployment, scene::LIMIT, tables};

const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_locks \
    WHERE NOT granted AND relation = 'lakeferry.runs'::regclass)";

/// A daemon with a run that stands before the end of its transaction, and who holds it up.
pub(super) async fn held(deployment: &Deployment) -> (Daemon, tokio_postgres::Client) {
    let lock = deployment.connect().await;
    let sql = "BEGIN; LOCK TABLE lakeferry.runs IN SHARE MODE";
    lock.batch_execute(sql).await.unwrap();
    let daemon = Daemon::start(deployment).await;
    daemon.until(WAITS).await;
    (daemon, lock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_under_way_ends_and_no_other_starts() {
    for version in servers() {
        let (deployment, mut table) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        deployment.sync();
        let before = table.append(tables::words(&[(4, None)])).await.unwrap();
        let (mut daemon, lock) = held(&deployment).await;
        daemon.process.signal(Signal::TERM).unwrap();
        daemon.until_said("1 run under way").await;
        table.append(tables::words(&[(5, None)])).await.unwrap();
        lock.batch_execute("COMMIT").await.unwrap();
        let ended = daemon.process.end(LIMIT).await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("no run was under way"),
            "{}",
            ended.said
        );
        assert_eq!(deployment.watermark("words"), before);
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_end_in_time_is_taken_back() {
    for version in servers() {
        let (mut deployment, mut table) =
            start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        deployment.config_line("daemon: { stop_within: 1s }");
        deployment.sync();
        let (at, rows) = (deployment.watermark("words"), deployment.dump("words"));
        table.append(tables::words(&[(4, None)])).await.unwrap();
        let (daemon, lock) = held(&deployment).await;
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("where they were: words"),
            "{}",
            ended.said
        );
        lock.batch_execute("COMMIT").await.unwrap();
        assert_eq!(deployment.watermark("words"), at);
        assert_eq!(deployment.dump("words"), rows);
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    for version in servers() {
        let (deployment, mut table) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        deployment.sync();
        table.append(tables::words(&[(4, None)])).await.unwrap();
        let (mut daemon, lock) = held(&deployment).await;
        daemon.process.signal(Signal::INT).unwrap();
        daemon.until_said("1 run under way").await;
        daemon.process.signal(Signal::INT).unwrap();
        let ended = daemon.process.end(LIMIT).await.unwrap();
        assert_eq!(ended.code, Some(130), "{}", ended.said);
        lock.batch_execute("COMMIT").await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
    }
}

/// A wrong configuration runs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_whole() {
    let version = servers()[0];
    let (mut deployment, _table) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
    deployment.config_line("daemon: { max_runs: 0, stop_wthin: 1s }");
    let refused = deployment.run(&["run"]).failure(2);
    assert!(refused.contains("lakeferry.yaml is wrong"), "{refused}");
}
