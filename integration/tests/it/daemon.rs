//! `lakeferry run`: jobs run by themselves, as they are scheduled, each for itself, until a signal.

mod continuous;
mod schedules;
mod stopping;

use std::path::{Path, PathBuf};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::Version;
use rustix::process::Signal;
use tokio_postgres::Client;

use crate::{
    deployment::Deployment,
    process::{Ended, Process},
    scene::{LIMIT, Scene},
    tables,
};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

/// A daemon over the jobs of a deployment, and a look into its database.
struct Daemon {
    process: Process,
    client: Client,
}

impl Daemon {
    async fn start(deployment: &Deployment) -> Self {
        let config = deployment.config();
        let folder = config.parent().unwrap_or(Path::new("."));
        let mut process = Process::start(&config, folder, &["run"]).unwrap();
        process.until_said("to run", LIMIT).await.unwrap();
        Self {
            process,
            client: deployment.connect().await,
        }
    }

    async fn until(&self, sql: &str) {
        Scene::until(&self.client, sql).await;
    }

    async fn until_said(&mut self, text: &str) {
        self.process.until_said(text, LIMIT).await.unwrap();
    }

    /// Waits until the target of `job`, which was filled, has `version`.
    async fn until_version(&self, job: &str, version: u64) {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM lakeferry.progress JOIN lakeferry.jobs USING (job_id) \
             WHERE name = '{job}' AND version = {version})"
        );
        self.until(&sql).await;
    }

    async fn until_filled(&self, job: &str) {
        let sql = format!("SELECT to_regclass('{job}') IS NOT NULL");
        self.until(&sql).await;
    }

    /// Ends it as a service manager does.
    async fn stop(self) -> Ended {
        self.process.signal(Signal::TERM).unwrap();
        self.process.end(LIMIT).await.unwrap()
    }
}

/// A server, and a Delta table that `job` of `options` brings there.
async fn start(version: Version, job: &str, options: &[&str]) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let (path, table) = table(&deployment, job).await;
    deployment.job(job, &path, options);
    (deployment, table)
}

async fn table(deployment: &Deployment, name: &str) -> (PathBuf, DeltaTable) {
    let path = deployment.lake(name);
    let table = tables::create(&path, NewTable::with_feed(), ROWS).await;
    (path, table)
}
