//! A configuration that changes while jobs run: what is as it was goes on, and a wrong one changes nothing.

use std::{fs, path::Path};

use lakeferry_postgres_testkit::servers;
use rustix::process::Signal;

use super::{Daemon, mount, start, table};
use crate::{
    process::Process,
    scene::{IS_BLOCKED, LIMIT, Scene},
    tables,
};

const CONTINUOUS: [&str; 1] = ["mode: continuous"];

fn reloads(result: &str, count: u32) -> String {
    format!("lakeferry_config_reloads_total{{result=\"{result}\"}} {count}")
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_change_and_go() {
    for version in servers() {
        let (mut deployment, mut same) = start(version, "same", &CONTINUOUS).await;
        let (changing_path, mut changing) = table(&deployment, "changing").await;
        let (going_path, _) = table(&deployment, "going").await;
        deployment.job("changing", &changing_path, &CONTINUOUS);
        deployment.job("going", &going_path, &CONTINUOUS);
        let mut daemon = Daemon::start(&deployment).await;
        for job in ["same", "changing", "going"] {
            daemon.until_filled(job).await;
        }
        let (coming_path, _) = table(&deployment, "coming").await;
        deployment.forget_jobs();
        let same_path = deployment.lake("same");
        let filtered = [CONTINUOUS[0], "filter: id > 1"];
        // One file, written once.
        let text = |name: &str, path: &Path, options: &[&str]| {
            let options: String = options.iter().map(|o| format!("    {o}\n")).collect();
            let (from, into) = (path.display(), format!("serving.public.{name}"));
            format!("  {name}:\n    from: {from}\n    into: {into}\n    key: [id]\n{options}")
        };
        let jobs = [
            text("same", &same_path, &CONTINUOUS),
            text("changing", &changing_path, &filtered),
            text("coming", &coming_path, &CONTINUOUS),
        ];
        deployment.raw_job(&jobs.concat());
        daemon
            .until_said("reloaded added=1 changed=1 removed=1 same=1")
            .await;
        daemon.until_filled("coming").await;
        daemon.until("SELECT count(*) = 2 FROM changing").await;
        let version = changing.append(tables::words(&[(4, None)])).await.unwrap();
        daemon.until_version("changing", version).await;
        let version = same.append(tables::words(&[(4, None)])).await.unwrap();
        daemon.until_version("same", version).await;
        daemon.until_metrics(&[&reloads("done", 1)]).await;
        let told = daemon.get("/metrics").await.text;
        assert!(!told.contains("job=\"going\""), "{told}");
        // What was filled stays; nothing of it was done twice.
        assert_eq!(deployment.sql("SELECT count(*) FROM going"), "3");
        let fills = "SELECT count(*) FROM lakeferry.runs WHERE kind = 'fill'";
        assert_eq!(deployment.sql(fills), "4");
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_changes_nothing() {
    for version in servers() {
        let (deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let mut daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        let right = fs::read_to_string(deployment.config()).unwrap();
        let wrong = right.replace("key: [id]", "kye: [id]\n    mode: sometimes");
        fs::write(deployment.config(), wrong).unwrap();
        daemon.until_said("the old one goes on").await;
        for problem in ["kye", "sometimes"] {
            daemon.until_said(problem).await;
        }
        daemon
            .until_metrics(&[
                &reloads("refused", 1),
                "lakeferry_config_last_reload_successful 0",
            ])
            .await;
        let version = words.append(tables::words(&[(4, None)])).await.unwrap();
        daemon.until_version("words", version).await;
        fs::write(deployment.config(), &right).unwrap();
        daemon.process.signal(Signal::HUP).unwrap();
        daemon.until_said("the configuration is as it was").await;
        daemon
            .until_metrics(&["lakeferry_config_last_reload_successful 1"])
            .await;
        assert_eq!(daemon.stop().await.code, Some(0));
    }
}

/// A run of a job that changed, or went, is not broken off; nor is that of one that did not.
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_under_way_go_on() {
    for version in servers() {
        let (mut deployment, mut words) = start(version, "words", &CONTINUOUS).await;
        let mut daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        let rival = deployment.connect().await;
        let lock = "BEGIN; LOCK TABLE words IN SHARE MODE";
        rival.batch_execute(lock).await.unwrap();
        words.append(tables::words(&[(4, None)])).await.unwrap();
        Scene::until(&daemon.client, IS_BLOCKED).await;
        let epoch = "SELECT epoch FROM lakeferry.progress";
        let held = deployment.sql(epoch);
        let (path, _) = table(&deployment, "other").await;
        deployment.job("other", &path, &CONTINUOUS);
        daemon
            .until_said("added=1 changed=0 removed=0 same=1")
            .await;
        daemon.until_filled("other").await;
        deployment.forget_jobs();
        deployment.job("other", &path, &CONTINUOUS);
        daemon
            .until_said("added=0 changed=0 removed=1 same=1")
            .await;
        daemon.until(IS_BLOCKED).await;
        assert_eq!(deployment.sql("SELECT epoch FROM lakeferry.progress JOIN lakeferry.jobs USING (job_id) WHERE name = 'words'"), held);
        rival.batch_execute("ROLLBACK").await.unwrap();
        daemon.until("SELECT count(*) = 4 FROM words").await;
        // It is not run again.
        words.append(tables::words(&[(5, None)])).await.unwrap();
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "4");
    }
}

/// As Kubernetes mounts them: links into a folder that is replaced by a rename.
#[tokio::test(flavor = "multi_thread")]
async fn files_behind_links_are_seen_when_the_links_move() {
    for version in servers() {
        let (mut deployment, _) = start(version, "words", &CONTINUOUS).await;
        let (path, _) = table(&deployment, "other").await;
        let folder = deployment.config().parent().unwrap().join("mounted");
        let text = fs::read_to_string(deployment.config()).unwrap();
        let config = mount(&folder, "lakeferry.yaml", &text);
        let mut process = Process::start(&config, &folder, &["run"]).unwrap();
        process.until_said("to run", LIMIT).await.unwrap();
        deployment.job("other", &path, &CONTINUOUS);
        let text = fs::read_to_string(deployment.config()).unwrap();
        mount(&folder, "lakeferry.yaml", &text);
        process.until_said("added=1", LIMIT).await.unwrap();
        let client = deployment.connect().await;
        Scene::until(&client, "SELECT to_regclass('other') IS NOT NULL").await;
        process.signal(Signal::TERM).unwrap();
        assert_eq!(process.end(LIMIT).await.unwrap().code, Some(0));
    }
}
