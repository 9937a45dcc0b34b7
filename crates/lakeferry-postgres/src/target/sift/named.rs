//! Which column a refusal of the server is about, as far as it tells: by name, or by the constraint,
//! index or domain that it names, where that is of one column.

use lakeferry_model::Position;
use tokio_postgres::{error::DbError, types::Type};

use crate::{
    error::Error,
    link::Param,
    target::{apply::Apply, columns::Columns},
};

/// The columns of table `$1` that are meant by a name (`$2`), a domain (`$3`, `$4`), or a constraint
/// or index (`$6`) of that table or a partition of it (`$3`, `$5`).
const MEANT: &str = "\
WITH refusing AS (SELECT c.oid FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $3 AND c.relname = $5), \
places AS (SELECT k.conrelid AS oid, k.conkey::smallint[] AS numbers FROM refusing \
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = refusing.oid AND k.conname = $6 \
    UNION ALL SELECT i.indrelid, i.indkey::smallint[] FROM refusing \
    JOIN pg_catalog.pg_index AS i ON i.indrelid = refusing.oid AND i.indexprs IS NULL \
    JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid AND x.relname = $6) \
SELECT a.attname::text, NOT (a.attnotnull OR y.typnotnull) FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname = $2 \
    OR (n.nspname = $3 AND y.typname = $4) \
    OR a.attname IN (SELECT p.attname FROM places JOIN pg_catalog.pg_attribute AS p \
        ON p.attrelid = places.oid AND p.attnum = ANY (places.numbers)))";

/// What a refusal names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names {
    column: Option<String>,
    schema: Option<String>,
    domain: Option<String>,
    table: Option<String>,
    constraint: Option<String>,
}

impl Names {
    pub(super) fn of(refusal: &DbError) -> Self {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Self {
            column: owned(refusal.column()),
            schema: owned(refusal.schema()),
            domain: owned(refusal.datatype()),
            table: owned(refusal.table()),
            constraint: owned(refusal.constraint()),
        }
    }

    /// What is of this column.
    pub(super) fn of_column(name: &str) -> Self {
        Self {
            column: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// The one synced column that is meant.
    pub(super) async fn meant<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        columns: &Columns,
    ) -> Result<Option<Meant>, Error> {
        let params: [Param<'_>; 6] = [
            (&apply.oid, Type::OID),
            (&self.column, Type::TEXT),
            (&self.schema, Type::TEXT),
            (&self.domain, Type::TEXT),
            (&self.table, Type::TEXT),
            (&self.constraint, Type::TEXT),
        ];
        let rows = apply
            .link
            .query(&MEANT.into(), &params, &apply.doing())
            .await?;
        let [row] = &rows[..] else {
            return Ok(None);
        };
        let (name, takes_null): (String, bool) = (row.get(0), row.get(1));
        let place = columns.iter().position(|column| column.name == name);
        Ok(place.map(|place| Meant {
            place,
            takes_null: takes_null && !columns.key_places().contains(&place),
        }))
    }
}

/// A synced column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant {
    /// Among the columns.
    pub(super) place: usize,
    /// Whether the target holds NULL in it; never so in a key.
    pub(super) takes_null: bool,
}
