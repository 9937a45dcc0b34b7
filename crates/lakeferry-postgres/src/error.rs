//! What can go wrong in Postgres, by who must do what next.

use std::{error::Error as StdError, fmt};

use lakeferry_model::{Failure, FailureClass};

/// The one error of this crate. The variants are remedies; a [`Report`] says what happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world may be better in a moment: connect again and go on from the watermark.
    #[error(transparent)]
    Transient(Report),
    /// Something that is not ours has to come first, such as the rows of another table.
    #[error(transparent)]
    Unready(Report),
    /// Postgres cannot hold a value of one row.
    #[error(transparent)]
    BadRow(Report),
    /// Somebody has to change a setting, a grant, the table or the source.
    #[error(transparent)]
    NeedsOperator(Report),
    /// An assumption of ours does not hold.
    #[error(transparent)]
    Bug(Report),
}

impl Error {
    pub(crate) fn transient(what: impl Into<String>) -> Self {
        Self::Transient(Report::new(what))
    }

    pub(crate) fn unready(what: impl Into<String>) -> Self {
        Self::Unready(Report::new(what))
    }

    pub(crate) fn bad_row(what: impl Into<String>) -> Self {
        Self::BadRow(Report::new(what))
    }

    pub(crate) fn needs_operator(what: impl Into<String>) -> Self {
        Self::NeedsOperator(Report::new(what))
    }

    pub(crate) fn bug(what: impl Into<String>) -> Self {
        Self::Bug(Report::new(what))
    }

    /// Whether no connection came about: the server cannot be reached, or refuses user, password
    /// or database.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.report().is_connecting
    }

    /// Says why there is no password to connect with. The cause says whether trying again may
    /// help.
    #[must_use]
    pub fn no_password(what: impl Into<String>, cause: impl Failure) -> Self {
        let (class, hint) = (cause.class(), cause.hint());
        let error = match class {
            FailureClass::Transient => Self::transient(what),
            _ => Self::needs_operator(what),
        };
        let error = error.caused_by(cause);
        match hint {
            Some(hint) => error.advise(hint),
            None => error,
        }
    }

    pub(crate) fn while_connecting(mut self) -> Self {
        self.report_mut().is_connecting = true;
        self
    }

    /// Says what was under way.
    pub(crate) fn within(mut self, doing: &str) -> Self {
        let report = self.report_mut();
        report.what = format!("{doing}: {}", report.what);
        self
    }

    /// The same, for somebody to act on.
    pub(crate) fn for_operator(self) -> Self {
        match self {
            Self::Transient(report)
            | Self::Unready(report)
            | Self::BadRow(report)
            | Self::NeedsOperator(report)
            | Self::Bug(report) => Self::NeedsOperator(report),
        }
    }

    /// Adds what to do about it.
    pub(crate) fn advise(mut self, hint: impl Into<String>) -> Self {
        self.report_mut().hint = Some(hint.into());
        self
    }

    /// Adds what lies beneath it.
    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.report_mut().source = Some(Box::new(source));
        self
    }

    fn report(&self) -> &Report {
        match self {
            Self::Transient(report)
            | Self::Unready(report)
            | Self::BadRow(report)
            | Self::NeedsOperator(report)
            | Self::Bug(report) => report,
        }
    }

    fn report_mut(&mut self) -> &mut Report {
        match self {
            Self::Transient(report)
            | Self::Unready(report)
            | Self::BadRow(report)
            | Self::NeedsOperator(report)
            | Self::Bug(report) => report,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Transient(_) => FailureClass::Transient,
            Self::Unready(_) => FailureClass::Unready,
            Self::BadRow(_) => FailureClass::BadRow,
            Self::NeedsOperator(_) => FailureClass::NeedsOperator,
            Self::Bug(_) => FailureClass::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        self.report().hint.clone()
    }
}

/// What happened, to which object, and what to do about it. Never holds a row's values or a
/// password.
#[derive(Debug)]
pub struct Report {
    what: String,
    hint: Option<String>,
    is_connecting: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Report {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            is_connecting: false,
            source: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Report {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
