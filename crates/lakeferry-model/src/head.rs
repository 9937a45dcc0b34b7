//! The newest version of a source.

use arrow_schema::SchemaRef;

use crate::{Instant, TableId, Watermark, watermark::Digest};

/// The key in a column's Arrow metadata under which a source puts what stays of a column for its
/// life, where that is not its name. A column that was dropped and made again has another one.
pub const COLUMN_IDENTITY: &str = "lakeferry.column";

/// The key in a column's Arrow metadata under which a source puts its number, where it numbers them:
/// a column that is made has a greater number than any before it.
pub const COLUMN_NUMBER: &str = "lakeferry.column_number";

/// The key in the metadata of [`Head::columns`] under which such a source puts the greatest number
/// that it ever gave.
pub const COLUMNS_MADE: &str = "lakeferry.columns_made";

/// The key in a column's Arrow metadata under which a source says that the type of the column may get
/// wider while its rows stay as they are.
pub const WIDENS: &str = "lakeferry.widens";

/// The name of Arrow's extension type of texts that are JSON, variants for instance, at any depth of
/// a column.
pub const JSON: &str = "arrow.json";

/// The key in the metadata of [`Head::columns`] under which a source puts what the columns are that
/// only the filter reads: where they change, so may its verdicts on rows that did not.
pub const FILTER_COLUMNS: &str = "lakeferry.filter_columns";

/// The newest version of a source, as a LIST of its log shows it, and what a job sees there.
#[derive(Clone, Debug)]
pub struct Head<P> {
    pub table_id: TableId,
    pub version: P,
    /// Of the commit file of `version`; absent if that file is gone.
    pub digest: Option<Digest>,
    /// The job's columns after projection, in the order in which rows come, in plain Arrow types
    /// (no dictionaries, no views).
    pub columns: SchemaRef,
    /// Of all data files of `version`: for the choice between changes and refresh, and to show.
    pub size: Size,
}

/// How much there is to read, before any filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub files: u64,
    /// As stored.
    pub bytes: u64,
    /// Absent where the writer left no statistics.
    pub rows: Option<u64>,
}

impl<P: Copy> Head<P> {
    /// The watermark of a target that has this version, its filter evaluated at `instant`.
    pub fn watermark(&self, instant: Instant) -> Watermark<P> {
        Watermark {
            table_id: self.table_id.clone(),
            version: self.version,
            digest: self.digest,
            instant,
        }
    }
}
