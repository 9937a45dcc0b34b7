//! What an in-memory target refuses, and who must do what next.

use lakeferry_model::{Failure, FailureClass, MassDelete, TooManyBad};

/// What an in-memory target refuses.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("injected failure of {0}")]
    Injected(&'static str),
    #[error("the connection is lost")]
    Disconnected,
    #[error("the row with id {0:?} cannot be stored: its value has a NUL byte")]
    BadRow(Option<i64>),
    #[error("the key is null")]
    NullKey,
    #[error("key {0} is there twice")]
    DuplicateKey(i64),
    #[error("the lease is another session's")]
    Fenced,
    #[error("{0}")]
    Disagrees(String),
    #[error("{0}")]
    Misfit(String),
    #[error("it would delete {0}")]
    MassDelete(MassDelete),
    #[error("{0}")]
    TooManyBad(TooManyBad),
    #[error("{0}")]
    Misused(&'static str),
}

impl Failure for TargetError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Injected(_) | Self::Disconnected | Self::Fenced => FailureClass::Transient,
            Self::BadRow(_) => FailureClass::BadRow,
            Self::NullKey
            | Self::DuplicateKey(_)
            | Self::Disagrees(_)
            | Self::Misfit(_)
            | Self::MassDelete(_)
            | Self::TooManyBad(_) => FailureClass::NeedsOperator,
            Self::Misused(_) => FailureClass::Bug,
        }
    }
    fn hint(&self) -> Option<String> {
        None
    }
}
