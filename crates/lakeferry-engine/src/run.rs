//! One attempt to bring a job forward: look, decide, do, until the target is at the head.
//!
//! The order of reads matters. The target's standing is always read before the source's head:
//! the other way round, a target that somebody moved in between would seem to be ahead of its
//! source, which is how a source that was taken back looks. Nothing is written before the claim,
//! and everything is decided anew under it.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use futures_core::Stream;
use lakeferry_model::{
    Applied, Claim, Clock, Commit, CommitOutcome, CommitRange, Effect, Failure, Fingerprint, Head,
    NetChanges, Reading, RowCounts, Session, Source, Stage, Standing, Target, Watermark,
};
use tracing::{Instrument, info_span};

use crate::{
    collapse::{Collapse, Verdict},
    error::RunError,
    fingerprint::fingerprint,
    job::{Job, Request},
    plan::{Look, Plan, Situation, Why, first_look, plan, rebuild},
};

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<P> {
    /// The version that the target had; absent if it was not filled yet.
    pub from: Option<P>,
    /// The version that it has now.
    pub through: P,
    /// Applies, in order; none if there was nothing to do.
    pub steps: Vec<Step<P>>,
}

/// One apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<P> {
    pub kind: StepKind,
    pub through: P,
    /// Rows that came from the source, before collapse.
    pub rows_read: u64,
    pub rows: RowCounts,
}

/// What kind of apply it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Rebuild(Stage, Why),
    Advance,
    Changes(Reading),
}

/// What a run would do first.
#[derive(Clone, Debug)]
pub struct Preview<P> {
    pub head: Head<P>,
    pub standing: Standing<P>,
    pub plan: Plan<P>,
    /// The commits since the watermark, where the decision looked at them.
    pub commits: Vec<Commit<P>>,
}

/// Looks and decides, and does nothing.
///
/// # Errors
/// What keeps the source or the target from being looked at.
pub async fn preview<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
) -> Result<Preview<S::Position>, RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let standing = job
        .target
        .inspect()
        .await
        .map_err(|error| target_error(job, error))?;
    let head = job
        .source
        .head()
        .await
        .map_err(|error| source_error(job, error))?;
    let mut run = Run::new(job, request, head);
    let plan = run.decide(&standing).await?;
    Ok(Preview {
        head: run.head,
        standing,
        plan,
        commits: run.surveyed,
    })
}

/// Brings `job` to the head that it finds, by as many applies as that takes.
///
/// # Errors
/// The first failure; what was applied before it stays.
pub async fn run<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
) -> Result<Report<S::Position>, RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let span = info_span!("run", job = %job.policy.key);
    Box::pin(attempt(job, request)).instrument(span).await
}

async fn attempt<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
) -> Result<Report<S::Position>, RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let standing = job
        .target
        .inspect()
        .await
        .map_err(|error| target_error(job, error))?;
    let head = job
        .source
        .head()
        .await
        .map_err(|error| source_error(job, error))?;
    let from = standing.watermark().map(|watermark| watermark.version);
    let mut run = Run::new(job, request, head);
    match run.decide(&standing).await? {
        Plan::UpToDate => return Ok(run.report(from)),
        Plan::Halt(halt) => return Err(RunError::halted(run.name(), &halt)),
        _ => {}
    }
    let mut session = match job.target.claim(&job.policy.holder).await {
        Ok(Claim::Granted(session)) => session,
        Ok(Claim::Held(holder)) => {
            return Err(RunError::Held {
                job: run.name(),
                holder,
            });
        }
        Err(error) => return Err(target_error(job, error)),
    };
    run.head = job
        .source
        .head()
        .await
        .map_err(|error| source_error(job, error))?;
    let done = run.work(&mut session).await;
    if matches!(
        done,
        Ok(()) | Err(RunError::Halted { .. } | RunError::Fenced { .. })
    ) {
        // The lease ends with the session in any case; giving it back only spares others a look.
        if let Err(error) = session.release().await {
            tracing::debug!(%error, "the lease was not given back");
        }
    }
    done.map(|()| run.report(from))
}

