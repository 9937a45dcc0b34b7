//! Data files as the log names them.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// By physical name; a value of null is a null.
pub(crate) type PartitionValues = BTreeMap<String, Option<String>>;

/// A data file with its deletion vector: together they stand for some rows, always the same.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    /// As in the log: relative to the table or absolute, percent-encoded.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) partition_values: PartitionValues,
    pub(crate) deletion_vector: Option<DeletionVector>,
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
    /// What the log's replay tells logical files apart by (Delta protocol, "Action Reconciliation").
    pub(crate) fn identity(&self) -> (&str, Option<(&str, &str, Option<i32>)>) {
        let vector = self.deletion_vector.as_ref().map(|vector| {
            (
                vector.storage_type.as_str(),
                vector.path_or_inline_dv.as_str(),
                vector.offset,
            )
        });
        (&self.path, vector)
    }

    /// As a row of the kernel's scan metadata, in JSON.
    pub(crate) fn scan_row(&self) -> serde_json::Value {
        serde_json::json!({
            "path": self.path,
            "size": self.size,
            "modificationTime": 0,
            "deletionVector": self.deletion_vector,
            "fileConstantValues": { "partitionValues": self.partition_values },
        })
    }
}

impl PartialEq for DataFile {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for DataFile {}

impl PartialOrd for DataFile {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DataFile {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}
