//! Dashboard and alerts ask for what the daemon tells: a real Prometheus scrapes a real daemon, and
//! every query finds something.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::delivered;
use crate::{
    daemon::{self, Daemon},
    process::PAUSE,
    scene::LIMIT,
    tables,
};

/// A Prometheus with the rules that are delivered, which scrapes `daemon` every second.
struct Prometheus {
    process: Child,
    address: String,
    /// With what it stores and says.
    _folder: TempDir,
}

impl Prometheus {
    async fn start(daemon: &Daemon) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(delivered("config/prometheus/prometheus.yml")).unwrap();
        let config = config
            .replace("lakeferry:8642", daemon.address())
            .replace(" 5s", " 1s");
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let rules = delivered("config/prometheus/alerts.yml");
        fs::copy(rules, folder.path().join("alerts.yml")).unwrap();
        // Free a moment ago; should somebody else have it now, it ends and the test fails.
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = free.to_string();
        let process = Command::new("prometheus")
            .current_dir(folder.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("said")).unwrap())
            .spawn()
            .expect("integration/setup installs prometheus; run it");
        let mut prometheus = Self {
            process,
            address,
            _folder: folder,
        };
        let waiting = timeout(LIMIT, async {
            while !prometheus.is_ready().await {
                assert!(prometheus.process.try_wait().unwrap().is_none(), "it ended");
                sleep(PAUSE).await;
            }
        });
        waiting.await.unwrap();
        prometheus
    }

    async fn is_ready(&self) -> bool {
        TcpStream::connect(&self.address).is_ok()
            && daemon::get(&self.address, "/-/ready").await.status == 200
    }

    /// The data of an answer of its API.
    async fn ask(&self, path: &str) -> Value {
        let answer = daemon::get(&self.address, path).await;
        let (_, body) = answer.text.split_once("\r\n\r\n").unwrap();
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"].clone()
    }

    /// How many series a query finds now.
    async fn found(&self, query: &str) -> usize {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.ask(&format!("/api/v1/query?query={escaped}")).await;
        data["result"].as_array().unwrap().len()
    }

    async fn until_found(&self, query: &str) {
        let waiting = timeout(LIMIT, async {
            while self.found(query).await == 0 {
                sleep(PAUSE * 100).await;
            }
        });
        waiting
            .await
            .unwrap_or_else(|_| panic!("{query} finds nothing"));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All queries of the dashboard, as Grafana would send them.
fn dashboard_queries() -> BTreeSet<String> {
    let dashboard =
        fs::read_to_string(delivered("config/grafana/dashboards/lakeferry.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let sent = queries.map(|query| {
        query
            .replace("$job", ".*")
            .replace("$__rate_interval", "1m")
    });
    sent.collect()
}

/// Names of metrics in the alerts.
fn alerted_metrics() -> BTreeSet<String> {
    let alerts = fs::read_to_string(delivered("config/prometheus/alerts.yml")).unwrap();
    let words = alerts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("lakeferry_"));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_finds_what_the_daemon_tells() {
    let version = servers()[0];
    let (mut deployment, mut words) =
        daemon::start(version, "words", &["mode: continuous", "max_lag: 10m"]).await;
    let path = deployment.lake("halted");
    let twice: tables::Words<'_> = &[(1, Some("one")), (1, Some("another"))];
    tables::create(&path, NewTable::with_feed(), twice).await;
    deployment.job("halted", &path, &["schedule: EVERY 1 DAY"]);
    // A rate needs a change: only rows tell of those that were there at first.
    let daemon = Daemon::start(&deployment).await;
    daemon.until_filled("words").await;
    let prometheus = Prometheus::start(&daemon).await;
    prometheus.until_found("lakeferry_rows_total").await;
    words.append(tables::words(&[(4, None)])).await.unwrap();
    let queries = dashboard_queries();
    assert!(queries.len() > 20, "{queries:?}");
    let names = alerted_metrics();
    assert!(names.len() > 4, "{names:?}");
    for query in queries.iter().chain(&names) {
        prometheus.until_found(query).await;
        // What is misspelt is not found.
        let misspelt = query.replace("lakeferry_", "lakefery_");
        assert_eq!(prometheus.found(&misspelt).await, 0, "{misspelt}");
    }
    let alerts = "ALERTS{alertname=\"LakeferryJobHalted\", job=\"halted\"}";
    prometheus.until_found(alerts).await;
    let rules = prometheus.ask("/api/v1/rules").await;
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    assert_eq!(daemon.stop().await.code, Some(0));
}
