//! The world of the simulation: a source that commits, a server that fails, engines that crash.

mod checks;
mod commits;
mod troubles;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use lakeferry_engine::{
    DropColumns, Job, Meter, OnSchemaChange, OnSourceReplaced, Policy, Report, Request, Retry,
    RunError, Step, StepKind, Why, drive,
};
use lakeferry_model::{
    Alteration, BadRows, Clock, Holder, Instant, JobKey, OnBadValue, OnNullKey, OwnColumns,
    RowCounts, Source as _, Stage, Watermark,
};
use lakeferry_testkit::{
    History, KEY, MemoryServer, MemorySource, MemoryTarget, StepClock,
    oracle::{Cells, Oracle},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type SimJob = Job<MemorySource<u64>, MemoryTarget<u64>, SharedClock>;
type Attempt = Pin<Box<dyn Future<Output = (Report<u64>, Result<(), RunError>)>>>;

/// What must be seen at least once over all seeds, or the simulation proves nothing.
pub(crate) const MUST_HAPPEN: &[&str] = &[
    "crash",
    "fenced",
    "unsettled",
    "held",
    "source replaced: halted",
    "source replaced: rebuilt",
    "rebuild: Fill FirstFill",
    "resumed with 0 pieces",
    "resumed with 1 pieces",
    "resumed with 2 pieces",
    "fill started anew",
    "fill dropped",
    "rebuild: Refresh PastHorizon",
    "rebuild: Refresh Opaque",
    "rebuild: Refresh LargeChanges",
    "rebuild: Refresh Asked",
    "rebuild: Refresh FirstFill",
    "column added",
    "column detached",
    "column cleared",
    "column dropped",
    "column renamed",
    "columns changed: halted",
    "rebuild: Refresh FingerprintChanged",
    "changes: Feed",
    "changes: Files",
    "advance",
    "settled: Feed",
    "settled: Files",
    "settled: moved by time: rows came",
    "settled: moved by time: rows went",
    "settled: moved by time: rows changed",
    "moved by time: 0 came, 0 went",
    "moved by time: rows came",
    "moved by time: rows went",
    "moved by time: rows changed",
    "clock set back",
    "standby promoted",
    "taken over",
    "quarantined",
    "released",
    "null key kept aside",
    "null key went",
    "rebuild: Refresh UnkeyedUnmatched",
    "tried again",
    "appended",
    "not only added: halted",
    "never rebuilt: halted",
    "deleted row kept",
    "deleted row came back",
    "previous row stayed",
];

/// One seed's world.
pub(crate) struct World {
    random: ChaCha8Rng,
    clock: SharedClock,
    /// Behind the job's filter, which looks at time in half of the worlds.
    source: MemorySource<u64>,
    server: MemoryServer<u64>,
    oracle: Oracle,
    engines: Vec<Engine>,
    standby: Option<Box<dyn Fn()>>,
    /// Whether rows stay when they are deleted.
    keeps: bool,
    /// The keys that the target has had, live or not, since its table was made.
    kept: BTreeSet<i64>,
    /// Those that were there as deleted.
    was_deleted: Vec<i64>,
    /// Whether the row that a key had stays while a bad one is in quarantine.
    keeps_previous: bool,
    /// What the target had after the last step, by the identity of its columns.
    had: BTreeMap<String, Cells>,
    /// How many rows in quarantine have NULL in their key.
    unkeyed: usize,
    next_id: i64,
    /// How many extra columns there were.
    extras: u64,
    seen: Option<Watermark<u64>>,
    /// The version and the pieces of the fill that is under way.
    filling: Option<(u64, u64)>,
    /// Whether the policy lets the watermark leave its table's history.
    may_leave: bool,
    /// Whether the policy only adds rows: then most commits do so, too.
    appends: bool,
    /// Whether a key may have several rows, of which the greatest value counts.
    settles: bool,
    happened: BTreeMap<String, u64>,
    log: Vec<String>,
}

struct Engine {
    job: Arc<SimJob>,
    attempt: Option<Attempt>,
    /// Whether an operator asked for this attempt, which may leave the table's history.
    asked: bool,
}

impl Engine {
    fn new(job: SimJob) -> Self {
        Self {
            job: Arc::new(job),
            attempt: None,
            asked: false,
        }
    }
}

/// An engine's attempt, with what it reports either way.
async fn attempted(job: Arc<SimJob>, request: Request) -> (Report<u64>, Result<(), RunError>) {
    let mut report = Report::default();
    let result = drive(&job, request, &mut report).await;
    (report, result)
}

fn moved_by_time(rows: RowCounts) -> String {
    let RowCounts {
        inserted,
        updated,
        deleted,
    } = rows;
    let what = match (inserted, updated, deleted) {
        (0, 0, 0) => "0 came, 0 went",
        (_, 1.., _) => "rows changed",
        (1.., ..) => "rows came",
        _ => "rows went",
    };
    format!("moved by time: {what}")
}

/// One clock for all engines.
#[derive(Clone, Default)]
pub(crate) struct SharedClock(Arc<StepClock>);

impl Clock for SharedClock {
    fn now(&self) -> Instant {
        self.0.now()
    }
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(duration)
    }
}

