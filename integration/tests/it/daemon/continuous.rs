//! Continuous jobs: a commit is in Postgres as soon as it is made, by connections that are kept while
//! there is work and closed when there is none.

use lakeferry_postgres_testkit::servers;

use super::{Daemon, start, table};
use crate::{deployment::Deployment, tables};

/// Nobody asks for commits: what arrives was heard of.
const BY_WATCH_ALONE: [&str; 2] = ["mode: continuous", "poll_every: 1h"];

/// How many connections the server's log knows of.
fn connections(deployment: &Deployment) -> usize {
    let log = deployment.server().log();
    log.lines()
        .filter(|line| line.contains("authorized") && line.contains("lakeferry/"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_arrive_as_they_are_made() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &BY_WATCH_ALONE).await;
        let path = deployment.lake("words");
        deployment.job("again", &path, &BY_WATCH_ALONE);
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        daemon.until_filled("again").await;
        for id in 4..24 {
            let version = match id % 4 {
                0 => words
                    .update(&[("word", "'new'")], Some("id = 2"))
                    .await
                    .unwrap(),
                1 => words
                    .delete(Some(&format!("id = {}", id - 2)))
                    .await
                    .unwrap(),
                _ => {
                    let row = tables::words(&[(id, Some("more"))]);
                    words.append(row).await.unwrap()
                }
            };
            daemon.until_version("words", version).await;
            daemon.until_version("again", version).await;
        }
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let dump = deployment.dump("words");
        assert!(dump.starts_with("1,one\n2,new\n"), "{dump}");
        assert_eq!(deployment.dump("again"), dump);
    }
}

/// Commits that come faster than runs are brought together, and none is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_commits_is_brought_to_its_end() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &BY_WATCH_ALONE).await;
        let daemon = Daemon::start(&deployment).await;
        let mut last = 0;
        for id in 4..44 {
            last = words.append(tables::words(&[(id, None)])).await.unwrap();
        }
        daemon.until_filled("words").await;
        daemon.until_version("words", last).await;
        assert_eq!(daemon.stop().await.code, Some(0));
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "43");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_while_there_is_work_and_closed_after() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &BY_WATCH_ALONE).await;
        let (path, mut other) = table(&deployment, "other").await;
        deployment.job("other", &path, &BY_WATCH_ALONE);
        let server = deployment.server();
        server.reload(&[("log_connections", "on")]).unwrap();
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        daemon.until_filled("other").await;
        let before = connections(&deployment);
        assert!(before > 0);
        for id in 4..14 {
            for (job, table) in [("words", &mut words), ("other", &mut other)] {
                let row = tables::words(&[(id, None)]);
                let version = table.append(row).await.unwrap();
                daemon.until_version(job, version).await;
            }
        }
        let log = deployment.server().log();
        assert_eq!(connections(&deployment), before, "{log}");
        assert_eq!(daemon.stop().await.code, Some(0));

        deployment.target_option("close_after: 1s");
        let daemon = Daemon::start(&deployment).await;
        for id in 14..16 {
            let version = words.append(tables::words(&[(id, None)])).await.unwrap();
            daemon.until_version("words", version).await;
            let none = "SELECT count(*) = 0 FROM pg_stat_activity \
                WHERE application_name LIKE 'lakeferry/%'";
            daemon.until(none).await;
        }
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

/// A kept connection that the server closed is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_lost_meanwhile_is_opened_anew() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &BY_WATCH_ALONE).await;
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        for id in 4..7 {
            let gone = "SELECT count(pg_terminate_backend(pid)) >= 0 FROM pg_stat_activity \
                WHERE application_name LIKE 'lakeferry/%' AND state = 'idle'";
            daemon
                .until("SELECT NOT EXISTS (SELECT FROM lakeferry.leases)")
                .await;
            daemon.until(gone).await;
            let version = words.append(tables::words(&[(id, None)])).await.unwrap();
            daemon.until_version("words", version).await;
        }
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0));
        assert!(!ended.said.contains("trying again"), "{}", ended.said);
    }
}
