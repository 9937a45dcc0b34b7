//! Why a run failed.

use lakeferry_model::{Differences, Failure, FailureClass, Holder, Pause};

use crate::{
    collapse::{CollapseError, spill::advice},
    plan::Halt,
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a run did not bring its job to the head.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("job {job}: cannot read its source")]
    Source {
        job: String,
        class: FailureClass,
        hint: Option<String>,
        source: Cause,
    },
    #[error("job {job}: cannot write its target")]
    Target {
        job: String,
        class: FailureClass,
        hint: Option<String>,
        source: Cause,
    },
    /// Somebody else is at it; the next attempt finds what they left.
    #[error("job {job}: {holder} is working on it")]
    Held { job: String, holder: Holder },
    /// Somebody wants it left alone.
    #[error("job {job}: {pause}")]
    Paused { job: String, pause: Pause },
    /// Somebody else moved the job; nothing was changed.
    #[error("job {job}: another run moved it, so this one wrote nothing")]
    Fenced { job: String },
    /// The next attempt finds out.
    #[error("job {job}: the connection broke before the answer to COMMIT came")]
    Unsettled { job: String },
    /// Only an operator can decide.
    #[error("job {job}: {reason}")]
    Halted {
        job: String,
        reason: String,
        hint: String,
    },
    /// The table to adopt does not have the rows of the source at `version`.
    #[error(
        "job {job}: its target table is not the source at version {version}: of the source's rows \
         {} are missing and {} differ, and {} more are there; nothing was changed",
        differences.missing.count, differences.unlike.count, differences.surplus.count
    )]
    Differs {
        job: String,
        version: u64,
        differences: Box<Differences>,
    },
    #[error("job {job}: {reason}")]
    Bug { job: String, reason: String },
}

impl RunError {
    pub(crate) fn source(job: String, error: impl Failure) -> Self {
        Self::Source {
            job,
            class: error.class(),
            hint: error.hint(),
            source: Box::new(error),
        }
    }

    pub(crate) fn bug(job: String, reason: String) -> Self {
        Self::Bug { job, reason }
    }

    /// The next attempt sees the columns that there are now.
    pub(crate) fn columns_moved(job: String) -> Self {
        Self::Source {
            job,
            class: FailureClass::Transient,
            hint: None,
            source: "it got other columns while it was read".into(),
        }
    }

    pub(crate) fn target(job: String, error: impl Failure) -> Self {
        Self::Target {
            job,
            class: error.class(),
            hint: error.hint(),
            source: Box::new(error),
        }
    }

    pub(crate) fn halted(job: String, halt: &Halt) -> Self {
        Self::Halted {
            reason: halt.reason(),
            hint: halt.hint(&job),
            job,
        }
    }

    pub(crate) fn collapse(job: String, error: &CollapseError) -> Self {
        let reason = format!("its source's changes cannot be applied: {error}");
        let hint = match error {
            CollapseError::DuplicateKey { .. } => {
                "choose a key that is unique in the source (under the job's filter), or one row of \
                 each by dedupe_by: COLUMN, or mend the source"
            }
            CollapseError::NullKey { .. } => {
                "choose a key that is set in the source (under the job's filter), or keep such rows \
                 aside by on_null_key: quarantine, or mend the source"
            }
            CollapseError::OtherColumns => return Self::columns_moved(job),
            CollapseError::NoKeyColumn(_) => "add the key to columns:",
            CollapseError::NoRankColumn(_) => "add it to columns:, or choose another one",
            CollapseError::Disk(error) => {
                return Self::Halted {
                    job,
                    reason,
                    hint: advice(error),
                };
            }
            CollapseError::Contradiction
            | CollapseError::Disordered { .. }
            | CollapseError::Arrow(_) => {
                return Self::bug(job, reason);
            }
        };
        Self::Halted {
            job,
            reason,
            hint: hint.to_owned(),
        }
    }
}

impl Failure for RunError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Source { class, .. } | Self::Target { class, .. } => *class,
            Self::Held { .. } | Self::Fenced { .. } | Self::Unsettled { .. } => {
                FailureClass::Transient
            }
            Self::Paused { .. } | Self::Halted { .. } | Self::Differs { .. } => {
                FailureClass::NeedsOperator
            }
            Self::Bug { .. } => FailureClass::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source { hint, .. } | Self::Target { hint, .. } => hint.clone(),
            Self::Held { .. } => Some("wait for it to end, or stop it".to_owned()),
            Self::Paused { job, .. } => Some(format!("let it run again: lakeferry resume {job}")),
            Self::Fenced { .. } | Self::Unsettled { .. } => None,
            Self::Halted { hint, .. } => Some(hint.clone()),
            Self::Differs { job, .. } => Some(format!(
                "mend these rows and adopt again; or empty the table, whose indexes, views and \
                 grants stay, and fill it with: lakeferry sync {job}"
            )),
            Self::Bug { .. } => Some("please report this".to_owned()),
        }
    }
}
