//! What operators want of jobs reaches whoever runs them: by commands, and by plain SQL.

use lakeferry_delta_testkit::DeltaTable;
use lakeferry_postgres_testkit::servers;

use super::{Daemon, start, table};
use crate::{
    deployment::Deployment,
    process::Process,
    scene::{IS_BLOCKED, LIMIT, Scene},
    tables,
};

const CONTINUOUS: [&str; 1] = ["mode: continuous"];

/// A state of a job, as the metrics have it.
fn state(job: &str, state: &str) -> String {
    format!("lakeferry_job_state{{job=\"{job}\",state=\"{state}\"}} 1")
}

fn begin(deployment: &Deployment, arguments: &[&str]) -> Process {
    let config = deployment.config();
    Process::start(&config, config.parent().unwrap(), arguments).unwrap()
}

async fn append(table: &mut DeltaTable, id: i64) -> u64 {
    table.append(tables::words(&[(id, None)])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_is_run_by_nobody_until_it_is_resumed() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let (path, mut other) = table(&deployment, "other").await;
        deployment.job("other", &path, &CONTINUOUS);
        deployment.target_option("control_poll: 1s");
        let daemon = Daemon::start(&deployment).await;
        for job in ["words", "other"] {
            daemon.until_filled(job).await;
        }
        let said = deployment.run(&["pause", "words", "--reason", "the table moves"]);
        let paused = &said.result()[0]["paused"];
        assert_eq!(paused["reason"], "the table moves");
        daemon.until_metrics(&[&state("words", "paused")]).await;

        let behind = append(&mut words, 4).await;
        for id in 4..8 {
            let version = append(&mut other, id).await;
            daemon.until_version("other", version).await;
        }
        assert_eq!(deployment.watermark("words"), behind - 1);
        let shown = deployment.run(&["status", "words"]).result();
        assert_eq!(&shown[0]["paused"], paused);
        let refused = deployment.run(&["sync", "words"]).failure(1);
        for part in ["the table moves", "lakeferry resume words"] {
            assert!(refused.contains(part), "{refused}");
        }
        // Who did not ask for it by name has nothing to mend.
        let all = deployment.run(&["sync"]).result();
        assert_eq!(&all[0]["paused"], paused);
        assert_eq!(deployment.watermark("words"), behind - 1);
        deployment
            .run(&["sync", "words", "--even-if-paused"])
            .result();
        assert_eq!(deployment.watermark("words"), behind);

        let behind = append(&mut words, 5).await;
        assert_eq!(
            deployment.run(&["resume", "words"]).result()[0]["was_paused"],
            true
        );
        daemon.until_version("words", behind).await;
        daemon.until_metrics(&[&state("words", "idle")]).await;
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
}

/// Also without looks at what is wanted: who connects sees it, and sees that it is over, of all jobs there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_connects_finds_what_is_wanted() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let (path, mut other) = table(&deployment, "other").await;
        deployment.job("other", &path, &CONTINUOUS);
        deployment.target_option("control_poll: none");
        let mut daemon = Daemon::start(&deployment).await;
        // Their looks at the ends of their runs are over.
        let done = |job| format!("lakeferry_runs_total{{job=\"{job}\",result=\"done\"}} 1");
        let done = ["words", "other"].map(done);
        daemon
            .until_metrics(&done.each_ref().map(String::as_str))
            .await;
        deployment.sql("INSERT INTO lakeferry.pauses (job, paused_by) VALUES ('words', 'ana')");
        let behind = append(&mut words, 4).await;
        daemon.until_said("paused job=\"words\" by=\"ana\"").await;
        let told = [
            state("words", "paused"),
            "lakeferry_lag_versions{job=\"words\"} 1".to_owned(),
        ];
        daemon
            .until_metrics(&told.each_ref().map(String::as_str))
            .await;
        assert_eq!(deployment.watermark("words"), behind - 1);

        deployment.run(&["resume", "words"]).result();
        append(&mut other, 4).await;
        daemon.until_version("words", behind).await;
        daemon.until_metrics(&[&state("words", "idle")]).await;
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_sql_asks_for_a_sync() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &[]).await;
        deployment.target_option("control_poll: 1s");
        deployment.sync();
        let daemon = Daemon::start(&deployment).await;
        for id in 4..6 {
            let version = append(&mut words, id).await;
            deployment.sql("INSERT INTO lakeferry.requests (job) VALUES ('words')");
            daemon.until_version("words", version).await;
            let done = format!(
                "SELECT count(*) = 1 FROM lakeferry.requests \
                 WHERE error IS NULL AND version = {version} AND inserted = 1"
            );
            daemon.until(&done).await;
        }
        // Of a paused job it is refused, and who asked is told.
        deployment.run(&["pause", "words"]).result();
        deployment.sql("INSERT INTO lakeferry.requests (job) VALUES ('words')");
        daemon
            .until("SELECT EXISTS (SELECT FROM lakeferry.requests WHERE error LIKE '%paused by%')")
            .await;
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

/// Keeps the daemon in the middle of a run, and starts a command that has to wait for it.
async fn handed_over(
    deployment: &Deployment,
    daemon: &Daemon,
    words: &mut DeltaTable,
    arguments: &[&str],
) -> (tokio_postgres::Client, Process) {
    let rival = deployment.connect().await;
    let lock = "BEGIN; LOCK TABLE words IN SHARE MODE";
    rival.batch_execute(lock).await.unwrap();
    append(words, 4).await;
    Scene::until(&daemon.client, IS_BLOCKED).await;
    let command = begin(deployment, arguments);
    let asked = "SELECT count(*) = 1 FROM lakeferry.requests";
    daemon.until(asked).await;
    (rival, command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_job_that_a_daemon_holds_is_handed_over() {
    for version in servers() {
        for (arguments, kind) in [
            (["backfill", "words"], "changes\nrefresh"),
            (["sync", "words"], "changes"),
            (["reset", "words"], "changes"),
        ] {
            let (deployment, mut words) = start(version, "words", &CONTINUOUS).await;
            let mut daemon = Daemon::start(&deployment).await;
            daemon.until_filled("words").await;
            deployment.sql("UPDATE words SET word = 'other' WHERE id = 1");
            let (rival, command) = handed_over(&deployment, &daemon, &mut words, &arguments).await;
            rival.batch_execute("ROLLBACK").await.unwrap();
            let ended = command.end(LIMIT).await.unwrap();
            assert_eq!(ended.code, Some(0), "{}", ended.said);
            let holder = format!("words: done by process {}", daemon.process.id());
            assert!(ended.said.contains(&holder), "{}", ended.said);
            assert!(
                daemon
                    .process
                    .said()
                    .unwrap()
                    .contains("somebody asked for it")
            );
            let kinds = deployment.run_kinds().join("\n");
            assert_eq!(kinds, format!("fill\n{kind}"), "{arguments:?}");
            daemon.until_said("synced").await;
            assert_eq!(daemon.stop().await.code, Some(0));
        }
    }
}

/// What was handed over and not done is done by who asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_daemon_goes_away_does_it_itself() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        deployment.sql("UPDATE words SET word = 'other' WHERE id = 1");
        let (rival, command) =
            handed_over(&deployment, &daemon, &mut words, &["backfill", "words"]).await;
        daemon.process.kill().unwrap();
        rival.batch_execute("ROLLBACK").await.unwrap();
        let ended = command.end(LIMIT).await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("rebuild by difference"),
            "{}",
            ended.said
        );
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,\n4,");
        assert_eq!(
            deployment.sql("SELECT count(*) FROM lakeferry.requests"),
            "0"
        );
    }
}
