//! What a role must be allowed to do with a target that exists, looked at before any row is on its
//! way: so a missing right is told with the GRANT that gives it, and not by whichever statement
//! came first.

use tokio_postgres::{Row, types::Type};

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::columns::Columns,
};

/// What is missing: the use of the schema; rights on the synced columns, which may be granted one
/// by one; and the sequences that defaults of other columns draw from.
const MISSING: &str = "\
SELECT pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), \
    ARRAY(SELECT w.wanted FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) \
            WITH ORDINALITY AS w (wanted, place) \
        WHERE EXISTS (SELECT FROM pg_catalog.pg_attribute AS a \
            WHERE a.attrelid = c.oid AND a.attname::text = ANY ($2) AND NOT a.attisdropped \
                AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, w.wanted)) \
        ORDER BY w.place), \
    pg_catalog.has_table_privilege(c.oid, 'DELETE'), \
    ARRAY(SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, q.relname) \
        FROM pg_catalog.pg_attrdef AS f \
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum \
        JOIN pg_catalog.pg_depend AS d \
            ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid \
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        JOIN pg_catalog.pg_class AS q ON q.oid = d.refobjid \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = q.relnamespace \
        WHERE f.adrelid = c.oid AND a.attname::text <> ALL ($2) \
            AND CASE q.relkind WHEN 'S' \
                THEN NOT pg_catalog.has_sequence_privilege(q.oid, 'USAGE, UPDATE') END \
        ORDER BY 1) \
FROM pg_catalog.pg_class AS c WHERE c.oid = $1";

/// # Errors
/// [`Error::NeedsOperator`] naming what the role may not do with the table of this OID, with the
/// statements that allow it.
pub(super) async fn check(
    link: &Link,
    table: &Table,
    oid: u32,
    (columns, own): (&Columns, &Columns),
) -> Result<(), Error> {
    let doing = Doing::new(format!("look at the rights on {table}"));
    let columns = columns.iter().chain(own.iter());
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let params: [Param<'_>; 2] = [(&oid, Type::OID), (&names, Type::TEXT_ARRAY)];
    let rows = link.query(&MISSING.into(), &params, &doing).await?;
    let missing = rows.first().map(|row| missing(row, table));
    let missing = missing.unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let user = &link.place().user;
    let grantee = Sql::name(user);
    let grants: Vec<String> = missing
        .iter()
        .map(|right| format!("GRANT {right} TO {}", grantee.as_str()))
        .collect();
    Err(Error::needs_operator(format!(
        "{user:?} lacks {} to write {table}",
        missing.join(", and ")
    ))
    .advise(grants.join("; ")))
}

/// In words that follow GRANT.
fn missing(row: &Row, table: &Table) -> Vec<String> {
    let mut missing = Vec::new();
    if !row.get::<_, bool>(0) {
        let schema = Sql::name(&table.schema);
        missing.push(format!("USAGE ON SCHEMA {}", schema.as_str()));
    }
    let mut rights: Vec<&str> = row.get(1);
    if !row.get::<_, bool>(2) {
        rights.push("DELETE");
    }
    if !rights.is_empty() {
        missing.push(format!("{} ON {}", rights.join(", "), table.sql().as_str()));
    }
    let sequences: Vec<String> = row.get(3);
    if !sequences.is_empty() {
        missing.push(format!("USAGE ON SEQUENCE {}", sequences.join(", ")));
    }
    missing
}
