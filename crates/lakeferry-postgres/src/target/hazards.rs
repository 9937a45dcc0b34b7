//! What makes Postgres lose or suppress writes without a word, or write where nobody meant it: a
//! table that has any of it is refused.

use tokio_postgres::{Row, types::Type};

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::{Doing, rls_hint},
};

const HAZARDS: &str = "\
SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS u WHERE u.relpersistence <> 'p' \
        AND (u.oid = c.oid OR u.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))), \
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid), \
    (SELECT r.rulename::text FROM pg_catalog.pg_rewrite AS r \
        WHERE r.ev_class = c.oid AND r.ev_type <> '1' ORDER BY 1 LIMIT 1), \
    pg_catalog.row_security_active(c.oid), \
    c.relforcerowsecurity AND pg_catalog.pg_has_role(c.relowner, 'USAGE') \
FROM pg_catalog.pg_class AS c WHERE c.oid = $1";

/// # Errors
/// [`Error::NeedsOperator`] naming the first hazard of the table with this OID.
pub(super) async fn refuse(link: &Link, table: &Table, oid: u32) -> Result<(), Error> {
    let doing = Doing::new(format!("look at table {table}"));
    let params: [Param<'_>; 1] = [(&oid, Type::OID)];
    let rows = link.query(&Sql::from(HAZARDS), &params, &doing).await?;
    match rows
        .first()
        .and_then(|row| hazard(row, table, &link.place().user))
    {
        None => Ok(()),
        Some((what, hint)) => Err(Error::needs_operator(what).advise(hint)),
    }
}

/// What is wrong, and what to do about it.
fn hazard(row: &Row, table: &Table, user: &str) -> Option<(String, String)> {
    let name = table.sql();
    let name = name.as_str();
    if row.get(0) {
        return Some((
            format!("{table} is not logged: a crash of the server empties it"),
            format!("ALTER TABLE {name} SET LOGGED (and each partition), then run backfill"),
        ));
    }
    if row.get(1) {
        return Some((
            format!("tables inherit from {table}: what is deleted there would go in them too"),
            format!("ALTER TABLE <child> NO INHERIT {name}, or give the job another table"),
        ));
    }
    if let Some(rule) = row.get::<_, Option<&str>>(2) {
        return Some((
            format!("{table} has the rule {rule:?}, which rewrites what is written"),
            format!("DROP RULE {} ON {name}", Sql::name(rule).as_str()),
        ));
    }
    row.get::<_, bool>(3).then(|| {
        let hint = match row.get(4) {
            true => format!("ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY, for {user:?} owns it"),
            false => rls_hint(user),
        };
        (
            format!("row-level security hides rows of {table} from {user:?}"),
            hint,
        )
    })
}
