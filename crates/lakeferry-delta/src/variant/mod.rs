//! Variants as JSON text (Parquet's "Variant Binary Encoding" and "Variant Shredding").
//!
//! | in a variant | in JSON |
//! |---|---|
//! | object, array, null, boolean, string | the same |
//! | integers, decimals | numbers, exact |
//! | float, double | the shortest number that reads as the same; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | date, timestamp, timestamp without time zone | as in any other `jsonb`: `"2026-01-31"`, `"2026-01-31T12:00:00.5Z"`, without `Z` |
//! | time | `"12:00:00.5"` |
//! | binary | base64 with padding |
//! | uuid | `"01234567-89ab-cdef-0123-456789abcdef"` |
//!
//! The kernel knows a variant only as a struct of `metadata` and `value`, and would leave out what
//! is shredded. So variants leave the Parquet files as such a struct whose `value` is the text
//! ([`carried`]), and become text where the job's rows are made ([`texts`]).

mod binary;
mod shredded;
mod text;

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, BinaryArray, StringArray, StructArray, builder::BinaryBuilder,
    cast::AsArray as _,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Fields};

use shredded::Group;

/// The fields of the struct that the kernel knows.
const METADATA: &str = "metadata";
const VALUE: &str = "value";
const TYPED_VALUE: &str = "typed_value";

/// A variant as a file stores it, as the struct that carries its text.
///
/// # Errors
/// An Arrow error if it is none.
pub(crate) fn carried(stored: &StructArray) -> Result<StructArray, ArrowError> {
    let metadata = stored.column_by_name(METADATA);
    let metadata = metadata.ok_or_else(|| malformed("it has no metadata"))?;
    let metadata = cast(metadata, &DataType::Binary)?;
    let metadata: &BinaryArray = metadata.as_binary();
    let group = Group::of(stored)?;
    let mut texts = BinaryBuilder::new();
    let mut text = String::new();
    for row in 0..stored.len() {
        text.clear();
        if stored.is_valid(row) {
            let names = binary::Names::of(metadata.value(row))?;
            if !group.write(row, &names, &mut text)? {
                text.push_str("null");
            }
        }
        texts.append_value(&text);
    }
    let nothing = BinaryArray::from_iter_values((0..stored.len()).map(|_| b""));
    let columns: Vec<ArrayRef> = vec![Arc::new(nothing), Arc::new(texts.finish())];
    let field = |name| Field::new(name, DataType::Binary, true);
    let fields = Fields::from(vec![field(METADATA), field(VALUE)]);
    StructArray::try_new(fields, columns, stored.nulls().cloned())
}

/// The texts of variants that were [`carried`].
///
/// # Errors
/// An Arrow error if these are none.
pub(crate) fn texts(carried: &StructArray) -> Result<StringArray, ArrowError> {
    let texts = carried.column_by_name(VALUE);
    let texts = texts.ok_or_else(|| malformed("it has no value"))?;
    let texts = cast(texts, &DataType::Utf8)?;
    let (offsets, values, _) = texts.as_string::<i32>().clone().into_parts();
    StringArray::try_new(offsets, values, carried.nulls().cloned())
}

fn malformed(what: &str) -> ArrowError {
    ArrowError::ParseError(format!("a variant is malformed: {what}"))
}

#[cfg(test)]
mod tests;
