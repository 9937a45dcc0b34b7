//! Batches of a file in the table's types, where the kernel cannot make them so.
//!
//! The kernel reads lists whose elements are structs or are of the table's very type. It fails on
//! a list whose elements must be cast (`INT96` and other timestamps of another unit, widened
//! numbers), and on lists of lists or of maps in which fields are missing or in another order. Of a
//! variant it reads only what is not shredded, and fails where one is null; whole numbers it does not
//! narrow. The
//! batches of such files are put into the table's schema here, as the kernel would.

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, ListArray, MapArray, RecordBatch, StructArray, cast::AsArray as _,
    new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType as ArrowType, Field, FieldRef, Fields, Schema};
use delta_kernel::{
    DeltaResult, Error,
    engine::{
        arrow_conversion::TryIntoArrow as _, arrow_data::ArrowEngineData,
        arrow_utils::fix_nested_null_masks,
    },
    parquet::arrow::{
        PARQUET_FIELD_ID_META_KEY, ProjectionMask, arrow_reader::ArrowReaderMetadata,
    },
    schema::{ColumnMetadataKey, DataType, MetadataValue, PrimitiveType, StructField, StructType},
};

use crate::variant;

/// What cannot be cast fails, where it would become null otherwise.
const EXACT: CastOptions<'_> = CastOptions {
    safe: false,
    format_options: arrow_cast::display::FormatOptions::new(),
};

/// Whether `wanted` has a part that the kernel cannot read from a file of `stored` columns.
pub(super) fn beyond_kernel(wanted: &StructType, stored: &Schema) -> bool {
    wanted.fields().all(|field| !field.is_metadata_column())
        && any_field(wanted, stored.fields(), fails)
}

fn any_field(
    wanted: &StructType,
    stored: &Fields,
    holds: impl Fn(&DataType, &ArrowType) -> bool,
) -> bool {
    wanted.fields().any(|field| {
        let place = place_of(field, stored);
        place.is_some_and(|place| holds(field.data_type(), stored[place].data_type()))
    })
}

/// All of the columns of a file that `wanted` is made of.
pub(super) fn columns(wanted: &StructType, footer: &ArrowReaderMetadata) -> ProjectionMask {
    let stored = footer.schema().fields();
    let places = wanted.fields().filter_map(|field| place_of(field, stored));
    ProjectionMask::roots(footer.parquet_schema(), places)
}

fn fails(wanted: &DataType, stored: &ArrowType) -> bool {
    match (wanted, stored) {
        (DataType::Variant(_), _) => true,
        (DataType::Primitive(wanted), stored) => is_wider(stored, wanted),
        (DataType::Array(wanted), ArrowType::List(element)) => {
            let (wanted, stored) = (wanted.element_type(), element.data_type());
            match wanted {
                DataType::Struct(_) => fails(wanted, stored),
                _ => differs(wanted, stored),
            }
        }
        (DataType::Struct(wanted), ArrowType::Struct(stored)) => any_field(wanted, stored, fails),
        (DataType::Map(wanted), ArrowType::Map(entry, _)) => {
            key_and_value(entry).is_some_and(|(key, value)| {
                fails(wanted.key_type(), key.data_type())
                    || fails(wanted.value_type(), value.data_type())
            })
        }
        _ => false,
    }
}

/// Whether whole numbers are stored in more bytes than their type has: Parquet has none of 8 or 16
/// bits, and not every writer says that it means these.
fn is_wider(stored: &ArrowType, wanted: &PrimitiveType) -> bool {
    let has = match wanted {
        PrimitiveType::Byte => 1,
        PrimitiveType::Short => 2,
        PrimitiveType::Integer => 4,
        _ => return false,
    };
    stored.is_signed_integer() && stored.primitive_width().is_some_and(|width| width > has)
}

/// Whether anything has to be done to what is `stored`.
fn differs(wanted: &DataType, stored: &ArrowType) -> bool {
    match (wanted, stored) {
        (DataType::Array(wanted), ArrowType::List(element)) => {
            differs(wanted.element_type(), element.data_type())
        }
        (DataType::Struct(wanted), ArrowType::Struct(stored)) => {
            let in_place = |(place, field): (usize, _)| place_of(field, stored) == Some(place);
            wanted.num_fields() != stored.len()
                || !wanted.fields().enumerate().all(in_place)
                || any_field(wanted, stored, differs)
        }
        (DataType::Map(wanted), ArrowType::Map(entry, _)) => {
            key_and_value(entry).is_none_or(|(key, value)| {
                differs(wanted.key_type(), key.data_type())
                    || differs(wanted.value_type(), value.data_type())
            })
        }
        _ => arrow(wanted).map_or(true, |wanted| wanted != *stored),
    }
}

