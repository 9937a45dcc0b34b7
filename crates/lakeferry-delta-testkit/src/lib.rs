//! Delta tables for tests, written by the real writer (deltalake).
//!
//! Nothing here decides what a table ought to look like: every commit is one that a user's own
//! writer would make; what that one cannot do yet, [`MappedTable`] writes by hand. The writer's log cleanup is off, so that a log holds what a test wrote.

mod deletion_vector;
mod delta_table;
mod lineitem;
mod mapped_table;
pub mod runways;

pub use deletion_vector::inline_vector;
pub use delta_table::{DeltaTable, NewTable, OP_COLUMN};
pub use lineitem::{append_lineitem, lineitem, lineitem_columns};
pub use mapped_table::{Cells, Fate, How, MappedTable, Named};
