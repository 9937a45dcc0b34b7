//! The runways' history, replayed into one Delta table and brought to every server by two jobs,
//! with and without a filter; a reader looks on, the oracle compares.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path};

use lakeferry_delta_testkit::{
    NewTable,
    runways::{RunwaysHistory, RunwaysReplay, history_file},
};
use lakeferry_postgres_testkit::{Settings, servers};
use rand::Rng as _;

use crate::{
    deployment::Deployment,
    lakeferry::lakeferry,
    oracle::{FILTER, Oracle, Rows, Version},
    reader::{Number, Reader, Sightings, VersionHashes, hash_sql},
    seed::seeded,
};

/// The jobs: their names, which are those of their targets, and the rows that these have.
const JOBS: [(&str, Rows); 2] = [("all_runways", Rows::All), ("long_runways", Rows::Filtered)];

/// A part of the history, and how it is replayed.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) versions: RangeInclusive<i64>,
    /// Whether the table has a change data feed.
    pub(crate) feed: bool,
    /// The most commits between two syncs.
    pub(crate) commits_most: i64,
    /// Versions that a sync must not skip, ascending.
    pub(crate) stops: &'static [i64],
    /// Readings of each target for each sync, at least.
    pub(crate) readings_least: usize,
}

/// What was seen in a replay, over all servers and jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// One for each time that a job was brought forward.
    pub(crate) syncs: u64,
    pub(crate) rows_compared: u64,
    /// By COPY, as the servers count them, after the first fill.
    pub(crate) rows_copied: u64,
    /// Rows that came, or that went if those are more, after the first fill.
    pub(crate) rows_changed: u64,
    pub(crate) readings: usize,
    /// Readings that found an earlier version than the one on its way.
    pub(crate) readings_before: usize,
    /// How often each kind of step was taken.
    pub(crate) steps: BTreeMap<String, u64>,
}

/// Replays `part`, then adds 1 to every id, and syncs after each random number of commits.
/// Nothing where there is no history.
pub(crate) async fn replay(test: &str, part: &Part) -> Option<Seen> {
    let parquet = history_file()?;
    let mut random = seeded(test);
    let mut oracle = Oracle::start(&parquet);
    let lake = tempfile::tempdir().unwrap();
    let mut sides = Side::start_all(lake.path(), &mut oracle, part).await;
    let history = RunwaysHistory::read(&parquet).unwrap();
    let (first, last) = (*part.versions.start(), *part.versions.end());
    let table = match part.feed {
        true => NewTable::with_feed(),
        false => NewTable::without_feed(),
    };
    let mut source = RunwaysReplay::start_at(history, first, lake.path(), table)
        .await
        .unwrap();
    let mut seen = Seen::default();
    while source.seq() < last {
        sync_all(
            &mut sides,
            &mut oracle,
            plain(source.seq()),
            part,
            &mut seen,
        )
        .await;
        // None as well: a sync that finds nothing new.
        let commits = random.random_range(0..=part.commits_most);
        let stop = part.stops.iter().find(|&&stop| stop > source.seq());
        for _ in 0..commits.min(stop.unwrap_or(&last) - source.seq()) {
            source.next().await.unwrap();
        }
    }
    sync_all(&mut sides, &mut oracle, plain(last), part, &mut seen).await;
    source
        .table()
        .update(&[("id", "id + 1")], None)
        .await
        .unwrap();
    sync_all(&mut sides, &mut oracle, shifted(last), part, &mut seen).await;
    println!("{test}: {seen:#?}");
    Some(seen)
}

async fn sync_all(
    sides: &mut [Side],
    oracle: &mut Oracle,
    version: Version,
    part: &Part,
    seen: &mut Seen,
) {
    for side in sides {
        side.sync(oracle, version, part, seen).await;
    }
}

/// A version as it is in the history.
fn plain(seq: i64) -> Version {
    Version { seq, shift: 0 }
}

/// A version after every id was raised by 1.
fn shifted(seq: i64) -> Version {
    Version { seq, shift: 1 }
}

/// The number of a version in the order of the replay: the shifted one comes last.
fn number(version: Version) -> Number {
    version.seq + version.shift
}

/// One server that the table is brought to.
struct Side {
    deployment: Deployment,
    reader: Reader,
    /// Of the target of each job.
    sightings: [Sightings; 2],
    /// What the targets have.
    version: Option<Version>,
}

