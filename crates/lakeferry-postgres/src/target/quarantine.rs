//! What is in quarantine, for people to read, and to give up.

use lakeferry_model::Instant;
use tokio_postgres::{Row, types::Type};

use crate::{
    connect::ConnectSettings,
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
    target::{
        settings::check_name,
        state::{Moment, StateSchema},
    },
};

/// A row of the source that the target cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    pub job: String,
    /// The values of the key columns as a JSON array; of a job without a key the whole row.
    pub key: String,
    /// More than one only without a key.
    pub rows: u64,
    /// The one at fault, as far as the server tells.
    pub column: Option<String>,
    /// What it holds.
    pub reason: String,
    /// The row as a JSON object, unless it is too long, or was dropped.
    pub payload: Option<String>,
    /// Of the source, which brought it.
    pub version: u64,
    pub found_at: Instant,
    /// Whether somebody gave it up.
    pub is_dropped: bool,
    /// Whether the target keeps the row that the key had before.
    pub has_previous: bool,
}

/// A state that was not migrated yet has no `has_previous`; then the name means the one of `older`.
const READ: &str = "\
SELECT j.name, q.key::text, q.rows, nullif(q.column_name, ''), q.reason, q.payload::text, \
    q.version, q.found_at, q.dropped_at IS NOT NULL, \
    (SELECT has_previous FROM {} AS p WHERE p.job_id = q.job_id AND p.digest = q.digest) \
FROM (VALUES (false)) AS older (has_previous) \
CROSS JOIN {} AS q JOIN {} AS j ON j.job_id = q.job_id \
WHERE j.deployment = $1 AND j.name = ANY ($2) AND {} AND ($4 OR q.dropped_at IS NULL) \
ORDER BY j.name, q.found_at, q.digest LIMIT $5";

/// A key of one column may be given without its brackets, and a text without its quotes.
const IS_KEY: &str = "\
($3::text[] IS NULL OR EXISTS (SELECT FROM pg_catalog.unnest($3) AS k (given) \
    WHERE q.key::text IN (k.given, '[' || k.given || ']', \
        '[' || pg_catalog.to_json(k.given)::text || ']')))";

/// Which rows in quarantine are meant.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub deployment: &'a str,
    pub jobs: &'a [String],
    /// All where absent.
    pub keys: Option<&'a [String]>,
}

impl<'a> Wanted<'a> {
    fn params(&'a self) -> [Param<'a>; 3] {
        [
            (&self.deployment, Type::TEXT),
            (&self.jobs, Type::TEXT_ARRAY),
            (&self.keys, Type::TEXT_ARRAY),
        ]
    }
}

/// The rows in quarantine, of each job the oldest first, up to `limit`. Writes nothing.
///
/// # Errors
/// As for a connection; [`Error::NeedsOperator`] if the state must not be read.
pub async fn read_quarantine(
    connect: &ConnectSettings,
    state_schema: &str,
    wanted: Wanted<'_>,
    with_dropped: bool,
    limit: u32,
) -> Result<Vec<QuarantinedRow>, Error> {
    check_name("schema", state_schema)?;
    let state = StateSchema::new(state_schema);
    let link = connect.connect("quarantine").await?;
    let doing = Doing::new("read what is in quarantine").needs(format!("USAGE ON SCHEMA {state}"));
    let mut found = Vec::new();
    if is_there(&link, &state, &doing).await? {
        let tables = ["quarantine", "jobs"].map(|name| state.table(name));
        let sql = Sql::of(READ, &[&tables[0], &tables[0], &tables[1], &IS_KEY.into()]);
        let limit = i64::from(limit);
        let mut params = Vec::from(wanted.params());
        params.extend::<[Param<'_>; 2]>([(&with_dropped, Type::BOOL), (&limit, Type::INT8)]);
        for row in link.query(&sql, &params, &doing).await? {
            found.push(read(&row).map_err(|error| doing.failed(error, link.place()))?);
        }
    }
    link.close().await;
    Ok(found)
}

fn read(row: &Row) -> Result<QuarantinedRow, tokio_postgres::Error> {
    let unsigned = |stored| u64::try_from(stored).unwrap_or(0);
    Ok(QuarantinedRow {
        job: row.try_get(0)?,
        key: row.try_get(1)?,
        rows: unsigned(row.try_get::<_, i64>(2)?),
        column: row.try_get(3)?,
        reason: row.try_get(4)?,
        payload: row.try_get(5)?,
        version: unsigned(row.try_get::<_, i64>(6)?),
        found_at: row.try_get::<_, Moment>(7)?.0,
        is_dropped: row.try_get(8)?,
        has_previous: row.try_get(9)?,
    })
}

/// Gives rows up: they count no more, and their values are forgotten. That the target has no row
/// of their keys stays known, so that changes of these still come. Says how many these were.
///
/// # Errors
/// As for [`read_quarantine`].
pub async fn drop_quarantined(
    connect: &ConnectSettings,
    state_schema: &str,
    wanted: Wanted<'_>,
) -> Result<u64, Error> {
    check_name("schema", state_schema)?;
    let state = StateSchema::new(state_schema);
    let link = connect.connect("quarantine").await?;
    let doing =
        Doing::new("drop rows in quarantine").needs(format!("ALL ON ALL TABLES IN SCHEMA {state}"));
    let mut dropped = 0;
    if is_there(&link, &state, &doing).await? {
        let sql = "UPDATE {} AS q SET payload = NULL, dropped_at = pg_catalog.clock_timestamp() \
            FROM {} AS j WHERE j.job_id = q.job_id AND j.deployment = $1 AND j.name = ANY ($2) \
            AND {} AND q.dropped_at IS NULL";
        let tables = ["quarantine", "jobs"].map(|name| state.table(name));
        let sql = Sql::of(sql, &[&tables[0], &tables[1], &IS_KEY.into()]);
        dropped = link.execute(&sql, &wanted.params(), &doing).await?;
    }
    link.close().await;
    Ok(dropped)
}

/// Not before a job has run with this build.
pub(super) async fn is_there(
    link: &Link,
    state: &StateSchema,
    doing: &Doing,
) -> Result<bool, Error> {
    let sql = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    let name = state.table("quarantine");
    let name = name.as_str();
    let params: [Param<'_>; 1] = [(&name, Type::TEXT)];
    let row = link.query_one(&sql.into(), &params, doing).await?;
    Ok(row.get(0))
}
