//! One server, one source that commits, one job between them; and what has to hold at any moment.

use std::{
    panic::resume_unwind,
    path::Path,
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::{Settings, Version, servers};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::{
    deployment::Deployment,
    moving::Moving,
    process::{Ended, PAUSE, Process},
    seed::seeded,
};

/// The job, and its table.
pub(crate) const JOB: &str = "moving";

/// What a command or a condition may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// See the module.
pub(crate) struct Scene {
    pub(crate) deployment: Deployment,
    pub(crate) moving: Moving,
    pub(crate) random: ChaCha8Rng,
}

impl Scene {
    /// A source with so many rows; nothing was synced yet.
    pub(crate) async fn start(
        version: Version,
        settings: &Settings,
        rows: i64,
        mut random: ChaCha8Rng,
    ) -> Self {
        let mut deployment = Deployment::start_with(version, settings);
        let lake = deployment.lake(JOB);
        deployment.job(JOB, &lake, &[]);
        let moving = Moving::create_with(&lake, NewTable::with_feed(), rows, &mut random).await;
        Self {
            deployment,
            moving,
            random,
        }
    }

    /// A small source, and a target that has all of it.
    pub(crate) async fn filled(version: Version, random: ChaCha8Rng) -> Self {
        let settings = Settings::quick().with("autovacuum", "off");
        let scene = Self::start(version, &settings, 4_000, random).await;
        scene.sync_to_head();
        scene
    }

    pub(crate) async fn commit(&mut self) {
        self.moving.commit(&mut self.random).await;
    }

    /// Starts a command of the product.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Process {
        let config = self.deployment.config();
        let folder = config.parent().unwrap_or(Path::new("."));
        Process::start(&config, folder, arguments).unwrap()
    }

    /// Waits for the end of a sync, which must bring the target to the head.
    #[track_caller]
    pub(crate) fn expect_done(&self, ended: &Ended) {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        self.expect_head();
    }

    /// A sync that nobody troubles.
    #[track_caller]
    pub(crate) fn sync_to_head(&self) {
        self.deployment.sync();
        self.expect_head();
    }

    #[track_caller]
    pub(crate) fn expect_head(&self) {
        assert_eq!(self.expect_version(), Some(self.moving.head()));
    }

    /// Promise 1: the target is the version that its progress names. Says which.
    #[track_caller]
    pub(crate) fn expect_version(&self) -> Option<u64> {
        let exists = self.deployment.sql(
            "SELECT to_regclass('lakeferry.progress') IS NOT NULL, to_regclass('moving') IS NOT NULL",
        );
        let (has_state, has_table) = exists.split_once('|').unwrap();
        let version = match has_state {
            "t" => "SELECT coalesce(max(version)::text, 'none') FROM lakeferry.progress",
            _ => "SELECT 'none'",
        };
        let rows = match has_table {
            "t" => "COPY (SELECT * FROM moving ORDER BY id) TO STDOUT (FORMAT csv)",
            _ => "SELECT",
        };
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let answer = self
            .deployment
            .sql(&format!("{begin}; {version}; {rows}; COMMIT"));
        let (version, found) = answer.split_once('\n').unwrap_or((&answer, ""));
        let Ok(version) = version.parse() else {
            assert_eq!(
                (version, has_table),
                ("none", "f"),
                "rows without a version"
            );
            return None;
        };
        let expected = self.moving.csv_at(version);
        let mut lines = found.lines().zip(expected.lines());
        let difference = lines.find(|(found, expected)| found != expected);
        assert!(
            found == expected,
            "the target is not version {version}: {difference:?} and {} rows of {}",
            found.lines().count(),
            expected.lines().count()
        );
        Some(version)
    }

    /// Waits until `sql` is true, asked through `client`.
    pub(crate) async fn until(client: &Client, sql: &str) {
        let wait = async {
            while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
                sleep(PAUSE).await;
            }
        };
        let waited = timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("waited in vain: {sql}"));
    }
}

/// Whether the product waits for a lock, as SQL.
pub(crate) const IS_BLOCKED: &str = "\
SELECT EXISTS (SELECT FROM pg_stat_activity \
    WHERE application_name LIKE 'lakeferry/%' AND wait_event_type = 'Lock')";

/// Does `work` on all servers at once, each with chance of its own.
pub(crate) fn on_each_server<T: Send>(
    test: &str,
    work: impl AsyncFn(Version, ChaCha8Rng) -> T + Sync,
) -> Vec<T> {
    let mut random = seeded(test);
    let chances = servers()
        .into_iter()
        .map(|version| (version, random.random()));
    let work = &work;
    let on_server = |version, seed| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(work(version, ChaCha8Rng::seed_from_u64(seed)))
    };
    thread::scope(|scope| {
        let started: Vec<_> = chances
            .map(|(version, seed)| scope.spawn(move || on_server(version, seed)))
            .collect();
        let ended = started.into_iter().map(ScopedJoinHandle::join);
        let ended: Vec<_> = ended.collect();
        let done = ended.into_iter();
        done.map(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// `short`, or `long` under `LAKEFERRY_LONG`.
pub(crate) fn as_long<T>(short: T, long: T) -> T {
    match std::env::var_os("LAKEFERRY_LONG") {
        Some(_) => long,
        None => short,
    }
}
