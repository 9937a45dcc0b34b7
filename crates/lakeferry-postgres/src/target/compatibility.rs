//! Which column of a table that exists takes a type of the source: one that holds every value of it
//! exactly, and in which equal stays equal. Of what holds some values and not others, only texts of
//! a limited length are taken; each is measured before it is written.

use crate::{
    sql::Sql,
    type_map::{Asked, PgType, Scalar},
};

/// A column's type as the server tells it, seen through domains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Existing<'a> {
    /// As `format_type` prints it.
    pub(super) shown: &'a str,
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    /// `atttypmod`: −1 where there is none.
    pub(super) modifier: i32,
    /// Whether a domain is laid over it.
    pub(super) in_domain: bool,
}

/// How staged values become those of the target's column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// What staged values are cast to, where the types differ.
    pub(super) cast: Option<Sql>,
    /// What the target's are cast to, to be compared: rows of a domain and of its type are not.
    pub(super) domain_of: Option<Sql>,
    /// The most characters that the column takes. Longer texts would be cut where only blanks are
    /// cut off, without a word.
    pub(super) max_characters: Option<u32>,
}

/// What a type is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SmallInt,
    Integer,
    BigInt,
    DoublePrecision,
    /// Precision and scale, unless any number goes.
    Numeric(Option<(i32, i32)>),
    /// The most characters, unless any number goes.
    Varchar(Option<u32>),
    /// Equal is not what is equal in every byte.
    Citext,
    /// Full precision, which is that of the plain type.
    Timestamp,
    TimestampTz,
    Other,
}

/// How a column of the type `existing` takes values of `source`, if it does. A key must not take
/// two that differ for one.
pub(super) fn fit(source: PgType, existing: &Existing<'_>, is_key: bool) -> Option<Fit> {
    let mut fit = Fit::default();
    let kind = Kind::of(existing);
    if source == PgType::Asked(Asked::Citext) {
        // It waits as text.
        fit.cast = (kind == Kind::Citext && !is_key).then(|| cast(kind, existing));
        fit.cast.as_ref()?;
    } else if existing.shown != source.sql().as_str() {
        let PgType::Scalar(scalar) = source else {
            return None;
        };
        if !holds(scalar, kind) || (is_key && kind == Kind::Citext) {
            return None;
        }
        fit.cast = Some(cast(kind, existing));
        if let Kind::Varchar(limit) = kind {
            fit.max_characters = limit;
        }
    }
    if existing.in_domain {
        let plain = || cast(kind, existing);
        fit.domain_of = Some(fit.cast.clone().unwrap_or_else(plain));
    }
    Some(fit)
}

/// Whether a column of the type `existing` becomes one of `wider` without being written anew: a number
/// that gets more digits before the point.
pub(super) fn is_without_rewrite(wider: PgType, existing: &Existing<'_>) -> bool {
    let PgType::Scalar(Scalar::Numeric { precision, scale }) = wider else {
        return false;
    };
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    let kept = |(had, had_scale)| precision >= had && scale == had_scale;
    match Kind::of(existing) {
        Kind::Numeric(Some(digits)) => !existing.in_domain && kept(digits),
        _ => false,
    }
}

/// Whether all values of `source` are values of `kind` too, texts but for their length.
fn holds(source: Scalar, kind: Kind) -> bool {
    match (source, kind) {
        (Scalar::SmallInt, Kind::Integer | Kind::BigInt)
        | (Scalar::Integer, Kind::BigInt)
        | (Scalar::Real, Kind::DoublePrecision)
        | (Scalar::Text, Kind::Varchar(_) | Kind::Citext)
        | (Scalar::Timestamp, Kind::Timestamp)
        | (Scalar::TimestampTz, Kind::TimestampTz) => true,
        (Scalar::SmallInt, Kind::Numeric(room)) => has_room(room, 5, 0),
        (Scalar::Integer, Kind::Numeric(room)) => has_room(room, 10, 0),
        (Scalar::BigInt, Kind::Numeric(room)) => has_room(room, 19, 0),
        (Scalar::Numeric { precision, scale }, Kind::Numeric(room)) => {
            let (precision, scale) = (i32::from(precision), i32::from(scale));
            has_room(room, precision - scale, scale)
        }
        (
            Scalar::Numeric {
                precision,
                scale: 0,
            },
            Kind::SmallInt,
        ) => precision <= 4,
        (
            Scalar::Numeric {
                precision,
                scale: 0,
            },
            Kind::Integer,
        ) => precision <= 9,
        (
            Scalar::Numeric {
                precision,
                scale: 0,
            },
            Kind::BigInt,
        ) => precision <= 18,
        _ => false,
    }
}

