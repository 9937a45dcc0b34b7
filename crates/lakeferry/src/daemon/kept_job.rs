//! What a job keeps between its runs: its source, open and warm, and what its target is known to have.
//! So a look that finds nothing new costs one small request to the source, and none to the target.
//!
//! Nothing that was kept is trusted after a failure. That somebody else changed the target is noticed by
//! the next run that has something to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow_schema::SchemaRef;
use lakeferry_config::{Config, Job, Mode, TargetName};
use lakeferry_delta::DeltaSource;
use lakeferry_engine::{Meter, Request, run};
use lakeferry_model::{Clock as _, DeltaVersion, Head, Instant, Source as _, Watermark};

use lakeferry_postgres::Spares;
use tracing::{Instrument as _, Span};

use super::{
    board::Place,
    watch::{Poll, Watch},
};
use crate::{
    exit::Trouble,
    log,
    system_clock::SystemClock,
    wiring::{self, WiredJob},
};

/// Of so many commits of a run it is told how long they took to arrive, the newest.
const TIMED_MAX: u64 = 10;

pub(super) type Report = lakeferry_engine::Report<DeltaVersion>;

/// What all jobs share.
pub(super) struct Shared {
    pub(super) config: Config,
    /// The connections of each target that have nothing to do.
    pub(super) spares: BTreeMap<TargetName, Spares>,
    pub(super) watch: Watch,
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) kept: KeptJob,
    /// What was done, also before a failure.
    pub(super) report: Report,
    pub(super) result: Result<(), Trouble>,
    pub(super) place: Place,
    pub(super) took: Duration,
    /// How long commits took to arrive.
    pub(super) waits: Vec<Duration>,
    /// What is still said of it is said in this.
    pub(super) span: Span,
}

/// See the module.
pub(super) struct KeptJob {
    shared: Arc<Shared>,
    job: Job,
    meter: Meter,
    /// How many runs there were.
    runs: u64,
    place: Place,
    /// As it was last wired.
    source: Option<DeltaSource>,
    warm: Option<Warm>,
}

/// What is only there after a run that ended well.
struct Warm {
    wired: WiredJob,
    /// The columns that the job was wired for.
    columns: SchemaRef,
    /// What the target has.
    watermark: Option<Watermark<DeltaVersion>>,
    /// Of a continuous job.
    _poll: Option<Poll>,
}

impl KeptJob {
    pub(super) fn new(shared: Arc<Shared>, job: Job, meter: Meter) -> Self {
        Self {
            shared,
            job,
            meter,
            runs: 0,
            place: Place::default(),
            source: None,
            warm: None,
        }
    }

    /// Brings the job forward once.
    pub(super) async fn run(mut self) -> Ended {
        self.runs += 1;
        let span = log::of_run(self.job.name.as_str(), self.runs);
        let mut ended = Box::pin(self.run_once()).instrument(span.clone()).await;
        ended.span = span;
        ended
    }

    async fn run_once(mut self) -> Ended {
        let (mut report, began) = (Report::default(), SystemClock.now());
        let result = match self.warm.take() {
            Some(warm) => self.go_on(warm, &mut report).await,
            None => self.begin(&mut report).await,
        };
        let took = between(began, SystemClock.now());
        self.locate(&report, result.is_ok()).await;
        let waits = self.waits(&report).await;
        Ended {
            place: self.place,
            kept: self,
            report,
            result,
            took,
            waits,
            span: Span::none(),
        }
    }

    /// Notes how far the job is. What cannot be found out stays as it was: it is for show alone.
    async fn locate(&mut self, report: &Report, is_done: bool) {
        let through = report.through.map(|version| version.0);
        self.place.watermark = through.or(self.place.watermark);
        if let (true, Some(_)) = (is_done, &report.watermark) {
            self.place.quarantined = report.quarantined;
        }
        if is_done {
            self.place.head = self.place.watermark;
            self.place.behind_since = None;
            return;
        }
        let Some(source) = &self.source else {
            return;
        };
        if let Ok(head) = source.head().await {
            self.place.head = Some(head.version.0);
        }
        let (Some(had), Some(head)) = (self.place.watermark, self.place.head) else {
            return;
        };
        if had < head
            && let Ok(time) = source.commit_time(DeltaVersion(had + 1)).await
        {
            self.place.behind_since = time;
        }
    }

    /// How long the newest commits took that were brought to a target which had earlier ones.
    async fn waits(&self, report: &Report) -> Vec<Duration> {
        let (Some(source), Some(DeltaVersion(mut after))) = (&self.source, report.from) else {
            return Vec::new();
        };
        let mut waits = Vec::new();
        for step in &report.steps {
            let through = step.through.0;
            let first = after.max(through.saturating_sub(TIMED_MAX)) + 1;
            for version in first..=through {
                if let Ok(Some(made)) = source.commit_time(DeltaVersion(version)).await {
                    waits.push(between(made, step.at));
                }
            }
            after = through;
        }
        waits
    }

    async fn go_on(&mut self, warm: Warm, report: &mut Report) -> Result<(), Trouble> {
        let head = warm.wired.source.head().await;
        let head = head.map_err(|error| wiring::source_trouble(&self.job, &error))?;
        if warm.has(&head) {
            self.warm = Some(warm);
            return Ok(());
        }
        if warm.columns != head.columns {
            // What the job's settings mean may be another thing now.
            return self.begin(report).await;
        }
        self.bring(warm, report).await
    }

    async fn begin(&mut self, report: &mut Report) -> Result<(), Trouble> {
        let (shared, job) = (Arc::clone(&self.shared), &self.job);
        let spares = shared.spares.get(&job.target.target).cloned();
        let spares = spares.unwrap_or_default();
        let mut wired = wiring::job_with_spares(&shared.config, job, spares).await?;
        wired.meter = self.meter.clone();
        self.source = Some(wired.source.clone());
        // Before the look: what comes after it is then seen by either.
        let poll = (job.mode == Mode::Continuous).then(|| {
            let name = job.name.to_string();
            if let Some(directory) = wired.source.log_directory() {
                shared.watch.see(&directory, &name);
            }
            let source = wired.source.clone();
            shared.watch.poll(source, name, job.poll_every)
        });
        let head = wired.source.head().await;
        let head = head.map_err(|error| wiring::source_trouble(&self.job, &error))?;
        let warm = Warm {
            wired,
            columns: head.columns,
            watermark: None,
            _poll: poll,
        };
        self.bring(warm, report).await
    }

    async fn bring(&mut self, warm: Warm, report: &mut Report) -> Result<(), Trouble> {
        Box::pin(run(&warm.wired, Request::Sync, report))
            .await
            .map_err(Trouble::from)?;
        let watermark = report.watermark.clone();
        self.warm = Some(Warm { watermark, ..warm });
        Ok(())
    }
}

impl Warm {
    /// Whether the target has all that there is.
    fn has(&self, head: &Head<DeltaVersion>) -> bool {
        let Some(had) = &self.watermark else {
            return false;
        };
        let wired = &self.wired;
        let instant = wired.source.filter_instant(wired.clock.now());
        let instant = instant.map_or(had.instant, |instant| instant.max(had.instant));
        head.watermark(instant) == *had
    }
}

fn between(from: Instant, until: Instant) -> Duration {
    Duration::from_micros(u64::try_from(until.0 - from.0).unwrap_or(0))
}