/// An attempt under way.
struct Run<'a, S: Source, T, C> {
    job: &'a Job<S, T, C>,
    request: Request,
    head: Head<S::Position>,
    fingerprint: Fingerprint,
    /// The commits that the last survey showed.
    surveyed: Vec<Commit<S::Position>>,
    /// See [`Situation::narrowed`].
    narrowed: Option<S::Position>,
    steps: Vec<Step<S::Position>>,
}

impl<'a, S, T, C> Run<'a, S, T, C>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    fn new(job: &'a Job<S, T, C>, request: Request, head: Head<S::Position>) -> Self {
        let fingerprint = fingerprint(&job.policy, &head.columns, job.target.encoding());
        let (surveyed, steps) = (Vec::new(), Vec::new());
        Self {
            job,
            request,
            head,
            fingerprint,
            surveyed,
            narrowed: None,
            steps,
        }
    }

    /// Applies step by step until there is nothing left to do.
    async fn work(&mut self, session: &mut T::Session) -> Result<(), RunError> {
        self.fingerprint = fingerprint(
            &self.job.policy,
            &self.head.columns,
            self.job.target.encoding(),
        );
        loop {
            let standing = session.standing().clone();
            match self.decide(&standing).await? {
                Plan::UpToDate => return Ok(()),
                Plan::Halt(halt) => return Err(RunError::halted(self.name(), &halt)),
                Plan::Rebuild { at, stage, why } => {
                    self.rebuild(session, &at, stage, why).await?;
                }
                Plan::Advance { range } => {
                    self.apply(session, range.through(), StepKind::Advance, 0)
                        .await?;
                }
                Plan::Changes { range, reading } => {
                    self.changes(session, &standing, &range, reading).await?;
                }
            }
        }
    }

    fn situation<'b>(&'b self, standing: &'b Standing<S::Position>) -> Situation<'b, S::Position> {
        Situation {
            request: self.request,
            policy: &self.job.policy,
            standing,
            head: &self.head,
            fingerprint: &self.fingerprint,
            now: self.job.clock.now(),
            narrowed: self.narrowed,
        }
    }

    async fn decide(
        &mut self,
        standing: &Standing<S::Position>,
    ) -> Result<Plan<S::Position>, RunError> {
        let watermark = match first_look(&self.situation(standing)) {
            Look::Decided(plan) => return Ok(plan),
            Look::Behind(watermark) => watermark,
        };
        let survey = self.job.source.survey(&watermark, &self.head).await;
        let survey = survey.map_err(|error| source_error(self.job, error))?;
        let plan = plan(&self.situation(standing), &watermark, &survey);
        self.surveyed = survey.commits;
        Ok(plan)
    }

    async fn rebuild(
        &mut self,
        session: &mut T::Session,
        at: &Watermark<S::Position>,
        stage: Stage,
        why: Why,
    ) -> Result<(), RunError> {
        let mut rows_read = 0;
        let load = async {
            let rows = self.job.source.snapshot(at).await;
            let mut rows = rows.map_err(|error| source_error(self.job, error))?;
            let opened = session.stage(stage, &self.head.columns).await;
            opened.map_err(|error| target_error(self.job, error))?;
            while let Some(batch) = next(&mut rows).await {
                let batch = batch.map_err(|error| source_error(self.job, error))?;
                rows_read += batch.num_rows() as u64;
                let put = session.put(Effect::Insert, &batch).await;
                put.map_err(|error| target_error(self.job, error))?;
            }
            Ok(())
        };
        load.instrument(info_span!("load")).await?;
        self.apply(session, at, StepKind::Rebuild(stage, why), rows_read)
            .await?;
        // Once rebuilt, what is left to do is an ordinary sync.
        self.request = Request::Sync;
        Ok(())
    }

    async fn changes(
        &mut self,
        session: &mut T::Session,
        standing: &Standing<S::Position>,
        range: &CommitRange<S::Position>,
        reading: Reading,
    ) -> Result<(), RunError> {
        let collapsed = self
            .collapse(range, reading)
            .instrument(info_span!("read"))
            .await?;
        let (net, rows_read) = match collapsed {
            Collapsed::Net(net, rows_read) => (net, rows_read),
            Collapsed::TooLarge(version) => {
                let fits = |at: &S::Position| range.contains(*at) && *at < version;
                let surveyed = self.surveyed.iter().map(|commit| commit.version);
                self.narrowed = surveyed.rev().find(fits);
                if self.narrowed.is_some() {
                    return Ok(());
                }
                let plan = rebuild(&self.situation(standing), Stage::Refresh, Why::LargeChanges);
                let Plan::Rebuild { at, stage, why } = plan else {
                    return Ok(());
                };
                return self.rebuild(session, &at, stage, why).await;
            }
        };
        if !net.is_empty() {
            self.stage(session, net)
                .instrument(info_span!("stage"))
                .await?;
        }
        self.apply(
            session,
            range.through(),
            StepKind::Changes(reading),
            rows_read,
        )
        .await?;
        self.narrowed = None;
        Ok(())
    }

    async fn collapse(
        &self,
        range: &CommitRange<S::Position>,
        reading: Reading,
    ) -> Result<Collapsed<S::Position>, RunError> {
        let failed = |error| RunError::collapse(self.name(), &error);
        let policy = &self.job.policy;
        let limit = policy.collapse_memory_bytes;
        let columns = Arc::clone(&self.head.columns);
        let mut collapse = Collapse::new(columns, &policy.key_columns, limit).map_err(failed)?;
        let changes = self.job.source.changes(range, reading).await;
        let mut changes = changes.map_err(|error| source_error(self.job, error))?;
        let mut rows_read = 0;
        while let Some(batch) = next(&mut changes).await {
            let batch = batch.map_err(|error| source_error(self.job, error))?;
            let version = batch.version;
            if !range.contains(version) {
                let reason = format!("the source gave version {version} outside of the range");
                return Err(RunError::Bug {
                    job: self.name(),
                    reason,
                });
            }
            rows_read += batch.rows.num_rows() as u64;
            if collapse.push(batch).map_err(failed)? == Verdict::Full {
                return Ok(Collapsed::TooLarge(version));
            }
        }
        Ok(Collapsed::Net(
            collapse.finish().map_err(failed)?,
            rows_read,
        ))
    }

    async fn stage(&self, session: &mut T::Session, net: NetChanges) -> Result<(), RunError> {
        let failed = |error| target_error(self.job, error);
        session
            .stage(Stage::Changes, &self.head.columns)
            .await
            .map_err(failed)?;
        for (effect, part) in net.parts() {
            for batch in part {
                session.put(effect, batch).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        session: &mut T::Session,
        watermark: &Watermark<S::Position>,
        kind: StepKind,
        rows_read: u64,
    ) -> Result<(), RunError> {
        let applied = session.apply(watermark, &self.fingerprint);
        let outcome = applied.instrument(info_span!("apply")).await;
        match outcome.map_err(|error| target_error(self.job, error))? {
            CommitOutcome::Applied(Applied { rows }) => {
                let through = watermark.version;
                tracing::info!(%through, rows_read, ?rows, ?kind, "applied");
                self.steps.push(Step {
                    kind,
                    through,
                    rows_read,
                    rows,
                });
                Ok(())
            }
            CommitOutcome::Fenced => Err(RunError::Fenced { job: self.name() }),
            CommitOutcome::Unknown => Err(RunError::Unsettled { job: self.name() }),
        }
    }

    fn report(self, from: Option<S::Position>) -> Report<S::Position> {
        let through = self
            .steps
            .last()
            .map_or(self.head.version, |step| step.through);
        Report {
            from,
            through,
            steps: self.steps,
        }
    }

    fn name(&self) -> String {
        self.job.policy.key.to_string()
    }
}

enum Collapsed<P> {
    /// And the number of rows that were read.
    Net(NetChanges, u64),
    /// The commit at this version did not fit into memory any more.
    TooLarge(P),
}

async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn source_error<S, T, C>(job: &Job<S, T, C>, error: impl Failure) -> RunError {
    RunError::source(job.policy.key.to_string(), error)
}

fn target_error<S, T, C>(job: &Job<S, T, C>, error: impl Failure) -> RunError {
    RunError::target(job.policy.key.to_string(), error)
}
