//! What follows an attempt: the state of a job, moved by events, decided purely.
//!
//! | from | event | to |
//! |---|---|---|
//! | idle, gave up | due | running, attempt 1 |
//! | backing off | due | running, next attempt |
//! | running | succeeded | idle |
//! | halted | looked at again | running, attempt 1 |
//! | running | failed, transient, attempts left | backing off |
//! | running | failed, transient, none left | gave up |
//! | running | failed, unready, attempts left | backing off |
//! | running | failed, unready, none left | halted |
//! | running | failed otherwise | halted |
//!
//! All other events leave the state as it is. The state lives in memory: after a restart a job is
//! idle, and what it finds in the target tells how far it had come. What a halted job waits for is
//! mended by somebody else: so it is looked at again now and then, and halts again or goes on.

use std::time::Duration;

use lakeferry_model::FailureClass;

use crate::job::Retry;

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Nothing, until it is due. Set at the start and by a success.
    Idle,
    /// An attempt. Set when the job is due.
    Running { attempt: u32 },
    /// Waits before the next attempt. Set by a transient failure.
    BackingOff { attempt: u32, wait: Duration },
    /// Has failed too often in a row; tries again when it is due. Set by the last failure.
    GaveUp,
    /// Waits for an operator. Set by a failure that trying again cannot help.
    Halted,
}

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Due,
    /// A halted job is tried again.
    LookedAt,
    Succeeded,
    Failed(FailureClass),
}

impl JobState {
    /// The state after `event`.
    #[must_use]
    pub fn after(self, event: Event, retry: &Retry) -> Self {
        match (self, event) {
            (Self::Idle | Self::GaveUp, Event::Due) => Self::Running { attempt: 1 },
            (Self::Halted, Event::LookedAt) => Self::Running { attempt: 1 },
            (Self::BackingOff { attempt, .. }, Event::Due) => Self::Running {
                attempt: attempt.saturating_add(1),
            },
            (Self::Running { .. }, Event::Succeeded) => Self::Idle,
            (Self::Running { attempt }, Event::Failed(class))
                if retry.tries_again(class, attempt) =>
            {
                Self::BackingOff {
                    attempt,
                    wait: retry.wait(attempt),
                }
            }
            (Self::Running { .. }, Event::Failed(FailureClass::Transient)) => Self::GaveUp,
            (Self::Running { .. }, Event::Failed(_)) => Self::Halted,
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        attempts: 3,
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(3),
        gives_up: true,
    };

    #[test]
    fn transient_failures_back_off_and_give_up() {
        let failed = Event::Failed(FailureClass::Transient);
        let mut seen = Vec::new();
        let mut state = JobState::Idle;
        while state != JobState::GaveUp {
            state = state.after(Event::Due, &RETRY).after(failed, &RETRY);
            seen.push(state);
        }
        let backing = |attempt, secs| JobState::BackingOff {
            attempt,
            wait: Duration::from_secs(secs),
        };
        assert_eq!(seen, [backing(1, 1), backing(2, 2), JobState::GaveUp]);
        assert_eq!(
            state.after(Event::Due, &RETRY),
            JobState::Running { attempt: 1 }
        );
    }

    #[test]
    fn who_never_gives_up_backs_off_for_ever() {
        let retry = Retry {
            gives_up: false,
            ..RETRY
        };
        let failed = Event::Failed(FailureClass::Transient);
        let mut state = JobState::Idle;
        for _ in 0..100 {
            state = state.after(Event::Due, &retry).after(failed, &retry);
            assert!(matches!(state, JobState::BackingOff { .. }), "{state:?}");
        }
        let unready = Event::Failed(FailureClass::Unready);
        state = state.after(Event::Due, &retry).after(unready, &retry);
        assert_eq!(state, JobState::Halted);
    }

    #[test]
    fn what_has_to_come_first_is_waited_for_and_then_halts() {
        let failed = Event::Failed(FailureClass::Unready);
        let mut state = JobState::Idle;
        for _ in 1..RETRY.attempts {
            state = state.after(Event::Due, &RETRY).after(failed, &RETRY);
            assert!(matches!(state, JobState::BackingOff { .. }), "{state:?}");
        }
        state = state.after(Event::Due, &RETRY).after(failed, &RETRY);
        assert_eq!(state, JobState::Halted);
    }

    #[test]
    fn other_failures_halt_until_an_operator_acts() {
        for class in [
            FailureClass::BadRow,
            FailureClass::NeedsOperator,
            FailureClass::Bug,
        ] {
            let halted = JobState::Running { attempt: 1 }.after(Event::Failed(class), &RETRY);
            assert_eq!(halted, JobState::Halted);
            assert_eq!(halted.after(Event::Due, &RETRY), JobState::Halted);
            let again = halted.after(Event::LookedAt, &RETRY);
            assert_eq!(again, JobState::Running { attempt: 1 });
        }
        let done = JobState::Running { attempt: 2 }.after(Event::Succeeded, &RETRY);
        assert_eq!(done, JobState::Idle);
    }

    #[test]
    fn waits_have_a_ceiling() {
        assert_eq!(RETRY.wait(1), Duration::from_secs(1));
        assert_eq!(RETRY.wait(60), Duration::from_secs(3));
    }
}
