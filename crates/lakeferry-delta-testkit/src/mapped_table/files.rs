//! The data files of a mapped table, and what the log says of them.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::columns::Row;
use crate::inline_vector;

/// A data file, and which of its rows a deletion vector takes away.
#[derive(Clone, Debug)]
pub(super) struct DataFile {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) deleted: BTreeSet<u16>,
}

impl DataFile {
    /// Its rows, and where in it they are.
    pub(super) fn live(&self) -> impl Iterator<Item = (u16, &Row)> {
        let rows = (0..).zip(self.rows.iter());
        rows.filter(|(place, _)| !self.deleted.contains(place))
    }

    /// Whether it is that file, with the same rows.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.path == other.path && self.deleted == other.deleted
    }

    pub(super) fn add(&self, data_change: bool) -> Value {
        let add = json!({
            "path": self.path, "partitionValues": {}, "size": self.size, "modificationTime": 0,
            "dataChange": data_change,
        });
        json!({ "add": self.with_vector(add) })
    }

    pub(super) fn remove(&self, data_change: bool) -> Value {
        let remove = json!({
            "path": self.path, "deletionTimestamp": 0, "dataChange": data_change,
            "extendedFileMetadata": true, "partitionValues": {}, "size": self.size,
        });
        json!({ "remove": self.with_vector(remove) })
    }

    fn with_vector(&self, mut action: Value) -> Value {
        if !self.deleted.is_empty() {
            let rows: Vec<u16> = self.deleted.iter().copied().collect();
            action["deletionVector"] = inline_vector(&rows);
        }
        action
    }
}