/// Whether so many digits before the point and after it are kept.
fn has_room(room: Option<(i32, i32)>, before: i32, after: i32) -> bool {
    room.is_none_or(|(precision, scale)| precision - scale >= before && scale >= after)
}

/// A cast to a text of a limited length would cut it; an assignment refuses.
fn cast(kind: Kind, existing: &Existing<'_>) -> Sql {
    match kind {
        Kind::SmallInt => "smallint".into(),
        Kind::Integer => "integer".into(),
        Kind::BigInt => "bigint".into(),
        Kind::DoublePrecision => "double precision".into(),
        Kind::Varchar(_) => "character varying".into(),
        Kind::Numeric(Some((precision, scale))) => {
            let number = |value: i32| Sql::number(value.unsigned_abs().into());
            // A scale that is negative has no room for any of the source's.
            Sql::of("numeric({},{})", &[&number(precision), &number(scale)])
        }
        _ => Sql::of(
            "{}.{}",
            &[&Sql::name(existing.schema), &Sql::name(existing.name)],
        ),
    }
}

impl Kind {
    fn of(existing: &Existing<'_>) -> Self {
        let modifier = existing.modifier;
        match (existing.schema, existing.name) {
            ("pg_catalog", "int2") => Self::SmallInt,
            ("pg_catalog", "int4") => Self::Integer,
            ("pg_catalog", "int8") => Self::BigInt,
            ("pg_catalog", "float8") => Self::DoublePrecision,
            ("pg_catalog", "numeric") => Self::Numeric(digits(modifier)),
            ("pg_catalog", "varchar") => Self::Varchar(u32::try_from(modifier - LENGTH_WORD).ok()),
            ("pg_catalog", "timestamp") if modifier == MICROSECONDS => Self::Timestamp,
            ("pg_catalog", "timestamptz") if modifier == MICROSECONDS => Self::TimestampTz,
            (_, "citext") => Self::Citext,
            _ => Self::Other,
        }
    }
}

/// What modifiers of texts and numbers count besides (`VARHDRSZ`).
const LENGTH_WORD: i32 = 4;

/// The modifier of `timestamp(6)`.
const MICROSECONDS: i32 = 6;