fn policy(
    random: &mut ChaCha8Rng,
    name: &str,
    replaced: OnSourceReplaced,
    own: OwnColumns,
) -> Policy {
    Policy {
        key: JobKey {
            deployment: "sim".to_owned(),
            name: "job".to_owned(),
        },
        holder: Holder(name.to_owned()),
        key_columns: vec![KEY.to_owned()],
        filter: Some("hot".to_owned()),
        timezone: "UTC".to_owned(),
        always_refresh: false,
        appends: false,
        dedupe_by: None,
        on_null_key: OnNullKey::Quarantine,
        lists_columns: false,
        excluded: Vec::new(),
        own,
        on_source_replaced: replaced,
        on_schema_change: match random.random_range(0..4) {
            0 => OnSchemaChange::Halt,
            1 => OnSchemaChange::Ignore,
            _ => OnSchemaChange::Evolve,
        },
        drop_columns: match random.random_range(0..4) {
            0 => DropColumns::Halt,
            1 => DropColumns::Drop,
            2 => DropColumns::Null,
            _ => DropColumns::Detach,
        },
        refresh_above: if random.random_bool(0.3) {
            1.0
        } else {
            f64::INFINITY
        },
        collapse_memory_bytes: if random.random_bool(0.3) {
            2500
        } else {
            1 << 30
        },
        retry: Retry {
            attempts: 4,
            ..Retry::default()
        },
        ignores_pause: false,
    }
}

