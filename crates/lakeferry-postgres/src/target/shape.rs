//! Whether a table that exists can take the rows: each synced column with exactly its type (or
//! jsonb for an array), and a unique index on exactly the key. Looked at before every stage and, for users alter their tables,
//! once more under the lock of an apply.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join;
use tokio_postgres::{Row, types::Type};

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        columns::{Column, Columns},
        hazards,
    },
    type_map::PgType,
};

const COLUMNS: &str = "\
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
    a.attgenerated::text, a.attidentity <> '', n.nspname, l.collname, l.collisdeterministic \
FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid \
LEFT JOIN pg_catalog.pg_collation AS l \
    ON l.oid = a.attcollation AND a.attcollation <> y.typcollation \
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// Indexes that `INSERT` relies on at once, over plain columns and all rows.
const UNIQUE_INDEXES: &str = "\
SELECT ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a \
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) \
FROM pg_catalog.pg_index AS i \
WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid \
    AND i.indpred IS NULL AND i.indexprs IS NULL";

/// Checks the table with this OID, and gives `columns` the collations that it has, and jsonb where
/// it has that for an array.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column, what was found and what it takes.
pub(super) async fn check(
    link: &Link,
    table: &Table,
    oid: u32,
    columns: &mut Columns,
) -> Result<(), Error> {
    hazards::refuse(link, table, oid).await?;
    let doing = Doing::new(format!("look at the columns of {table}"));
    let params: [Param<'_>; 1] = [(&oid, Type::OID)];
    let (found, indexes) = try_join(
        link.query(&Sql::from(COLUMNS), &params, &doing),
        link.query(&Sql::from(UNIQUE_INDEXES), &params, &doing),
    )
    .await?;
    let found: HashMap<&str, &Row> = found.iter().map(|row| (row.get(0), row)).collect();
    for column in columns.iter_mut() {
        let Some(row) = found.get(column.name.as_str()) else {
            return Err(missing(table, column));
        };
        check_column(table, column, row)?;
    }
    let key: BTreeSet<&str> = columns.key().map(|column| column.name.as_str()).collect();
    let on_key = indexes.iter().any(|row| {
        let names: Vec<&str> = row.get(0);
        key == names.into_iter().collect()
    });
    if on_key {
        Ok(())
    } else {
        Err(no_index(table, columns))
    }
}

fn check_column(table: &Table, column: &mut Column, row: &Row) -> Result<(), Error> {
    let name = &column.name;
    let (found, expected) = (row.get::<_, &str>(1), column.postgres.sql());
    if matches!(column.postgres, PgType::Array(_)) && found == PgType::Jsonb.sql().as_str() {
        column.postgres = PgType::Jsonb;
    } else if found != expected.as_str() {
        return Err(Error::needs_operator(format!(
            "column {name:?} of {table} is {found} and not {}",
            expected.as_str()
        ))
        .advise(alter(
            table,
            &Sql::of("ALTER COLUMN {} TYPE {}", &[&Sql::name(name), &expected]),
        )));
    }
    refuse_computed(table, name, row)?;
    if let (Some(schema), Some(collation)) = (row.get(4), row.get(5)) {
        column.collation = Some(Table {
            schema,
            name: collation,
        });
    }
    if row.get::<_, Option<bool>>(6) == Some(false) {
        return Err(Error::needs_operator(format!(
            "column {name:?} of {table} has a nondeterministic collation"
        ))
        .advise("give it a deterministic one, so that equal means equal in every byte"));
    }
    Ok(())
}

fn refuse_computed(table: &Table, name: &str, row: &Row) -> Result<(), Error> {
    let name_sql = Sql::name(name);
    let change = match (row.get::<_, &str>(2), row.get::<_, bool>(3)) {
        ("", false) => return Ok(()),
        ("", true) => Sql::of("ALTER COLUMN {} DROP IDENTITY", &[&name_sql]),
        ("s", _) => Sql::of("ALTER COLUMN {} DROP EXPRESSION", &[&name_sql]),
        // The expression of a virtual column cannot be dropped alone.
        _ => Sql::of("DROP COLUMN {}", &[&name_sql]),
    };
    let what =
        format!("column {name:?} of {table} is computed by the server (generated or identity)");
    Err(Error::needs_operator(what).advise(alter(table, &change)))
}

fn missing(table: &Table, column: &Column) -> Error {
    let definition = Sql::of("ADD COLUMN {}", &[&column.definition()]);
    Error::needs_operator(format!("{table} has no column {:?}", column.name))
        .advise(alter(table, &definition))
}

fn no_index(table: &Table, columns: &Columns) -> Error {
    let key = columns.key_in_words();
    let constraint = Sql::of("ADD UNIQUE ({})", &[&columns.key_names()]);
    Error::needs_operator(format!(
        "{table} has no unique index on exactly its key {key} that is valid, covers all rows and \
         is not deferrable"
    ))
    .advise(alter(table, &constraint))
}

fn alter(table: &Table, what: &Sql) -> String {
    Sql::of("ALTER TABLE {} {}", &[&table.sql(), what])
        .as_str()
        .to_owned()
}
