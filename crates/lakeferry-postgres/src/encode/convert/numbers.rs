//! Numbers as other numbers, where these are the same.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array,
};

use super::{Converted, each};
use crate::type_map::{PgType, Scalar};

/// Whole numbers and decimals: values times ten to the power of `-scale`.
pub(super) struct Exact {
    values: Vec<Option<i128>>,
    scale: u8,
}

impl Exact {
    /// None for other arrays.
    pub(super) fn of(array: &ArrayRef) -> Option<Self> {
        let any = array.as_any();
        let whole = |values| Some(Self { values, scale: 0 });
        if let Some(array) = any.downcast_ref::<Int8Array>() {
            return whole(array.iter().map(|value| value.map(i128::from)).collect());
        }
        if let Some(array) = any.downcast_ref::<Int16Array>() {
            return whole(array.iter().map(|value| value.map(i128::from)).collect());
        }
        if let Some(array) = any.downcast_ref::<Int32Array>() {
            return whole(array.iter().map(|value| value.map(i128::from)).collect());
        }
        if let Some(array) = any.downcast_ref::<Int64Array>() {
            return whole(array.iter().map(|value| value.map(i128::from)).collect());
        }
        let array = any.downcast_ref::<Decimal128Array>()?;
        Some(Self {
            values: array.iter().collect(),
            scale: u8::try_from(array.scale()).ok()?,
        })
    }

    /// None if `scalar` is no type for them.
    pub(super) fn into(self, scalar: Scalar) -> Option<Converted> {
        Some(match scalar {
            Scalar::SmallInt => self
                .whole("smallint")
                .map(|values: Vec<Option<i16>>| Arc::new(Int16Array::from(values)) as ArrayRef),
            Scalar::Integer => self
                .whole("integer")
                .map(|values: Vec<Option<i32>>| Arc::new(Int32Array::from(values)) as ArrayRef),
            Scalar::BigInt => self
                .whole("bigint")
                .map(|values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef),
            Scalar::Numeric { precision, scale } => {
                let name = format!("numeric({precision},{scale})");
                let limit = 10_i128.pow(precision.into());
                let values = each(self.values.iter().copied(), |value| {
                    let value = rescaled(value, self.scale, scale, &name)?;
                    match value.abs() < limit {
                        true => Ok(value),
                        false => Err(too_large(&name)),
                    }
                });
                let to_array = |values: Vec<Option<i128>>| {
                    let array = Decimal128Array::from_iter(values);
                    let scale = i8::try_from(scale).ok()?;
                    let array = array.with_precision_and_scale(precision, scale).ok()?;
                    Some(Arc::new(array) as ArrayRef)
                };
                match values {
                    Ok(values) => Ok(to_array(values)?),
                    Err(misfits) => Err(misfits),
                }
            }
            _ => return None,
        })
    }

    fn whole<T: TryFrom<i128>>(&self, name: &str) -> Result<Vec<Option<T>>, Vec<super::Misfit>> {
        each(self.values.iter().copied(), |value| {
            let value = rescaled(value, self.scale, 0, name)?;
            T::try_from(value).map_err(|_| too_large(name))
        })
    }
}

/// The same number with another count of digits after the point.
fn rescaled(value: i128, from: u8, to: u8, name: &str) -> Result<i128, String> {
    let unit = 10_i128.pow(from.abs_diff(to).into());
    if to >= from {
        return value.checked_mul(unit).ok_or_else(|| too_large(name));
    }
    match value % unit {
        0 => Ok(value / unit),
        _ => Err(format!(
            "a number with more digits after the point than {name} keeps"
        )),
    }
}

fn too_large(name: &str) -> String {
    format!("a number that is too large for {name}")
}

/// None unless both are floating.
pub(super) fn floats(array: &ArrayRef, postgres: PgType) -> Option<Converted> {
    let any = array.as_any();
    let is_real = postgres == PgType::Scalar(Scalar::Real);
    Some(match (any.downcast_ref::<Float32Array>(), is_real) {
        (Some(_), true) => Ok(array.clone()),
        (Some(values), false) => {
            let wide = values.iter().map(|value| value.map(f64::from));
            Ok(Arc::new(Float64Array::from_iter(wide)))
        }
        (None, false) => any.is::<Float64Array>().then(|| Ok(array.clone()))?,
        (None, true) => {
            let values = any.downcast_ref::<Float64Array>()?;
            each(values.iter(), |value| {
                let narrow = value as f32;
                match f64::from(narrow) == value || value.is_nan() {
                    true => Ok(narrow),
                    false => Err("a number that real would round".to_owned()),
                }
            })
            .map(|values| Arc::new(Float32Array::from(values)) as ArrayRef)
        }
    })
}
