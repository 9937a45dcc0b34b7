//! How many connections a server leaves, by its own limits.

use crate::{connect::ConnectSettings, error::Error, spares::Spares, sql::Sql, sqlstate::Doing};

/// What is reserved is reserved for others, whoever asks.
const FREE: &str = "\
WITH others AS (SELECT usesysid, datid FROM pg_catalog.pg_stat_activity \
    WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND application_name NOT LIKE 'lakeferry/%') \
SELECT least( \
    pg_catalog.current_setting('max_connections')::int8 \
    - pg_catalog.current_setting('superuser_reserved_connections')::int8 \
    - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int8 \
    - (SELECT count(*) FROM others), \
    (SELECT r.rolconnlimit - (SELECT count(*) FROM others AS o WHERE o.usesysid = r.oid) \
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user AND r.rolconnlimit >= 0), \
    (SELECT d.datconnlimit - (SELECT count(*) FROM others AS o WHERE o.datid = d.oid) \
    FROM pg_catalog.pg_database AS d \
    WHERE d.datname = pg_catalog.current_database() AND d.datconnlimit >= 0))";

/// How many connections the limits of the server, of the role and of the database leave, for this process
/// and all of its kind together: what others have open is taken off.
///
/// # Errors
/// As for a connection.
pub async fn free_connections(connect: &ConnectSettings, spares: &Spares) -> Result<u32, Error> {
    let link = spares.connect(connect, "limits").await?;
    let doing = Doing::new("read how many connections the server leaves");
    let row = link.query_one(&Sql::from(FREE), &[], &doing).await?;
    let free: i64 = row.get(0);
    spares.keep(link).await;
    Ok(u32::try_from(free.max(0)).unwrap_or(u32::MAX))
}
