//! Whether a table that exists can take the rows: each synced column with a type that holds them
//! exactly (or jsonb for an array), nothing in the way of a row, a unique index on exactly the key, if the job has one. Looked at before
//! every stage and, for users alter their tables, once more under the lock of an apply.

use std::collections::HashMap;

use futures_util::future::try_join3;
use lakeferry_model::OwnColumns;
use tokio_postgres::{Row, types::Type};

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        columns::{Column, Columns},
        compatibility::{Existing, fit},
        hazards, key_index, own, privileges,
    },
    type_map::PgType,
};

/// Types are seen through domains (`b`); `y` is what a domain is of in the end. A column that takes
/// no NULL and has nothing else to put there is `unfilled`.
pub(super) const COLUMNS: &str = "\
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS declared, \
    a.attgenerated::text AS generated, a.attidentity <> '' AS is_identity, \
    l_n.nspname AS collation_schema, l.collname AS collation, \
    l.collisdeterministic AS is_deterministic, \
    pg_catalog.format_type(b.oid, b.modifier) AS shown, y_n.nspname AS type_schema, \
    y.typname AS type_name, b.modifier AS modifier, o.typtype = 'd' AS in_domain, \
    a.attnotnull AS not_null, \
    (a.attnotnull OR o.typnotnull) AND NOT a.atthasdef AND o.typdefault IS NULL \
        AND a.attidentity = '' AS unfilled \
FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_type AS o ON o.oid = a.atttypid \
CROSS JOIN LATERAL (WITH RECURSIVE beneath (oid, modifier, depth) AS ( \
        SELECT a.atttypid, a.atttypmod, 0 UNION ALL \
        SELECT d.typbasetype, d.typtypmod, beneath.depth + 1 FROM beneath \
        JOIN pg_catalog.pg_type AS d ON d.oid = beneath.oid AND d.typtype = 'd') \
    SELECT oid, modifier FROM beneath ORDER BY depth DESC LIMIT 1) AS b \
JOIN pg_catalog.pg_type AS y ON y.oid = b.oid \
JOIN pg_catalog.pg_namespace AS y_n ON y_n.oid = y.typnamespace \
LEFT JOIN pg_catalog.pg_collation AS l \
    ON l.oid = a.attcollation AND a.attcollation <> y.typcollation \
LEFT JOIN pg_catalog.pg_namespace AS l_n ON l_n.oid = l.collnamespace \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// In triggers' types, 28 stands for INSERT, DELETE and UPDATE, and 7 for BEFORE INSERT of a row
/// (`pg_trigger.h`). `$2` are the names of the key's columns, in the order of their bytes.
const TRAITS: &str = "\
WITH tree AS MATERIALIZED (SELECT $1::oid AS oid \
    UNION SELECT relid FROM pg_catalog.pg_partition_tree($1)), \
triggers AS (SELECT g.tgname, g.tgtype FROM tree JOIN pg_catalog.pg_trigger AS g \
    ON g.tgrelid = tree.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 28 <> 0) \
SELECT c.relkind = 'p', \
    ARRAY(SELECT DISTINCT tgname::text FROM triggers ORDER BY 1), \
    EXISTS (SELECT FROM triggers WHERE tgtype & 7 = 7), \
    EXISTS (SELECT FROM tree JOIN pg_catalog.pg_index AS i ON i.indrelid = tree.oid \
        WHERE i.indisunique AND i.indimmediate AND i.indislive AND NOT i.indisexclusion \
            AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL \
                OR $2 <> ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a \
                    WHERE a.attrelid = i.indrelid \
                        AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) \
                    ORDER BY a.attname))) \
FROM pg_catalog.pg_class AS c WHERE c.oid = $1";

/// What an apply has to know of its target besides the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    is_partitioned: bool,
    /// Triggers of users that fire when rows are written.
    pub(super) triggers: Vec<String>,
    /// Whether there are unique indexes besides the key's that are checked row by row.
    pub(super) has_rivals: bool,
    /// Whether a trigger may put values into columns before a row is inserted.
    fills_in: bool,
}

