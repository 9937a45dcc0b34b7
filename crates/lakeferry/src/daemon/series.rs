//! How jobs went in the last hour: a sample of each every ten seconds, in memory alone. For show: what was
//! done stands in the targets.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lakeferry_model::Instant;
use serde::Serialize;

use super::{board::Row, kept_job::Ended};

/// Between two samples, at least.
const EVERY: Duration = Duration::from_secs(10);
/// Of so many samples of a job the oldest goes.
const KEPT: usize = 360;

/// How a job stood at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) lag_versions: u64,
    /// The age of the oldest commit that the target did not have, or, if that is longer, the longest wait
    /// from a commit to its rows since the sample before.
    pub(super) lag_seconds: f64,
    /// Rows from the source since the daemon began.
    pub(super) rows: u64,
}

/// A run that did something.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastRun {
    pub(super) ended: Instant,
    pub(super) took: Duration,
    pub(super) read: u64,
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Series(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    sampled: Option<Instant>,
    jobs: BTreeMap<String, Past>,
}

#[derive(Debug, Default)]
struct Past {
    samples: VecDeque<Sample>,
    /// Rows of runs that ended.
    rows: u64,
    longest_wait: Duration,
    last: Option<LastRun>,
}

impl Series {
    /// Notes what came of a run.
    pub(super) fn ended(&self, job: &str, ended: &Ended, at: Instant) {
        let mut known = self.known();
        let past = known.jobs.entry(job.to_owned()).or_default();
        let mut last = LastRun {
            ended: at,
            took: ended.took,
            read: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
        };
        for step in &ended.report.steps {
            last.read += step.rows_read;
            last.inserted += step.rows.inserted;
            last.updated += step.rows.updated;
            last.deleted += step.rows.deleted;
        }
        past.rows += last.read;
        past.longest_wait = ended
            .waits
            .iter()
            .copied()
            .fold(past.longest_wait, Duration::max);
        if !ended.report.steps.is_empty() {
            past.last = Some(last);
        }
    }

    /// Whether it is time for the next sample.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let sampled = self.known().sampled;
        sampled.is_none_or(|Instant(at)| {
            let since = now.0.saturating_sub(at);
            // A clock that was set back begins anew.
            since < 0 || u128::try_from(since).is_ok_and(|since| since >= EVERY.as_micros())
        })
    }

    /// Samples how `jobs` stand.
    pub(super) fn sample(&self, jobs: &BTreeMap<String, Row>, now: Instant) {
        let mut known = self.known();
        known.sampled = Some(now);
        known.jobs.retain(|job, _| jobs.contains_key(job));
        for (job, row) in jobs {
            let past = known.jobs.entry(job.clone()).or_default();
            let (lag_versions, lag_seconds) = row.lag(now).unwrap_or_default();
            let waited = std::mem::take(&mut past.longest_wait).as_secs_f64();
            let before = past.samples.back().map_or(0, |sample| sample.rows);
            let under_way = if row.is_running() {
                row.meter.seen().rows
            } else {
                0
            };
            past.samples.push_back(Sample {
                at: now.0.div_euclid(1_000_000),
                lag_versions,
                lag_seconds: lag_seconds.max(waited),
                // What a run counts begins anew with each of its phases.
                rows: (past.rows + under_way).max(before),
            });
            while past.samples.len() > KEPT {
                past.samples.pop_front();
            }
        }
    }

    /// The samples of a job, the oldest first.
    pub(super) fn of(&self, job: &str) -> Vec<Sample> {
        let known = self.known();
        let past = known.jobs.get(job);
        past.map_or_else(Vec::new, |past| past.samples.iter().copied().collect())
    }

    /// The newest runs that did something.
    pub(super) fn last_runs(&self) -> BTreeMap<String, LastRun> {
        let known = self.known();
        let jobs = known.jobs.iter();
        jobs.filter_map(|(job, past)| Some((job.clone(), past.last?)))
            .collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
