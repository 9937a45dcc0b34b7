//! Publications that a table joins by being made: what is loaded into it goes to their subscribers.

use crate::{error::Error, link::Link, sql::Sql, sqlstate::Doing};

const FOR_ALL_TABLES: &str = "\
SELECT pubname::text FROM pg_catalog.pg_publication WHERE puballtables AND pubinsert ORDER BY 1";

/// The names of those FOR ALL TABLES that carry inserts.
pub(super) async fn for_all_tables(link: &Link) -> Result<Vec<String>, Error> {
    let doing = Doing::new("look for publications");
    let rows = link.query(&Sql::from(FOR_ALL_TABLES), &[], &doing).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
