//! Data files as the log names them.

use std::collections::BTreeMap;

use lakeferry_model::Sign;
use serde::{Deserialize, Serialize};

/// By physical name; a value of null is a null.
pub(crate) type PartitionValues = BTreeMap<String, Option<String>>;

/// A data file with its deletion vector: together they stand for some rows, always the same.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    /// As in the log: relative to the table or absolute, percent-encoded.
    pub(crate) path: String,
    /// In bytes; a removed file need not tell.
    pub(crate) size: Option<u64>,
    /// A removed file need not tell.
    pub(crate) partition_values: Option<PartitionValues>,
    pub(crate) deletion_vector: Option<DeletionVector>,
    /// A table without row tracking does not tell.
    pub(crate) fresh: Option<Fresh>,
}

/// What is true of the rows of a file as far as the file does not say otherwise (Delta protocol, "Row
/// Tracking").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    /// The id of the first row, deleted or not; each row after it has the next one.
    pub(crate) row_id: i64,
    /// The row commit version of all rows.
    pub(crate) version: i64,
}

/// A file that a commit added (+) or removed (−).
#[derive(Clone, Debug)]
pub(crate) struct SignedFile {
    pub(crate) sign: Sign,
    /// Whether rows came or went by it; else they were only put into other files.
    pub(crate) data_change: bool,
    pub(crate) file: DataFile,
}

/// What the log's replay tells logical files apart by (Delta protocol, "Action Reconciliation").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity<'a> {
    pub(crate) path: &'a str,
    /// Storage type, path or vector, offset.
    vector: Option<(&'a str, &'a str, Option<i32>)>,
}

/// Where a deletion vector is (Delta protocol, "Deletion Vector Descriptor Schema").
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletionVector {
    storage_type: String,
    path_or_inline_dv: String,
    #[serde(default)]
    offset: Option<i32>,
    size_in_bytes: i32,
    cardinality: i64,
}

impl DataFile {
    pub(crate) fn identity(&self) -> Identity<'_> {
        let vector = self.deletion_vector.as_ref();
        Identity {
            path: &self.path,
            vector: vector.map(|vector| {
                let storage = vector.storage_type.as_str();
                (storage, vector.path_or_inline_dv.as_str(), vector.offset)
            }),
        }
    }

    /// Whether enough is told to read it.
    pub(crate) fn is_told(&self, partitioned: bool) -> bool {
        self.size.is_some() && (self.partition_values.is_some() || !partitioned)
    }

    /// As a row of the kernel's scan metadata, in JSON.
    pub(crate) fn scan_row(&self) -> serde_json::Value {
        let values = self.partition_values.clone().unwrap_or_default();
        serde_json::json!({
            "path": self.path,
            "size": self.size.unwrap_or_default(),
            "modificationTime": 0,
            "deletionVector": self.deletion_vector,
            "fileConstantValues": { "partitionValues": values },
        })
    }
}
