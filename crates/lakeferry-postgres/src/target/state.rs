//! The state beside the rows: the names of its tables, and how its values look in them.

use std::{error::Error as StdError, fmt};

use bytes::BytesMut;
use lakeferry_model::{Digest, Fingerprint, Instant, Position, Progress, TableId, Watermark};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked},
};

use crate::{
    encode::{checked_timestamp, micros_since_1970},
    error::Error,
    link::Param,
    sql::{Sql, Table},
    target::kept_columns,
};

/// The schema that holds the state. `Display` is for messages.
#[derive(Clone, Debug)]
pub(crate) struct StateSchema(String);

impl StateSchema {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn sql(&self) -> Sql {
        Sql::name(&self.0)
    }

    /// One of its tables.
    pub(crate) fn table(&self, name: &'static str) -> Sql {
        let table = Table {
            schema: self.0.clone(),
            name: name.to_owned(),
        };
        table.sql()
    }
}

impl fmt::Display for StateSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An instant as `timestamptz`, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Instant);

impl ToSql for Moment {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Instant(micros) = self.0;
        let held = checked_timestamp(micros).ok_or("an instant before 4714 BC")?;
        out.extend_from_slice(&held.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for Moment {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let held = i64::from_be_bytes(raw.try_into()?);
        let micros = micros_since_1970(held).ok_or("a moment beyond 64 bits")?;
        Ok(Self(Instant(micros)))
    }

    accepts!(TIMESTAMPTZ);
}

/// The columns of `progress` that [`Progress`] fills, in the order in which [`Kept`] holds them.
pub(crate) const PROGRESS_COLUMNS: [&str; 7] = [
    "table_id",
    "version",
    "digest",
    "instant",
    "key",
    "fingerprint",
    COLUMNS,
];

/// The one that came with a migration.
const COLUMNS: &str = "columns";

/// Those of the table with this alias, also where an earlier build made it.
pub(crate) fn progress_columns_of(alias: &'static str) -> Sql {
    let alias = Sql::from(alias);
    let column = |name| match name {
        COLUMNS => Sql::of(
            "pg_catalog.to_jsonb({}) ->> {}",
            &[&alias, &Sql::text(name)],
        ),
        _ => Sql::of("{}.{}", &[&alias, &Sql::name(name)]),
    };
    Sql::list(", ", PROGRESS_COLUMNS.map(column))
}

/// A [`Progress`], or its absence, as `progress` keeps it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    table_id: Option<String>,
    version: Option<i64>,
    digest: Option<Vec<u8>>,
    instant: Option<Moment>,
    key: Option<Vec<String>>,
    fingerprint: Option<String>,
    columns: Option<String>,
}

impl Kept {
    /// # Errors
    /// [`Error::Bug`] if the position is greater than `bigint` holds.
    pub(crate) fn of<P: Position>(progress: Option<&Progress<P>>) -> Result<Self, Error> {
        let Some(Progress {
            watermark,
            fingerprint,
        }) = progress
        else {
            return Ok(Self::default());
        };
        Ok(Self {
            table_id: Some(watermark.table_id.0.clone()),
            version: Some(bigint(watermark.version)?),
            digest: watermark.digest.map(|digest| digest.0.to_vec()),
            instant: Some(Moment(watermark.instant)),
            key: Some(fingerprint.key.clone()),
            fingerprint: Some(fingerprint.rows.clone()),
            columns: kept_columns::to_json(&fingerprint.columns, fingerprint.columns_made),
        })
    }

    /// Reads [`PROGRESS_COLUMNS`] from `row`, the first of them at `first`.
    ///
    /// # Errors
    /// [`tokio_postgres::Error`] if a column is not of its type.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            table_id: row.try_get(first)?,
            version: row.try_get(first + 1)?,
            digest: row.try_get(first + 2)?,
            instant: row.try_get(first + 3)?,
            key: row.try_get(first + 4)?,
            fingerprint: row.try_get(first + 5)?,
            columns: row.try_get(first + 6)?,
        })
    }

    /// The values of [`PROGRESS_COLUMNS`].
    pub(crate) fn params(&self) -> [Param<'_>; 7] {
        [
            (&self.table_id, Type::TEXT),
            (&self.version, Type::INT8),
            (&self.digest, Type::BYTEA),
            (&self.instant, Type::TIMESTAMPTZ),
            (&self.key, Type::TEXT_ARRAY),
            (&self.fingerprint, Type::TEXT),
            (&self.columns, Type::TEXT),
        ]
    }

    /// The progress that is kept, `None` before the first apply or if it makes no sense.
    pub(crate) fn progress<P: Position>(self) -> Option<Progress<P>> {
        let digest = match self.digest {
            Some(bytes) => Some(Digest(bytes.try_into().ok()?)),
            None => None,
        };
        let (columns, columns_made) = match self.columns {
            Some(text) => kept_columns::from_json(&text)?,
            // An earlier build kept none.
            None => (Vec::new(), 0),
        };
        Some(Progress {
            watermark: Watermark {
                table_id: TableId(self.table_id?),
                version: position(self.version?),
                digest,
                instant: self.instant?.0,
            },
            fingerprint: Fingerprint {
                key: self.key?,
                rows: self.fingerprint?,
                columns,
                columns_made,
            },
        })
    }
}

/// # Errors
/// [`Error::Bug`] if the position is greater than `bigint` holds.
pub(crate) fn bigint<P: Position>(position: P) -> Result<i64, Error> {
    i64::try_from(position.to_number())
        .map_err(|_| Error::bug(format!("position {position} is greater than bigint holds")))
}

/// The position that [`bigint`] stored; it stores none below zero.
pub(crate) fn position<P: Position>(stored: i64) -> P {
    P::from_number(u64::try_from(stored).unwrap_or(0))
}
