//! What is looked at once a second, while everything else happens: what the steady daemon takes, and
//! that no watermark goes back.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, NoTls};

use crate::deployment::Deployment;

const EVERY: Duration = Duration::from_secs(1);

/// Moments that are taken together: a run that is under way just then has more of all.
const WINDOW: Duration = Duration::from_secs(15);

/// A moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    /// Resident, in KiB, and what of it is no file's.
    resident: u64,
    anonymous: u64,
    descriptors: usize,
    /// The sum of all watermarks; absent while the server does not answer.
    versions: Option<u64>,
    connections: Option<i64>,
}

/// Looks until it is told to end.
pub(super) struct Sampler {
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<Series>,
}

pub(super) struct Series(Vec<Sample>);

impl Sampler {
    /// Looks at the process `id`, and at the database of `deployment`.
    pub(super) fn start(deployment: &Deployment, id: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let looking = tokio::spawn(look(deployment.url(), id, Arc::clone(&is_over)));
        Self { is_over, looking }
    }

    pub(super) async fn end(self) -> Series {
        self.is_over.store(true, Ordering::SeqCst);
        self.looking.await.unwrap()
    }
}

async fn look(url: String, id: u32, is_over: Arc<AtomicBool>) -> Series {
    let (began, mut samples) = (Instant::now(), Vec::new());
    let mut newest = BTreeMap::new();
    while !is_over.load(Ordering::SeqCst) {
        let [resident, anonymous] = memory(id);
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
        let mut sample = Sample {
            at: began.elapsed(),
            resident,
            anonymous,
            descriptors,
            versions: None,
            connections: None,
        };
        if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
            let connection = tokio::spawn(connection);
            if let Some(found) = versions(&client).await {
                for (job, before) in &newest {
                    let now = found.get(job);
                    assert!(
                        now >= Some(before),
                        "{job} went back from {before} to {now:?}"
                    );
                }
                sample.versions = Some(found.values().sum());
                sample.connections = connections(&client).await;
                newest = found;
            }
            connection.abort();
        }
        samples.push(sample);
        sleep(EVERY).await;
    }
    Series(samples)
}

/// The watermark of each job; nothing where the server goes away meanwhile.
pub(super) async fn versions(client: &Client) -> Option<BTreeMap<String, u64>> {
    let sql = "SELECT name, version FROM lakeferry.progress JOIN lakeferry.jobs USING (job_id) \
        WHERE version IS NOT NULL";
    let rows = client.query(sql, &[]).await.ok()?;
    let version = |row: &tokio_postgres::Row| {
        let version: i64 = row.get(1);
        (row.get(0), version.cast_unsigned())
    };
    Some(rows.iter().map(version).collect())
}

async fn connections(client: &Client) -> Option<i64> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lakeferry/%'";
    let row = client.query_one(sql, &[]).await.ok()?;
    Some(row.get(0))
}

/// What a process has resident, and what of it is no file's, in KiB.
fn memory(id: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    ["VmRSS:", "RssAnon:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
    })
}

impl Series {
    /// Keeps them as CSV, beside what was built.
    pub(super) fn keep(&self, release: &str) {
        let mut csv =
            "seconds,resident_kib,anonymous_kib,descriptors,versions,connections\n".to_owned();
        for it in &self.0 {
            let seconds = it.at.as_secs_f64();
            let (resident, anonymous, descriptors) = (it.resident, it.anonymous, it.descriptors);
            let versions = it.versions.map(|all| all.to_string()).unwrap_or_default();
            let connections = it
                .connections
                .map(|all| all.to_string())
                .unwrap_or_default();
            writeln!(
                csv,
                "{seconds:.1},{resident},{anonymous},{descriptors},{versions},{connections}"
            )
            .unwrap();
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_lakeferry"));
        let folder = binary.ancestors().nth(2).unwrap().join("soak");
        fs::create_dir_all(&folder).unwrap();
        let major = release.split('.').next().unwrap();
        fs::write(folder.join(format!("postgres-{major}.csv")), csv).unwrap();
    }

    /// Holds the end of `time` against a sixth of it.
    pub(super) fn judge(&self, time: Duration) {
        let (sixth, last) = (self.around(time / 6), self.around(time - WINDOW));
        println!(
            "resident {} KiB after a sixth and {} at the end, descriptors {} and {}",
            sixth.resident, last.resident, sixth.descriptors, last.descriptors
        );
        assert!(
            last.resident * 100 <= sixth.resident * 110,
            "it grew: {sixth:?}, {last:?}"
        );
        let apart = last.descriptors.abs_diff(sixth.descriptors);
        assert!(apart <= 10, "it has {apart} descriptors more or less");
    }

    /// The medians of the moments from `at` on.
    fn around(&self, at: Duration) -> Sample {
        let within = self
            .0
            .iter()
            .filter(|it| it.at >= at && it.at <= at + WINDOW);
        let mut within: Vec<Sample> = within.copied().collect();
        let middle = within.len() / 2;
        within.sort_by_key(|it| it.descriptors);
        let descriptors = within[middle].descriptors;
        within.sort_by_key(|it| it.resident);
        Sample {
            descriptors,
            ..within[middle]
        }
    }
}
