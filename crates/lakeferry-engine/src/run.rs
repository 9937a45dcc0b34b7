//! One attempt to bring a job forward: look, decide, claim, then do what is to be done.
//!
//! The order of reads matters. The target's standing is always read before the source's head:
//! the other way round, a target that somebody moved in between would seem to be ahead of its
//! source, which is how a source that was taken back looks. Nothing is written before the claim,
//! and everything is decided anew under it.

use lakeferry_model::{
    Alteration, BadRowCounts, Claim, Clock, Commit, Epoch, Head, Instant, Reading, RowCounts,
    Session, Source, Stage, Standing, Target, Watermark,
};
use tracing::{Instrument, info_span};

use crate::{
    attempt::Attempt,
    error::RunError,
    job::{Job, Request},
    plan::{Plan, Why},
    unanswered::Unanswered,
};

/// What was done for a job, over one attempt or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<P> {
    /// The version that the target had at first; absent if it was not filled yet.
    pub from: Option<P>,
    /// The version that it has now, as far as is known; absent if it is not filled.
    pub through: Option<P>,
    /// What the target had when there was nothing left to do; absent if there was.
    pub watermark: Option<Watermark<P>>,
    /// Rows in quarantine then.
    pub quarantined: u64,
    /// Of the newest claim by anybody, at the first look.
    pub looked: Option<Epoch>,
    /// Of its own claim that was not given back.
    pub claimed: Option<Epoch>,
    /// Applies whose end is known, in order; none if there was nothing to do.
    pub steps: Vec<Step<P>>,
    /// The one whose COMMIT was not answered.
    pub(crate) unanswered: Option<Unanswered<P>>,
}

impl<P> Default for Report<P> {
    fn default() -> Self {
        Self {
            from: None,
            through: None,
            watermark: None,
            quarantined: 0,
            looked: None,
            claimed: None,
            steps: Vec::new(),
            unanswered: None,
        }
    }
}

impl<P> Report<P> {
    /// What was asked for beside a sync is done once; what is left of it is a sync.
    fn left_of(&self, request: Request) -> Request {
        let done = |step: &Step<P>| match &step.kind {
            StepKind::Rebuild(..) | StepKind::Resumed { .. } | StepKind::Retry => true,
            StepKind::Adopt
            | StepKind::Alter(_)
            | StepKind::Advance
            | StepKind::Changes(_)
            | StepKind::Moved { .. } => false,
        };
        match self.steps.iter().any(done) {
            true => Request::Sync,
            false => request,
        }
    }
}

/// One apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<P> {
    pub kind: StepKind,
    pub through: P,
    /// Rows that came from the source, before collapse.
    pub rows_read: u64,
    pub rows: RowCounts,
    pub bad: BadRowCounts,
    /// When it was known to have ended.
    pub at: Instant,
}

/// What kind of apply it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    Rebuild(Stage, Why),
    /// A fill that an earlier attempt had begun.
    Resumed {
        /// What was loaded already.
        pieces: u64,
        rows: u64,
    },
    /// Rows in quarantine were tried again.
    Retry,
    /// The table had all rows already.
    Adopt,
    /// The target's columns were brought in step with those of the source.
    Alter(Vec<Alteration>),
    Advance,
    Changes(Reading),
    /// The filter's instant moved, and with it the rows that time alone lets in or out.
    Moved {
        until: Instant,
    },
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
    let (standing, head) = look(job).await?;
    let mut attempt = Attempt::new(job, request, head);
    let plan = attempt.decide(&standing).await?;
    let Attempt {
        head,
        surveyed: commits,
        ..
    } = attempt;
    Ok(Preview {
        head,
        standing,
        plan,
        commits,
    })
}

/// Brings `job` to the head that it finds, by as many applies as that takes, and adds to `report`
/// what it did, also where it fails later.
///
/// # Errors
/// The first failure; what was applied before it stays.
pub async fn run<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
    report: &mut Report<S::Position>,
) -> Result<(), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let _timed = job.meter.run(&job.clock);
    Box::pin(attempt(job, request, report))
        .instrument(info_span!("run"))
        .await
}

async fn attempt<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
    report: &mut Report<S::Position>,
) -> Result<(), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let (standing, head) = look(job).await?;
    let version = standing.watermark().map(|watermark| watermark.version);
    report.looked.get_or_insert(standing.epoch);
    report.settle(&standing, false);
    if report.through.is_none() && report.steps.is_empty() {
        report.from = version;
    }
    report.through = version;
    refuse_paused(job, &standing)?;
    let request = report.left_of(request);
    match Attempt::new(job, request, head).decide(&standing).await? {
        Plan::UpToDate => {
            report.watermark = standing.watermark().cloned();
            report.quarantined = standing.quarantined;
            return Ok(());
        }
        Plan::Halt(_) => still_halted(job, request).await?,
        _ => {}
    }
    let mut session = match job.target.claim(&job.policy.holder).await {
        Ok(Claim::Granted(session)) => session,
        Ok(Claim::Held(holder)) => {
            return Err(RunError::Held {
                job: job.name(),
                holder,
            });
        }
        Err(error) => return Err(RunError::target(job.name(), error)),
    };
    report.claimed = Some(session.standing().epoch);
    report.settle(session.standing(), true);
    let request = report.left_of(request);
    let done = match refuse_paused(job, session.standing()) {
        Ok(()) => work(job, request, &mut session, report).await,
        paused => paused,
    };
    // The lease ends with the session in any case; giving it back only spares others a look.
    match session.release().await {
        Ok(()) => report.claimed = None,
        Err(error) => tracing::debug!(%error, "the lease was not given back"),
    }
    done
}

/// What is done under a claim. It may have waited, so the head is read once more, after the standing.
async fn work<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
    session: &mut T::Session,
    report: &mut Report<S::Position>,
) -> Result<(), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let head = job.source.head().await;
    let head = head.map_err(|error| RunError::source(job.name(), error))?;
    let mut attempt = Attempt::new(job, request, head);
    let done = attempt.work(session, report).await;
    report.unanswered = attempt.unanswered;
    done
}

fn refuse_paused<S, T, C>(
    job: &Job<S, T, C>,
    standing: &Standing<S::Position>,
) -> Result<(), RunError>
where
    S: Source,
{
    match &standing.paused {
        Some(pause) if !job.policy.ignores_pause => Err(RunError::Paused {
            job: job.name(),
            pause: pause.clone(),
        }),
        _ => Ok(()),
    }
}

/// A halt needs no claim, which would leave its traces; but what was looked at may have been moving.
/// So one look more, and an error if that finds the same.
async fn still_halted<S, T, C>(job: &Job<S, T, C>, request: Request) -> Result<(), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let (standing, head) = look(job).await?;
    match Attempt::new(job, request, head).decide(&standing).await? {
        Plan::Halt(halt) => Err(RunError::halted(job.name(), &halt)),
        _ => Ok(()),
    }
}

/// First the target, then the source: see above.
async fn look<S, T, C>(
    job: &Job<S, T, C>,
) -> Result<(Standing<S::Position>, Head<S::Position>), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
{
    let standing = job.target.inspect().await;
    let standing = standing.map_err(|error| RunError::target(job.name(), error))?;
    let head = job.source.head().await;
    let head = head.map_err(|error| RunError::source(job.name(), error))?;
    Ok((standing, head))
}
