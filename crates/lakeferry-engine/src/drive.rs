//! Tries a job until it is at the head, must wait for an operator, or failed too often.

use lakeferry_model::{Clock, Failure, Source, Target};

use crate::{
    error::RunError,
    job::{Job, Request},
    job_state::{Event, JobState},
    run::{Report, run},
};

/// Brings `job` to the head, backing off between attempts as its policy says, and tells what all
/// of them did.
///
/// # Errors
/// The error of the last attempt; what was applied before it stays. [`RunError::Held`] at once: how
/// long the other one takes is nothing to guess at.
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
        let error = match run(job, request, report).await {
            Ok(()) => return Ok(()),
            Err(held @ RunError::Held { .. }) => return Err(held),
            Err(error) => error,
        };
        state = state.after(Event::Failed(error.class()), retry);
        let JobState::BackingOff { attempt, wait } = state else {
            return Err(error);
        };
        tracing::warn!(
            error = told(&error),
            hint = error.hint(),
            attempt,
            ?wait,
            "trying again"
        );
        job.clock.sleep(wait).await;
        state = state.after(Event::Due, retry);
    }
}

/// An error with what lies beneath it, for errors say nothing of their causes.
fn told(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let mut told: Vec<String> = all.map(ToString::to_string).collect();
    told.dedup();
    told.join(": ")
}
