//! The job's columns: names resolved against a table, and their plain Arrow types.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit};
use delta_kernel::schema::{ColumnMetadataKey, DataType, PrimitiveType, StructField, StructType};
use lakeferry_model::COLUMN_IDENTITY;

use crate::error::{Error, Result};

/// The fields of `schema` that a job syncs: those it lists, in its order, or all of them. Columns
/// of type void hold nothing and are left out unless listed.
///
/// # Errors
/// `Unfit` for a name that is absent, ambiguous or listed twice, and for a type that is not scalar.
pub(crate) fn chosen(
    table: &str,
    schema: &StructType,
    listed: Option<&[String]>,
) -> Result<Vec<StructField>> {
    let fields = match listed {
        None => schema
            .fields()
            .filter(|field| field.data_type() != &DataType::Primitive(PrimitiveType::Void))
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

/// The field that `name` means, as in Spark: without regard to case, an exact match or not.
pub(crate) fn find<'a>(table: &str, schema: &'a StructType, name: &str) -> Result<&'a StructField> {
    let folded = name.to_lowercase();
    let mut matches = schema
        .fields()
        .filter(|field| field.name().to_lowercase() == folded);
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
            let plain = Field::new(field.name(), plain(table, field)?, true);
            Ok(plain.with_metadata(identity(field)))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// With column mapping, the name that a column has in files and keeps for its life (Delta
/// protocol, "Column Mapping").
fn identity(field: &StructField) -> HashMap<String, String> {
    let physical = field.get_config_value(&ColumnMetadataKey::ColumnMappingPhysicalName);
    physical
        .map(|name| (COLUMN_IDENTITY.to_owned(), name.to_string()))
        .into_iter()
        .collect()
}

/// The plain Arrow type of a scalar column.
pub(crate) fn plain(table: &str, field: &StructField) -> Result<ArrowType> {
    use PrimitiveType as P;
    let DataType::Primitive(primitive) = field.data_type() else {
        let what = format!(
            "column {}: nested types are not supported yet",
            field.name()
        );
        return Err(unfit(table, what, "list the columns to sync in columns:"));
    };
    Ok(match primitive {
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
        other => {
            let what = format!("column {}: type {other} is not supported", field.name());
            return Err(unfit(table, what, "list the columns to sync in columns:"));
        }
    })
}

fn unfit(table: &str, what: String, hint: &str) -> Error {
    Error::Unfit {
        table: table.to_owned(),
        what,
        hint: hint.to_owned(),
        source: None,
    }
}
