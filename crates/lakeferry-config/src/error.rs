//! The one error of this crate.

use std::{io, path::PathBuf};

use lakeferry_model::{Failure, FailureClass};

use crate::Problems;

/// Why there are no checked settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment is wrong: a file that is needed cannot be read as UTF-8 text.
    #[error("cannot read the {what} {}", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The command that prints a password did not.
    #[error("the password command {command} failed: {why}")]
    Command {
        command: String,
        why: String,
        /// Whether it ran, so that another try may do.
        has_run: bool,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Command { has_run: true, .. } => FailureClass::Transient,
            _ => FailureClass::NeedsOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { what, .. } => Some(format!(
                "check that the {what} exists, is UTF-8 text, and that this user may read it"
            )),
            Self::Command { .. } => Some(
                "run it by hand as this user; it must print the password to stdout and end with \
                 exit code 0"
                    .to_owned(),
            ),
            Self::Wrong(_) => None,
        }
    }
}
