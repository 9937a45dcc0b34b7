//! The change data feed of a stretch of commits that share one schema, through the kernel.
//!
//! No predicate is given to the kernel: a row may leave the filter in a file whose statistics say
//! that no row is in it, and what is read here is in proportion to the changes anyway.

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    cast::AsArray as _, new_null_array, types::Int64Type,
};
use arrow_schema::{DataType, Schema};
use arrow_select::filter::filter_record_batch;
use delta_kernel::{
    Engine,
    engine::arrow_data::EngineDataArrowExt as _,
    schema::{StructField, StructType},
    table_changes::TableChanges,
};
use lakeferry_model::{ChangeBatch, DeltaVersion, Sign};

use crate::{
    columns,
    error::{Error, Kind, Result, cause, failed, kind_of},
    reader::Wanted,
    shape::Shape,
    table::Table,
};

const CHANGE_TYPE: &str = "_change_type";
const COMMIT_VERSION: &str = "_commit_version";

/// A stretch of commits `first..=last` without new metadata after `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Where the columns of a shape are among the columns of an older schema.
enum Found {
    Here(usize),
    /// The column came later: its value was null.
    Absent(DataType),
}

/// Reads the feed of `stretch` and hands its changes to `give`, versions ascending, batches without
/// rows as well. Call it on a blocking thread.
pub(crate) fn read(
    table: &Table,
    engine: &Arc<dyn Engine>,
    shape: &Shape,
    stretch: Stretch,
    give: &impl Fn(ChangeBatch<DeltaVersion>) -> Wanted,
) -> Result<Wanted> {
    let name = table.name();
    let Stretch { first, last } = stretch;
    let doing = format!("read the change data feed of versions {first} to {last}");
    let trouble = |error: delta_kernel::Error| match kind_of(&error) {
        Kind::Missing => Error::Lost {
            table: name.to_owned(),
            what: format!("change files of versions {first} to {last} are no longer in storage"),
            source: Some(cause(error)),
        },
        _ => failed(name, &doing, error),
    };
    let root = table.location.url().clone();
    let changes =
        TableChanges::try_new(root, engine.as_ref(), first, Some(last)).map_err(trouble)?;
    let (fields, places) = asked(name, shape, changes.schema(), last)?;
    let schema = StructType::try_new(fields).map_err(trouble)?;
    let scan = changes
        .into_scan_builder()
        .with_schema(Arc::new(schema))
        .build()
        .map_err(trouble)?;
    for batch in scan.execute(engine.clone()).map_err(trouble)? {
        let batch = batch.and_then(|batch| batch.try_into_record_batch());
        let batch = batch.map_err(trouble)?;
        if give_signed(name, shape, &places, &batch, give)? == Wanted::NoMore {
            return Ok(Wanted::NoMore);
        }
    }
    Ok(Wanted::More)
}

/// The fields to ask the feed for, and where in them the columns of `shape` are. A column is the
/// one with the same physical name: renamed ones are found, re-added ones are not mistaken.
fn asked(
    table: &str,
    shape: &Shape,
    schema: &StructType,
    version: u64,
) -> Result<(Vec<StructField>, Vec<Found>)> {
    let mut fields = Vec::new();
    let mut places = Vec::new();
    for wanted in &shape.read {
        let physical = wanted.physical_name(shape.mapping);
        let found = schema
            .fields()
            .find(|field| field.physical_name(shape.mapping) == physical);
        match found {
            Some(found) if found.data_type() == wanted.data_type() => {
                places.push(Found::Here(fields.len()));
                fields.push(found.clone());
            }
            Some(found) => {
                return Err(Error::Lost {
                    table: table.to_owned(),
                    what: format!(
                        "column {} was {} at version {version} and is {} now",
                        wanted.name(),
                        found.data_type(),
                        wanted.data_type()
                    ),
                    source: None,
                });
            }
            None => places.push(Found::Absent(columns::plain(table, wanted)?)),
        }
    }
    for name in [CHANGE_TYPE, COMMIT_VERSION] {
        fields.push(columns::find(table, schema, name)?.clone());
    }
    Ok((fields, places))
}

/// Hands over the rows of `batch`, − and + apart; `batch` is of one file and so of one version.
fn give_signed(
    table: &str,
    shape: &Shape,
    places: &[Found],
    batch: &RecordBatch,
    give: &impl Fn(ChangeBatch<DeltaVersion>) -> Wanted,
) -> Result<Wanted> {
    if batch.num_rows() == 0 {
        return Ok(Wanted::More);
    }
    let (types, versions) = marks(table, batch)?;
    let version = versions.value(0);
    if versions.values().iter().any(|&other| other != version) {
        return Err(broken(
            table,
            "a batch of the feed has rows of several versions",
        ));
    }
    let version = DeltaVersion(version.cast_unsigned());
    let rows = in_shape(table, places, batch)?;
    for sign in [Sign::Minus, Sign::Plus] {
        let signed = of_sign(table, &types, sign)?;
        let rows = filter_record_batch(&rows, &signed)
            .map_err(|error| broken(table, &format!("rows cannot be parted: {error}")))?;
        let rows = shape.rows(&rows)?;
        let batch = ChangeBatch {
            version,
            sign,
            rows,
        };
        if give(batch) == Wanted::NoMore {
            return Ok(Wanted::NoMore);
        }
    }
    Ok(Wanted::More)
}

/// The columns that say what each row of the feed is.
fn marks(table: &str, batch: &RecordBatch) -> Result<(StringArray, Int64Array)> {
    let types = batch.column_by_name(CHANGE_TYPE);
    let versions = batch.column_by_name(COMMIT_VERSION);
    let types = types.and_then(|column| column.as_string_opt::<i32>());
    let versions = versions.and_then(|column| column.as_primitive_opt::<Int64Type>());
    types
        .cloned()
        .zip(versions.cloned())
        .ok_or_else(|| broken(table, "a batch of the feed lacks its marks"))
}

/// Which rows have `sign` (Delta protocol, "Change Data Files": the values of `_change_type`; some
/// writers shorten them).
fn of_sign(table: &str, types: &StringArray, sign: Sign) -> Result<BooleanArray> {
    types
        .iter()
        .map(|change| match change {
            Some("insert" | "update_postimage" | "update_post") => Ok(Some(sign == Sign::Plus)),
            Some("delete" | "update_preimage" | "update_pre") => Ok(Some(sign == Sign::Minus)),
            _ => Err(Error::Unreadable {
                table: table.to_owned(),
                what: format!("its feed has a change of kind {change:?}"),
                hint: "check the table with the engine that writes it",
                source: None,
            }),
        })
        .collect()
}

/// The columns of the shape, absent ones as nulls.
fn in_shape(table: &str, places: &[Found], batch: &RecordBatch) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns: Vec<ArrayRef> = places
        .iter()
        .map(|place| match place {
            Found::Here(index) => batch.column(*index).clone(),
            Found::Absent(data_type) => new_null_array(data_type, rows),
        })
        .collect();
    let fields = columns
        .iter()
        .map(|column| arrow_schema::Field::new("", column.data_type().clone(), true))
        .collect::<Vec<_>>();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| broken(table, &format!("rows cannot be put in order: {error}")))
}

fn broken(table: &str, what: &str) -> Error {
    Error::Broken {
        table: table.to_owned(),
        what: what.to_owned(),
        source: None,
    }
}