impl Side {
    async fn start_all(source: &Path, oracle: &mut Oracle, part: &Part) -> Vec<Self> {
        let mut sides = Vec::new();
        let mut hashes = None;
        for version in servers() {
            let mut deployment = Deployment::start_with(version, &counting_statements());
            deployment
                .sql("CREATE SCHEMA counts; CREATE EXTENSION pg_stat_statements SCHEMA counts");
            let [(all, _), (filtered, _)] = JOBS;
            deployment.job(all, source, &[]);
            deployment.job(filtered, source, &[&format!("filter: {FILTER}")]);
            // The hash is the same on every server; else the readings of the others fail.
            let hashes = hashes.get_or_insert_with(|| {
                JOBS.map(|(name, rows)| version_hashes(&deployment, oracle, part, name, rows))
            });
            sides.push(Self {
                reader: Reader::connect(&deployment.url()).await,
                sightings: hashes.clone().map(Sightings::new),
                version: None,
                deployment,
            });
        }
        sides
    }

    /// Syncs both jobs while the reader looks on; then the targets have exactly the rows of
    /// `version`.
    async fn sync(&mut self, oracle: &mut Oracle, version: Version, part: &Part, seen: &mut Seen) {
        let config = self.deployment.config();
        let sync = tokio::task::spawn_blocking(move || lakeferry(&config, &["sync"]));
        let tables = JOBS.map(|(name, _)| name);
        let (said, readings) = self
            .reader
            .read_during(sync, &tables, part.readings_least)
            .await;
        for step in said.jobs_done().iter().flat_map(|job| &job.steps) {
            *seen.steps.entry(step.kind_without_version()).or_default() += 1;
        }
        let copied = self.rows_copied();
        if let Some(before) = self.version.replace(version) {
            seen.rows_copied += copied;
            for (_, rows) in JOBS {
                let step = oracle.step(Some(before), version, rows);
                seen.rows_changed += step.gone.len().max(step.come.lines().count()) as u64;
            }
        }
        for (((name, rows), readings), sightings) in
            JOBS.iter().zip(&readings).zip(&mut self.sightings)
        {
            let (all, before) = sightings.take(readings, number(version));
            seen.readings += all;
            seen.readings_before += before;
            let dump = self.deployment.dump(name);
            seen.rows_compared += oracle.assert_equal(&dump, version, *rows);
            seen.syncs += 1;
        }
    }
}

impl Side {
    /// Rows that were copied into tables since the last time.
    fn rows_copied(&self) -> u64 {
        let sql = "SELECT coalesce(sum(rows), 0) FROM counts.pg_stat_statements \
            WHERE query LIKE 'COPY % FROM STDIN%'";
        let copied = self.deployment.sql(sql);
        self.deployment
            .sql("SELECT counts.pg_stat_statements_reset()");
        copied.parse().unwrap()
    }
}

fn counting_statements() -> Settings {
    Settings::quick()
        .with("autovacuum", "off")
        .with("shared_preload_libraries", "pg_stat_statements")
        .with("pg_stat_statements.track_utility", "on")
}

/// The hashes of all versions of `part`, from a scratch table that holds what the oracle says.
fn version_hashes(
    deployment: &Deployment,
    oracle: &mut Oracle,
    part: &Part,
    name: &str,
    rows: Rows,
) -> VersionHashes {
    let table = format!("oracle.{name}");
    let columns = oracle.table().definitions();
    let mut script = format!(
        "CREATE SCHEMA IF NOT EXISTS oracle; CREATE TABLE {table} ({columns}, PRIMARY KEY (id));\n"
    );
    let end = shifted(*part.versions.end());
    let versions: Vec<_> = part.versions.clone().map(plain).chain([end]).collect();
    let mut before = None;
    for &version in &versions {
        let step = oracle.step(before, version, rows);
        let (gone, come, hash) = (step.gone, step.come, hash_sql(&table));
        script.push_str(&format!(
            "DELETE FROM {table} WHERE id = ANY (ARRAY{gone:?}::bigint[]);\n\
             COPY {table} FROM STDIN (FORMAT csv);\n{come}\\.\n{hash};\n"
        ));
        before = Some(version);
    }
    let hashes = deployment.sql(&script);
    let mut known = VersionHashes::default();
    for (&version, hash) in versions.iter().zip(hashes.lines()) {
        known.add(number(version), hash);
    }
    println!(
        "oracle: {} versions of {name} with {} hashes",
        versions.len(),
        known.len()
    );
    assert_eq!(hashes.lines().count(), versions.len());
    known
}
