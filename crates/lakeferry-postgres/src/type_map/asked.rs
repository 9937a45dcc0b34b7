//! Types that a job asks for instead of those that columns would get (`types:`), and which of them
//! take what.
//!
//! A value comes as the same one in the other type, or it is a bad value: nothing is rounded, cut or
//! padded. In a key, each value must also come back as the text that it was, for equal must mean the
//! same on both sides.

use arrow_schema::Field;
use lakeferry_model::{COLUMN_TYPES, ColumnType, asked_type};

use super::{PgType, Scalar};
use crate::{error::Error, sql::Sql};

/// A type that no column gets by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Varchar(u32),
    /// Of an extension; waits as text.
    Citext,
    Uuid,
    Inet,
    Cidr,
    Macaddr,
    Json,
}

impl Asked {
    /// As `format_type` prints it and DDL takes it.
    pub(super) fn sql(self) -> Sql {
        match self {
            Self::Varchar(length) => {
                Sql::of("character varying({})", &[&Sql::number(length.into())])
            }
            Self::Citext => "citext".into(),
            Self::Uuid => "uuid".into(),
            Self::Inet => "inet".into(),
            Self::Cidr => "cidr".into(),
            Self::Macaddr => "macaddr".into(),
            Self::Json => "json".into(),
        }
    }

    pub(super) fn fits_key(self) -> bool {
        matches!(self, Self::Varchar(_) | Self::Uuid)
    }

    /// The type that has its bytes on the wire.
    pub(crate) fn written_as(self) -> Scalar {
        match self {
            Self::Varchar(_) | Self::Citext | Self::Json => Scalar::Text,
            Self::Uuid | Self::Inet | Self::Cidr | Self::Macaddr => Scalar::Bytea,
        }
    }
}

/// The type that the job asks for `field`, which would be `usual`, if it asks for one.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column, and what there is to ask for, if not that.
pub(crate) fn asked(field: &Field, usual: PgType, is_key: bool) -> Result<Option<PgType>, Error> {
    let Some(wanted) = asked_type(field) else {
        return Ok(None);
    };
    let takes = |wanted| takes(usual, wanted).filter(|given| !is_key || fits_key(usual, *given));
    if let Some(given) = takes(wanted) {
        return Ok(Some(given));
    }
    let (name, what) = (field.name(), usual.sql());
    let kind = if is_key { "key column" } else { "column" };
    let possible: Vec<&str> = COLUMN_TYPES
        .iter()
        .filter(|(of_kind, _)| takes(*of_kind).is_some())
        .map(|(_, written)| *written)
        .collect();
    let hint = match possible.is_empty() {
        true => "remove it from `types`: there is no other type for it".to_owned(),
        false => format!("what it can be: {}", possible.join(", ")),
    };
    Err(Error::needs_operator(format!(
        "{kind} {name:?}, which is {} by itself, cannot be {wanted}",
        what.as_str()
    ))
    .advise(hint))
}

