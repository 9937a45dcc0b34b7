//! Staging tables that outlive a transaction: how they are named, how they are known as ours, and
//! how what was left of them goes.

use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::Link,
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        fence::Hold,
        settings::{MAX_NAME_BYTES, RESERVED},
    },
};

/// Tables of a reserved name whose comment says whose they are.
const LEFTOVERS: &str = "\
SELECT n.nspname, c.relname FROM pg_catalog.pg_description AS d \
JOIN pg_catalog.pg_class AS c ON c.oid = d.objoid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0 AND d.description = $1 \
    AND c.relkind = 'r' AND pg_catalog.starts_with(c.relname, $2)";

/// `_lakeferry_fill_7_orders`: 7 is the epoch. What is too long for a name is cut off and told
/// apart by a digest.
pub(super) fn name(kind: &str, epoch: i64, table: &str) -> String {
    let name = format!("{RESERVED}{kind}_{epoch}_{table}");
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
pub(super) fn comment(hold: Hold) -> String {
    let job_id = hold.job_id;
    format!("lakeferry: staging of job {job_id}; dropped by its next run")
}

/// Drops a staging table, and gives up soon where somebody looks into it.
pub(super) fn drop_sql(table: &Table) -> Sql {
    let sql = "BEGIN; SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS {}; COMMIT";
    Sql::of(sql, &[&table.sql()])
}

/// Drops what sessions of this job left behind.
pub(super) async fn drop_leftovers(link: &Link, target: &Table, hold: Hold) -> Result<(), Error> {
    let doing = Doing::new(format!("drop what was left of an earlier run on {target}"));
    let comment = comment(hold);
    let params: [_; 2] = [(&comment as _, Type::TEXT), (&RESERVED as _, Type::TEXT)];
    for row in link.query(&LEFTOVERS.into(), &params, &doing).await? {
        let table = Table {
            schema: row.get(0),
            name: row.get(1),
        };
        link.batch(&drop_sql(&table), &doing).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name("fill", 7, "orders"), "_lakeferry_fill_7_orders");
        let long = "ä".repeat(31);
        let other = format!("{}b", "ä".repeat(30));
        let names = [&long, &other].map(|table| name("refresh", i64::MAX, table));
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.len() <= MAX_NAME_BYTES, "{name}");
        }
    }
}
