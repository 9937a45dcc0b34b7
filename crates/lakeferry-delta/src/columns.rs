//! The job's columns: names resolved against a table, and their plain Arrow types.
//!
//! Plain means one Arrow type for each of Delta's, whatever the files have: every part of a nested
//! type may be null but the keys of maps, variants are JSON text ([`lakeferry_model::JSON`]), lists are `List` of `element`, maps `Map` of `key_value`
//! with `key` and `value`.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{
    DataType as ArrowType, Field, FieldRef, Schema, SchemaRef, TimeUnit,
    extension::EXTENSION_TYPE_NAME_KEY,
};
use delta_kernel::schema::{
    ColumnMetadataKey, DataType, MetadataValue, PrimitiveType, StructField, StructType,
};
use lakeferry_model::{COLUMN_IDENTITY, COLUMN_NUMBER, ColumnChoice, JSON, WIDENS};

use crate::error::{Error, Result};

/// The fields of `schema` that a job syncs: those it lists, in its order, or all but those that it
/// excludes. Columns of type void hold nothing and are left out unless listed.
///
/// # Errors
/// `Unfit` for a name that is absent, ambiguous or listed twice, and for a type that is not read.
pub(crate) fn chosen(
    table: &str,
    schema: &StructType,
    choice: &ColumnChoice,
) -> Result<Vec<StructField>> {
    // One that is not there may be there under another name, and is not to be synced.
    let excluded = choice
        .excluded
        .iter()
        .map(|name| find(table, schema, name))
        .collect::<Result<Vec<_>>>()?;
    let fields = match &choice.listed {
        None => schema
            .fields()
            .filter(|field| !is_void(field) && !excluded.contains(field))
            .collect(),
        Some(names) => names
            .iter()
            .map(|name| find(table, schema, name))
            .collect::<Result<Vec<_>>>()?,
    };
    for (index, field) in fields.iter().enumerate() {
        plain(table, field)?;
        if fields[..index]
            .iter()
            .any(|other| other.name() == field.name())
        {
            let what = format!("column {} is listed twice", field.name());
            return Err(unfit(table, what, "list each column once in columns:"));
        }
    }
    if fields.is_empty() {
        return Err(unfit(
            table,
            "it has no columns to sync".to_owned(),
            "list columns in columns:",
        ));
    }
    Ok(fields.into_iter().cloned().collect())
}

/// The columns that are left out for they are of type void.
pub(crate) fn void(schema: &StructType, choice: &ColumnChoice) -> Vec<String> {
    let is_excluded = |name: &String| (choice.excluded.iter()).any(|other| is_called(name, other));
    let void = schema.fields().filter(|field| is_void(field));
    let names = void.map(|field| field.name().clone());
    match choice.listed {
        None => names.filter(|name| !is_excluded(name)).collect(),
        Some(_) => Vec::new(),
    }
}

/// Whether these are names of one column: as in Spark, case does not matter.
fn is_called(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

fn is_void(field: &StructField) -> bool {
    field.data_type() == &DataType::Primitive(PrimitiveType::Void)
}

/// The field that `name` means, as in Spark: without regard to case, an exact match or not.
pub(crate) fn find<'a>(table: &str, schema: &'a StructType, name: &str) -> Result<&'a StructField> {
    let mut matches = schema
        .fields()
        .filter(|field| is_called(field.name(), name));
    match (matches.next(), matches.next()) {
        (Some(field), None) => Ok(field),
        (Some(one), Some(other)) => {
            let what = format!(
                "column {name} is ambiguous: {} or {}",
                one.name(),
                other.name()
            );
            Err(unfit(table, what, "rename one of them in the table"))
        }
        (None, _) => {
            let names: Vec<_> = schema.fields().map(|field| field.name().as_str()).collect();
            let hint = format!("its columns are {}", names.join(", "));
            Err(unfit(table, format!("it has no column {name}"), &hint))
        }
    }
}

