//! One column of a batch, by the way its values are written.

use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use bytes::BytesMut;

use super::{
    json::Json,
    list::List,
    scalars::{Scalars, put},
};
use crate::{error::Error, type_map::PgType};

/// The length that stands for NULL.
pub(super) const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// A column whose values can be written.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) nulls: Option<&'a NullBuffer>,
    pub(super) values: Values<'a>,
}

#[derive(Debug)]
pub(super) enum Values<'a> {
    Scalars(Scalars<'a>),
    Lists(List<'a>),
    Json(Json<'a>),
}

impl<'a> Column<'a> {
    /// # Errors
    /// [`Error::Bug`] if `array` is not what `postgres` holds.
    pub(super) fn of(name: &str, postgres: PgType, array: &'a ArrayRef) -> Result<Self, Error> {
        let values = match postgres {
            PgType::Scalar(scalar) => Scalars::of(scalar, array).map(Values::Scalars),
            PgType::Array(element) => List::of(element, array).map(Values::Lists),
            PgType::Jsonb => Json::of(array).map(Values::Json),
            PgType::Asked(asked) => Scalars::of(asked.written_as(), array).map(Values::Scalars),
        };
        let values = values.ok_or_else(|| {
            let found = array.data_type();
            Error::bug(format!(
                "column {name:?} comes as {found} and not as declared"
            ))
        })?;
        Ok(Self {
            nulls: some_nulls(array),
            values,
        })
    }

    /// Appends the value of `row` with its length.
    #[inline]
    pub(super) fn write(&self, row: usize, out: &mut BytesMut) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return put(out, NULL);
        }
        match &self.values {
            Values::Scalars(scalars) => scalars.write(row, out),
            Values::Lists(lists) => lists.write(row, out),
            Values::Json(json) => json.write(row, out),
        }
    }
}

/// The nulls of `array`, if it has any.
pub(super) fn some_nulls(array: &dyn Array) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}
