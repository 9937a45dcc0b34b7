//! Tries a job until it is at the head, must wait for an operator, or failed too often.

use lakeferry_model::{Clock, Failure, Source, Target};

use crate::{
    error::RunError,
    job::{Job, Request},
    job_state::{Event, JobState},
    run::{Report, Step, StepKind, run},
};

/// Brings `job` to the head, backing off between attempts as its policy says, and tells what all
/// of them did.
///
/// # Errors
/// The error of the last attempt; what was applied before it stays.
pub async fn drive<S, T, C>(
    job: &Job<S, T, C>,
    request: Request,
    report: &mut Report<S::Position>,
) -> Result<(), RunError>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    let retry = &job.policy.retry;
    let mut state = JobState::Idle.after(Event::Due, retry);
    loop {
        // A rebuild that was asked for is done once.
        let rebuilt = |step: &Step<_>| matches!(step.kind, StepKind::Rebuild(..));
        let request = match report.steps.iter().any(rebuilt) {
            true => Request::Sync,
            false => request,
        };
        let Err(error) = run(job, request, report).await else {
            return Ok(());
        };
        state = state.after(Event::Failed(error.class()), retry);
        let JobState::BackingOff { attempt, wait } = state else {
            return Err(error);
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, attempt, ?wait, "trying again");
        job.clock.sleep(wait).await;
        state = state.after(Event::Due, retry);
    }
}
