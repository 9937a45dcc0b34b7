//! The log as JSON: each line is an object, and says of which job and run it is.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::Version;
use rustix::process::Signal;
use serde_json::Value;

use super::start;
use crate::{process::Process, scene::LIMIT, tables};

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_the_log_names_its_job_and_run() {
    let every = ["schedule: EVERY 1 SECOND"];
    let (mut deployment, mut words) = start(Version::newest().unwrap(), "words", &every).await;
    let path = deployment.lake("bad");
    let twice: tables::Words<'_> = &[(1, Some("one")), (1, Some("another"))];
    tables::create(&path, NewTable::with_feed(), twice).await;
    deployment.job("bad", &path, &every);
    let config = deployment.config();
    let folder = config.parent().unwrap();
    let mut process = Process::start(&config, folder, &["run", "--log-format", "json"]).unwrap();
    process.until_said("\"through\":1", LIMIT).await.unwrap();
    words.append(tables::words(&[(4, None)])).await.unwrap();
    process.until_said("\"through\":2", LIMIT).await.unwrap();
    process.until_said("halted", LIMIT).await.unwrap();
    process.signal(Signal::TERM).unwrap();
    let said = process.end(LIMIT).await.unwrap().said;
    // The last one is the result, on stdout.
    let mut lines: Vec<_> = said.lines().collect();
    assert!(lines.pop().unwrap().starts_with("stopped"), "{said}");
    let lines = lines.iter().map(|line| serde_json::from_str(line));
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().unwrap();
    for line in &lines {
        for name in ["timestamp", "level", "module", "message"] {
            assert!(line[name].is_string(), "{name}: {line}");
        }
    }
    let find = |message: &str, job: &str| {
        let is_it = |line: &&Value| line["message"] == message && line["job"] == job;
        let found: Vec<_> = lines.iter().filter(is_it).collect();
        assert!(!found.is_empty(), "{message} of {job}: {said}");
        found
    };
    let runs: Vec<_> = find("synced", "words")
        .iter()
        .map(|line| line["run"].as_u64())
        .collect();
    assert!(runs[0] == Some(1) && runs[1] > Some(1), "{runs:?}");
    // What is said deep inside names them, too.
    for line in find("applied", "words") {
        assert!(runs.contains(&line["run"].as_u64()), "{line}");
    }
    let [halted] = find("halted", "bad")[..] else {
        panic!("{said}");
    };
    assert_eq!(
        (&halted["level"], &halted["run"]),
        (&"ERROR".into(), &1.into())
    );
    assert!(
        halted["reason"].as_str().unwrap().contains("duplicate key"),
        "{halted}"
    );
    assert!(halted["hint"].is_string(), "{halted}");
}
