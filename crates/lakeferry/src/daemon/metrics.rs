//! What Prometheus is told: `lakeferry_<noun>_<unit>`, a label for the job and few others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use lakeferry_engine::{Start, Totals};
use lakeferry_model::{FailureClass, Instant};
use lakeferry_postgres::open_connections;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    board::Row,
    kept_job::{Ended, Report, Rest},
};

type Labels = Vec<(&'static str, String)>;
type Seconds = Gauge<f64, AtomicU64>;

const STATES: [&str; 6] = [
    "idle",
    "backfilling",
    "syncing",
    "backing_off",
    "paused",
    "halted",
];

/// What becomes of runs, of rows and of bad rows; and why runs fail.
const RESULTS: [&str; 5] = ["done", "nothing", "paused", "held", "failed"];
const ROWS: [&str; 4] = ["read", "inserted", "updated", "deleted"];
const BAD_ROWS: [&str; 4] = ["quarantined", "released", "nulled", "replaced"];
const CLASSES: [&str; 5] = ["transient", "unready", "bad_row", "operator", "bug"];

/// Of the waits from a commit to its rows, in seconds.
const VISIBLE: [f64; 22] = [
    0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
    5.0, 10.0, 60.0, 300.0, 3_600.0,
];
/// Of runs, in seconds.
const RUNS: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0];

/// All metrics of the daemon.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    runs: Family<Labels, Counter>,
    rows: Family<Labels, Counter>,
    bad_rows: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    late: Family<Labels, Counter>,
    passed: Family<Labels, Counter>,
    phase_seconds: Family<Labels, Counter<f64, AtomicU64>>,
    read_bytes: Family<Labels, Counter>,
    run_seconds: Family<Labels, Histogram>,
    visible_seconds: Family<Labels, Histogram>,
    state: Family<Labels, Gauge>,
    watermark: Family<Labels, Gauge>,
    lag_versions: Family<Labels, Gauge>,
    lag_seconds: Family<Labels, Seconds>,
    next_run: Family<Labels, Seconds>,
    quarantined: Family<Labels, Gauge>,
    connections: Gauge,
    max_connections: Family<Labels, Gauge>,
    reloads: Family<Labels, Counter>,
    reload_is_done: Gauge,
    exceeds: Family<Labels, Gauge>,
    reload_at: Family<Labels, Seconds>,
}

