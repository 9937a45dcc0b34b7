//! Positions: totally ordered places in a source's history.

use std::fmt::{Debug, Display};

/// A place in a source's history. Later is greater; a position is reached once all changes up to
/// and including it are in the target.
///
/// Every position that exists (a Delta version, a Postgres LSN) is an unsigned 64-bit number, and
/// that number is what a target stores. Arithmetic is left out on purpose: positions need not be
/// dense, and the engine never guesses the next one.
pub trait Position:
    Copy + Debug + Display + Eq + Ord + std::hash::Hash + Send + Sync + 'static
{
    /// The number a target stores for this position.
    fn to_number(self) -> u64;
    /// The position that [`Position::to_number`] gave.
    fn from_number(number: u64) -> Self;
}

/// The version of a Delta table: the number of a commit in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaVersion(pub u64);

impl Display for DeltaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Position for DeltaVersion {
    fn to_number(self) -> u64 {
        self.0
    }
    fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// The position of histories that live in memory.
impl Position for u64 {
    fn to_number(self) -> u64 {
        self
    }
    fn from_number(number: u64) -> Self {
        number
    }
}
