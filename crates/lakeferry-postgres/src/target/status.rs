//! What all jobs of a deployment have, from one statement, for people to read.

use lakeferry_model::{BadRowCounts, Holder, Instant, RowCounts};
use tokio_postgres::{Row, types::Type};

use crate::{
    connect::ConnectSettings,
    error::Error,
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        inspect::has_state,
        lease::is_alive,
        quarantine,
        settings::check_name,
        state::{Moment, StateSchema},
    },
};

/// How one job stands in this database. Absent parts did not happen yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    pub name: String,
    pub table: Table,
    pub epoch: u64,
    /// The identity of the source table.
    pub table_id: Option<String>,
    /// The position of the watermark.
    pub version: Option<u64>,
    /// When time in the filter was evaluated.
    pub instant: Option<Instant>,
    /// When the watermark last moved.
    pub updated_at: Option<Instant>,
    /// Who has the lease, if it is alive.
    pub holder: Option<Holder>,
    pub last_run: Option<Run>,
    /// Rows in quarantine that nobody gave up.
    pub quarantined: u64,
}

/// An apply that had rows staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `fill`, `refresh`, `changes`, `append`, `moved` (by time alone), `adopt` or `retry`.
    pub kind: String,
    pub from_version: Option<u64>,
    pub through_version: u64,
    pub rows: RowCounts,
    pub bad: BadRowCounts,
    pub started_at: Instant,
    pub finished_at: Instant,
}

/// What [`run`] reads after the kind of a run `r`. The counts of bad rows came later than the others.
pub(super) const RUN_COLUMNS: &str = "\
r.from_version, r.through_version, r.inserted, r.updated, r.deleted, r.started_at, r.finished_at, \
(pg_catalog.to_jsonb(r) ->> 'quarantined')::bigint, \
(pg_catalog.to_jsonb(r) ->> 'released')::bigint, (pg_catalog.to_jsonb(r) ->> 'nulled')::bigint, \
(pg_catalog.to_jsonb(r) ->> 'replaced')::bigint";

const QUARANTINED: &str = "\
SELECT j.name, sum(q.rows)::bigint FROM {} AS j JOIN {} AS q ON q.job_id = j.job_id \
WHERE j.deployment = $1 AND q.dropped_at IS NULL GROUP BY j.name";

const STATUS: &str = "\
SELECT j.name, j.target_schema, j.target_table, p.epoch, p.table_id, p.version, p.instant, \
    p.updated_at, CASE WHEN {} THEN l.holder END, r.kind, {} \
FROM {} AS j JOIN {} AS p ON p.job_id = j.job_id \
LEFT JOIN {} AS l ON l.job_id = j.job_id \
LEFT JOIN LATERAL (SELECT * FROM {} AS r WHERE r.job_id = j.job_id \
    ORDER BY r.run_id DESC LIMIT 1) AS r ON true \
WHERE j.deployment = $1 ORDER BY j.name";

/// The jobs of `deployment` that ever claimed a table of this database, by name. Writes nothing.
///
/// # Errors
/// As for a connection; [`Error::NeedsOperator`] if the state must not be read.
pub async fn read_status(
    connect: &ConnectSettings,
    state_schema: &str,
    deployment: &str,
) -> Result<Vec<JobStatus>, Error> {
    check_name("schema", state_schema)?;
    let state = StateSchema::new(state_schema);
    let link = connect.connect("status").await?;
    let doing = Doing::new(format!("read the state of deployment {deployment}"))
        .needs(format!("USAGE ON SCHEMA {state}"));
    let mut jobs = Vec::new();
    if has_state(&link, &state).await? {
        let tables = ["jobs", "progress", "leases", "runs"].map(|name| state.table(name));
        let [jobs_table, progress, leases, runs] = &tables;
        let columns = RUN_COLUMNS.into();
        let parts = [&is_alive(), &columns, jobs_table, progress, leases, runs];
        let sql = Sql::of(STATUS, &parts);
        let params: [_; 1] = [(&deployment as _, Type::TEXT)];
        for row in link.query(&sql, &params, &doing).await? {
            jobs.push(job(&row).map_err(|error| doing.failed(error, link.place()))?);
        }
        if quarantine::is_there(&link, &state, &doing).await? {
            let sql = Sql::of(QUARANTINED, &[jobs_table, &state.table("quarantine")]);
            for row in link.query(&sql, &params, &doing).await? {
                let (name, count): (String, i64) = (row.get(0), row.get(1));
                if let Some(job) = jobs.iter_mut().find(|job| job.name == name) {
                    job.quarantined = unsigned(count);
                }
            }
        }
    }
    link.close().await;
    Ok(jobs)
}

fn job(row: &Row) -> Result<JobStatus, tokio_postgres::Error> {
    let instant = |index| {
        Ok(row
            .try_get::<_, Option<Moment>>(index)?
            .map(|moment| moment.0))
    };
    Ok(JobStatus {
        name: row.try_get(0)?,
        table: Table {
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
        },
        epoch: unsigned(row.try_get(3)?),
        table_id: row.try_get(4)?,
        version: row.try_get::<_, Option<i64>>(5)?.map(unsigned),
        instant: instant(6)?,
        updated_at: instant(7)?,
        holder: row.try_get::<_, Option<String>>(8)?.map(Holder),
        last_run: match row.try_get::<_, Option<String>>(9)? {
            Some(kind) => Some(run(row, kind, 10)?),
            None => None,
        },
        quarantined: 0,
    })
}

/// Reads a run of this `kind` from the columns after it, the first of them at `first`.
pub(super) fn run(row: &Row, kind: String, first: usize) -> Result<Run, tokio_postgres::Error> {
    let count = |index| Ok(unsigned(row.try_get::<_, Option<i64>>(index)?.unwrap_or(0)));
    Ok(Run {
        kind,
        from_version: row.try_get::<_, Option<i64>>(first)?.map(unsigned),
        through_version: unsigned(row.try_get(first + 1)?),
        rows: RowCounts {
            inserted: unsigned(row.try_get(first + 2)?),
            updated: unsigned(row.try_get(first + 3)?),
            deleted: unsigned(row.try_get(first + 4)?),
        },
        started_at: row.try_get::<_, Moment>(first + 5)?.0,
        finished_at: row.try_get::<_, Moment>(first + 6)?.0,
        bad: BadRowCounts {
            quarantined: count(first + 7)?,
            released: count(first + 8)?,
            nulled: count(first + 9)?,
            replaced: count(first + 10)?,
        },
    })
}

/// Counts and positions are never stored below zero.
fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
