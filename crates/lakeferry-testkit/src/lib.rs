//! Doubles of both ports, the contract that every implementation passes, and the oracle.
//!
//! The in-memory source and target are no friendlier than the real ones: they refuse whatever
//! Delta and Postgres refuse. Nothing here imports the engine or an adapter, so nothing here can
//! share a mistake with them.

pub mod contract;
mod faults;
mod history;
mod memory_source;
mod memory_target;
pub mod oracle;
mod row;
mod steps;

pub use faults::{Fault, Faults};
pub use history::{Generation, History, Kind, VersionedChange};
pub use memory_source::{MemoryPieces, MemorySource};
pub use memory_target::{MemoryLoader, MemoryServer, MemoryTarget, Values};
pub use row::{KEY, Layout, Row, STEP, WINDOW, batch, columns, is_hot, rows_of};
pub use steps::{StepClock, yield_step};
