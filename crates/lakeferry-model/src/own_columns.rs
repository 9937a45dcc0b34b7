//! Columns that a target writes by itself, beside those of the source.
//!
//! They say when a row came to be as it is, so they take no part in whether rows are equal: a row
//! whose other columns are equal is not written for their sake.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

/// The version of the watermark with which the row came to be as it is: that of its commit, or a
/// later one where several came at once.
pub const COMMIT_VERSION: &str = "_commit_version";

/// When the transaction that wrote the row began, by the server's clock.
pub const SYNCED_AT: &str = "_synced_at";

/// The same of the transaction that would have deleted the row, which stays; NULL in a live row.
pub const DELETED_AT: &str = "_deleted_at";

/// Which of them a job has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnColumns {
    pub commit_version: bool,
    pub synced_at: bool,
    /// Whether rows stay when they are deleted. All that counts rows counts those that live; to an
    /// insert, a key whose row does not is not there.
    pub deleted_at: bool,
}

impl OwnColumns {
    /// Their names and types, in one order.
    pub fn fields(self) -> Vec<FieldRef> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let all = [
            (self.commit_version, COMMIT_VERSION, DataType::Int64),
            (self.synced_at, SYNCED_AT, time.clone()),
            (self.deleted_at, DELETED_AT, time),
        ];
        let wanted = all.into_iter().filter(|(is_wanted, ..)| *is_wanted);
        wanted
            .map(|(_, name, of)| Arc::new(Field::new(name, of, true)))
            .collect()
    }

    /// Whether one of them is called so.
    pub fn has(self, name: &str) -> bool {
        self.fields().iter().any(|field| field.name() == name)
    }
}
