//! Faults: queued per operation, consumed one a call.

use std::collections::{HashMap, VecDeque};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; nothing of it happened.
    Fail,
    /// Of a COMMIT: it happened, but the answer never came.
    LoseAnswer,
    /// Of a COMMIT: it did not happen, and no answer came either.
    LoseRequest,
}

/// The faults that wait for their operation.
#[derive(Debug, Default)]
pub struct Faults(HashMap<&'static str, VecDeque<Fault>>);

impl Faults {
    /// Lets the next call of `operation` that has no fault yet meet `fault`.
    pub fn queue(&mut self, operation: &'static str, fault: Fault) {
        self.0.entry(operation).or_default().push_back(fault);
    }

    /// The fault that this call of `operation` meets.
    pub(crate) fn take(&mut self, operation: &'static str) -> Option<Fault> {
        self.0.get_mut(operation)?.pop_front()
    }
}
