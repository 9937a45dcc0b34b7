//! Delta tables as a source: snapshots and changes of a table, seen through a job's filter and
//! columns.
//!
//! [`DeltaSource`] implements [`lakeferry_model::Source`] for Delta versions. Rows are read by the
//! Delta kernel and filtered by DataFusion; neither shows in this crate's interface. Nothing here
//! writes.
//!
//! | file | what it knows |
//! |---|---|
//! | `location`, `log` | where a table is; which commits its log has, byte for byte |
//! | `commit`, `survey` | what a commit did to the rows |
//! | `table`, `head` | a version of a table and what a job sees there |
//! | `columns`, `names`, `filter` | the job's columns, what its target calls them, and its filter, resolved against a table |
//! | `shape`, `plain` | what is read for a job and how it becomes the job's rows |
//! | `variant` | variants as JSON text |
//! | `engine`, `parquet` | the kernel on our threads, its data files read by our rules |
//! | `data_file`, `part` | a data file as the log names it; which of its rows are wanted |
//! | `files`, `feed`, `reader` | data files and change feeds to batches, in bounded memory |
//! | `net`, `difference` | files that came and went to the rows that differ |
//! | `tracking` | the rows among them that were only copied, by their numbers |
//! | `listing` | which tables there are below a directory |
//! | `snapshot`, `changes`, `moved` | the streams that a source gives |
//! | `pieces` | a snapshot in parts, for a first fill |

mod changes;
mod check;
mod columns;
mod commit;
mod data_file;
mod difference;
mod engine;
mod error;
mod feed;
mod files;
mod filter;
mod head;
mod listing;
mod location;
mod log;
mod moved;
mod names;
mod net;
mod parquet;
mod part;
mod pieces;
mod plain;
mod reader;
mod retention;
mod shape;
mod snapshot;
mod source;
mod survey;
mod table;
mod tracking;
mod variant;

pub use check::Check;
pub use error::Error;
pub use listing::tables_below;
pub use pieces::DeltaPieces;
pub use reader::Batches;
pub use retention::Retention;
pub use source::{DeltaSource, Settings};
