//! Which Postgres type holds a column of the source, exactly.

mod asked;

use arrow_schema::{DataType, Field, TimeUnit};
use lakeferry_model::JSON;

pub(crate) use self::asked::{Asked, asked};
use crate::{error::Error, sql::Sql};

/// The most digits that a decimal of the source has (Delta protocol, primitive types).
const DECIMAL_DIGITS: u8 = 38;

/// A type of Postgres that this crate writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PgType {
    Scalar(Scalar),
    /// An array of one dimension.
    Array(Scalar),
    Jsonb,
    /// What no column gets unless its job asks for it.
    Asked(Asked),
}

/// A type of Postgres without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    DoublePrecision,
    Numeric { precision: u8, scale: u8 },
    Text,
    Bytea,
    Date,
    Timestamp,
    TimestampTz,
}

impl PgType {
    /// The type that holds every value of `field` as it is: an array of scalars as an array, all
    /// else that has parts as jsonb, and so texts that are JSON.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming the column, if there is none yet.
    pub(crate) fn of(field: &Field) -> Result<Self, Error> {
        let data_type = field.data_type();
        if is_json(field) {
            return Ok(Self::Jsonb);
        }
        let scalar = match data_type {
            DataType::List(element) if is_json(element) => None,
            DataType::List(element) => Scalar::of(element.data_type()).map(Self::Array),
            _ => Scalar::of(data_type).map(Self::Scalar),
        };
        match scalar {
            Some(found) => Ok(found),
            None if is_nested(data_type) && fits_json(data_type) => Ok(Self::Jsonb),
            None => Err(not_held(field)),
        }
    }

    /// The widest type of its kind, which a column of it may come to without a value becoming another
    /// one (Delta protocol, "Type Widening"); none where this is it, and for decimals, whose digits
    /// before the point cost nothing to add.
    pub(crate) fn widest(self) -> Option<Self> {
        match self {
            Self::Scalar(Scalar::SmallInt | Scalar::Integer) => Some(Self::Scalar(Scalar::BigInt)),
            Self::Scalar(Scalar::Real) => Some(Self::Scalar(Scalar::DoublePrecision)),
            _ => None,
        }
    }

    /// The type as `format_type` of Postgres prints it and as DDL takes it.
    pub(crate) fn sql(self) -> Sql {
        match self {
            Self::Scalar(scalar) => scalar.sql(),
            Self::Array(element) => Sql::of("{}[]", &[&element.sql()]),
            Self::Jsonb => "jsonb".into(),
            Self::Asked(asked) => asked.sql(),
        }
    }

    /// Whether its equality is equality of bytes, as that of a key must be.
    pub(crate) fn fits_key(self) -> bool {
        match self {
            Self::Scalar(_) => true,
            Self::Array(_) | Self::Jsonb => false,
            Self::Asked(asked) => asked.fits_key(),
        }
    }
}

impl Scalar {
    /// None for types with parts and for those that have none in Postgres yet.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 | DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::BigInt,
            DataType::Float32 => Self::Real,
            DataType::Float64 => Self::DoublePrecision,
            DataType::Decimal128(precision, scale) => decimal(*precision, *scale)?,
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Bytea,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if is_utc(zone) => {
                Self::TimestampTz
            }
            _ => return None,
        })
    }

    fn sql(self) -> Sql {
        match self {
            Self::Boolean => "boolean".into(),
            Self::SmallInt => "smallint".into(),
            Self::Integer => "integer".into(),
            Self::BigInt => "bigint".into(),
            Self::Real => "real".into(),
            Self::DoublePrecision => "double precision".into(),
            Self::Numeric { precision, scale } => Sql::of(
                "numeric({},{})",
                &[&Sql::number(precision.into()), &Sql::number(scale.into())],
            ),
            Self::Text => "text".into(),
            Self::Bytea => "bytea".into(),
            Self::Date => "date".into(),
            Self::Timestamp => "timestamp without time zone".into(),
            Self::TimestampTz => "timestamp with time zone".into(),
        }
    }

    /// Its number in `pg_type.dat`, the same on every server.
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Boolean => 16,
            Self::Bytea => 17,
            Self::BigInt => 20,
            Self::SmallInt => 21,
            Self::Integer => 23,
            Self::Text => 25,
            Self::Real => 700,
            Self::DoublePrecision => 701,
            Self::Date => 1082,
            Self::Timestamp => 1114,
            Self::TimestampTz => 1184,
            Self::Numeric { .. } => 1700,
        }
    }
}

