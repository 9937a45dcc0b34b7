//! The columns of a source, and which of them are synced.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

#[derive(Clone)]
pub(crate) struct Columns {
    all: SchemaRef,
    synced: SchemaRef,
    /// Of those that are synced among all; nothing if all are.
    places: Option<Vec<usize>>,
}

impl Columns {
    /// Those at `places` are synced, or all.
    ///
    /// # Errors
    /// A place is none of a column.
    pub(crate) fn new(all: SchemaRef, places: Option<Vec<usize>>) -> Result<Self, ArrowError> {
        let synced = match &places {
            None => Arc::clone(&all),
            Some(places) => Arc::new(all.project(places)?),
        };
        Ok(Self {
            all,
            synced,
            places,
        })
    }

    /// As the source has them.
    pub(crate) fn all(&self) -> &SchemaRef {
        &self.all
    }

    pub(crate) fn synced(&self) -> SchemaRef {
        Arc::clone(&self.synced)
    }

    /// What is synced of rows that have all columns.
    ///
    /// # Errors
    /// The rows have other columns.
    pub(crate) fn of(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match &self.places {
            None => Ok(rows),
            Some(places) => rows.project(places),
        }
    }
}
