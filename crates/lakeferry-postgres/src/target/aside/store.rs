//! The quarantine as the state keeps it: one entry a key, and how many a job may have.

use std::collections::HashMap;

use lakeferry_model::{BadRows, Position};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{BadRow, Known};
use crate::{
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
    target::{apply::Apply, state::StateSchema},
};

const MOST_FREQUENT: &str = "\
SELECT column_name, reason, sum(rows)::bigint FROM {} \
WHERE job_id = $1 AND dropped_at IS NULL \
GROUP BY column_name, reason ORDER BY sum(rows) DESC, column_name, reason LIMIT 1";

/// # Errors
/// [`Error::NeedsOperator`] if the quarantine holds more than the job allows. `loaded` is how many
/// rows the target has, if that is known.
pub(in crate::target) async fn refuse_too_many<P: Position>(
    apply: &Apply<'_, P>,
    allows: BadRows,
    loaded: Option<u64>,
) -> Result<u64, Error> {
    let table = &apply.settings.table;
    let sql = "SELECT coalesce(sum(rows), 0)::bigint FROM {} \
        WHERE job_id = $1 AND dropped_at IS NULL";
    let sql = Sql::of(sql, &[&apply.state.table("quarantine")]);
    let params: [Param<'_>; 1] = [(&apply.hold.job_id, Type::UUID)];
    let row = apply.link.query_one(&sql, &params, &apply.doing()).await?;
    let quarantined = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    let limit = allows.rows_to_count(quarantined);
    let held = match loaded {
        Some(loaded) => loaded,
        None if limit == 0 => 0,
        None => {
            // As many as a server can count.
            let limit = Sql::number(limit.min(i64::MAX.unsigned_abs()));
            apply.count_live(&limit).await?
        }
    };
    match allows.refusal(quarantined, held.saturating_add(quarantined)) {
        None => Ok(quarantined),
        Some(too_many) => {
            let sql = Sql::of(MOST_FREQUENT, &[&apply.state.table("quarantine")]);
            let row = apply.link.query_one(&sql, &params, &apply.doing()).await?;
            let (column, reason, count): (String, String, i64) =
                (row.get(0), row.get(1), row.get(2));
            let frequent = match column.as_str() {
                "" => format!("{count} of them are {reason}"),
                _ => format!("in {count} of them column {column:?} holds {reason}"),
            };
            Err(Error::needs_operator(format!(
                "of the source of {table}, {too_many}; {frequent}; nothing was changed"
            ))
            .advise(too_many.hint()))
        }
    }
}

/// The quarantine of one job.
pub(super) struct Store<'a> {
    pub(super) link: &'a Link,
    pub(super) state: &'a StateSchema,
    pub(super) job_id: Uuid,
}

/// What a row does that is in quarantine already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// It takes the place of the one there.
    Renews,
    /// It is one more: of another piece, or beside those that are there.
    Counts,
    /// It is of another piece, and its key comes twice.
    IsRefused,
}

impl Again {
    /// What somebody gave up is not given up where there are more of it.
    fn sql(self) -> Sql {
        match self {
            Self::IsRefused => "DO NOTHING",
            Self::Counts => {
                "DO UPDATE SET rows = q.rows + excluded.rows, dropped_at = NULL, \
                    payload = CASE WHEN q.payload IS NULL THEN excluded.payload ELSE q.payload END"
            }
            Self::Renews => {
                "DO UPDATE SET (rows, column_name, reason, has_previous, payload, dropped_at) = \
                    ROW(excluded.rows, excluded.column_name, excluded.reason, \
                        excluded.has_previous, \
                        CASE WHEN q.dropped_at IS NULL OR excluded.rows > q.rows \
                            THEN excluded.payload END, \
                        CASE WHEN excluded.rows <= q.rows THEN q.dropped_at END)"
            }
        }
        .into()
    }
}

const INSERT: &str = "\
INSERT INTO {} AS q \
    (job_id, digest, key, rows, column_name, reason, payload, has_previous, version) \
SELECT $1, r.digest, r.key::json, r.rows, r.column_name, r.reason, r.payload::json, \
    r.has_previous, $9 \
FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), \
    pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), \
    pg_catalog.unnest($8)) \
    AS r (digest, key, rows, column_name, reason, payload, has_previous) \
    ON CONFLICT (job_id, digest) {}";

impl Store<'_> {
    pub(super) async fn remove(&self, left: &[&[u8]], doing: &Doing) -> Result<(), Error> {
        if left.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM {} WHERE job_id = $1 AND digest = ANY ($2)";
        let sql = Sql::of(sql, &[&self.state.table("quarantine")]);
        let params: [Param<'_>; 2] = [(&self.job_id, Type::UUID), (&left, Type::BYTEA_ARRAY)];
        self.link.execute(&sql, &params, doing).await?;
        Ok(())
    }

    /// Of equal rows, some go.
    pub(super) async fn lessen(&self, fewer: &[(&[u8], i64)], doing: &Doing) -> Result<(), Error> {
        if fewer.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE {} AS q SET rows = q.rows - r.rows \
            FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS r (digest, rows) \
            WHERE q.job_id = $1 AND q.digest = r.digest";
        let sql = Sql::of(sql, &[&self.state.table("quarantine")]);
        let (digests, rows): (Vec<&[u8]>, Vec<i64>) = fewer.iter().copied().unzip();
        let params: [Param<'_>; 3] = [
            (&self.job_id, Type::UUID),
            (&digests, Type::BYTEA_ARRAY),
            (&rows, Type::INT8_ARRAY),
        ];
        self.link.execute(&sql, &params, doing).await?;
        Ok(())
    }

    pub(super) async fn insert(
        &self,
        rows: &HashMap<Known, BadRow>,
        version: i64,
        again: Again,
        doing: &Doing,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let sql = Sql::of(INSERT, &[&self.state.table("quarantine"), &again.sql()]);
        // In one order, so that pieces of a fill which have equal rows do not wait for each other.
        let mut rows: Vec<(&Known, &BadRow)> = rows.iter().collect();
        rows.sort_unstable_by_key(|(known, _)| *known);
        let digests: Vec<&[u8]> = rows.iter().map(|(known, _)| &known[..]).collect();
        let rows = || rows.iter().map(|(_, row)| *row);
        let keys: Vec<&str> = rows().map(|row| row.key.as_str()).collect();
        let counts: Vec<i64> = rows().map(|row| row.rows).collect();
        let columns: Vec<&str> = rows().map(|row| row.column.as_str()).collect();
        let reasons: Vec<&str> = rows().map(|row| row.reason.as_str()).collect();
        let payloads: Vec<Option<&str>> = rows().map(|row| row.payload.as_deref()).collect();
        let previous: Vec<bool> = rows().map(|row| row.has_previous).collect();
        let params: [Param<'_>; 9] = [
            (&self.job_id, Type::UUID),
            (&digests, Type::BYTEA_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&counts, Type::INT8_ARRAY),
            (&columns, Type::TEXT_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&payloads, Type::TEXT_ARRAY),
            (&previous, Type::BOOL_ARRAY),
            (&version, Type::INT8),
        ];
        let inserted = self.link.execute(&sql, &params, doing).await?;
        if inserted == digests.len() as u64 {
            return Ok(());
        }
        Err(Error::needs_operator(
            "two rows have the same key, and both hold a value that postgres cannot",
        )
        .advise("choose a key that is unique, or keep one out by the filter"))
    }
}