fn decimal(precision: u8, scale: i8) -> Option<Scalar> {
    let scale = u8::try_from(scale).ok()?;
    let holds = (1..=DECIMAL_DIGITS).contains(&precision) && scale <= precision;
    holds.then_some(Scalar::Numeric { precision, scale })
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "+00:00"].contains(&zone)
}

/// Whether the texts of `field` are JSON, of which jsonb keeps what they mean.
pub(crate) fn is_json(field: &Field) -> bool {
    field.data_type() == &DataType::Utf8 && field.extension_type_name() == Some(JSON)
}

fn is_nested(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..)
    )
}

/// Whether each value has a form in jsonb, which holds no NUL in a name either.
fn fits_json(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(element) => fits_json(element.data_type()),
        DataType::Struct(fields) => fields
            .iter()
            .all(|field| !field.name().contains('\0') && fits_json(field.data_type())),
        DataType::Map(entries, _) => fits_json(entries.data_type()),
        scalar => Scalar::of(scalar).is_some(),
    }
}

fn not_held(field: &Field) -> Error {
    Error::needs_operator(format!(
        "column {:?} has type {}, which has no type in postgres yet",
        field.name(),
        field.data_type()
    ))
    .advise("leave the column out of the job's columns")
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{Failure, FailureClass};

    use super::*;

    #[test]
    fn every_scalar_has_a_type() {
        let micros =
            |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (arrow, postgres) in [
            (DataType::Boolean, "boolean"),
            (DataType::Int8, "smallint"),
            (DataType::Int16, "smallint"),
            (DataType::Int32, "integer"),
            (DataType::Int64, "bigint"),
            (DataType::Float32, "real"),
            (DataType::Float64, "double precision"),
            (DataType::Decimal128(38, 0), "numeric(38,0)"),
            (DataType::Decimal128(15, 2), "numeric(15,2)"),
            (DataType::Utf8, "text"),
            (DataType::Binary, "bytea"),
            (DataType::Date32, "date"),
            (micros(None), "timestamp without time zone"),
            (micros(Some("UTC")), "timestamp with time zone"),
            (micros(Some("+00:00")), "timestamp with time zone"),
        ] {
            let field = Field::new("c", arrow, true);
            assert_eq!(PgType::of(&field).unwrap().sql().as_str(), postgres);
        }
    }

    #[test]
    fn arrays_of_scalars_are_arrays_and_the_rest_is_jsonb() {
        let list = |of| DataType::new_list(of, true);
        let map = |key, value| {
            let entry = vec![
                Field::new("key", key, false),
                Field::new("value", value, true),
            ];
            let entries = Field::new("key_value", DataType::Struct(entry.into()), false);
            DataType::Map(entries.into(), false)
        };
        let one = |of| DataType::Struct(vec![Field::new("a", of, true)].into());
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (arrow, postgres) in [
            (list(DataType::Int8), "smallint[]"),
            (list(DataType::Decimal128(15, 2)), "numeric(15,2)[]"),
            (list(instant), "timestamp with time zone[]"),
            (list(list(DataType::Int32)), "jsonb"),
            (list(one(DataType::Int32)), "jsonb"),
            (one(list(DataType::Binary)), "jsonb"),
            (map(DataType::Utf8, DataType::Int32), "jsonb"),
            (map(one(DataType::Date32), DataType::Int32), "jsonb"),
        ] {
            let field = Field::new("c", arrow, true);
            let postgres_type = PgType::of(&field).unwrap();
            assert_eq!(postgres_type.sql().as_str(), postgres);
            assert!(!postgres_type.fits_key());
        }
    }

    #[test]
    fn other_types_are_refused_by_column() {
        for arrow in [
            DataType::UInt8,
            DataType::Date64,
            DataType::Utf8View,
            DataType::Decimal128(10, -2),
            DataType::Decimal128(2, 3),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
            DataType::new_list(DataType::UInt8, true),
            DataType::new_large_list(DataType::Int32, true),
            DataType::Struct(vec![Field::new("a", DataType::Null, true)].into()),
            DataType::Struct(vec![Field::new("a\0", DataType::Int8, true)].into()),
        ] {
            let error = PgType::of(&Field::new("Größe", arrow, true)).unwrap_err();
            assert_eq!(error.class(), FailureClass::NeedsOperator);
            assert!(error.to_string().contains("column \"Größe\" has type "));
        }
    }
}
