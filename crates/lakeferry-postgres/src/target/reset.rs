//! Removing what a run left behind, without doing its work: what a first fill has loaded, staging,
//! and, if asked for, what the state knows of the target.

use lakeferry_model::Position;
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::Param,
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        apply::BEGIN_PATIENTLY, filling::end_writers, reserved, session::PostgresSession,
        unfinished::Fills,
    },
};

/// What a reset removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Of the unfinished fill, if there was one.
    pub pieces: Option<u64>,
    pub rows: u64,
    pub tables: Vec<Table>,
    /// Tables that somebody looks into; they stay for a later run.
    pub kept: Vec<Table>,
    /// Whether it was forgotten what the target has.
    pub progress: bool,
}

impl Removed {
    /// Whether there was nothing to remove.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.pieces.is_none() && self.tables.is_empty() && self.kept.is_empty() && !self.progress
    }
}

/// As [`PROGRESS_COLUMNS`](super::state::PROGRESS_COLUMNS), with the table that was filled.
const FORGET: &str = "\
WITH job AS (UPDATE {} AS j SET target_oid = NULL FROM {} AS p \
    WHERE j.job_id = $1 AND p.job_id = $1 AND p.epoch = $2) \
UPDATE {} SET table_id = NULL, version = NULL, digest = NULL, instant = NULL, key = NULL, \
    fingerprint = NULL, columns = NULL, updated_at = NULL \
WHERE job_id = $1 AND epoch = $2 AND version IS NOT NULL";

impl<P: Position> PostgresSession<P> {
    /// Removes what is left of earlier runs, and if `forgets`, what the state knows of the target.
    /// The target itself stays as it is.
    pub(super) async fn reset(&self, forgets: bool) -> Result<Removed, Error> {
        let (link, job, hold) = self.parts();
        let doing = Doing::new(format!("reset job {}", job.settings.job));
        let fills = Fills {
            link,
            state: &job.state,
            job_id: hold.job_id,
            doing: &doing,
        };
        let table = &job.settings.table;
        let mut removed = Removed::default();
        link.batch(&BEGIN_PATIENTLY.into(), &doing).await?;
        fills.hold(hold.epoch).await?;
        if let Some(begun) = fills.find::<P>(&table.schema).await? {
            removed.pieces = Some(begun.fill.loaded);
            removed.rows = begun.fill.rows;
            end_writers(link, &begun.reserved).await;
        }
        fills.forget().await?;
        if forgets || removed.pieces.is_some() {
            fills.forget_quarantine().await?;
        }
        if forgets {
            let [jobs, progress] = ["jobs", "progress"].map(|name| job.state.table(name));
            let sql = Sql::of(FORGET, &[&jobs, &progress, &progress]);
            let params: [Param<'_>; 2] = [(&hold.job_id, Type::UUID), (&hold.epoch, Type::INT8)];
            removed.progress = link.execute(&sql, &params, &doing).await? == 1;
        }
        link.batch(&"COMMIT".into(), &doing).await?;
        let left = reserved::drop_leftovers(link, table, hold.job_id, None).await?;
        (removed.tables, removed.kept) = (left.dropped, left.kept);
        Ok(removed)
    }
}
