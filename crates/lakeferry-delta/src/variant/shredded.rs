//! Shredded variants: parts of the values in columns of their own types, the rest in `value`.

use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, ListArray, StringArray, StructArray,
    cast::AsArray as _,
    types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, Time64MicrosecondType,
        TimestampMicrosecondType, TimestampNanosecondType,
    },
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};

use super::{
    TYPED_VALUE, VALUE,
    binary::{self, Names},
    malformed,
    text::{self, Zone},
};

/// The values of a variant, or of a part of it.
pub(super) struct Group {
    value: Option<BinaryArray>,
    typed: Option<Typed>,
}

/// What of a group is in a column of its own type.
enum Typed {
    Object(StructArray, Vec<(String, Group)>),
    Array(ListArray, Box<Group>),
    Scalar(Scalar),
}

enum Scalar {
    Boolean(BooleanArray),
    Integer(ArrayRef),
    Float(ArrayRef),
    Double(ArrayRef),
    Decimal(ArrayRef, u32),
    Date(ArrayRef),
    Micros(ArrayRef, Zone),
    Nanos(ArrayRef, Zone),
    TimeOfDay(ArrayRef),
    Text(StringArray),
    Bytes(BinaryArray),
    Uuid(ArrayRef),
}

impl Group {
    pub(super) fn of(stored: &StructArray) -> Result<Self, ArrowError> {
        let value = stored.column_by_name(VALUE);
        let value = value
            .map(|value| cast(value, &DataType::Binary))
            .transpose()?;
        let typed = stored.column_by_name(TYPED_VALUE);
        Ok(Self {
            value: value.map(|value| value.as_binary().clone()),
            typed: typed.map(Typed::of).transpose()?,
        })
    }

    /// Appends the value of `row` as JSON; false if it is missing.
    pub(super) fn write(
        &self,
        row: usize,
        names: &Names<'_>,
        out: &mut String,
    ) -> Result<bool, ArrowError> {
        let rest = self.value.as_ref().filter(|value| value.is_valid(row));
        let rest = rest.map(|value| value.value(row));
        match (&self.typed, rest) {
            (Some(typed), rest) if typed.is_valid(row) => typed.write(row, rest, names, out)?,
            (_, Some(value)) => binary::write(value, names, out)?,
            (_, None) => return Ok(false),
        }
        Ok(true)
    }
}

impl Typed {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Struct(fields) => {
                let structs = array.as_struct();
                let parts = fields.iter().zip(structs.columns());
                let parts = parts.map(|(field, part)| Ok((field.name().clone(), part_of(part)?)));
                Self::Object(structs.clone(), parts.collect::<Result<_, ArrowError>>()?)
            }
            DataType::List(_) => {
                let lists: &ListArray = array.as_list();
                Self::Array(lists.clone(), Box::new(part_of(lists.values())?))
            }
            _ => Self::Scalar(Scalar::of(array)?),
        })
    }

    fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Object(structs, _) => structs.is_valid(row),
            Self::Array(lists, _) => lists.is_valid(row),
            Self::Scalar(scalar) => scalar.is_valid(row),
        }
    }

    /// Appends the value of `row`, of which `rest` are the members that no column has.
    fn write(
        &self,
        row: usize,
        rest: Option<&[u8]>,
        names: &Names<'_>,
        out: &mut String,
    ) -> Result<(), ArrowError> {
        match (self, rest) {
            (Self::Object(_, parts), rest) => object(parts, row, rest, names, out),
            (_, Some(_)) => Err(malformed("it has a value in two places")),
            (Self::Array(lists, elements), None) => {
                out.push('[');
                let (start, end) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
                for (place, element) in (start as usize..end as usize).enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    if !elements.write(element, names, out)? {
                        out.push_str("null");
                    }
                }
                out.push(']');
                Ok(())
            }
            (Self::Scalar(scalar), None) => scalar.write(row, out),
        }
    }
}

fn part_of(array: &ArrayRef) -> Result<Group, ArrowError> {
    let group = array.as_struct_opt();
    Group::of(group.ok_or_else(|| malformed("a shredded part is no group"))?)
}

