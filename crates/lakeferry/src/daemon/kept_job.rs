//! What a job keeps between its runs: its source, open and warm, and what its target is known to have.
//! So a look that finds nothing new costs one small request to the source, and none to the target.
//!
//! Nothing that was kept is trusted after a failure. That somebody else changed the target is noticed by
//! the next run that has something to do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arrow_schema::SchemaRef;
use lakeferry_config::{Config, Job, Mode, TargetName};
use lakeferry_delta::DeltaSource;
use lakeferry_engine::{Meter, Request, RunError, run};
use lakeferry_model::{
    Claim, Clock as _, DeltaVersion, Epoch, FailureClass, Head, Holder, Instant, Pause, RowCounts,
    Source as _, Watermark,
};
use lakeferry_postgres::{Answer, JobControl, RequestKind, Spares};
use tracing::{Instrument as _, Span};

use super::{
    board::Place,
    watch::{Poll, Watch},
};
use crate::{
    exit::Trouble,
    log,
    share::Share,
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
    /// How many connections a run on each target may have.
    per_run: BTreeMap<TargetName, AtomicU32>,
    pub(super) watch: Watch,
}

impl Shared {
    pub(super) fn first(config: Config, watch: Watch) -> Self {
        Self::new(config, watch, None)
    }

    /// As it is with another configuration: targets that are as they were keep their connections.
    pub(super) fn after(before: &Self, config: Config) -> Self {
        Self::new(config, before.watch.clone(), Some(before))
    }

    fn new(config: Config, watch: Watch, before: Option<&Self>) -> Self {
        let targets = config.targets.values().map(|target| {
            let name = &target.name;
            let same = before.filter(|before| before.config.targets.get(name) == Some(target));
            let spares = same.and_then(|before| before.spares.get(name).cloned());
            let spares = spares.unwrap_or_else(|| Spares::new(0, target.close_after));
            (name.clone(), spares)
        });
        Self {
            spares: targets.collect(),
            per_run: config
                .targets
                .keys()
                .map(|name| (name.clone(), AtomicU32::default()))
                .collect(),
            config,
            watch,
        }
    }

    /// From now on this falls to the runs on a target.
    pub(super) fn share_out(&self, target: &TargetName, share: Share) {
        if let (Some(spares), Some(per_run)) = (self.spares.get(target), self.per_run.get(target)) {
            spares.set_most(usize::try_from(share.runs.max(1)).unwrap_or(1));
            per_run.store(share.per_run, Ordering::Relaxed);
        }
    }

    /// Whether a job of `before`, and where it writes, is declared as it was.
    pub(super) fn has_as_it_was(&self, before: &Config, job: &Job) -> bool {
        let now = &self.config;
        now.deployment == before.deployment
            && now.job(job.name.as_str()) == Some(job)
            && now.target_of(job) == before.target_of(job)
    }

    /// How many connections a run of a job may have.
    fn per_run(&self, job: &Job) -> Option<u32> {
        let per_run = self.per_run.get(&job.target.target)?;
        Some(per_run.load(Ordering::Relaxed))
    }

    /// The connections of a job's target that have nothing to do.
    pub(super) fn spares_of(&self, job: &Job) -> Spares {
        let spares = self.spares.get(&job.target.target).cloned();
        spares.unwrap_or_default()
    }
}

/// Why a run did nothing, and had not to.
#[derive(Clone, Debug)]
pub(super) enum Rest {
    Paused(Pause),
    /// Somebody else is at it.
    Held(Holder),
}

/// What came of a run.
type Went = Result<Option<Rest>, Trouble>;

/// How a run ended.
pub(super) struct Ended {
    pub(super) kept: KeptJob,
    /// What was done, also before a failure.
    pub(super) report: Report,
    pub(super) result: Result<(), Trouble>,
    /// Why nothing was done, where that is as it should be.
    pub(super) rest: Option<Rest>,
    pub(super) place: Place,
    pub(super) took: Duration,
    /// How long commits took to arrive.
    pub(super) waits: Vec<Duration>,
    /// What is still said of it is said in this.
    pub(super) span: Span,
    /// What is wanted of the jobs of its target, where it could look.
    pub(super) controls: Option<Vec<JobControl>>,
}