fn bad_rows(keeps_previous: bool) -> BadRows {
    BadRows {
        on_bad_value: match keeps_previous {
            true => OnBadValue::KeepPrevious,
            false => OnBadValue::Quarantine,
        },
        on_null_key: OnNullKey::Quarantine,
        max_rows: u64::MAX,
        ..BadRows::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut source = MemorySource::new(History::default());
        if random.random() {
            source = source.timed();
        }
        let server = MemoryServer::default();
        let appends = source.filter_instant(Instant(0)).is_none() && random.random_bool(0.2);
        let settles = !appends && random.random_bool(0.3);
        // In half of the worlds rows stay when they are deleted.
        let own = OwnColumns {
            commit_version: true,
            synced_at: false,
            deleted_at: !appends && random.random(),
        };
        if random.random_bool(0.1) {
            server.make_table([]);
            server.add_columns(own);
        }
        let clock = SharedClock::default();
        let replaced = match random.random() {
            true => OnSourceReplaced::Halt,
            false => OnSourceReplaced::Refresh,
        };
        let keeps_previous = !appends && random.random_bool(0.3);
        let bad = bad_rows(keeps_previous);
        let engines = ["first", "second"]
            .map(|name| {
                let policy = Policy {
                    appends,
                    dedupe_by: settles.then(|| "value".to_owned()),
                    ..policy(&mut random, name, replaced, own)
                };
                let (source, clock) = (source.clone(), clock.clone());
                let target = server.tolerant(bad).writing(own);
                Engine::new(Job {
                    source,
                    target,
                    clock,
                    policy,
                    meter: Meter::default(),
                })
            })
            .into();
        let mut world = Self {
            random,
            clock,
            source,
            server,
            oracle: Oracle::default(),
            engines,
            standby: None,
            keeps: own.deleted_at,
            kept: BTreeSet::new(),
            was_deleted: Vec::new(),
            keeps_previous,
            had: BTreeMap::new(),
            unkeyed: 0,
            next_id: 0,
            extras: 0,
            seen: None,
            filling: None,
            may_leave: replaced == OnSourceReplaced::Refresh,
            appends,
            settles,
            happened: BTreeMap::new(),
            log: Vec::new(),
        };
        world.commit();
        world
    }

    pub(crate) fn happened(&self) -> BTreeMap<String, u64> {
        self.happened.clone()
    }

    pub(crate) fn log_tail(&self) -> String {
        self.log[self.log.len().saturating_sub(40)..].join("\n")
    }

    fn note(&mut self, event: impl Into<String>) {
        let event = event.into();
        self.log.push(event.clone());
        *self.happened.entry(event).or_default() += 1;
    }

    /// One thing happens; then everything must still be right.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        match self.random.random_range(0..1000) {
            0..95 => self.commit(),
            95..100 => self.alter(),
            100..108 => self.trouble_at_source(),
            108..150 => self.trouble_at_server(),
            150..170 => self.crash(),
            170..200 => self.queue_fault(),
            200..230 => self.time_passes(),
            _ => {
                let engine = self.random.random_range(0..self.engines.len());
                self.poll(engine);
            }
        }
        self.check()
    }

    /// Whether the filter looks at time.
    fn is_timed(&self) -> bool {
        self.source.filter_instant(Instant(0)).is_some()
    }

    fn time_passes(&mut self) {
        let Self { random, clock, .. } = self;
        let time = Duration::from_millis(random.random_range(0..25_000));
        if random.random_bool(0.8) {
            clock.0.advance(time);
        } else {
            clock.0.set_back(time);
            self.note("clock set back");
        }
    }

    fn poll(&mut self, engine: usize) {
        let asked = self.random.random_bool(0.03);
        let other = match self.random.random_range(0..20) {
            0..2 => Request::Retry,
            2 => Request::RefreshSchema,
            _ => Request::Sync,
        };
        let Engine {
            job,
            attempt,
            asked: was_asked,
        } = &mut self.engines[engine];
        let attempt = attempt.get_or_insert_with(|| {
            let (job, request) = (
                Arc::clone(job),
                match asked {
                    true => Request::Backfill,
                    false => other,
                },
            );
            *was_asked = asked;
            Box::pin(attempted(job, request))
        });
        let ended_holders = self.server.ended_holders();
        let polled = attempt
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if self.server.ended_holders() > ended_holders {
            self.note("taken over");
        }
        let Poll::Ready((report, result)) = polled else {
            return;
        };
        self.engines[engine].attempt = None;
        let asked_for = self.engines[engine].asked;
        for step in report.steps {
            // What an earlier attempt had loaded is not read again.
            let kept = match &step.kind {
                StepKind::Resumed { rows, .. } => Some(*rows),
                StepKind::Rebuild(Stage::Fill, _) => Some(0),
                _ => None,
            };
            // Of pieces that were loaded before, those in quarantine are not told apart.
            if let Some(kept) = kept
                && step.bad.quarantined == 0
                && !self.settles
            {
                assert_eq!(kept + step.rows_read, step.rows.inserted, "{:?}", step.kind);
            }
            self.note_alterations(&step.kind);
            for (what, count) in [
                ("quarantined", step.bad.quarantined),
                ("released", step.bad.released),
            ] {
                if count > 0 {
                    self.note(what);
                }
            }
            self.note_kind(&step, asked_for);
        }
        if let Err(error) = result {
            self.failed(&error);
        }
    }

    fn note_kind(&mut self, step: &Step<u64>, asked_for: bool) {
        self.note(match &step.kind {
            StepKind::Rebuild(Stage::Refresh, why) if self.appends && !asked_for => {
                assert_eq!(*why, Why::FirstFill, "an appending job rebuilt by itself");
                "rebuild: Refresh FirstFill".to_owned()
            }
            StepKind::Resumed { pieces, .. } => format!("resumed with {pieces} pieces"),
            StepKind::Rebuild(_, Why::SourceReplaced) => "source replaced: rebuilt".to_owned(),
            StepKind::Rebuild(stage, why) => format!("rebuild: {stage:?} {why:?}"),
            StepKind::Changes(_) if self.appends => {
                assert_eq!((step.rows.updated, step.rows.deleted), (0, 0));
                "appended".to_owned()
            }
            StepKind::Changes(reading) if self.settles => format!("settled: {reading:?}"),
            StepKind::Changes(reading) => format!("changes: {reading:?}"),
            StepKind::Alter(_) => "altered".to_owned(),
            StepKind::Adopt => "adopted".to_owned(),
            StepKind::Retry => "tried again".to_owned(),
            StepKind::Advance => "advance".to_owned(),
            StepKind::Moved { .. } if self.settles => {
                format!("settled: {}", moved_by_time(step.rows))
            }
            StepKind::Moved { .. } => moved_by_time(step.rows),
        });
    }

    fn note_alterations(&mut self, kind: &StepKind) {
        let StepKind::Alter(alterations) = kind else {
            return;
        };
        for alteration in alterations {
            self.note(match alteration {
                Alteration::Detach(_) => "column detached",
                Alteration::Clear(_) => "column cleared",
                Alteration::Drop(_) => "column dropped",
                Alteration::Rename { .. } => "column renamed",
                Alteration::Widen(_) => "column widened",
                Alteration::Add(_) => "column added",
            });
        }
    }

    fn failed(&mut self, error: &RunError) {
        match error {
            RunError::Fenced { .. } => self.note("fenced"),
            RunError::Unsettled { .. } => self.note("unsettled"),
            RunError::Held { .. } => self.note("held"),
            RunError::Halted { reason, .. } if reason.contains("is not the one") => {
                self.note("source replaced: halted");
            }
            RunError::Halted { reason, .. } if reason.contains("more than add files") => {
                self.note("not only added: halted");
            }
            RunError::Halted { reason, .. } if reason.contains("never rebuilds") => {
                self.note("never rebuilt: halted");
            }
            RunError::Halted { reason, .. } if reason.contains("columns changed") => {
                self.note("columns changed: halted");
            }
            other => self.note(format!("failed: {other}")),
        }
    }

    /// No more trouble: the job must reach the head, if need be with an operator's word.
    pub(crate) fn calm_down(&mut self) -> Result<(), String> {
        *self.source.faults.lock().unwrap() = lakeferry_testkit::Faults::default();
        *self.server.faults.lock().unwrap() = lakeferry_testkit::Faults::default();
        self.engines[1].attempt = None;
        // An empty table that lacks a column is for its owner.
        if self.server.standing().progress.is_none() {
            self.server.drop_table();
        }
        for round in 0..6 {
            for _ in 0..2000 {
                self.poll(0);
                self.check()?;
                if self.engines[0].attempt.is_none() {
                    break;
                }
            }
            let head = self.source.with_history(|history| {
                (
                    history.generation().table_id.clone(),
                    history.generation().head(),
                )
            });
            let standing = self.server.standing();
            let now = self.source.filter_instant(self.clock.now());
            let reached = standing.watermark().is_some_and(|at| {
                let in_time = now.is_none_or(|now| now <= at.instant);
                (at.table_id.clone(), at.version) == head && in_time
            });
            if reached && self.engines[0].attempt.is_none() {
                return Ok(());
            }
            if round == 2 {
                self.engines[0].asked = true;
                let job = Arc::clone(&self.engines[0].job);
                let backfill = attempted(job, Request::Backfill);
                self.engines[0].attempt = Some(Box::pin(backfill));
            } else if round == 1 || round == 3 {
                let job = Arc::clone(&self.engines[0].job);
                let refresh = attempted(job, Request::RefreshSchema);
                self.engines[0].attempt = Some(Box::pin(refresh));
            }
        }
        Err(format!(
            "the job did not reach the head; it stands at {:?}",
            self.server.standing()
        ))
    }
}