impl Metrics {
    /// The configuration was read at `now`.
    pub(super) fn new(now: Instant) -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("lakeferry")),
            runs: Family::default(),
            rows: Family::default(),
            bad_rows: Family::default(),
            failures: Family::default(),
            late: Family::default(),
            passed: Family::default(),
            phase_seconds: Family::default(),
            read_bytes: Family::default(),
            run_seconds: Family::new_with_constructor(|| Histogram::new(RUNS)),
            visible_seconds: Family::new_with_constructor(|| Histogram::new(VISIBLE)),
            state: Family::default(),
            watermark: Family::default(),
            lag_versions: Family::default(),
            lag_seconds: Family::default(),
            next_run: Family::default(),
            quarantined: Family::default(),
            connections: Gauge::default(),
            max_connections: Family::default(),
            reloads: Family::default(),
            reload_is_done: Gauge::default(),
            exceeds: Family::default(),
            reload_at: Family::default(),
        };
        metrics.note_reload(now, true);
        {
            let mut registry = metrics
                .registry
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            metrics.register_events(&mut registry);
            metrics.register_standing(&mut registry);
            metrics.register_reloads(&mut registry);
        }
        metrics
    }

    /// What happened.
    fn register_events(&self, all: &mut Registry) {
        all.register(
            "runs",
            "Runs that ended, by what came of them",
            self.runs.clone(),
        );
        all.register(
            "rows",
            "Rows read from sources, and written to targets by kind",
            self.rows.clone(),
        );
        all.register(
            "bad_rows",
            "Bad rows by what became of them",
            self.bad_rows.clone(),
        );
        all.register(
            "failures",
            "Runs that failed, by who must do what next",
            self.failures.clone(),
        );
        all.register(
            "late_starts",
            "Runs that started over a second after they were due",
            self.late.clone(),
        );
        all.register(
            "passed_starts",
            "Times at which a job was due while it ran or waited",
            self.passed.clone(),
        );
        all.register(
            "run_seconds",
            "How long runs took that found something to do",
            self.run_seconds.clone(),
        );
        all.register(
            "phase_seconds",
            "What runs took that looked at the target, by what they were at",
            self.phase_seconds.clone(),
        );
        all.register(
            "read_bytes",
            "Size in memory of rows read from sources",
            self.read_bytes.clone(),
        );
        all.register(
            "commit_to_visible_seconds",
            "From the time of a commit to the answer to the COMMIT that brought it",
            self.visible_seconds.clone(),
        );
    }

    /// What became of new configurations.
    fn register_reloads(&self, all: &mut Registry) {
        all.register(
            "config_reloads",
            "New configurations, by what became of them",
            self.reloads.clone(),
        );
        all.register(
            "config_last_reload_successful",
            "1 if the newest configuration was taken over, 0 if it was refused",
            self.reload_is_done.clone(),
        );
        all.register(
            "config_last_reload_timestamp_seconds",
            "When a configuration was last taken over (the first at the start), and last refused",
            self.reload_at.clone(),
        );
    }

    /// How jobs stand.
    fn register_standing(&self, all: &mut Registry) {
        all.register(
            "job_state",
            "1 for the state that a job is in",
            self.state.clone(),
        );
        all.register(
            "watermark_version",
            "The version that a target has",
            self.watermark.clone(),
        );
        all.register(
            "lag_versions",
            "Head minus watermark, as of the last look",
            self.lag_versions.clone(),
        );
        all.register(
            "lag_seconds",
            "Age of the oldest commit that a target does not have, of those that were seen",
            self.lag_seconds.clone(),
        );
        all.register(
            "max_lag_exceeded",
            "1 if a target lacks a commit that is older than its job's max_lag, or may",
            self.exceeds.clone(),
        );
        all.register(
            "next_run_timestamp_seconds",
            "When a job runs next",
            self.next_run.clone(),
        );
        all.register(
            "quarantined_rows",
            "Rows in quarantine",
            self.quarantined.clone(),
        );
        all.register(
            "connections",
            "Open connections to Postgres",
            self.connections.clone(),
        );
        all.register(
            "max_connections",
            "Connections that all runs on a target may have at once; 0 before its server was asked",
            self.max_connections.clone(),
        );
    }

    /// A new configuration was taken over, or refused.
    pub(super) fn reloaded(&self, now: Instant, is_done: bool) {
        self.reloads.get_or_create(&reload(is_done)).inc();
        self.note_reload(now, is_done);
    }

    fn note_reload(&self, now: Instant, is_done: bool) {
        self.reload_is_done.set(i64::from(is_done));
        let at = self.reload_at.get_or_create(&reload(is_done));
        at.set(seconds(now.0));
    }

    /// So many connections fall to each target.
    pub(super) fn share_out<'a>(&self, shares: impl Iterator<Item = (&'a str, u32)>) {
        self.max_connections.clear();
        for (target, connections) in shares {
            let labels = vec![("target", target.to_owned())];
            let connections = i64::from(connections);
            self.max_connections.get_or_create(&labels).set(connections);
        }
    }

    /// Tells no more of `job`, which is declared no longer.
    pub(super) fn forget(&self, job: &str) {
        let labels = vec![("job", job.to_owned())];
        for (counters, label, values) in [
            (&self.runs, "result", &RESULTS[..]),
            (&self.rows, "kind", &ROWS),
            (&self.bad_rows, "kind", &BAD_ROWS),
            (&self.failures, "class", &CLASSES),
        ] {
            for value in values {
                let more = (label, (*value).to_owned());
                counters.remove(&vec![labels[0].clone(), more]);
            }
        }
        for counters in [&self.late, &self.passed] {
            counters.remove(&labels);
        }
        for histograms in [&self.run_seconds, &self.visible_seconds] {
            histograms.remove(&labels);
        }
    }

    pub(super) fn started(&self, start: &Start) {
        let labels = vec![("job", start.job.clone())];
        self.late
            .get_or_create(&labels)
            .inc_by(u64::from(start.late.is_some()));
        self.passed.get_or_create(&labels).inc_by(start.passed);
    }

    pub(super) fn ended(&self, job: &str, ended: &Ended) {
        let labels = |name, value: &str| vec![("job", job.to_owned()), (name, value.to_owned())];
        let [done, nothing, paused, held, failed] = RESULTS;
        let result = match &ended.result {
            Err(trouble) => {
                let class = labels("class", class(trouble.class));
                self.failures.get_or_create(&class).inc();
                failed
            }
            Ok(()) => match &ended.rest {
                Some(Rest::Paused(_)) => paused,
                Some(Rest::Held(_)) => held,
                None if ended.report.steps.is_empty() => nothing,
                None => done,
            },
        };
        self.runs.get_or_create(&labels("result", result)).inc();
        self.count(&ended.report, &labels);
        let of_job = vec![("job", job.to_owned())];
        if ended.result.is_err() || result == done {
            let seconds = ended.took.as_secs_f64();
            self.run_seconds.get_or_create(&of_job).observe(seconds);
        }
        let visible = self.visible_seconds.get_or_create(&of_job);
        let waits = ended.waits.iter().map(Duration::as_secs_f64);
        waits.for_each(|seconds| visible.observe(seconds));
    }

    fn count(&self, report: &Report, labels: &impl Fn(&'static str, &str) -> Labels) {
        for step in &report.steps {
            let (rows, bad) = (step.rows, step.bad);
            let rows = [step.rows_read, rows.inserted, rows.updated, rows.deleted];
            let bad = [bad.quarantined, bad.released, bad.nulled, bad.replaced];
            for (counters, kinds, rows) in
                [(&self.rows, ROWS, rows), (&self.bad_rows, BAD_ROWS, bad)]
            {
                for (kind, rows) in kinds.into_iter().zip(rows) {
                    counters.get_or_create(&labels("kind", kind)).inc_by(rows);
                }
            }
        }
    }

    /// All of them as text, with how `jobs` stand at `now`.
    pub(super) fn text(&self, jobs: &BTreeMap<String, Row>, now: Instant) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_standing();
        for (job, row) in jobs {
            self.show(job, row, now);
        }
        self.connections.set(number(open_connections() as u64));
        let mut text = String::new();
        // A String takes whatever it is given.
        let _ = encode(&mut text, &registry);
        text
    }

    /// How jobs stood when it was last asked.
    fn forget_standing(&self) {
        for gauges in [
            &self.state,
            &self.watermark,
            &self.lag_versions,
            &self.quarantined,
            &self.exceeds,
        ] {
            gauges.clear();
        }
        for gauges in [&self.lag_seconds, &self.next_run] {
            gauges.clear();
        }
        // The meters of jobs count on.
        self.phase_seconds.clear();
        self.read_bytes.clear();
    }

    fn show(&self, job: &str, row: &Row, now: Instant) {
        let labels = vec![("job", job.to_owned())];
        let word = row.word();
        for state in STATES {
            let labels = vec![("job", job.to_owned()), ("state", state.to_owned())];
            self.state
                .get_or_create(&labels)
                .set(i64::from(state == word));
        }
        let Totals { spent, bytes } = row.meter.totals(now);
        for (phase, spent) in [
            ("looking", spent.looking),
            ("loading", spent.loading),
            ("reading", spent.reading),
            ("applying", spent.applying),
        ] {
            let labels = vec![("job", job.to_owned()), ("phase", phase.to_owned())];
            let spent = spent.as_secs_f64();
            self.phase_seconds.get_or_create(&labels).inc_by(spent);
        }
        self.read_bytes.get_or_create(&labels).inc_by(bytes);
        let place = row.place;
        let quarantined = number(place.quarantined);
        self.quarantined.get_or_create(&labels).set(quarantined);
        if let Some(watermark) = place.watermark {
            self.watermark.get_or_create(&labels).set(number(watermark));
        }
        if let Some((versions, seconds)) = row.lag(now) {
            let versions = number(versions);
            self.lag_versions.get_or_create(&labels).set(versions);
            self.lag_seconds.get_or_create(&labels).set(seconds);
        }
        if let Some(is_late) = row.is_late(now) {
            self.exceeds.get_or_create(&labels).set(i64::from(is_late));
        }
        if let Some(next) = row.next {
            self.next_run.get_or_create(&labels).set(seconds(next.0));
        }
    }
}

fn reload(is_done: bool) -> Labels {
    let result = match is_done {
        true => "done",
        false => "refused",
    };
    vec![("result", result.to_owned())]
}

pub(super) fn class(class: FailureClass) -> &'static str {
    let [transient, unready, bad_row, operator, bug] = CLASSES;
    match class {
        FailureClass::Transient => transient,
        FailureClass::Unready => unready,
        FailureClass::BadRow => bad_row,
        FailureClass::NeedsOperator => operator,
        FailureClass::Bug => bug,
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
