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
    /// The configuration is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        FailureClass::NeedsOperator
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { what, .. } => Some(format!(
                "check that the {what} exists, is UTF-8 text, and that this user may read it"
            )),
            Self::Wrong(_) => None,
        }
    }
}
