//! Ctrl-C leaves everything consistent and says where it stands: the transaction under way rolls
//! back, and the next sync goes on from there.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

/// Holds back whoever is about to record a run, at the end of the transaction that applies.
struct Lock(Client);

impl Lock {
    async fn take(deployment: &Deployment) -> Self {
        let client = connect(deployment).await;
        let lock = "BEGIN; LOCK TABLE lakeferry.runs IN SHARE MODE";
        client.batch_execute(lock).await.unwrap();
        Self(client)
    }

    async fn release(self) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

/// Starts a sync and waits until it stands before the lock.
async fn held(deployment: &Deployment, format: &str) -> Child {
    let sync = Command::new(env!("CARGO_BIN_EXE_lakeferry"))
        .arg("--config")
        .arg(deployment.config())
        .args(["--output", format, "sync", "words"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_locks \
        WHERE NOT granted AND relation = 'lakeferry.runs'::regclass";
    wait_for(deployment, waiting, "1").await;
    sync
}

fn send(sync: &Child, signal: Signal) {
    kill_process(Pid::from_child(sync), signal).unwrap();
}

/// What a stopped sync said: exit code, then stdout and stderr.
fn said(sync: Child) -> (i32, String) {
    let output = sync.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A deployment whose state is there, and a table that was not synced.
async fn start(version: Version) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let other = deployment.lake("other");
    tables::create(&other, NewTable::with_feed(), ROWS).await;
    deployment.job("other", &other, &[]);
    deployment.sync();
    let path = deployment.lake("words");
    let table = tables::create(&path, NewTable::with_feed(), ROWS).await;
    deployment.job("words", &path, &["refresh_above: 100%"]);
    (deployment, table)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_fill_leaves_no_table_and_the_next_sync_fills_it() {
    for version in servers() {
        for signal in [Signal::INT, Signal::TERM] {
            let (deployment, _table) = start(version).await;
            let lock = Lock::take(&deployment).await;
            let sync = held(&deployment, "text").await;
            send(&sync, signal);
            let (code, text) = said(sync);
            assert_eq!(code, 130, "{text}");
            for part in ["job words", "not filled yet", "lakeferry sync words"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(deployment.sql("SELECT to_regclass('words')"), "");
            lock.release().await;
            let done = deployment.run(&["sync"]).jobs_done();
            assert_eq!(done[1].rows(), [3, 0, 0]);
            assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_increment_rolls_back_and_the_next_sync_goes_on() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        assert_eq!(deployment.run(&["sync"]).code, 0);
        let at = deployment.watermark("words");
        let before = deployment.dump("words");
        table
            .append(tables::words(&[(4, Some("four"))]))
            .await
            .unwrap();
        let lock = Lock::take(&deployment).await;
        let sync = held(&deployment, "json").await;
        send(&sync, Signal::INT);
        let (code, text) = said(sync);
        assert_eq!(code, 130, "{text}");
        assert!(text.contains(&format!("at version {at}")), "{text}");
        let envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(envelope["ok"], false);
        assert_eq!(envelope["result"][0]["through"], at);
        assert_eq!(deployment.dump("words"), before);
        assert_eq!(deployment.watermark("words"), at);
        lock.release().await;
        let done = deployment.run(&["sync", "words"]).jobs_done();
        assert_eq!(done[0].rows(), [1, 0, 0]);
    }
}

/// A look at where the job stands waits for a lock; a second signal waits for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    for version in servers() {
        let (deployment, _table) = start(version).await;
        let lock = Lock::take(&deployment).await;
        let sync = held(&deployment, "text").await;
        let all = connect(&deployment).await;
        let locking = tokio::spawn(async move {
            let lock = "BEGIN; LOCK TABLE lakeferry.progress IN ACCESS EXCLUSIVE MODE; COMMIT";
            all.batch_execute(lock).await.unwrap();
        });
        let waiting = "SELECT count(*) FROM pg_locks \
            WHERE NOT granted AND relation = 'lakeferry.progress'::regclass";
        wait_for(&deployment, waiting, "1").await;
        send(&sync, Signal::INT);
        wait_for(&deployment, waiting, "2").await;
        send(&sync, Signal::INT);
        let (code, text) = said(sync);
        assert_eq!(code, 130, "{text}");
        assert_eq!(text, "", "it told where the job stands");
        lock.release().await;
        locking.await.unwrap();
        assert_eq!(deployment.run(&["sync"]).code, 0);
    }
}

/// Without a terminal, lines on stderr tell how far a job is.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_tells_how_far_a_job_is() {
    for version in servers() {
        let (deployment, _table) = start(version).await;
        let lock = Lock::take(&deployment).await;
        let mut sync = held(&deployment, "text").await;
        let mut line = String::new();
        let mut errors = BufReader::new(sync.stderr.take().unwrap());
        errors.read_line(&mut line).unwrap();
        assert_eq!(line, "words: applying 3 of 3 rows\n");
        lock.release().await;
        assert_eq!(said(sync).0, 0);
    }
}

async fn connect(deployment: &Deployment) -> Client {
    let url = deployment.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn wait_for(deployment: &Deployment, sql: &str, expected: &str) {
    while deployment.sql(sql) != expected {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
