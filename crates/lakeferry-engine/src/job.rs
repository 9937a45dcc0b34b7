//! A job as the engine sees it: two ports, a clock and a policy.

use std::time::Duration;

use lakeferry_model::{FailureClass, Holder, JobKey, OnNullKey, OwnColumns};

use crate::meter::Meter;

/// One declared pair of source and target, with all that the engine needs to decide.
#[derive(Debug)]
pub struct Job<S, T, C> {
    pub source: S,
    pub target: T,
    pub clock: C,
    pub policy: Policy,
    /// How far its run is, for whoever looks on.
    pub meter: Meter,
}

impl<S, T, C> Job<S, T, C> {
    /// As messages name it.
    pub(crate) fn name(&self) -> String {
        self.policy.key.name.clone()
    }
}

/// What the operator decided for a job.
#[derive(Clone, Debug)]
pub struct Policy {
    pub key: JobKey,
    pub holder: Holder,
    /// The key columns, as they are called in the target.
    pub key_columns: Vec<String>,
    /// The column by which one row of each key is chosen, as it is called in the target; without one,
    /// two rows of a key halt. Part of the fingerprint.
    pub dedupe_by: Option<String>,
    /// What becomes of rows with NULL in a key column; the target does as much.
    pub on_null_key: OnNullKey,
    /// The filter in its canonical text; part of the fingerprint.
    pub filter: Option<String>,
    /// In which the filter reads dates and times; part of the fingerprint.
    pub timezone: String,
    /// Whether every run rebuilds by difference instead of reading changes.
    pub always_refresh: bool,
    /// Whether rows are only ever added: what takes any away, or would rebuild, halts.
    pub appends: bool,
    /// Whether `columns` says which columns are synced, and not all of the source's are.
    pub lists_columns: bool,
    /// The source's columns that are not synced, in one order and case; part of the fingerprint, for
    /// one that is synced from now on need not be new.
    pub excluded: Vec<String>,
    /// What the target has beside the source's columns, as it was given.
    pub own: OwnColumns,
    pub on_source_replaced: OnSourceReplaced,
    pub on_schema_change: OnSchemaChange,
    pub drop_columns: DropColumns,
    /// Changes larger than this share of the table (bytes as stored) are not read; the job
    /// refreshes instead.
    pub refresh_above: f64,
    /// How many bytes of changes are held in memory at once. A range with more is read in
    /// parts; one commit with more is a refresh.
    pub collapse_memory_bytes: usize,
    pub retry: Retry,
    /// Whether it runs also while it is paused.
    pub ignores_pause: bool,
}

/// What to do when another table stands where the source was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSourceReplaced {
    Halt,
    Refresh,
}

/// What to do when the source has other columns than the target was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSchemaChange {
    /// Bring the target's columns in step.
    Evolve,
    Halt,
    /// Leave out what is new, detach what is gone; halt for all else.
    Ignore,
}

/// What to do with a column of the target that the source does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropColumns {
    /// Keep it and its values, and write it no longer.
    Detach,
    /// As `Detach`, without its values.
    Null,
    Drop,
    Halt,
}

/// How long and how often transient failures are tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub attempts: u32,
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// Whether `attempts` are all that a transient failure gets; else it is tried again until it is
    /// over.
    pub gives_up: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let (first_wait, longest_wait) = (Duration::from_millis(200), Duration::from_secs(30));
        Self {
            attempts: 8,
            first_wait,
            longest_wait,
            gives_up: true,
        }
    }
}

impl Retry {
    /// Whether a failure of attempt `attempt` (the first is 1) is followed by another attempt.
    pub(crate) fn tries_again(&self, class: FailureClass, attempt: u32) -> bool {
        match class {
            FailureClass::Transient => !self.gives_up || attempt < self.attempts,
            FailureClass::Unready => attempt < self.attempts,
            FailureClass::BadRow | FailureClass::NeedsOperator | FailureClass::Bug => false,
        }
    }

    /// The wait before attempt `attempt` (the first retry is 1): doubled each time, up to a
    /// ceiling.
    pub fn wait(&self, attempt: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        self.first_wait
            .saturating_mul(factor)
            .min(self.longest_wait)
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Bring the target to the head by the cheapest way.
    Sync,
    /// Fill the target, or rebuild it by difference, whatever its watermark says.
    Backfill,
    /// Take over a table that the job did not fill, if it has the rows of the source already.
    Adopt,
    /// As [`Request::Sync`], and bring the target's columns in step, whatever the job says of it.
    RefreshSchema,
    /// As [`Request::Sync`], then try the rows in quarantine again.
    Retry,
}
