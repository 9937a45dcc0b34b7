//! Failures, classed by who must do what next.

use std::error::Error;

/// What has to happen after a failure. The engine branches on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The world may be better in a moment: back off, then go on from the watermark.
    Transient,
    /// Something that is not ours has to come first, such as the rows of another table: a few more
    /// tries, then the job halts.
    Unready,
    /// The target cannot hold a value of one row.
    BadRow,
    /// Trying again cannot help: the job halts, with the error as reason and its hint.
    NeedsOperator,
    /// An assumption of ours does not hold: the job halts and the error is to be reported.
    Bug,
}

/// An error of a port. `Display` says what happened and names the object; it never repeats its
/// source.
pub trait Failure: Error + Send + Sync + 'static {
    /// Who must do what next.
    fn class(&self) -> FailureClass;
    /// What to do about it, for the operator.
    fn hint(&self) -> Option<String>;
    /// Whether what was to be read is gone for good though its log still told of it: change files
    /// or data files that were cleaned away. Changes that are gone are made up for by a refresh.
    fn is_gone(&self) -> bool {
        false
    }
}
