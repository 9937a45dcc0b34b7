//! Jobs run when they are due, and one job's trouble is nobody else's.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::{Stop, servers};

use super::{Daemon, start, table};
use crate::tables;

#[tokio::test(flavor = "multi_thread")]
async fn commits_arrive_by_interval_and_by_cron() {
    for version in servers() {
        let (mut deployment, mut every) =
            start(version, "every", &["schedule: EVERY 1 SECOND"]).await;
        let (path, mut cron) = table(&deployment, "cron").await;
        let options = ["schedule: \"* * * * * *\"", "timezone: Europe/Berlin"];
        deployment.job("cron", &path, &options);
        let (path, _) = table(&deployment, "by_command").await;
        deployment.job("by_command", &path, &[]);
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("every").await;
        daemon.until_filled("cron").await;
        for id in 4..7 {
            for (job, table) in [("every", &mut every), ("cron", &mut cron)] {
                let row = tables::words(&[(id, Some("more"))]);
                let version = table.append(row).await.unwrap();
                daemon.until_version(job, version).await;
            }
        }
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("1 of them by command only"),
            "{}",
            ended.said
        );
        for job in ["every", "cron"] {
            let expected = "1,one\n2,two\n3,\n4,more\n5,more\n6,more";
            assert_eq!(deployment.dump(job), expected);
        }
        assert_eq!(deployment.sql("SELECT to_regclass('by_command')"), "");
    }
}

/// Looks that find nothing new do not connect to Postgres at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_news_does_not_connect() {
    for version in servers() {
        let (mut deployment, _table) = start(version, "idle", &["schedule: EVERY 1 SECOND"]).await;
        let (path, mut other) = table(&deployment, "other").await;
        deployment.job("other", &path, &["schedule: EVERY 1 SECOND"]);
        deployment.target_option("close_after: 1s");
        let server = deployment.server();
        server.reload(&[("log_connections", "on")]).unwrap();
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("idle").await;
        daemon.until_filled("other").await;
        let none = "SELECT count(*) = 0 FROM pg_stat_activity \
            WHERE application_name LIKE 'lakeferry/%'";
        daemon.until(none).await;
        let log = || deployment.server().log();
        let connections = |log: &str| log.matches("lakeferry/idle").count();
        let before = connections(&log());
        assert!(before > 0, "{}", log());
        // The other job runs each second, and so does this one.
        for id in 4..9 {
            let row = tables::words(&[(id, None)]);
            let version = other.append(row).await.unwrap();
            daemon.until_version("other", version).await;
        }
        assert_eq!(connections(&log()), before, "{}", log());
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_job_touches_no_other() {
    for version in servers() {
        let (mut deployment, mut good) =
            start(version, "good", &["schedule: EVERY 1 SECOND"]).await;
        let path = deployment.lake("bad");
        let twice: tables::Words<'_> = &[(1, Some("one")), (1, Some("another"))];
        tables::create(&path, NewTable::with_feed(), twice).await;
        deployment.job("bad", &path, &["schedule: EVERY 1 SECOND"]);
        let gone = deployment.lake("gone");
        deployment.job("gone", &gone, &["schedule: EVERY 1 SECOND"]);
        let mut daemon = Daemon::start(&deployment).await;
        for job in ["bad", "gone"] {
            daemon.until_said(&format!("halted job=\"{job}\"")).await;
        }
        daemon.until_filled("good").await;
        for id in 4..7 {
            let row = tables::words(&[(id, None)]);
            let version = good.append(row).await.unwrap();
            daemon.until_version("good", version).await;
        }
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        for part in ["duplicate", "hint=", "dedupe_by"] {
            assert!(ended.said.contains(part), "{part}: {}", ended.said);
        }
        let told = ended.said.matches("halted job=\"bad\"").count();
        assert_eq!(told, 1, "{}", ended.said);
    }
}

/// Transient failures are tried again until they are over.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_found() {
    for version in servers() {
        let (deployment, mut table) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        let mut daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        deployment.server().stop(Stop::Fast).unwrap();
        let version = table.append(tables::words(&[(4, None)])).await.unwrap();
        daemon.until_said("trying again job=\"words\"").await;
        deployment.server().start_again().unwrap();
        daemon.client = deployment.connect().await;
        daemon.until_version("words", version).await;
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
}
