//! The data files of a mapped table, and what the log says of them.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};

use super::columns::{ROW_ID, ROW_VERSION, Row};
use crate::inline_vector;

/// A data file, and which of its rows a deletion vector takes away.
#[derive(Clone, Debug)]
pub(super) struct DataFile {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) deleted: BTreeSet<u16>,
    /// What row tracking gave it; once it has, for ever, in every version that has this file.
    pub(super) fresh: Arc<OnceLock<Fresh>>,
}

/// Delta protocol, "Row Tracking": the id of a file's first row, and the version of its commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) base: i64,
    pub(super) version: u64,
}

impl DataFile {
    /// Its rows, and where in it they are.
    pub(super) fn live(&self) -> impl Iterator<Item = (u16, &Row)> {
        let rows = (0..).zip(self.rows.iter());
        rows.filter(|(place, _)| !self.deleted.contains(place))
    }

    /// A row of its as a copy has it: with its stable id and row commit version, if it has any.
    pub(super) fn copied(&self, place: u16, row: &Row) -> Row {
        let mut row = row.clone();
        if let Some(fresh) = self.fresh.get() {
            let id = fresh.base + i64::from(place);
            row.entry(ROW_ID.to_owned()).or_insert(id.to_string());
            row.entry(ROW_VERSION.to_owned())
                .or_insert(fresh.version.to_string());
        }
        row
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
        json!({ "add": self.told(add) })
    }

    pub(super) fn remove(&self, data_change: bool) -> Value {
        let remove = json!({
            "path": self.path, "deletionTimestamp": 0, "dataChange": data_change,
            "extendedFileMetadata": true, "partitionValues": {}, "size": self.size,
        });
        json!({ "remove": self.told(remove) })
    }

    fn told(&self, mut action: Value) -> Value {
        if let Some(fresh) = self.fresh.get() {
            action["baseRowId"] = fresh.base.into();
            action["defaultRowCommitVersion"] = fresh.version.into();
        }
        if !self.deleted.is_empty() {
            let rows: Vec<u16> = self.deleted.iter().copied().collect();
            action["deletionVector"] = inline_vector(&rows);
        }
        action
    }
}
