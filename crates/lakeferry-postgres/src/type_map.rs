//! Which Postgres type holds a column of the source, exactly.

use arrow_schema::{DataType, Field, TimeUnit};

use crate::{error::Error, sql::Sql};

/// The most digits that a decimal of the source has (Delta protocol, primitive types).
const DECIMAL_DIGITS: u8 = 38;

/// A type of Postgres that this crate writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PgType {
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
    /// The type that holds every value of `field` as it is.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming the column, if there is none yet.
    pub(crate) fn of(field: &Field) -> Result<Self, Error> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 | DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::BigInt,
            DataType::Float32 => Self::Real,
            DataType::Float64 => Self::DoublePrecision,
            DataType::Decimal128(precision, scale) => {
                decimal(*precision, *scale).ok_or_else(|| not_held(field))?
            }
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Bytea,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if is_utc(zone) => {
                Self::TimestampTz
            }
            _ => return Err(not_held(field)),
        })
    }

    /// The type as `format_type` of Postgres prints it and as DDL takes it.
    pub(crate) fn sql(self) -> Sql {
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
}

fn decimal(precision: u8, scale: i8) -> Option<PgType> {
    let scale = u8::try_from(scale).ok()?;
    let holds = (1..=DECIMAL_DIGITS).contains(&precision) && scale <= precision;
    holds.then_some(PgType::Numeric { precision, scale })
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "+00:00"].contains(&zone)
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
    fn other_types_are_refused_by_column() {
        for arrow in [
            DataType::UInt8,
            DataType::Date64,
            DataType::Utf8View,
            DataType::Decimal128(10, -2),
            DataType::Decimal128(2, 3),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
            DataType::new_list(DataType::Int32, true),
        ] {
            let error = PgType::of(&Field::new("Größe", arrow, true)).unwrap_err();
            assert_eq!(error.class(), FailureClass::NeedsOperator);
            assert!(error.to_string().contains("column \"Größe\" has type "));
        }
    }
}
