//! Values in another type than the usual one, which the job asks for (`types:`) or which is wider: each
//! as the same value in the other type, or a fault. What comes out is written as any other column is, so uuids and addresses are the bytes that
//! the server takes them by.

mod json;
mod numbers;
mod texts;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};

use self::numbers::{Exact, floats};
use super::Fault;
use crate::{
    error::Error,
    type_map::{Asked, PgType, Scalar},
};

/// What becomes of values before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    None,
    /// To the type that was asked for, or a wider one.
    Asked,
    /// The same in a key, where what comes must be what would come back.
    AskedAsKey,
}

/// A value that the other type does not hold: its row, and what is said of it.
type Misfit = (usize, String);

/// `array` as a column of `postgres`, or what of it that does not hold.
type Converted = Result<ArrayRef, Vec<Misfit>>;

/// The rows of `batch`, each column by its conversion.
///
/// # Errors
/// [`Error::Bug`] if a column comes as what has no way into its type.
pub(super) fn batch<'a>(
    columns: impl Iterator<Item = (&'a str, PgType, Conversion)>,
    batch: &RecordBatch,
) -> Result<Result<RecordBatch, Vec<Fault>>, Error> {
    let mut faults = Vec::new();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (place, ((name, postgres, conversion), array)) in columns.zip(batch.columns()).enumerate() {
        let array = match conversion {
            Conversion::None => array.clone(),
            Conversion::Asked | Conversion::AskedAsKey => {
                let is_key = conversion == Conversion::AskedAsKey;
                let converted = column(array, postgres, is_key).ok_or_else(|| {
                    let (of, to) = (array.data_type(), postgres.sql());
                    Error::bug(format!(
                        "column {name:?} comes as {of}, with no way into {}",
                        to.as_str()
                    ))
                })?;
                converted.unwrap_or_else(|misfits| {
                    faults.extend(misfits.into_iter().map(|(row, what)| Fault {
                        row,
                        column: place,
                        what,
                    }));
                    array.clone()
                })
            }
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    RecordBatch::try_new(Schema::new(fields).into(), arrays)
        .map(Ok)
        .map_err(|error| Error::bug("converted columns make no rows").caused_by(error))
}

/// None where there is no way.
fn column(array: &ArrayRef, postgres: PgType, is_key: bool) -> Option<Converted> {
    let text = || array.as_any().downcast_ref::<StringArray>();
    Some(match postgres {
        PgType::Scalar(Scalar::Text) => written(array, None)?,
        PgType::Scalar(Scalar::Real | Scalar::DoublePrecision) => floats(array, postgres)?,
        PgType::Scalar(scalar) => Exact::of(array)?.into(scalar)?,
        PgType::Jsonb => match text() {
            Some(values) => checked(array, values, json::jsonb_misfit),
            None => Ok(array.clone()),
        },
        PgType::Asked(Asked::Json) => checked(array, text()?, json::json_misfit),
        PgType::Asked(Asked::Citext) => Ok(array.clone()),
        PgType::Asked(Asked::Varchar(length)) => written(array, Some(length))?,
        PgType::Asked(Asked::Uuid) => bytes(text()?, |text| texts::uuid(text, is_key)),
        PgType::Asked(Asked::Inet) => bytes(text()?, |text| texts::address(text, false)),
        PgType::Asked(Asked::Cidr) => bytes(text()?, |text| texts::address(text, true)),
        PgType::Asked(Asked::Macaddr) => bytes(text()?, texts::mac_address),
        PgType::Array(_) => return None,
    })
}

/// Texts of at most so many characters.
fn written(array: &ArrayRef, most: Option<u32>) -> Option<Converted> {
    let array = texts::of(array)?;
    let values = array.as_any().downcast_ref::<StringArray>()?;
    let most = most.map_or(usize::MAX, |most| most as usize);
    Some(checked(&array, values, |text| {
        // No text has more characters than bytes.
        let is_long = text.len() > most && text.chars().count() > most;
        is_long.then(|| format!("a text of more than {most} characters"))
    }))
}

/// `array`, whose values are `values`, if none is a misfit.
fn checked(
    array: &ArrayRef,
    values: &StringArray,
    misfit: impl Fn(&str) -> Option<String>,
) -> Converted {
    let misfits = values.iter().enumerate();
    let misfits = misfits.filter_map(|(row, text)| Some((row, misfit(text?)?)));
    let misfits: Vec<Misfit> = misfits.collect();
    match misfits.is_empty() {
        true => Ok(array.clone()),
        false => Err(misfits),
    }
}

fn bytes<B: AsRef<[u8]>>(
    values: &StringArray,
    parse: impl Fn(&str) -> Result<B, String>,
) -> Converted {
    let parsed = each(values.iter(), parse)?;
    Ok(Arc::new(BinaryArray::from_iter(parsed)))
}

/// Each value converted, or all misfits.
fn each<V, T>(
    values: impl Iterator<Item = Option<V>>,
    convert: impl Fn(V) -> Result<T, String>,
) -> Result<Vec<Option<T>>, Vec<Misfit>> {
    let mut misfits = Vec::new();
    let converted = values
        .enumerate()
        .map(|(row, value)| match value.map(&convert) {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(what)) => {
                misfits.push((row, what));
                None
            }
        });
    let converted = converted.collect();
    match misfits.is_empty() {
        true => Ok(converted),
        false => Err(misfits),
    }
}

#[cfg(test)]
mod tests;
