//! A job that is far behind: ranges that are too large for memory are made smaller in few tries,
//! and commits that are too large by themselves are sorted on disk.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod policy;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow_array::RecordBatch;
use futures_core::Stream;
use lakeferry_engine::{Job, Meter, Report, Request, StepKind, drive};
use lakeferry_model::{
    ChangeBatch, Clock, CommitRange, Head, Instant, Reading, Sign, Source, Survey, Watermark,
};
use lakeferry_testkit::{
    Fault, History, Kind, MemoryPieces, MemoryServer, MemorySource, MemoryTarget, Row, StepClock,
};

const COMMITS: i64 = 200;
const ROWS_EACH: i64 = 4;

type Target = MemoryTarget<u64>;
type Error = <MemorySource<u64> as Source>::Error;

/// Counts how often changes are read, which has an end, and how often before the target has what comes
/// before them.
#[derive(Clone)]
struct Counting {
    source: MemorySource<u64>,
    server: MemoryServer<u64>,
    reads: Arc<AtomicU64>,
    reads_ahead: Arc<AtomicU64>,
    /// The read of this number fails.
    fails_at: u64,
}

impl Counting {
    fn new() -> Self {
        Self {
            source: MemorySource::new(History::default()),
            server: MemoryServer::default(),
            reads: Arc::default(),
            reads_ahead: Arc::default(),
            fails_at: u64::MAX,
        }
    }

    /// Makes the target far behind.
    fn commit(&self, kind: Kind) {
        for commit in 0..COMMITS {
            let rows = (0..ROWS_EACH).map(|place| row(commit * ROWS_EACH + place));
            let changes = rows.map(|row| (Sign::Plus, row)).collect();
            self.source
                .with_history(|history| history.commit(kind, changes));
        }
    }
}

impl Source for Counting {
    type Position = u64;
    type Error = Error;
    type Changes = Pin<Box<dyn Stream<Item = Result<ChangeBatch<u64>, Error>> + Send>>;
    type Rows = Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>;
    type Pieces = MemoryPieces<u64>;

    async fn head(&self) -> Result<Head<u64>, Error> {
        self.source.head().await
    }

    async fn survey(
        &self,
        watermark: &Watermark<u64>,
        head: &Head<u64>,
    ) -> Result<Survey<u64>, Error> {
        self.source.survey(watermark, head).await
    }

    async fn changes(
        &self,
        range: &CommitRange<u64>,
        reading: Reading,
    ) -> Result<Self::Changes, Error> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(reads < 1_000, "it reads without end");
        let standing = self.server.standing();
        let has = standing.watermark().map(|watermark| watermark.version);
        let is_ahead = has < Some(range.after().version);
        self.reads_ahead
            .fetch_add(is_ahead.into(), Ordering::Relaxed);
        if reads == self.fails_at {
            let mut faults = self.source.faults.lock().unwrap();
            faults.queue("changes", Fault::Fail);
        }
        self.source.changes(range, reading).await
    }

    fn filter_instant(&self, now: Instant) -> Option<Instant> {
        self.source.filter_instant(now)
    }

    async fn moved(
        &self,
        watermark: &Watermark<u64>,
        until: Instant,
    ) -> Result<Self::Changes, Error> {
        self.source.moved(watermark, until).await
    }

    async fn snapshot(&self, watermark: &Watermark<u64>) -> Result<Self::Rows, Error> {
        self.source.snapshot(watermark).await
    }

    async fn rows_of(
        &self,
        watermark: &Watermark<u64>,
        keys: &RecordBatch,
    ) -> Result<Self::Rows, Error> {
        self.source.rows_of(watermark, keys).await
    }

    async fn pieces(&self, watermark: &Watermark<u64>) -> Result<MemoryPieces<u64>, Error> {
        self.source.pieces(watermark).await
    }
}

struct Steps(StepClock);

impl Clock for Steps {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(time)
    }
}

fn behind(source: &Counting) -> Job<Counting, Target, Steps> {
    Job {
        source: source.clone(),
        target: source.server.target(),
        clock: Steps(StepClock::default()),
        policy: policy::policy(),
        meter: Meter::default(),
    }
}

