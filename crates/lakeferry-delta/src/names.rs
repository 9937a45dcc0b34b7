//! What a job's target calls the columns of a table, and the types that are asked for them. All that follows knows them by these names
//! alone, but for the filter, whose names are the table's.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{Schema, SchemaRef};
use delta_kernel::schema::{StructField, StructType};
use lakeferry_model::{ASKED_TYPE, ColumnChoice, SOURCE_NAME};

use crate::{
    columns::{arrow_schema, find, unfit},
    error::Result,
};

/// The longest name that Postgres keeps whole.
const MAX_NAME_BYTES: usize = 63;

/// Plain Arrow fields for `fields`, some of `schema`'s, under the names of the target, each with the
/// type that is asked for it.
///
/// # Errors
/// `Unfit` for names that are too long, for two columns of one name, and where a column to rename, or
/// to give a type, is not there.
pub(crate) fn called(
    table: &str,
    schema: &StructType,
    fields: &[StructField],
    choice: &ColumnChoice,
) -> Result<SchemaRef> {
    let mut renamed = HashMap::new();
    for (from, to) in &choice.renamed {
        renamed.insert(find(table, schema, from)?.name(), to);
    }
    let mut asked = HashMap::new();
    for (column, asked_type) in &choice.types {
        asked.insert(find(table, schema, column)?.name(), asked_type);
    }
    let mut called: HashMap<String, &str> = HashMap::new();
    let plain = arrow_schema(table, fields)?;
    let mut named = Vec::with_capacity(fields.len());
    for (plain, field) in plain.fields().iter().zip(fields) {
        let source = field.name();
        let name = match renamed.get(source) {
            Some(name) => (*name).clone(),
            None => choice.naming.of(source),
        };
        if name.len() > MAX_NAME_BYTES {
            let bytes = name.len();
            let what = format!(
                "column {source} would be called {name}, which has {bytes} bytes, and postgres \
                 takes {MAX_NAME_BYTES}"
            );
            return Err(unfit(
                table,
                what,
                "give it a shorter name by rename: in columns:",
            ));
        }
        if let Some(other) = called.insert(name.clone(), source) {
            let what = format!("columns {other} and {source} would both be called {name}");
            let hint = "give one of them another name by rename: in columns:, or exclude it";
            return Err(unfit(table, what, hint));
        }
        let mut field = plain.as_ref().clone();
        if name != *source {
            let told = (SOURCE_NAME.to_owned(), source.clone());
            field.metadata_mut().extend([told]);
        }
        if let Some(asked_type) = asked.get(source) {
            let told = (ASKED_TYPE.to_owned(), asked_type.to_string());
            field.metadata_mut().extend([told]);
        }
        named.push(field.with_name(name));
    }
    Ok(Arc::new(Schema::new(named)))
}
