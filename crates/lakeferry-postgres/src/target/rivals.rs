//! Unique indexes of users besides the key's. Unless they are of DEFERRABLE constraints, Postgres
//! checks them row by row; so they refuse rows that exchange values on the way to a state that they
//! would not refuse.

use lakeferry_model::Position;
use tokio_postgres::{Row, types::Type};

use crate::{
    error::Error,
    link::Param,
    sql::{Sql, Table},
    target::{apply::Apply, settings::TargetSettings},
};

/// All unique indexes of a table and its partitions. `r` is the index
/// that users made, of which those of partitions are parts. A column can be parked at NULL if it
/// takes NULL and nobody refers to it. (`NULLS NOT DISTINCT` came with version 15, and its column
/// of the catalog with it.)
const RIVALS: &str = "\
WITH tree AS MATERIALIZED (SELECT $1::oid AS oid \
    UNION SELECT relid FROM pg_catalog.pg_partition_tree($1)) \
SELECT c.relname, r_n.nspname, r_t.relname, r_c.relname, \
    CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' END, \
    ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, place, true) \
        FROM pg_catalog.generate_series(1, i.indnkeyatts) AS place ORDER BY place), \
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a \
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])), \
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a \
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) \
            AND NOT a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS f \
                WHERE f.contype = 'f' AND f.confrelid = i.indrelid \
                    AND a.attnum = ANY (f.confkey))), \
    i.indexprs IS NULL AND i.indpred IS NULL, \
    coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), i.indimmediate \
FROM tree JOIN pg_catalog.pg_index AS i ON i.indrelid = tree.oid \
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
JOIN pg_catalog.pg_index AS r \
    ON r.indexrelid = coalesce(pg_catalog.pg_partition_root(i.indexrelid), i.indexrelid) \
JOIN pg_catalog.pg_class AS r_c ON r_c.oid = r.indexrelid \
JOIN pg_catalog.pg_class AS r_t ON r_t.oid = r.indrelid \
JOIN pg_catalog.pg_namespace AS r_n ON r_n.oid = r_t.relnamespace \
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = r.indexrelid AND k.contype IN ('p', 'u') \
WHERE i.indisunique AND i.indislive AND NOT i.indisexclusion";

/// A unique index.
#[derive(Debug)]
pub(super) struct Rival {
    /// As the server names it when it refuses: for a partitioned table, that of the partition.
    name: String,
    /// The index that somebody made, and its table.
    index: Table,
    table: Table,
    /// `UNIQUE` or `PRIMARY KEY`; absent for an index that is no constraint.
    constraint: Option<String>,
    /// What is indexed, as SQL.
    indexed: Vec<String>,
    /// The columns that are indexed as they are.
    pub(super) columns: Vec<String>,
    /// Those of them that can be NULL for a moment.
    nullable: Vec<String>,
    /// Whether it is over columns alone, and over all rows.
    pub(super) is_plain: bool,
    nulls_are_equal: bool,
    /// Whether it is checked row by row, and not at COMMIT.
    is_immediate: bool,
}

impl Rival {
    fn of(row: &Row) -> Self {
        let schema: String = row.get(1);
        let sibling = |name| Table {
            schema: schema.clone(),
            name,
        };
        Self {
            name: row.get(0),
            table: sibling(row.get(2)),
            index: sibling(row.get(3)),
            constraint: row.get(4),
            indexed: row.get(5),
            columns: row.get(6),
            nullable: row.get(7),
            is_plain: row.get(8),
            nulls_are_equal: row.get(9),
            is_immediate: row.get(10),
        }
    }

    /// The columns of which any, at NULL, keeps a row out of the index's way.
    pub(super) fn parking(&self) -> &[String] {
        if self.nulls_are_equal || !self.is_immediate {
            return &[];
        }
        &self.nullable
    }

    fn indexed(&self) -> String {
        self.indexed.join(", ")
    }

    /// What it is called, and what it is over.
    fn in_words(&self) -> String {
        let (name, indexed) = (&self.index.name, self.indexed());
        let what = match self.constraint {
            Some(_) => "unique constraint",
            None => "unique index",
        };
        format!("{what} {name:?} on ({indexed})")
    }

    /// SQL that takes it away.
    fn drop(&self) -> String {
        let name = Sql::name(&self.index.name);
        let drop = match self.constraint {
            Some(_) => Sql::of(
                "ALTER TABLE {} DROP CONSTRAINT {}",
                &[&self.table.sql(), &name],
            ),
            None => Sql::of("DROP INDEX {}", &[&self.index.sql()]),
        };
        drop.as_str().to_owned()
    }

    /// SQL that makes it one that is checked at COMMIT, and what that costs.
    fn defer(&self) -> String {
        if !self.is_plain {
            return format!(
                "{}: an index over an expression or a part of the rows cannot be DEFERRABLE",
                self.drop()
            );
        }
        let name = Sql::name(&self.index.name);
        let nulls = if self.nulls_are_equal {
            " NULLS NOT DISTINCT"
        } else {
            ""
        };
        let kind = self.constraint.as_deref().unwrap_or("UNIQUE");
        let add = format!(
            "ADD CONSTRAINT {} {kind}{nulls} ({}) DEFERRABLE",
            name.as_str(),
            self.indexed()
        );
        match self.constraint {
            Some(_) => format!("{}, {add}", self.drop()),
            None => format!(
                "{}; ALTER TABLE {} {add}",
                self.drop(),
                self.table.sql().as_str()
            ),
        }
    }
}

/// The indexes of the target.
pub(super) async fn all<P: Position>(apply: &Apply<'_, P>) -> Result<Vec<Rival>, Error> {
    let params: [Param<'_>; 1] = [(&apply.oid, Type::OID)];
    let (sql, doing) = (Sql::from(RIVALS), apply.doing());
    let rows = apply.link.query(&sql, &params, &doing).await?;
    Ok(rows.iter().map(Rival::of).collect())
}

/// The one that the server named when it refused a row.
pub(super) fn named<'a>(rivals: &'a [Rival], error: &tokio_postgres::Error) -> Option<&'a Rival> {
    let name = error.as_db_error()?.constraint()?;
    rivals.iter().find(|rival| rival.name == name)
}

/// The error for rows that pass values on among themselves, or have them twice in the end: before
/// the end, it cannot be told.
pub(super) fn exchange(settings: &TargetSettings, rival: &Rival) -> Error {
    let table = &settings.table;
    Error::needs_operator(format!(
        "rows of {table} exchange values, or have the same, under the {}, which is checked row by \
         row",
        rival.in_words()
    ))
    .advise(rival.defer() + in_the_way(settings))
}

/// The error for rows that have the same values in the end.
pub(super) fn collision(settings: &TargetSettings, rival: &Rival) -> Error {
    let table = &settings.table;
    Error::needs_operator(format!(
        "rows for {table} have the same values under its {}",
        rival.in_words()
    ))
    .advise(format!(
        "make them differ in the source, keep all but one out by the job's filter, or {}{}",
        rival.drop(),
        in_the_way(settings)
    ))
}

/// What else can be done where deleted rows stay, and have their values still.
fn in_the_way(settings: &TargetSettings) -> &'static str {
    match settings.own.deleted_at {
        true => {
            "; if a row that stayed when it was deleted is in the way: let the index be over the \
             others alone, WHERE \"_deleted_at\" IS NULL"
        }
        false => "",
    }
}
