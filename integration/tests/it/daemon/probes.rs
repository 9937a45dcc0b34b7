//! Probes and metrics tell the truth.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::{Stop, servers};
use rustix::process::Signal;

use super::{Daemon, start};
use crate::tables;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_was_done() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &["mode: continuous"]).await;
        let path = deployment.lake("bad");
        let twice: tables::Words<'_> = &[(1, Some("one")), (1, Some("another"))];
        tables::create(&path, NewTable::with_feed(), twice).await;
        deployment.job("bad", &path, &["schedule: EVERY 1 DAY"]);
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        daemon
            .until_metrics(&[
                "lakeferry_job_state{job=\"words\",state=\"idle\"} 1",
                "lakeferry_watermark_version{job=\"words\"} 1",
                "lakeferry_rows_total{job=\"words\",kind=\"inserted\"} 3",
                "lakeferry_job_state{job=\"bad\",state=\"halted\"} 1",
                "lakeferry_failures_total{job=\"bad\",class=\"operator\"} 1",
            ])
            .await;
        let update = words.update(&[("word", "'new'")], Some("id < 3")).await;
        let delete = words.delete(Some("id = 3")).await.unwrap();
        assert_eq!(delete, update.unwrap() + 1);
        daemon
            .until_metrics(&[
                &format!("lakeferry_watermark_version{{job=\"words\"}} {delete}"),
                "lakeferry_lag_versions{job=\"words\"} 0",
                "lakeferry_lag_seconds{job=\"words\"} 0.0",
                "lakeferry_rows_total{job=\"words\",kind=\"updated\"} 2",
                "lakeferry_rows_total{job=\"words\",kind=\"deleted\"} 1",
                "lakeferry_commit_to_visible_seconds_count{job=\"words\"} 2",
                "lakeferry_job_state{job=\"words\",state=\"idle\"} 1",
                "lakeferry_job_state{job=\"words\",state=\"syncing\"} 0",
            ])
            .await;
        let told = daemon.get("/metrics").await;
        for part in [
            "application/openmetrics-text",
            "# TYPE lakeferry_run_seconds histogram",
            "lakeferry_next_run_timestamp_seconds{job=\"bad\"} ",
            "lakeferry_connections 1",
            "lakeferry_max_connections{target=\"serving\"} 12",
            "# EOF",
        ] {
            assert!(told.text.contains(part), "{part}: {}", told.text);
        }
        let value = |name: &str| {
            let line = told.text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.map(|value| value.trim().parse::<f64>().unwrap());
            value.unwrap_or_else(|| panic!("{name}: {}", told.text))
        };
        let spent = ["looking", "loading", "reading", "applying"].map(|phase| {
            let labels = format!("{{job=\"words\",phase=\"{phase}\"}}");
            value(&format!("lakeferry_phase_seconds_total{labels}"))
        });
        // Of so few rows the whole table is read, and no changes.
        assert_eq!(spent.map(|spent| spent > 0.0), [true, true, false, true]);
        // At least the eight bytes of each id.
        let bytes = value("lakeferry_read_bytes_total{job=\"words\"}");
        assert!(bytes >= 6.0 * 8.0, "{bytes}");
        let next = "lakeferry_next_run_timestamp_seconds{job=\"words\"}";
        assert!(!told.text.contains(next), "{}", told.text);
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
}

/// While its server is away it is alive and not ready, its lag is told, and it says why.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_waited_for() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        let mut daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        daemon.until_status("/readyz", 200).await;
        deployment.server().stop(Stop::Fast).unwrap();
        words.append(tables::words(&[(4, None)])).await.unwrap();
        words.append(tables::words(&[(5, None)])).await.unwrap();
        let answer = daemon.until_status("/readyz", 503).await;
        assert!(
            answer.text.contains("no job of target serving"),
            "{answer:?}"
        );
        assert_eq!(daemon.get("/healthz").await.status, 200);
        let lag = "lakeferry_lag_versions{job=\"words\"} 2";
        daemon.until_metrics(&[lag]).await;
        let told = daemon.get("/metrics").await.text;
        assert!(
            !told.contains("lakeferry_lag_seconds{job=\"words\"} 0.0"),
            "{told}"
        );
        deployment.server().start_again().unwrap();
        daemon.client = deployment.connect().await;
        daemon.until_status("/readyz", 200).await;
        daemon
            .until_metrics(&["lakeferry_lag_versions{job=\"words\"} 0"])
            .await;
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

