//! The faults, in the order of the data, and the test that each must turn red.

use crate::sabotage::Fault;

pub(super) const FAULTS: &[Fault] = &[];
