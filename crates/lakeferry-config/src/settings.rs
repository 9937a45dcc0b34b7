//! Checked settings: what a configuration says, complete and without contradictions.
//!
//! Only [`crate::load`] makes them. What needs a connection to know (whether a column exists,
//! whether the filter is a predicate) is not checked here.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use chrono_tz::Tz;
use lakeferry_model::{ColumnChoice, JobKey, OnBadValue, OnNullKey, OwnColumns};

use crate::{
    Connection, DeploymentName, JobName, MaxQuarantined, Password, PostgresUrl, RefreshAbove,
    Schedule, SourceLocation, TargetName, identifier::quoted_if_needed,
};

/// All settings of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub deployment: DeploymentName,
    pub daemon: Daemon,
    pub http: Http,
    pub targets: BTreeMap<TargetName, Target>,
    /// In the order of the file. No two have the same name or write to the same table.
    pub jobs: Vec<Job>,
}

impl Config {
    /// The job called `name`.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name.as_str() == name)
    }

    /// What identifies `job` in a target database.
    pub fn job_key(&self, job: &Job) -> JobKey {
        JobKey {
            deployment: self.deployment.to_string(),
            name: job.name.to_string(),
        }
    }

    /// The database that `job` writes to; `None` only for a job of another configuration.
    pub fn target_of(&self, job: &Job) -> Option<&Target> {
        self.targets.get(&job.target.target)
    }
}

/// How jobs run unattended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// How many runs there may be at once; at least one.
    pub max_runs: u32,
    /// After so long a run that was under way when an end was asked for is taken back.
    pub stop_within: Duration,
}

/// Where the daemon answers to probes and tells its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Nowhere if absent.
    pub listen: Option<SocketAddr>,
    /// Where probes and metrics are answered besides.
    pub probes: Option<SocketAddr>,
    /// What whoever asks for jobs has to know; nothing if absent.
    pub token: Option<Password>,
}

/// A database that jobs write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: TargetName,
    /// As it is written.
    pub url: PostgresUrl,
    /// With what it means here.
    pub connection: Connection,
    /// From wherever it comes, but for a password file, which is searched at each connect.
    pub password: Option<Password>,
    /// How many connections all jobs together may have open, at least one; absent where that goes by what
    /// the server has.
    pub max_connections: Option<u32>,
    /// A connection for which there was no work for so long is closed.
    pub close_after: Duration,
    /// Pauses and requests are looked for at the latest after this time; absent where they are only seen
    /// when a run connects.
    pub control_poll: Option<Duration>,
    /// After so long without a sign of life of its process, another one may end a run.
    pub lease: Duration,
}

/// A declared pair of source and target.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub name: JobName,
    pub source: SourceLocation,
    pub target: TargetTable,
    /// The columns that identify a row, as the source calls them, each once; none in
    /// [`Mode::Snapshot`] and [`Mode::Append`] alone.
    pub key: Vec<String>,
    /// Of the rows of one key the one that is greatest in this column is synced, named as the source
    /// calls it; absent where there is only one.
    pub dedupe_by: Option<String>,
    pub mode: Mode,
    /// Of no account in [`Mode::Continuous`].
    pub schedule: Schedule,
    /// How often a source is asked for its next commit, in [`Mode::Continuous`].
    pub poll_every: Duration,
    /// A commit that is older is too old to be missing in the target; absent where nobody cares.
    pub max_lag: Option<Duration>,
    /// A predicate over the source's columns; absent for all rows.
    pub filter: Option<String>,
    /// In which the filter reads dates and times.
    pub timezone: Tz,
    /// How long the steps are in which a filter moves that depends on the time of day, at most a
    /// day; absent where that is for the schedule to say.
    pub filter_every: Option<Duration>,
    /// The columns to sync, the key's among them, and what the target calls them.
    pub columns: ColumnChoice,
    /// What the target has beside them.
    pub own: OwnColumns,
    pub on_source_replaced: OnSourceReplaced,
    pub on_schema_change: OnSchemaChange,
    pub drop_columns: DropColumns,
    /// Whether a column may be given a type for which the whole target is written anew.
    pub allow_rewrite: bool,
    pub refresh_above: RefreshAbove,
    /// What the collapse of one commit range may take.
    pub collapse_memory_bytes: u64,
    /// Whether a run may leave the target empty that had rows.
    pub allow_empty: bool,
    /// The share of the target's rows that one run may delete, from 0 to 1.
    pub max_delete_share: f64,
    pub on_bad_value: OnBadValue,
    pub on_null_key: OnNullKey,
    pub max_quarantined: MaxQuarantined,
}

/// A table in a target, its identifiers as Postgres has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetTable {
    pub target: TargetName,
    pub schema: String,
    pub table: String,
}

/// As it would be written: with double quotes where they are needed.
impl fmt::Display for TargetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, table) = (
            quoted_if_needed(&self.schema),
            quoted_if_needed(&self.table),
        );
        write!(f, "{}.{schema}.{table}", self.target)
    }
}

/// How a job keeps up with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The whole table, each time.
    Snapshot,
    /// The changes since the last time.
    Incremental,
    /// The same, as soon as they are committed.
    Continuous,
    /// Rows that were added since the last time; anything else halts.
    Append,
}

/// What a job does when its source has other columns than its target was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSchemaChange {
    /// It brings the target's columns in step.
    Evolve,
    /// It halts and asks.
    Halt,
    /// It leaves out what is new and detaches what is gone; for all else it halts.
    Ignore,
}

/// What a job does with a column of its target that its source does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropColumns {
    /// It keeps it and its values, and writes it no longer.
    Detach,
    /// It keeps it, NULL in all rows.
    Null,
    /// It drops it.
    Drop,
    /// It halts and asks.
    Halt,
}

/// What a job does when another table stands where its source was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSourceReplaced {
    /// It halts and asks.
    Halt,
    /// It makes the target equal to the new table, by difference.
    Refresh,
}