/// Precision and scale in a modifier (`make_numeric_typmod`); the scale has 11 bits and a sign.
fn digits(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier
        .checked_sub(LENGTH_WORD)
        .filter(|&packed| packed >= 0)?;
    Some((packed >> 16 & 0xffff, (packed & 0x7ff ^ 1024) - 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type of the catalog.
    fn existing(shown: &'static str, name: &'static str, modifier: i32) -> Existing<'static> {
        Existing {
            shown,
            schema: "pg_catalog",
            name,
            modifier,
            in_domain: false,
        }
    }

    fn numeric(precision: i32, scale: i32) -> Existing<'static> {
        let modifier = (precision << 16 | scale & 0x7ff) + LENGTH_WORD;
        existing("numeric(…)", "numeric", modifier)
    }

    const DECIMAL: Scalar = Scalar::Numeric {
        precision: 10,
        scale: 2,
    };

    #[test]
    fn what_holds_every_value_fits() {
        let whole = |precision| Scalar::Numeric {
            precision,
            scale: 0,
        };
        for (source, existing, cast) in [
            (Scalar::SmallInt, existing("integer", "int4", -1), "integer"),
            (Scalar::SmallInt, existing("bigint", "int8", -1), "bigint"),
            (Scalar::Integer, existing("bigint", "int8", -1), "bigint"),
            (Scalar::Integer, numeric(12, 2), "numeric(12,2)"),
            (
                Scalar::BigInt,
                existing("numeric", "numeric", -1),
                r#""pg_catalog"."numeric""#,
            ),
            (
                Scalar::Real,
                existing("double precision", "float8", -1),
                "double precision",
            ),
            (
                DECIMAL,
                existing("numeric", "numeric", -1),
                r#""pg_catalog"."numeric""#,
            ),
            (DECIMAL, numeric(12, 4), "numeric(12,4)"),
            (whole(4), existing("smallint", "int2", -1), "smallint"),
            (whole(18), existing("bigint", "int8", -1), "bigint"),
            (
                Scalar::Timestamp,
                existing("timestamp(6) without time zone", "timestamp", 6),
                r#""pg_catalog"."timestamp""#,
            ),
        ] {
            let fit = fit(PgType::Scalar(source), &existing, true)
                .unwrap_or_else(|| panic!("{existing:?}"));
            assert_eq!(fit.cast, Some(cast.into()), "{existing:?}");
            assert_eq!(fit.max_characters, None);
        }
    }

    #[test]
    fn what_does_not_is_refused() {
        let whole = Scalar::Numeric {
            precision: 10,
            scale: 0,
        };
        for (source, existing) in [
            (Scalar::BigInt, existing("integer", "int4", -1)),
            (Scalar::Integer, existing("real", "float4", -1)),
            (Scalar::Integer, existing("text", "text", -1)),
            (Scalar::Integer, numeric(11, 2)),
            (Scalar::Integer, numeric(12, -1)),
            (Scalar::DoublePrecision, existing("real", "float4", -1)),
            (Scalar::Real, existing("numeric", "numeric", -1)),
            (DECIMAL, numeric(10, 1)),
            (DECIMAL, numeric(11, 4)),
            (DECIMAL, existing("bigint", "int8", -1)),
            (whole, existing("integer", "int4", -1)),
            (Scalar::Text, existing("character(9)", "bpchar", 13)),
            (Scalar::Text, existing("name", "name", -1)),
            (Scalar::Text, existing("uuid", "uuid", -1)),
            (
                Scalar::Date,
                existing("timestamp without time zone", "timestamp", -1),
            ),
            (
                Scalar::Timestamp,
                existing("timestamp(3) without time zone", "timestamp", 3),
            ),
            (
                Scalar::Timestamp,
                existing("timestamp with time zone", "timestamptz", -1),
            ),
            (
                Scalar::TimestampTz,
                existing("timestamp without time zone", "timestamp", -1),
            ),
        ] {
            assert_eq!(
                fit(PgType::Scalar(source), &existing, false),
                None,
                "{source:?} {existing:?}"
            );
        }
    }

    #[test]
    fn only_numbers_grow_where_they_are() {
        let wider = |precision, scale| PgType::Scalar(Scalar::Numeric { precision, scale });
        assert!(is_without_rewrite(wider(12, 2), &numeric(10, 2)));
        assert!(!is_without_rewrite(wider(12, 4), &numeric(10, 2)));
        assert!(!is_without_rewrite(wider(9, 2), &numeric(10, 2)));
        let bigint = PgType::Scalar(Scalar::BigInt);
        assert!(!is_without_rewrite(
            bigint,
            &existing("integer", "int4", -1)
        ));
        let domain = Existing {
            in_domain: true,
            ..numeric(10, 2)
        };
        assert!(!is_without_rewrite(wider(12, 2), &domain));
    }

    #[test]
    fn texts_of_limited_length_are_measured() {
        let nine = existing("character varying(9)", "varchar", 13);
        let fit = fit(PgType::Scalar(Scalar::Text), &nine, true).unwrap();
        assert_eq!(fit.cast, Some("character varying".into()));
        assert_eq!(fit.max_characters, Some(9));
    }

    #[test]
    fn texts_that_are_equal_though_they_differ_are_no_key() {
        let citext = Existing {
            schema: "my \"types\"",
            ..existing("citext", "citext", -1)
        };
        assert_eq!(fit(PgType::Scalar(Scalar::Text), &citext, true), None);
        let cast = fit(PgType::Scalar(Scalar::Text), &citext, false)
            .unwrap()
            .cast
            .unwrap();
        assert_eq!(cast.as_str(), r#""my ""types"""."citext""#);
    }

    #[test]
    fn domains_are_compared_as_what_they_are_of() {
        let amount = Existing {
            in_domain: true,
            ..numeric(12, 4)
        };
        let fit = fit(PgType::Scalar(DECIMAL), &amount, false).unwrap();
        assert_eq!(
            (fit.cast.clone(), fit.cast),
            (fit.domain_of, Some("numeric(12,4)".into()))
        );
    }
}
