//! The unique index that tells the rows of a target apart: on exactly the key, over all rows, valid,
//! and good at once rather than at COMMIT.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use crate::{
    error::Error,
    sql::{Sql, Table},
    target::columns::Columns,
};

/// The unique indexes of a table: the names of their columns, whether they are over plain columns
/// and all rows, good at once, valid; their own name, and what constraint they are, if any.
pub(super) const UNIQUE_INDEXES: &str = "\
SELECT ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a \
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])), \
    i.indpred IS NULL AND i.indexprs IS NULL, i.indimmediate, i.indisvalid, c.relname, \
    CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' END \
FROM pg_catalog.pg_index AS i \
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') \
WHERE i.indrelid = $1 AND i.indisunique AND NOT i.indisexclusion ORDER BY c.relname";

/// Checks that one of the [`UNIQUE_INDEXES`] is the key's.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the one that comes closest, and what makes it right.
pub(super) fn check(table: &Table, columns: &Columns, indexes: &[Row]) -> Result<(), Error> {
    let key: BTreeSet<&str> = columns.key().map(|column| column.name.as_str()).collect();
    let on_key = |row: &&Row| {
        let names: Vec<&str> = row.get(0);
        row.get(1) && key == names.into_iter().collect()
    };
    let on_key: Vec<&Row> = indexes.iter().filter(on_key).collect();
    if on_key.iter().any(|row| row.get(2) && row.get(3)) {
        return Ok(());
    }
    Err(match on_key.first() {
        None => none(table, columns),
        Some(row) if row.get(2) => invalid(table, columns, row),
        Some(row) => deferrable(table, columns, row),
    })
}

fn none(table: &Table, columns: &Columns) -> Error {
    let key = columns.key_in_words();
    let add = Sql::of(
        "ALTER TABLE {} ADD UNIQUE ({})",
        &[&table.sql(), &columns.key_names()],
    );
    Error::needs_operator(format!(
        "{table} has no unique index on exactly its key {key}, over all rows"
    ))
    .advise(add.as_str())
}

fn invalid(table: &Table, columns: &Columns, row: &Row) -> Error {
    let (key, name) = (columns.key_in_words(), row.get::<_, &str>(4));
    let index = table.sibling(name.to_owned());
    let reindex = Sql::of("REINDEX INDEX {}", &[&index.sql()]);
    Error::needs_operator(format!(
        "the unique index {name:?} on the key {key} of {table} is not valid"
    ))
    .advise(reindex.as_str())
}

/// The rows of an apply rely on the key statement by statement.
fn deferrable(table: &Table, columns: &Columns, row: &Row) -> Error {
    let (key, name) = (columns.key_in_words(), row.get::<_, &str>(4));
    let kind = match row.get::<_, Option<&str>>(5) {
        Some("PRIMARY KEY") => "PRIMARY KEY",
        _ => "UNIQUE",
    };
    let quoted = Sql::name(name);
    let change = Sql::of(
        "ALTER TABLE {} DROP CONSTRAINT {}, ADD CONSTRAINT {} {} ({})",
        &[
            &table.sql(),
            &quoted,
            &quoted,
            &kind.into(),
            &columns.key_names(),
        ],
    );
    Error::needs_operator(format!(
        "the constraint {name:?} on the key {key} of {table} is DEFERRABLE, so it does not tell \
         rows apart before COMMIT"
    ))
    .advise(change.as_str())
}
