//! `lakeferry run`: jobs run by themselves, as they are scheduled, each for itself, until a signal.

mod continuous;
mod control;
mod logs;
mod page;
mod probes;
mod reloading;
mod replicas;
mod schedules;
mod secrets;
mod soak;
mod stopping;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::Version;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_postgres::Client;

use crate::{
    deployment::Deployment,
    process::{Ended, PAUSE, Process},
    scene::{LIMIT, Scene},
    tables,
};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

/// A daemon over the jobs of a deployment, and a look into its database.
pub(crate) struct Daemon {
    process: Process,
    client: Client,
    /// Where it answers by HTTP.
    address: String,
}

/// What was answered by HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Daemon {
    pub(crate) async fn start(deployment: &Deployment) -> Self {
        let config = deployment.config();
        let folder = config.parent().unwrap_or(Path::new("."));
        let mut process = Process::start(&config, folder, &["run"]).unwrap();
        process.until_said("to run", LIMIT).await.unwrap();
        let said = process.said().unwrap();
        let (_, rest) = said.split_once("listening on http://").unwrap();
        Self {
            process,
            client: deployment.connect().await,
            address: rest.lines().next().unwrap().to_owned(),
        }
    }

    /// Where it answers, such as `127.0.0.1:8642`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it answers to GET.
    async fn get(&self, path: &str) -> Answer {
        get(&self.address, path).await
    }

    /// Waits until it answers to `path` with `status`.
    async fn until_status(&self, path: &str, status: u16) -> Answer {
        let waiting = timeout(LIMIT, async {
            loop {
                let answer = self.get(path).await;
                if answer.status == status {
                    return answer;
                }
                sleep(PAUSE).await;
            }
        });
        waiting.await.unwrap()
    }

    /// Waits until the metrics have all of `lines`.
    async fn until_metrics(&self, lines: &[&str]) {
        let waiting = timeout(LIMIT, async {
            loop {
                let told = self.get("/metrics").await.text;
                if lines
                    .iter()
                    .all(|line| told.lines().any(|told| told == *line))
                {
                    return;
                }
                sleep(PAUSE).await;
            }
        });
        let waited = waiting.await;
        let told = self.get("/metrics").await.text;
        waited.unwrap_or_else(|_| panic!("waited for {lines:?}; {told}"));
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

    pub(crate) async fn until_filled(&self, job: &str) {
        let sql = format!("SELECT to_regclass('{job}') IS NOT NULL");
        self.until(&sql).await;
    }

    /// Ends it as a service manager does.
    pub(crate) async fn stop(self) -> Ended {
        self.process.signal(Signal::TERM).unwrap();
        self.process.end(LIMIT).await.unwrap()
    }
}

/// What is answered to GET at `address`.
pub(crate) async fn get(address: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Of the version that knows no chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: it\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, text }
}

/// A server, and a Delta table that `job` of `options` brings there.
pub(crate) async fn start(
    version: Version,
    job: &str,
    options: &[&str],
) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    deployment.config_line("http: { listen: \"127.0.0.1:0\" }");
    let (path, table) = table(&deployment, job).await;
    deployment.job(job, &path, options);
    (deployment, table)
}

async fn table(deployment: &Deployment, name: &str) -> (PathBuf, DeltaTable) {
    let path = deployment.lake(name);
    let table = tables::create(&path, NewTable::with_feed(), ROWS).await;
    (path, table)
}

/// Puts a file into a folder, or another text into it, as Kubernetes mounts it: behind a link to a folder
/// of its own, which moves. Where the file is.
fn mount(folder: &Path, name: &str, text: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let data = (0..).map(|number| folder.join(format!("..{number}")));
    let data = data.into_iter().find(|data| !data.exists()).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join(name), text).unwrap();
    symlink(data.file_name().unwrap(), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    let file = folder.join(name);
    if !file.exists() {
        symlink(Path::new("..data").join(name), &file).unwrap();
    }
    file
}