fn sync(job: &Job<Counting, Target, Steps>) -> Report<u64> {
    let mut report = Report::default();
    pollster::block_on(drive(job, Request::Sync, &mut report)).unwrap();
    report
}

fn row(id: i64) -> Row {
    Row {
        id: Some(id),
        value: Some("v".repeat(40)),
        hot: Some(true),
        seen: None,
        extra: None,
    }
}

#[test]
fn few_ranges_are_read_in_vain() {
    for kind in [Kind::Added, Kind::Rewritten, Kind::Feed] {
        let source = Counting::new();
        let job = behind(&source);
        sync(&job);
        source.commit(kind);
        let steps = sync(&job).steps.len() as u64;
        let reads = source.reads.load(Ordering::Relaxed);
        println!("{kind:?}: {steps} steps, {reads} reads");
        assert!(steps > 10, "{kind:?}: all fits into {steps} steps");
        assert!(
            reads <= steps + 10,
            "{kind:?}: {reads} reads for {steps} steps"
        );
        // All but the first, and those that follow on one that was too large.
        let ahead = source.reads_ahead.load(Ordering::Relaxed);
        assert!(
            ahead + 10 >= steps,
            "{kind:?}: {ahead} of {steps} steps were read while the one before was applied"
        );
    }
}

#[test]
fn what_cannot_be_read_ahead_takes_nothing_of_what_was_applied() {
    let source = Counting {
        fails_at: 4,
        ..Counting::new()
    };
    let job = behind(&source);
    sync(&job);
    source.commit(Kind::Feed);
    let report = sync(&job);
    assert_eq!(source.server.rows().unwrap().len(), 800);
    let steps = &report.steps;
    let throughs: Vec<u64> = steps.iter().map(|step| step.through).collect();
    assert!(
        throughs.is_sorted_by(|one, other| one < other),
        "{throughs:?}"
    );
    let inserted: u64 = steps.iter().map(|step| step.rows.inserted).sum();
    assert_eq!(inserted, 800, "a step is missing, or came twice: {steps:?}");
}

#[test]
fn a_commit_that_does_not_fit_is_no_reason_to_read_the_table() {
    let source = Counting::new();
    let job = behind(&source);
    sync(&job);
    let commit = |changes| {
        let commit = |history: &mut History| history.commit(Kind::Feed, changes);
        source.source.with_history(commit);
        let steps = sync(&job).steps;
        assert_eq!(steps[0].kind, StepKind::Changes(Reading::Feed));
        steps[0].rows
    };
    let came = commit((0..500).map(|id| (Sign::Plus, row(id))).collect());
    assert_eq!((came.inserted, came.updated, came.deleted), (500, 0, 0));
    let gone = (0..500).map(|id| (Sign::Minus, row(id)));
    let there = (300..700).map(|id| Row {
        value: Some("w".repeat(40)),
        ..row(id)
    });
    let changed = commit(there.map(|row| (Sign::Plus, row)).chain(gone).collect());
    assert_eq!(
        (changed.inserted, changed.updated, changed.deleted),
        (200, 200, 300)
    );
}

#[test]
fn commits_without_rows_make_no_range_larger() {
    for kind in [Kind::Feed, Kind::Added, Kind::Rewritten] {
        for settles in [false, true] {
            let source = Counting::new();
            let mut job = behind(&source);
            job.policy.dedupe_by = settles.then(|| "value".to_owned());
            sync(&job);
            let large = (0..500).map(|id| (Sign::Plus, row(id))).collect();
            source.source.with_history(|history| {
                history.commit(Kind::Nothing, Vec::new());
                history.commit(kind, large);
                history.commit(Kind::Nothing, Vec::new());
            });
            let steps = sync(&job).steps;
            let inserted: u64 = steps.iter().map(|step| step.rows.inserted).sum();
            assert_eq!(inserted, 500, "{kind:?}: {steps:?}");
        }
    }
}
