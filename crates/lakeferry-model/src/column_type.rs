//! The type of Postgres that a job asks for instead of the one that a column would get.

use std::{fmt, str::FromStr};

use arrow_schema::Field;

/// The key in a column's Arrow metadata under which a source puts the type that the job asks for.
pub const ASKED_TYPE: &str = "lakeferry.asked_type";

/// The most digits that a number can be asked for with, as many as a decimal of Delta has.
const MAX_DIGITS: u8 = 38;

/// The most characters of a `varchar` (`MaxAttrSize` of Postgres).
const MAX_CHARACTERS: u32 = 10_485_760;

/// A type that a job can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    SmallInt,
    Integer,
    BigInt,
    Real,
    DoublePrecision,
    Numeric { precision: u8, scale: u8 },
    Text,
    Varchar(u32),
    Citext,
    Uuid,
    Inet,
    Cidr,
    Macaddr,
    Json,
    Jsonb,
}

/// What there is to ask for: one of each kind, and how it is written.
pub const COLUMN_TYPES: [(ColumnType, &str); 15] = [
    (ColumnType::SmallInt, "smallint"),
    (ColumnType::Integer, "integer"),
    (ColumnType::BigInt, "bigint"),
    (ColumnType::Real, "real"),
    (ColumnType::DoublePrecision, "double precision"),
    (NUMERIC, "numeric(p,s)"),
    (ColumnType::Text, "text"),
    (ColumnType::Varchar(1), "varchar(n)"),
    (ColumnType::Citext, "citext"),
    (ColumnType::Uuid, "uuid"),
    (ColumnType::Inet, "inet"),
    (ColumnType::Cidr, "cidr"),
    (ColumnType::Macaddr, "macaddr"),
    (ColumnType::Json, "json"),
    (ColumnType::Jsonb, "jsonb"),
];

const NUMERIC: ColumnType = ColumnType::Numeric {
    precision: MAX_DIGITS,
    scale: 0,
};

/// No type that a job can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoColumnType {
    Unknown,
    /// Postgres takes texts for equal that differ in blanks at their end.
    Padded,
    /// A length or a number of digits is missing, or cannot be had.
    OutOfRange,
}

/// The type that the job asks for a column of [`crate::Head::columns`].
pub fn asked_type(column: &Field) -> Option<ColumnType> {
    column.metadata().get(ASKED_TYPE)?.parse().ok()
}

impl FromStr for ColumnType {
    type Err = NoColumnType;

    /// Names are those of Postgres, short forms and any case included.
    fn from_str(text: &str) -> Result<Self, NoColumnType> {
        let text = text.trim().to_lowercase();
        let (name, arguments) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, arguments)) => (name, Some(arguments)),
            None => (text.as_str(), None),
        };
        let words: Vec<&str> = name.split_whitespace().collect();
        let name = words.join(" ");
        let plain = match name.as_str() {
            "smallint" | "int2" => Self::SmallInt,
            "integer" | "int" | "int4" => Self::Integer,
            "bigint" | "int8" => Self::BigInt,
            "real" | "float4" => Self::Real,
            "double precision" | "float8" => Self::DoublePrecision,
            "text" => Self::Text,
            "citext" => Self::Citext,
            "uuid" => Self::Uuid,
            "inet" => Self::Inet,
            "cidr" => Self::Cidr,
            "macaddr" => Self::Macaddr,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "varchar" | "character varying" => return varchar(arguments),
            "numeric" | "decimal" => return numeric(arguments),
            "char" | "character" | "bpchar" => return Err(NoColumnType::Padded),
            _ => return Err(NoColumnType::Unknown),
        };
        match arguments {
            None => Ok(plain),
            Some(_) => Err(NoColumnType::Unknown),
        }
    }
}

fn varchar(arguments: Option<&str>) -> Result<ColumnType, NoColumnType> {
    let length = arguments.and_then(|length| length.trim().parse().ok());
    let is_one = |length: &u32| (1..=MAX_CHARACTERS).contains(length);
    let length = length.filter(is_one).ok_or(NoColumnType::OutOfRange)?;
    Ok(ColumnType::Varchar(length))
}

fn numeric(arguments: Option<&str>) -> Result<ColumnType, NoColumnType> {
    let digits = |text: &str| text.trim().parse::<u8>().ok();
    let both = arguments.and_then(|arguments| match arguments.split_once(',') {
        Some((precision, scale)) => digits(precision).zip(digits(scale)),
        None => digits(arguments).zip(Some(0)),
    });
    let is_one =
        |(precision, scale): &(u8, u8)| (1..=MAX_DIGITS).contains(precision) && scale <= precision;
    let (precision, scale) = both.filter(is_one).ok_or(NoColumnType::OutOfRange)?;
    Ok(ColumnType::Numeric { precision, scale })
}

/// As Postgres takes it and [`ColumnType::from_str`] reads it.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::DoublePrecision => "double precision",
            Self::Numeric { precision, scale } => return write!(f, "numeric({precision},{scale})"),
            Self::Text => "text",
            Self::Varchar(length) => return write!(f, "varchar({length})"),
            Self::Citext => "citext",
            Self::Uuid => "uuid",
            Self::Inet => "inet",
            Self::Cidr => "cidr",
            Self::Macaddr => "macaddr",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_postgres_writes_them() {
        let numeric = |precision, scale| ColumnType::Numeric { precision, scale };
        for (text, read) in [
            ("varchar(20)", ColumnType::Varchar(20)),
            ("Character  Varying ( 20 )", ColumnType::Varchar(20)),
            ("numeric(10,2)", numeric(10, 2)),
            ("DECIMAL(38)", numeric(38, 0)),
            ("int8", ColumnType::BigInt),
            ("double precision", ColumnType::DoublePrecision),
            (" uuid ", ColumnType::Uuid),
        ] {
            assert_eq!(text.parse(), Ok(read), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        for (one, written) in COLUMN_TYPES {
            let written = written.replace("(p,s)", "(38,0)").replace("(n)", "(1)");
            assert_eq!(written.parse(), Ok(one));
            assert_eq!(one.to_string(), written);
        }
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for (text, wrong) in [
            ("char(3)", NoColumnType::Padded),
            ("varchar", NoColumnType::OutOfRange),
            ("varchar(0)", NoColumnType::OutOfRange),
            ("numeric", NoColumnType::OutOfRange),
            ("numeric(39,2)", NoColumnType::OutOfRange),
            ("numeric(2,3)", NoColumnType::OutOfRange),
            ("uuid(3)", NoColumnType::Unknown),
            ("timestamp", NoColumnType::Unknown),
            ("", NoColumnType::Unknown),
        ] {
            assert_eq!(text.parse::<ColumnType>(), Err(wrong), "{text}");
        }
    }
}
