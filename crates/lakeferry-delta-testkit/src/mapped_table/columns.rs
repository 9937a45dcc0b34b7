//! The columns of a mapped table, and their cells in files.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};

/// The column that has the row ids of rows that were copied or updated.
pub(super) const ROW_ID: &str = "_row-id-col-0";

/// The column that has the row commit versions of rows that were copied.
pub(super) const ROW_VERSION: &str = "_row-commit-version-col-0";

/// A row as a file has it: by the physical names of its columns, those that no reader sees among them.
pub(super) type Row = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) physical: String,
    pub(super) number: usize,
    /// As the schema of a table has it.
    pub(super) of: String,
}

impl Column {
    /// As the schema of a table has it.
    pub(super) fn field(&self) -> Value {
        json!({ "name": self.name, "type": self.of, "nullable": true, "metadata": {
            "delta.columnMapping.id": self.number,
            "delta.columnMapping.physicalName": self.physical,
        } })
    }

    fn array(&self, rows: &[Row]) -> anyhow::Result<ArrayRef> {
        let cells = rows.iter().map(|row| row.get(&self.physical));
        let cells: Vec<Option<&str>> = cells.map(|cell| cell.map(String::as_str)).collect();
        Ok(match self.of.as_str() {
            "byte" => Arc::new(Int8Array::from(parsed(&cells)?)),
            "short" => Arc::new(Int16Array::from(parsed(&cells)?)),
            "integer" => Arc::new(Int32Array::from(parsed(&cells)?)),
            "long" => Arc::new(Int64Array::from(parsed(&cells)?)),
            "float" => Arc::new(Float32Array::from(parsed(&cells)?)),
            "double" => Arc::new(Float64Array::from(parsed(&cells)?)),
            "boolean" => Arc::new(BooleanArray::from(parsed(&cells)?)),
            "string" => Arc::new(StringArray::from(cells)),
            // Microseconds since 1970.
            "timestamp" => {
                let times = TimestampMicrosecondArray::from(parsed(&cells)?);
                Arc::new(times.with_timezone("UTC"))
            }
            other => anyhow::bail!("no cells of type {other}"),
        })
    }
}

fn parsed<T: FromStr>(cells: &[Option<&str>]) -> Result<Vec<Option<T>>, T::Err> {
    cells
        .iter()
        .map(|cell| cell.map(str::parse).transpose())
        .collect()
}

/// The rows in these columns, and in each that they are a change of this kind where they are one.
pub(super) fn batch(
    columns: &[Column],
    rows: &[Row],
    change: Option<&str>,
) -> anyhow::Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for column in columns {
        let array = column.array(rows)?;
        fields.push(Field::new(
            &column.physical,
            array.data_type().clone(),
            true,
        ));
        arrays.push(array);
    }
    // Where no row has any they may be left out (Delta protocol, "Row Tracking").
    for name in [ROW_ID, ROW_VERSION] {
        let cells = rows.iter().map(|row| row.get(name).map(String::as_str));
        let cells: Vec<Option<&str>> = cells.collect();
        if change.is_none() && cells.iter().any(Option::is_some) {
            fields.push(Field::new(name, DataType::Int64, true));
            arrays.push(Arc::new(Int64Array::from(parsed(&cells)?)));
        }
    }
    if let Some(kind) = change {
        fields.push(Field::new("_change_type", DataType::Utf8, true));
        let kinds = StringArray::from_iter_values(rows.iter().map(|_| kind));
        arrays.push(Arc::new(kinds));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