/// Plain Arrow fields for `fields`. All are nullable: what Delta promises about nulls holds for
/// the table's rows, not for pre-images in a feed.
pub(crate) fn arrow_schema(table: &str, fields: &[StructField]) -> Result<SchemaRef> {
    let fields = fields
        .iter()
        .map(|field| {
            let mut plain = part(field.name(), field.data_type(), plain(table, field)?, true);
            plain.metadata_mut().extend(identity(field));
            plain.metadata_mut().extend(number(field));
            Ok(plain)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// A column of a table whose types may get wider.
pub(crate) fn widening(field: &FieldRef) -> FieldRef {
    let widens = [(WIDENS.to_owned(), String::new())];
    let mut field = field.as_ref().clone();
    field.metadata_mut().extend(widens);
    Arc::new(field)
}

/// With column mapping, the name that a column has in files and keeps for its life (Delta
/// protocol, "Column Mapping"), and those of the fields in it.
fn identity(field: &StructField) -> HashMap<String, String> {
    let name = physical_names(field);
    name.map(|name| (COLUMN_IDENTITY.to_owned(), name))
        .into_iter()
        .collect()
}

/// With column mapping, the number that a column got when it was made.
fn number(field: &StructField) -> Option<(String, String)> {
    let number = field.get_config_value(&ColumnMetadataKey::ColumnMappingId)?;
    Some((COLUMN_NUMBER.to_owned(), number.to_string()))
}

/// `col-1`, or `col-1(col-2,col-3)` where structs are in it; nothing without column mapping. What is
/// called in files as it is in the table, as where column mapping was turned on later, is not told.
pub(crate) fn physical_names(field: &StructField) -> Option<String> {
    let mut name = field
        .get_config_value(&ColumnMetadataKey::ColumnMappingPhysicalName)?
        .to_string();
    let mut parts = Vec::new();
    inner_fields(field.data_type(), &mut parts);
    if !parts.iter().all(|part| is_called_alike(part)) {
        let parts: Vec<_> = parts.into_iter().filter_map(physical_names).collect();
        name.push_str(&format!("({})", parts.join(",")));
    }
    Some(name)
}

/// Whether a field and all in it have the same names in files.
fn is_called_alike(field: &StructField) -> bool {
    let physical = field.get_config_value(&ColumnMetadataKey::ColumnMappingPhysicalName);
    let mut parts = Vec::new();
    inner_fields(field.data_type(), &mut parts);
    let is_alike =
        |of: &MetadataValue| matches!(of, MetadataValue::String(name) if name == field.name());
    physical.is_none_or(is_alike) && parts.into_iter().all(is_called_alike)
}

/// The fields of the outermost structs in `data_type`.
fn inner_fields<'a>(data_type: &'a DataType, fields: &mut Vec<&'a StructField>) {
    match data_type {
        DataType::Struct(inner) => fields.extend(inner.fields()),
        DataType::Array(array) => inner_fields(array.element_type(), fields),
        DataType::Map(map) => {
            inner_fields(map.key_type(), fields);
            inner_fields(map.value_type(), fields);
        }
        DataType::Primitive(_) | DataType::Variant(_) => {}
    }
}

/// The plain Arrow type of a column.
pub(crate) fn plain(table: &str, field: &StructField) -> Result<ArrowType> {
    plain_type(field.name(), field.data_type()).map_err(|Unread { path, what }| {
        let what = format!("column {path}: type {what} is not supported");
        unfit(table, what, "list the columns to sync in columns:")
    })
}

/// A field of plain type; a variant's says that its text is JSON.
fn part(name: &str, of: &DataType, plain: ArrowType, nullable: bool) -> Field {
    let field = Field::new(name, plain, nullable);
    match of {
        DataType::Variant(_) => {
            let json = [(EXTENSION_TYPE_NAME_KEY.to_owned(), JSON.to_owned())];
            field.with_metadata(json.into())
        }
        _ => field,
    }
}

/// A type that is not read, and where it is in a column.
struct Unread {
    path: String,
    what: String,
}

fn plain_type(path: &str, data_type: &DataType) -> std::result::Result<ArrowType, Unread> {
    let inner = |name: &str, of: &DataType, nullable: bool| {
        let plain = plain_type(&format!("{path}.{name}"), of)?;
        Ok(part(name, of, plain, nullable))
    };
    Ok(match data_type {
        DataType::Primitive(primitive) => plain_scalar(primitive).ok_or_else(|| Unread {
            path: path.to_owned(),
            what: primitive.to_string(),
        })?,
        DataType::Array(array) => {
            ArrowType::List(inner("element", array.element_type(), true)?.into())
        }
        DataType::Struct(fields) => {
            let fields = fields.fields();
            let fields = fields.map(|field| inner(field.name(), field.data_type(), true));
            ArrowType::Struct(fields.collect::<std::result::Result<_, _>>()?)
        }
        DataType::Map(map) => {
            let key = inner("key", map.key_type(), false)?;
            let value = inner("value", map.value_type(), true)?;
            let entry = ArrowType::Struct(vec![key, value].into());
            ArrowType::Map(Field::new("key_value", entry, false).into(), false)
        }
        DataType::Variant(_) => ArrowType::Utf8,
    })
}

fn plain_scalar(primitive: &PrimitiveType) -> Option<ArrowType> {
    use PrimitiveType as P;
    Some(match primitive {
        P::String => ArrowType::Utf8,
        P::Long => ArrowType::Int64,
        P::Integer => ArrowType::Int32,
        P::Short => ArrowType::Int16,
        P::Byte => ArrowType::Int8,
        P::Float => ArrowType::Float32,
        P::Double => ArrowType::Float64,
        P::Boolean => ArrowType::Boolean,
        P::Binary => ArrowType::Binary,
        P::Date => ArrowType::Date32,
        P::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        P::TimestampNtz => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        P::Decimal(decimal) => {
            // At most 38 and not above the precision (Delta protocol, "Primitive Types").
            ArrowType::Decimal128(decimal.precision(), decimal.scale().cast_signed())
        }
        _ => return None,
    })
}

pub(crate) fn unfit(table: &str, what: String, hint: &str) -> Error {
    Error::Unfit {
        table: table.to_owned(),
        what,
        hint: hint.to_owned(),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use delta_kernel::schema::{ArrayType, MapType};

    use super::*;

    #[test]
    fn an_identity_has_the_names_of_all_fields() {
        let named = |physical: &str, of: DataType| {
            let key = ColumnMetadataKey::ColumnMappingPhysicalName.as_ref();
            StructField::nullable("any", of).with_metadata([(key, physical)])
        };
        let leaf = |physical| named(physical, DataType::LONG);
        let one = |field: StructField| DataType::from(StructType::try_new([field]).unwrap());
        let inner = MapType::new(DataType::STRING, one(leaf("c3")), true);
        let outer = one(named("c2", DataType::from(inner)));
        let column = named("c1", DataType::from(ArrayType::new(outer, true)));
        assert_eq!(physical_names(&column).as_deref(), Some("c1(c2(c3))"));
        assert_eq!(physical_names(&leaf("c4")).as_deref(), Some("c4"));
        let plain = StructField::nullable("a", one(leaf("c5")));
        assert_eq!(physical_names(&plain), None);
        let alike = |inner| physical_names(&named("c6", one(named("any", inner))));
        assert_eq!(alike(DataType::LONG).as_deref(), Some("c6"));
        assert_eq!(alike(one(leaf("any"))).as_deref(), Some("c6"));
        assert_eq!(alike(one(leaf("c7"))).as_deref(), Some("c6(any(c7))"));
    }

    #[test]
    fn what_is_not_read_is_told_by_its_place() {
        let inner = StructField::nullable("v", DataType::Primitive(PrimitiveType::Void));
        let structs = DataType::from(StructType::try_new([inner]).unwrap());
        let map = MapType::new(DataType::STRING, structs, true);
        let column = StructField::nullable("c", DataType::from(map));
        let told = plain("t", &column).unwrap_err().to_string();
        let message = "table t: column c.value.v: type void is not supported";
        assert_eq!(told, message);
    }
}
