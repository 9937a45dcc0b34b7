//! The contracts of both ports, as functions that any implementation runs.

pub mod source;
pub mod target;
