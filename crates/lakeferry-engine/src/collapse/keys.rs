//! The keys of changes, as bytes that are equal where Postgres calls the keys equal.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, RecordBatch, UInt32Array,
    cast::AsArray,
    types::{Float32Type, Float64Type},
};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, SchemaRef};
use lakeferry_model::Sign;

use super::CollapseError;

/// Makes the keys of rows of certain columns.
pub(super) struct Keys {
    pub(super) columns: SchemaRef,
    key: Vec<usize>,
    converter: RowConverter,
}

impl Keys {
    /// # Errors
    /// [`CollapseError::NoKeyColumn`], and an Arrow error if a key column's type has no order.
    pub(super) fn new(columns: SchemaRef, key: &[String]) -> Result<Self, CollapseError> {
        let position = |name: &String| {
            columns
                .index_of(name)
                .map_err(|_| CollapseError::NoKeyColumn(name.clone()))
        };
        let key = key.iter().map(position).collect::<Result<Vec<_>, _>>()?;
        let field = |&at: &usize| SortField::new(columns.field(at).data_type().clone());
        let converter = RowConverter::new(key.iter().map(field).collect())?;
        Ok(Self {
            columns,
            key,
            converter,
        })
    }

    /// The places of its columns.
    pub(super) fn places(&self) -> &[usize] {
        &self.key
    }

    /// The keys of `rows`, none of which is null.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Rows, CollapseError> {
        let arrays = self.key.iter().map(|&at| canonical(rows.column(at)));
        Ok(self
            .converter
            .convert_columns(&arrays.collect::<Vec<_>>())?)
    }

    /// A column of the key that is null somewhere.
    pub(super) fn null_in(&self, rows: &RecordBatch) -> Option<&String> {
        let is_null = |at: &&usize| rows.column(**at).null_count() > 0;
        let found = self.key.iter().find(is_null)?;
        Some(self.columns.field(*found).name())
    }

    /// What is wrong where a key has two rows of one sign in a version.
    pub(super) fn twice(
        &self,
        sign: Sign,
        version: impl ToString,
        (rows, row): (&RecordBatch, usize),
    ) -> CollapseError {
        match sign {
            Sign::Minus => CollapseError::Contradiction,
            Sign::Plus => CollapseError::DuplicateKey {
                version: version.to_string(),
                key: self.describe(rows, row),
            },
        }
    }

    fn describe(&self, rows: &RecordBatch, row: usize) -> String {
        let index = UInt32Array::from(vec![u32::try_from(row).unwrap_or(u32::MAX)]);
        let part = |&at: &usize| {
            let name = self.columns.field(at).name();
            let value = arrow_select::take::take(rows.column(at), &index, None);
            let text =
                value.and_then(|value| arrow_cast::display::array_value_to_string(&value, 0));
            format!("{name} = {}", text.unwrap_or_else(|_| "?".to_owned()))
        };
        self.key.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// One bit pattern for numbers that are equal to Postgres.
pub(super) fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let one = |value: f32| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            };
            let values: Float32Array = array.as_primitive::<Float32Type>().unary(one);
            Arc::new(values)
        }
        DataType::Float64 => {
            let one = |value: f64| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            };
            let values: Float64Array = array.as_primitive::<Float64Type>().unary(one);
            Arc::new(values)
        }
        _ => Arc::clone(array),
    }
}
