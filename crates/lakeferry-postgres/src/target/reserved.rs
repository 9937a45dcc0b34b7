//! Staging tables that outlive a transaction: how they are named, how they are known as ours, and
//! how what was left of them goes.

use sha2::{Digest as _, Sha256};
use tokio_postgres::{error::SqlState, types::Type};
use uuid::Uuid;

use crate::{
    error::Error,
    link::Link,
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::settings::{MAX_NAME_BYTES, RESERVED},
};

/// Tables of a reserved name whose comment says whose they are. The bounds, which take in a little
/// more than [`RESERVED`], are for the index on names.
const LEFTOVERS: &str = "\
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE c.relname >= '_lakeferry_' AND c.relname < '_lakeferry`' AND c.relkind = 'r' \
    AND pg_catalog.starts_with(c.relname, $2) \
    AND pg_catalog.obj_description(c.oid, 'pg_class') = $1";

/// `_lakeferry_fill_7_orders`: 7 is the epoch. Where the name is in use, an attempt is told by its
/// number: `_lakeferry_fill_7.1_orders`. What is too long for a name is cut off and told apart by a
/// digest.
pub(super) fn name(kind: &str, epoch: i64, attempt: u32, table: &str) -> String {
    let attempt = match attempt {
        0 => String::new(),
        _ => format!(".{attempt}"),
    };
    let name = format!("{RESERVED}{kind}_{epoch}{attempt}_{table}");
    if name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let digest = Sha256::digest(table.as_bytes());
    let digest: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let cut = name.floor_char_boundary(MAX_NAME_BYTES - 1 - digest.len());
    format!("{}_{digest}", &name[..cut])
}

/// By this comment a staging table is known as ours, and whose.
pub(super) fn comment(job_id: Uuid) -> String {
    format!("lakeferry: staging of job {job_id}; its next run uses or drops it")
}

/// Drops a staging table; says whether it is gone. One that somebody looks into, a backup for
/// instance, stays for a later run.
pub(super) async fn drop(link: &Link, table: &Table, doing: &Doing) -> Result<bool, Error> {
    let sql = "BEGIN; SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS {}; COMMIT";
    match link.try_batch(&Sql::of(sql, &[&table.sql()])).await {
        Ok(()) => Ok(true),
        Err(error) if sqlstate::is(&error, &SqlState::LOCK_NOT_AVAILABLE) => {
            tracing::warn!(
                %table,
                "a staging table is in use; a later run drops it"
            );
            link.batch(&"ROLLBACK".into(), doing).await?;
            Ok(false)
        }
        Err(error) => Err(doing.failed(error, link.place())),
    }
}

/// What became of what sessions left behind.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pub(super) dropped: Vec<Table>,
    /// Somebody looks into them.
    pub(super) kept: Vec<Table>,
}

/// Drops what sessions of this job left behind, `but` one.
pub(super) async fn drop_leftovers(
    link: &Link,
    target: &Table,
    job_id: Uuid,
    but: Option<&Table>,
) -> Result<Leftovers, Error> {
    let doing = Doing::new(format!("drop what was left of an earlier run on {target}"));
    let comment = comment(job_id);
    let mut left = Leftovers::default();
    let params: [_; 2] = [(&comment as _, Type::TEXT), (&RESERVED as _, Type::TEXT)];
    for row in link.query(&LEFTOVERS.into(), &params, &doing).await? {
        let table = Table {
            schema: row.get(0),
            name: row.get(1),
        };
        if but == Some(&table) {
            continue;
        }
        match drop(link, &table, &doing).await? {
            true => left.dropped.push(table),
            false => left.kept.push(table),
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name("fill", 7, 0, "orders"), "_lakeferry_fill_7_orders");
        assert_eq!(name("fill", 7, 1, "orders"), "_lakeferry_fill_7.1_orders");
        let long = "ä".repeat(31);
        let other = format!("{}b", "ä".repeat(30));
        let names = [&long, &other].map(|table| name("refresh", i64::MAX, 0, table));
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.len() <= MAX_NAME_BYTES, "{name}");
        }
    }
}