/// Metric, log and `status` tell, as long as a commit is missing that is older than `max_lag`.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_too_old_is_told() {
    for version in servers() {
        let options = ["mode: continuous", "max_lag: 1s"];
        let (deployment, mut words) = start(version, "words", &options).await;
        let mut daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        let exceeds = |is: u8| format!("lakeferry_max_lag_exceeded{{job=\"words\"}} {is}");
        daemon.until_metrics(&[&exceeds(0)]).await;
        let rival = deployment.connect().await;
        let lock = "BEGIN; LOCK TABLE words IN SHARE MODE";
        rival.batch_execute(lock).await.unwrap();
        words.append(tables::words(&[(4, None)])).await.unwrap();
        daemon.until_said("exceeds its max_lag job=\"words\"").await;
        daemon.until_metrics(&[&exceeds(1)]).await;
        let status = || deployment.run(&["status"]).stdout;
        let told = status();
        assert!(told.contains("\"max_lag_exceeded\":true"), "{told}");

        rival.batch_execute("ROLLBACK").await.unwrap();
        daemon.until_said("within its max_lag again").await;
        daemon.until_metrics(&[&exceeds(0)]).await;
        let told = status();
        assert!(told.contains("\"max_lag_exceeded\":false"), "{told}");
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_before_the_runs_do() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &["schedule: EVERY 1 SECOND"]).await;
        deployment.sync();
        words.append(tables::words(&[(4, None)])).await.unwrap();
        let (daemon, lock) = super::stopping::held(&deployment).await;
        daemon.until_status("/readyz", 200).await;
        daemon.process.signal(Signal::TERM).unwrap();
        let answer = daemon.until_status("/readyz", 503).await;
        assert!(answer.text.contains("it is stopping"), "{answer:?}");
        assert_eq!(daemon.get("/healthz").await.status, 200);
        lock.batch_execute("COMMIT").await.unwrap();
        let ended = daemon.process.end(crate::scene::LIMIT).await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
}

/// A kubelet asks an address that others reach, while the rest stays with this machine.
#[tokio::test(flavor = "multi_thread")]
async fn probes_can_be_asked_apart() {
    let version = servers()[0];
    let (deployment, _words) = start(version, "words", &[]).await;
    let config = std::fs::read_to_string(deployment.config()).unwrap();
    let apart = "\"127.0.0.1:0\", probes: \"127.0.0.1:0\"";
    let config = config.replace("\"127.0.0.1:0\"", apart);
    std::fs::write(deployment.config(), config).unwrap();
    let mut daemon = Daemon::start(&deployment).await;
    let said = daemon.process.said().unwrap();
    let (_, rest) = said.split_once("listening for probes on http://").unwrap();
    let apart = rest.lines().next().unwrap().to_owned();
    assert_ne!(apart, daemon.address);
    for address in [daemon.address.clone(), apart] {
        daemon.address = address;
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(daemon.get(path).await.status, 200, "{path}");
        }
    }
    assert_eq!(daemon.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told() {
    let version = servers()[0];
    let (deployment, _words) = start(version, "words", &[]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = std::fs::read_to_string(deployment.config()).unwrap();
    let config = config.replace("127.0.0.1:0", &address.to_string());
    std::fs::write(deployment.config(), config).unwrap();
    let refused = deployment.run(&["run"]).failure(3);
    assert!(
        refused.contains(&format!("cannot listen on {address}")),
        "{refused}"
    );
}