/// `batch`, whose columns and fields are those of the file, in those of `wanted`.
pub(super) fn in_schema(batch: &RecordBatch, wanted: &StructType) -> DeltaResult<ArrowEngineData> {
    let batch = structs(&StructArray::from(batch.clone()), wanted)?;
    Ok(fix_nested_null_masks(batch).into())
}

fn structs(stored: &StructArray, wanted: &StructType) -> DeltaResult<StructArray> {
    let column = |field: &StructField| {
        let column = match place_of(field, stored.fields()) {
            Some(place) => array(stored.column(place), field.data_type())?,
            None if field.is_nullable() => new_null_array(&arrow(field.data_type())?, stored.len()),
            None => {
                let what = format!("field {} is not in the file", field.name());
                return Err(ArrowError::SchemaError(what).into());
            }
        };
        Ok((nullable(field.name(), &column), column))
    };
    let columns = wanted
        .fields()
        .map(column)
        .collect::<DeltaResult<Vec<_>>>()?;
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let (rows, nulls) = (stored.len(), stored.nulls().cloned());
    let made = StructArray::try_new_with_length(fields.into(), columns, nulls, rows)?;
    Ok(made)
}

fn array(stored: &ArrayRef, wanted: &DataType) -> DeltaResult<ArrayRef> {
    Ok(match (wanted, stored.data_type()) {
        (DataType::Array(wanted), ArrowType::List(_)) => {
            let lists: &ListArray = stored.as_list();
            let elements = array(lists.values(), wanted.element_type())?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            let field = nullable("element", &elements);
            Arc::new(ListArray::try_new(field, offsets, elements, nulls)?)
        }
        (DataType::Variant(_), ArrowType::Struct(_)) => {
            Arc::new(variant::carried(stored.as_struct())?)
        }
        (DataType::Struct(wanted), ArrowType::Struct(_)) => {
            Arc::new(structs(stored.as_struct(), wanted)?)
        }
        (DataType::Map(wanted), ArrowType::Map(..)) => {
            let maps = stored.as_map();
            let keys = array(maps.keys(), wanted.key_type())?;
            let values = array(maps.values(), wanted.value_type())?;
            let key = Field::new("key", keys.data_type().clone(), false);
            let fields = [Arc::new(key), nullable("value", &values)];
            let entries =
                StructArray::try_new(Fields::from_iter(fields), vec![keys, values], None)?;
            let field = Field::new("key_value", entries.data_type().clone(), false);
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            Arc::new(MapArray::try_new(
                field.into(),
                offsets,
                entries,
                nulls,
                false,
            )?)
        }
        _ => cast_with_options(stored, &arrow(wanted)?, &EXACT)?,
    })
}

fn nullable(name: &str, values: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(name, values.data_type().clone(), true))
}

fn arrow(wanted: &DataType) -> Result<ArrowType, Error> {
    let wanted: ArrowType = wanted.try_into_arrow()?;
    Ok(wanted)
}

fn key_and_value(entry: &FieldRef) -> Option<(&FieldRef, &FieldRef)> {
    match entry.data_type() {
        ArrowType::Struct(fields) => Some((fields.first()?, fields.get(1)?)),
        _ => None,
    }
}

/// Where `wanted` is among `stored`: the field of its id, else that of its name.
fn place_of(wanted: &StructField, stored: &Fields) -> Option<usize> {
    let id_of = |field: &FieldRef| {
        let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
        id.parse::<i64>().ok()
    };
    let id = match wanted.get_config_value(&ColumnMetadataKey::ParquetFieldId) {
        Some(MetadataValue::Number(id)) => Some(*id),
        _ => None,
    };
    let by_id = id.and_then(|id| stored.iter().position(|field| id_of(field) == Some(id)));
    by_id.or_else(|| {
        stored
            .iter()
            .position(|field| field.name() == wanted.name())
    })
}