fn object(
    parts: &[(String, Group)],
    row: usize,
    rest: Option<&[u8]>,
    names: &Names<'_>,
    out: &mut String,
) -> Result<(), ArrowError> {
    out.push('{');
    let mut is_first = true;
    if let Some(rest) = rest {
        is_first = !binary::write_members(rest, names, out)?;
    }
    for (name, part) in parts {
        let before = out.len();
        if !is_first {
            out.push(',');
        }
        text::string(name, out)?;
        out.push(':');
        match part.write(row, names, out)? {
            true => is_first = false,
            false => out.truncate(before),
        }
    }
    out.push('}');
    Ok(())
}

impl Scalar {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let zone = |zone: &Option<_>| {
            if zone.is_some() {
                Zone::Utc
            } else {
                Zone::None
            }
        };
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Self::Integer(cast(array, &DataType::Int64)?)
            }
            DataType::Float32 => Self::Float(array.clone()),
            DataType::Float64 => Self::Double(array.clone()),
            DataType::Decimal128(_, scale) => {
                let scale = u32::try_from(*scale).map_err(|_| malformed("a scale is negative"))?;
                Self::Decimal(array.clone(), scale)
            }
            DataType::Date32 => Self::Date(array.clone()),
            DataType::Timestamp(TimeUnit::Microsecond, of) => Self::Micros(array.clone(), zone(of)),
            DataType::Timestamp(TimeUnit::Nanosecond, of) => Self::Nanos(array.clone(), zone(of)),
            DataType::Time64(TimeUnit::Microsecond) => Self::TimeOfDay(array.clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text(cast(array, &DataType::Utf8)?.as_string().clone())
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Self::Bytes(cast(array, &DataType::Binary)?.as_binary().clone())
            }
            DataType::FixedSizeBinary(16) => Self::Uuid(array.clone()),
            other => return Err(malformed(&format!("a part is shredded as {other}"))),
        })
    }

    fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_valid(row),
            Self::Text(array) => array.is_valid(row),
            Self::Bytes(array) => array.is_valid(row),
            Self::Integer(array)
            | Self::Float(array)
            | Self::Double(array)
            | Self::Decimal(array, _)
            | Self::Date(array)
            | Self::Micros(array, _)
            | Self::Nanos(array, _)
            | Self::TimeOfDay(array)
            | Self::Uuid(array) => array.is_valid(row),
        }
    }

    fn write(&self, row: usize, out: &mut String) -> Result<(), ArrowError> {
        match self {
            Self::Boolean(array) => text::plain(array.value(row), out),
            Self::Integer(array) => text::plain(array.as_primitive::<Int64Type>().value(row), out),
            Self::Float(array) => text::float(array.as_primitive::<Float32Type>().value(row), out),
            Self::Double(array) => text::float(array.as_primitive::<Float64Type>().value(row), out),
            Self::Decimal(array, scale) => {
                text::decimal(
                    array.as_primitive::<Decimal128Type>().value(row),
                    *scale,
                    out,
                );
            }
            Self::Date(array) => text::date(array.as_primitive::<Date32Type>().value(row), out)?,
            Self::Micros(array, zone) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                text::micros(array.value(row), *zone, out)?;
            }
            Self::Nanos(array, zone) => {
                let array = array.as_primitive::<TimestampNanosecondType>();
                text::nanos(array.value(row), *zone, out)?;
            }
            Self::TimeOfDay(array) => {
                text::time_of_day(
                    array.as_primitive::<Time64MicrosecondType>().value(row),
                    out,
                );
            }
            Self::Text(array) => text::string(array.value(row), out)?,
            Self::Bytes(array) => text::base64(array.value(row), out),
            Self::Uuid(array) => {
                let bytes = array.as_fixed_size_binary().value(row);
                let bytes = bytes.try_into();
                text::uuid(bytes.map_err(|_| malformed("a uuid is too short"))?, out);
            }
        }
        Ok(())
    }
}
