//! Arrays as the kernel gives them, in the plain types that were promised. Values and offsets are
//! shared; what changes are the names and nullability of parts, and layouts that mean the same.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, ListArray, MapArray, StructArray, cast::AsArray as _};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use crate::variant;

/// `array` as `promised`.
///
/// # Errors
/// An Arrow error if it holds other values than those.
pub(crate) fn of(array: &ArrayRef, promised: &DataType) -> Result<ArrayRef, ArrowError> {
    let found = array.data_type();
    if found == promised {
        return Ok(array.clone());
    }
    Ok(match (found, promised) {
        // Nothing else with parts is promised as text.
        (DataType::Struct(_), DataType::Utf8) => Arc::new(variant::texts(array.as_struct())?),
        (DataType::List(_), DataType::List(element)) => Arc::new(list(array.as_list(), element)?),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            Arc::new(structs(array.as_struct(), fields)?)
        }
        (DataType::Map(..), DataType::Map(entry, _)) => Arc::new(map(array.as_map(), entry)?),
        (
            DataType::Utf8View
            | DataType::LargeUtf8
            | DataType::BinaryView
            | DataType::LargeBinary
            | DataType::Dictionary(..)
            | DataType::Null,
            _,
        ) => cast(array, promised)?,
        _ => {
            let what = format!("{found} is not {promised}");
            return Err(ArrowError::SchemaError(what));
        }
    })
}

fn list(lists: &ListArray, element: &FieldRef) -> Result<ListArray, ArrowError> {
    let elements = of(lists.values(), element.data_type())?;
    let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
    ListArray::try_new(element.clone(), offsets, elements, nulls)
}

/// Fields are matched by their place: their names may be those of the files.
fn structs(structs: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    if structs.num_columns() != fields.len() {
        let what = format!("{} fields are not {}", structs.num_columns(), fields.len());
        return Err(ArrowError::SchemaError(what));
    }
    let columns = structs.columns().iter().zip(fields);
    let columns = columns.map(|(column, field)| of(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let (rows, nulls) = (structs.len(), structs.nulls().cloned());
    StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)
}

fn map(maps: &MapArray, entry: &FieldRef) -> Result<MapArray, ArrowError> {
    let DataType::Struct(fields) = entry.data_type() else {
        let what = format!("{} is no entry of a map", entry.data_type());
        return Err(ArrowError::SchemaError(what));
    };
    let entries = structs(maps.entries(), fields)?;
    let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    MapArray::try_new(entry.clone(), offsets, entries, nulls, false)
}