/// What holds values of `usual` where `wanted` is asked for.
fn takes(usual: PgType, wanted: ColumnType) -> Option<PgType> {
    use ColumnType as T;
    let of = match usual {
        PgType::Scalar(scalar) => scalar,
        PgType::Array(_) | PgType::Jsonb => {
            return (wanted == T::Jsonb).then_some(PgType::Jsonb);
        }
        PgType::Asked(_) => return None,
    };
    let is_whole = matches!(of, Scalar::SmallInt | Scalar::Integer | Scalar::BigInt);
    let is_exact = is_whole || matches!(of, Scalar::Numeric { .. });
    let is_float = matches!(of, Scalar::Real | Scalar::DoublePrecision);
    let is_text = of == Scalar::Text;
    let is_written = is_text || is_exact || of == Scalar::Boolean;
    let scalar = |scalar, is_possible: bool| is_possible.then_some(PgType::Scalar(scalar));
    let asked = |asked, is_possible: bool| is_possible.then_some(PgType::Asked(asked));
    match wanted {
        T::SmallInt => scalar(Scalar::SmallInt, is_exact),
        T::Integer => scalar(Scalar::Integer, is_exact),
        T::BigInt => scalar(Scalar::BigInt, is_exact),
        T::Real => scalar(Scalar::Real, is_float),
        T::DoublePrecision => scalar(Scalar::DoublePrecision, is_float),
        T::Numeric { precision, scale } => scalar(Scalar::Numeric { precision, scale }, is_exact),
        T::Text => scalar(Scalar::Text, is_written),
        T::Varchar(length) => asked(Asked::Varchar(length), is_written),
        T::Citext => asked(Asked::Citext, is_text),
        T::Uuid => asked(Asked::Uuid, is_text),
        T::Inet => asked(Asked::Inet, is_text),
        T::Cidr => asked(Asked::Cidr, is_text),
        T::Macaddr => asked(Asked::Macaddr, is_text),
        T::Json => asked(Asked::Json, is_text),
        T::Jsonb => is_text.then_some(PgType::Jsonb),
    }
}

/// Whether a key may be `given` where it would be `usual`: numbers of limited precision are equal to
/// what they are rounded to.
fn fits_key(usual: PgType, given: PgType) -> bool {
    given.fits_key() && (given == usual || given != PgType::Scalar(Scalar::Real))
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;
    use lakeferry_model::{ASKED_TYPE, Failure};

    use super::*;

    fn given(of: DataType, wanted: &str, is_key: bool) -> Result<String, Error> {
        let metadata = [(ASKED_TYPE.to_owned(), wanted.to_owned())].into();
        let field = Field::new("c", of, true).with_metadata(metadata);
        let given = asked(&field, PgType::of(&field)?, is_key)?;
        Ok(given.unwrap().sql().as_str().to_owned())
    }

    #[test]
    fn what_holds_the_same_values_can_be_asked_for() {
        for (of, wanted, expected) in [
            (DataType::Int64, "integer", "integer"),
            (DataType::Int8, "numeric(3,1)", "numeric(3,1)"),
            (
                DataType::Decimal128(12, 4),
                "decimal(10,2)",
                "numeric(10,2)",
            ),
            (DataType::Decimal128(12, 4), "bigint", "bigint"),
            (DataType::Boolean, "varchar(5)", "character varying(5)"),
            (DataType::Int32, "text", "text"),
            (DataType::Utf8, "uuid", "uuid"),
        ] {
            assert_eq!(given(of, wanted, true).unwrap(), expected);
        }
        let texts = DataType::new_list(DataType::Utf8, true);
        for (of, wanted, expected) in [
            (DataType::Float64, "real", "real"),
            (DataType::Utf8, "citext", "citext"),
            (DataType::Utf8, "cidr", "cidr"),
            (DataType::Utf8, "json", "json"),
            (DataType::Utf8, "jsonb", "jsonb"),
            (texts, "jsonb", "jsonb"),
        ] {
            assert_eq!(given(of.clone(), wanted, false).unwrap(), expected);
            let error = given(of, wanted, true).unwrap_err().to_string();
            assert!(error.starts_with("key column \"c\""), "{error}");
        }
    }

    #[test]
    fn others_are_refused_with_what_can_be() {
        for (of, wanted, told) in [
            (
                DataType::Float64,
                "numeric(10,2)",
                "what it can be: real, double precision",
            ),
            (
                DataType::Date32,
                "text",
                "remove it from `types`: there is no other type for it",
            ),
            (
                DataType::Utf8,
                "integer",
                "what it can be: text, varchar(n), citext, uuid, inet, cidr, macaddr, json, jsonb",
            ),
            (
                DataType::new_list(DataType::Int32, true),
                "text",
                "what it can be: jsonb",
            ),
        ] {
            let error = given(of, wanted, false).unwrap_err();
            assert_eq!(error.hint().as_deref(), Some(told));
        }
    }
}