impl Shape {
    fn of(row: &Row) -> Self {
        Self {
            is_partitioned: row.get(0),
            triggers: row.get(1),
            fills_in: row.get(2),
            has_rivals: row.get(3),
        }
    }

    pub(super) fn triggers_in_words(&self) -> String {
        let quoted: Vec<String> = self
            .triggers
            .iter()
            .map(|name| format!("{name:?}"))
            .collect();
        quoted.join(", ")
    }

    /// The target as its rows are read and changed: without those of tables that inherit from it,
    /// which may appear at any moment.
    pub(super) fn rows_of(&self, table: &Table) -> Sql {
        match self.is_partitioned {
            true => table.sql(),
            false => Sql::of("ONLY {}", &[&table.sql()]),
        }
    }
}

/// Checks the table with this OID, and gives `columns` what they are in it; where it has jsonb for
/// an array, they are jsonb.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column, what was found and what it takes.
pub(super) async fn check(
    link: &Link,
    table: &Table,
    oid: u32,
    (columns, own): (&mut Columns, OwnColumns),
) -> Result<Shape, Error> {
    let own = own::columns(own)?;
    hazards::refuse(link, table, oid).await?;
    privileges::check(link, table, oid, (columns, &own)).await?;
    let doing = Doing::new(format!("look at the columns of {table}"));
    let mut key: Vec<&str> = columns.key().map(|column| column.name.as_str()).collect();
    key.sort_unstable();
    let of_table: [Param<'_>; 1] = [(&oid, Type::OID)];
    let of_key: [Param<'_>; 2] = [(&oid, Type::OID), (&key, Type::TEXT_ARRAY)];
    let (found, indexes, traits) = (
        Sql::from(COLUMNS),
        Sql::from(key_index::UNIQUE_INDEXES),
        Sql::from(TRAITS),
    );
    let (found, indexes, shape) = try_join3(
        link.query(&found, &of_table, &doing),
        link.query(&indexes, &of_table, &doing),
        link.query_one(&traits, &of_key, &doing),
    )
    .await?;
    let shape = Shape::of(&shape);
    check_columns(table, (columns, &own), &found, &shape)?;
    if columns.has_key() {
        key_index::check(table, columns, &indexes)?;
    }
    Ok(shape)
}

fn check_columns(
    table: &Table,
    (columns, own): (&mut Columns, &Columns),
    found: &[Row],
    shape: &Shape,
) -> Result<(), Error> {
    let mut found: HashMap<&str, &Row> = found.iter().map(|row| (row.get(0), row)).collect();
    for column in columns.iter_mut() {
        let Some(row) = found.remove(column.name.as_str()) else {
            return Err(missing(table, column));
        };
        check_column(table, column, row)?;
    }
    for column in own.iter() {
        match found.remove(column.name.as_str()) {
            Some(row) => check_own(table, column, row)?,
            None => return Err(missing(table, column)),
        }
    }
    let unfilled = found.into_iter().filter(|(_, row)| row.get("unfilled"));
    match unfilled.map(|(name, _)| name).min() {
        Some(name) if !shape.fills_in => Err(never_filled(table, name)),
        _ => Ok(()),
    }
}

fn check_column(table: &Table, column: &mut Column, row: &Row) -> Result<(), Error> {
    column.fall_back(row.get("shown"));
    let name = &column.name;
    refuse_computed(table, name, row)?;
    let existing = Existing {
        shown: row.get("shown"),
        schema: row.get("type_schema"),
        name: row.get("type_name"),
        modifier: row.get("modifier"),
        in_domain: row.get("in_domain"),
    };
    if matches!(column.postgres, PgType::Array(_)) && existing.shown == PgType::Jsonb.sql().as_str()
    {
        column.postgres = PgType::Jsonb;
    }
    // A type that is asked for is not made up for by a wider one.
    let is_other = column.is_asked()
        && !column.is_of_extension()
        && existing.shown != column.postgres.sql().as_str();
    match fit(column.postgres, &existing, column.is_key) {
        Some(fit) if !is_other => column.fit = fit,
        _ => return Err(does_not_fit(table, column, row)),
    }
    let collation: Option<&str> = row.get("collation");
    column.collation = collation.map(|name| Table {
        schema: row.get("collation_schema"),
        name: name.to_owned(),
    });
    if column.is_key && row.get::<_, Option<bool>>("is_deterministic") == Some(false) {
        return Err(Error::needs_operator(format!(
            "key column {name:?} of {table} has a nondeterministic collation"
        ))
        .advise("give it a deterministic one, so that equal means equal in every byte"));
    }
    Ok(())
}

/// A column that the job writes by itself is as those of the source, and takes NULL.
fn check_own(table: &Table, column: &Column, row: &Row) -> Result<(), Error> {
    let name = &column.name;
    check_column(table, &mut column.clone(), row)?;
    if row.get("not_null") {
        let change = Sql::of("ALTER COLUMN {} DROP NOT NULL", &[&Sql::name(name)]);
        let what = format!("column {name:?} of {table} takes no NULL");
        return Err(Error::needs_operator(what).advise(alter(table, &change)));
    }
    Ok(())
}

fn does_not_fit(table: &Table, column: &Column, row: &Row) -> Error {
    let (name, expected) = (&column.name, column.postgres.sql());
    let (declared, shown): (&str, &str) = (row.get("declared"), row.get("shown"));
    let declared = match declared == shown {
        true => declared.to_owned(),
        false => format!("{declared} ({shown})"),
    };
    let key = if column.is_key {
        "key column"
    } else {
        "column"
    };
    let mut change = Sql::of("ALTER COLUMN {} TYPE {}", &[&Sql::name(name), &expected]);
    let name_sql = Sql::name(name);
    if column.read_as() == PgType::Jsonb {
        change = Sql::of("{} USING to_jsonb({})", &[&change, &name_sql]);
    } else if !is_converted(shown, expected.as_str()) {
        change = Sql::of("{} USING {}::text::{}", &[&change, &name_sql, &expected]);
    }
    let why = match column.is_asked() {
        true => "as `types` asks",
        false => "nor anything that holds each of its values exactly",
    };
    let expected = expected.as_str();
    let what = format!("{key} {name:?} of {table} is {declared} and not {expected}, {why}");
    Error::needs_operator(what).advise(alter(table, &change))
}

/// Whether Postgres turns values of the type `from` into those of `to` without being told how: any
/// into texts, numbers into numbers, dates and times into each other, and arrays of these.
fn is_converted(from: &str, to: &str) -> bool {
    let kind = |shown: &str| match shown.split(['[', '(', ' ']).next() {
        Some("smallint" | "integer" | "bigint" | "real" | "double" | "numeric") => 'n',
        Some("date" | "timestamp") => 't',
        _ => 'o',
    };
    let (of_from, of_to) = (kind(from), kind(to));
    let are_alike =
        of_from == of_to && of_from != 'o' && from.ends_with("[]") == to.ends_with("[]");
    are_alike || to == "text" || to.starts_with("character varying")
}

fn refuse_computed(table: &Table, name: &str, row: &Row) -> Result<(), Error> {
    let name_sql = Sql::name(name);
    let change = match (row.get("generated"), row.get("is_identity")) {
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

fn never_filled(table: &Table, name: &str) -> Error {
    let change = Sql::of("ALTER COLUMN {} DROP NOT NULL", &[&Sql::name(name)]);
    Error::needs_operator(format!(
        "column {name:?} of {table} takes no NULL, has no default and is not among the job's \
         columns, so no row can be inserted"
    ))
    .advise(format!("{}, or SET DEFAULT", alter(table, &change)))
}

fn alter(table: &Table, what: &Sql) -> String {
    Sql::of("ALTER TABLE {} {}", &[&table.sql(), what])
        .as_str()
        .to_owned()
}
