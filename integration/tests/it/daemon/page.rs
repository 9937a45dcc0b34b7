//! The API answers as its document says, and the status page shows in a real browser what is so.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::Version;

use super::{Daemon, ROWS, start};
use crate::{deployment::Deployment, oracle::python, tables};

/// A job `words` that is in step and is worked on, a job `bad` that halts, and one whose source has markup in
/// its name; the first and the last table.
async fn scene() -> (Deployment, [DeltaTable; 2]) {
    let (mut deployment, words) =
        start(Version::newest().unwrap(), "words", &["mode: continuous"]).await;
    let twice: tables::Words<'_> = &[(1, Some("one")), (1, Some("another"))];
    let path = deployment.lake("bad");
    tables::create(&path, NewTable::with_feed(), twice).await;
    deployment.job("bad", &path, &["schedule: EVERY 1 DAY", "max_lag: 1s"]);
    let path = deployment.lake("<b>markup");
    let markup = tables::create(&path, NewTable::with_feed(), ROWS).await;
    deployment.job("markup", &path, &["schedule: EVERY 1 DAY"]);
    (deployment, [words, markup])
}

/// Runs a script of `integration/oracle` with Python.
fn ask(script: &str, arguments: &[&str], token: Option<&str>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/oracle");
    let mut command = Command::new(python());
    command.arg(folder.join(script)).args(arguments);
    if let Some(token) = token {
        command.env("TOKEN", token);
    }
    let output = command.output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(output.status.success(), "{stdout}{stderr}");
    println!("{stdout}");
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    let python = python();
    python.ancestors().nth(3).unwrap().join("status-page")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_document_says() {
    let (deployment, [mut words, _]) = scene().await;
    let daemon = Daemon::start(&deployment).await;
    let bad = "lakeferry_job_state{job=\"bad\",state=\"halted\"} 1";
    daemon.until_metrics(&[bad]).await;
    daemon.until_filled("words").await;
    words.append(tables::words(&[(4, None)])).await.unwrap();
    daemon
        .until_metrics(&["lakeferry_watermark_version{job=\"words\"} 2"])
        .await;
    for job in ["words", "bad"] {
        ask("api.py", &[daemon.address(), job], None);
    }
    // Whoever asks under a foreign name, as a page of somebody else does, is told nothing.
    assert_eq!(daemon.get("/api/v1/jobs").await.status, 403);
    assert_eq!(daemon.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_wants_its_token() {
    let (deployment, _tables) = scene().await;
    let config = std::fs::read_to_string(deployment.config()).unwrap();
    let secret = deployment.config().with_file_name("token");
    std::fs::write(&secret, "open sesame\n").unwrap();
    let listen = "\"0.0.0.0:0\", probes: \"127.0.0.1:0\", token: { file: token }";
    std::fs::write(
        deployment.config(),
        config.replace("\"127.0.0.1:0\"", listen),
    )
    .unwrap();
    let mut daemon = Daemon::start(&deployment).await;
    daemon.address = daemon.address.replace("0.0.0.0", "127.0.0.1");
    daemon.until_filled("words").await;
    ask("api.py", &[daemon.address(), "words"], Some("open sesame"));
    assert_eq!(daemon.get("/api/v1/jobs").await.status, 401);
    assert_eq!(daemon.get("/healthz").await.status, 200);
    assert_eq!(daemon.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_so() {
    for token in [None, Some("open sesame")] {
        let (deployment, [mut words, mut markup]) = scene().await;
        if let Some(token) = token {
            let config = std::fs::read_to_string(deployment.config()).unwrap();
            std::fs::write(deployment.config().with_file_name("token"), token).unwrap();
            let config =
                config.replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\", token: { file: token }");
            std::fs::write(deployment.config(), config).unwrap();
        }
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        for id in 4..8 {
            words.append(tables::words(&[(id, None)])).await.unwrap();
        }
        daemon.until_filled("markup").await;
        // Which nobody looks at before tomorrow, unless a button is pressed.
        let asked = markup.append(tables::words(&[(4, None)])).await.unwrap();
        let pictures = pictures();
        ask(
            "page.py",
            &[daemon.address(), pictures.to_str().unwrap()],
            token,
        );
        daemon.until_version("markup", asked).await;
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}