/// See the module.
pub(super) struct KeptJob {
    shared: Arc<Shared>,
    pub(super) job: Job,
    meter: Meter,
    /// How many runs there were.
    runs: u64,
    /// How many orders were obeyed before its last run.
    pub(super) obeyed: u64,
    place: Place,
    /// As it was last wired.
    source: Option<DeltaSource>,
    warm: Option<Warm>,
    /// Whether a request was taken that is not answered yet.
    has_request: bool,
    /// The epoch of a claim that a run could not give back.
    lost: Option<Epoch>,
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
            obeyed: 0,
            place: Place::default(),
            source: None,
            warm: None,
            has_request: false,
            lost: None,
        }
    }

    /// Whether it can go on under another configuration with all that it kept.
    pub(super) fn goes_on_with(&mut self, shared: &Arc<Shared>) -> bool {
        let goes_on = shared.has_as_it_was(&self.shared.config, &self.job);
        if goes_on {
            self.shared = Arc::clone(shared);
        }
        goes_on
    }

    /// Brings the job forward once; if somebody asked, by what they asked for.
    pub(super) async fn run(mut self, is_asked: bool) -> Ended {
        self.runs += 1;
        let span = log::of_run(self.job.name.as_str(), self.runs);
        let run = Box::pin(self.run_once(is_asked)).instrument(span.clone());
        let mut ended = run.await;
        ended.span = span;
        ended
    }

    async fn run_once(mut self, is_asked: bool) -> Ended {
        let (mut report, began) = (Report::default(), SystemClock.now());
        let is_asked = is_asked || self.has_request;
        let went = match is_asked {
            true => self.fulfil(&mut report).await,
            false => self.forward(&mut report).await,
        };
        let took = between(began, SystemClock.now());
        self.tell_fenced(&report);
        let (result, rest) = match went {
            Ok(rest) => (Ok(()), rest),
            Err(trouble) => (Err(trouble), None),
        };
        self.locate(&report, result.is_ok() && rest.is_none()).await;
        let waits = self.waits(&report).await;
        let has_connected = report.watermark.is_some();
        let controls = match is_asked || has_connected {
            true => self.look().await,
            false => None,
        };
        Ended {
            place: self.place,
            kept: self,
            report,
            result,
            rest,
            took,
            waits,
            span: Span::none(),
            controls,
        }
    }

    /// Says that somebody took the job over from a run of this process that was cut off.
    fn tell_fenced(&mut self, report: &Report) {
        if let (Some(lost), Some(found)) = (self.lost, report.looked) {
            if found > lost {
                let (job, ours, theirs) = (self.job.name.as_str(), lost.0, found.0);
                tracing::warn!(
                    job,
                    ours,
                    theirs,
                    "it was fenced: somebody else took the job over from its last run, which wrote nothing more"
                );
            }
            self.lost = None;
        }
        self.lost = report.claimed.or(self.lost);
    }

    async fn forward(&mut self, report: &mut Report) -> Went {
        match self.warm.take() {
            Some(warm) => self.go_on(warm, report).await,
            None => self.begin(report).await,
        }
    }

    /// Does the oldest request for the job, and answers it; without any, what it does anyway.
    async fn fulfil(&mut self, report: &mut Report) -> Went {
        let (shared, job) = (Arc::clone(&self.shared), self.job.clone());
        let control = wiring::control(&shared.config, &job, shared.spares_of(&job))?;
        self.has_request = true;
        let taken = control.take(job.name.as_str(), &wiring::holder()).await;
        let taken = taken.map_err(|error| wiring::target_trouble(&job, &error))?;
        let Some(taken) = taken else {
            self.has_request = false;
            return self.forward(report).await;
        };
        let asked = taken.request;
        tracing::info!(job = job.name.as_str(), ?asked, "somebody asked for it");
        // Who asks wants the target looked at, whatever is known of it.
        self.warm = None;
        let went = self.do_as_asked(asked, report).await;
        let is_over = match &went {
            Ok(Some(Rest::Held(_))) => false,
            Err(trouble) => trouble.class != FailureClass::Transient,
            Ok(_) => true,
        };
        if !is_over {
            return went;
        }
        self.has_request = false;
        if let Err(error) = control.end(taken, &answer(report, &went)).await {
            tracing::warn!(job = job.name.as_str(), %error, "who asked for it was not told");
        }
        went
    }

    async fn do_as_asked(
        &mut self,
        asked: lakeferry_postgres::Request,
        report: &mut Report,
    ) -> Went {
        let request = match asked.kind {
            RequestKind::Sync if !asked.accept_deletes && !asked.even_if_paused => {
                return self.forward(report).await;
            }
            RequestKind::Sync => Request::Sync,
            RequestKind::Backfill => Request::Backfill,
            RequestKind::Adopt => Request::Adopt,
            RequestKind::RefreshSchema => Request::RefreshSchema,
            RequestKind::Retry => Request::Retry,
            RequestKind::Reset => return self.reset(false).await,
            RequestKind::Forget => return self.reset(true).await,
        };
        let job = wiring::allowed(&self.job, asked.accept_deletes);
        let spares = self.shared.spares_of(&job);
        let most = self.shared.per_run(&job);
        let mut wired = wiring::job_with_spares(&self.shared.config, &job, spares, most).await?;
        wired.meter = self.meter.clone();
        wired.policy.ignores_pause = asked.even_if_paused;
        // It is not kept: it may do more than the job may.
        brought(Box::pin(run(&wired, request, report)).await)
    }

    async fn reset(&mut self, forgets: bool) -> Went {
        let target = wiring::target(&self.shared.config, &self.job)?;
        let reset = Box::pin(target.reset(&wiring::holder(), forgets)).await;
        match reset.map_err(|error| wiring::target_trouble(&self.job, &error))? {
            Claim::Granted(_) => Ok(None),
            Claim::Held(holder) => Ok(Some(Rest::Held(holder))),
        }
    }

    /// What is wanted of all jobs of the target, as long as there is a connection to it.
    async fn look(&self) -> Option<Vec<JobControl>> {
        let (shared, job) = (&self.shared, &self.job);
        let control = wiring::control(&shared.config, job, shared.spares_of(job)).ok()?;
        // What keeps it from that is said by the next run.
        control.look().await.ok()
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

    async fn go_on(&mut self, warm: Warm, report: &mut Report) -> Went {
        let head = warm.wired.source.head().await;
        let head = head.map_err(|error| wiring::source_trouble(&self.job, &error))?;
        if warm.has(&head) {
            self.warm = Some(warm);
            return Ok(None);
        }
        if warm.columns != head.columns {
            // What the job's settings mean may be another thing now.
            return self.begin(report).await;
        }
        self.bring(warm, report).await
    }

    async fn begin(&mut self, report: &mut Report) -> Went {
        let (shared, job) = (Arc::clone(&self.shared), &self.job);
        let spares = shared.spares_of(job);
        let most = shared.per_run(job);
        let mut wired = wiring::job_with_spares(&shared.config, job, spares, most).await?;
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

    async fn bring(&mut self, warm: Warm, report: &mut Report) -> Went {
        let rest = brought(Box::pin(run(&warm.wired, Request::Sync, report)).await)?;
        let watermark = report.watermark.clone();
        self.warm = Some(Warm { watermark, ..warm });
        Ok(rest)
    }
}

fn brought(result: Result<(), RunError>) -> Went {
    match result {
        Ok(()) => Ok(None),
        Err(RunError::Paused { pause, .. }) => Ok(Some(Rest::Paused(pause))),
        Err(RunError::Held { holder, .. }) => Ok(Some(Rest::Held(holder))),
        Err(error) => Err(Trouble::from(error)),
    }
}

/// What who asked for it is told.
fn answer(report: &Report, went: &Went) -> Answer {
    let rows = report.steps.iter().map(|step| step.rows);
    Answer {
        error: match went {
            Ok(None) => None,
            Ok(Some(Rest::Paused(pause))) => Some(format!("it is {pause}")),
            Ok(Some(Rest::Held(holder))) => Some(format!("{holder} is working on it")),
            Err(trouble) => Some(trouble.in_one_line()),
        },
        version: report.through.map(|version| version.0),
        rows: rows.fold(RowCounts::default(), |mut all, rows| {
            all += rows;
            all
        }),
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
