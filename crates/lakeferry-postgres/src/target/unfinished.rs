//! First fills that were begun: how the state keeps them, and the check that lets a piece in.

use lakeferry_model::{BadRowCounts, Digest, FillPlan, Loaded, Position, Progress, UnfinishedFill};
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        fence::Hold,
        reserved,
        state::{Kept, Moment, PROGRESS_COLUMNS, StateSchema, progress_columns_of},
    },
};

/// A fill whose table is still there, in the target's schema and known as ours.
const FIND: &str = "\
SELECT f.pieces, f.pieces_digest, n.nspname, c.relname, c.oid, f.started_at, \
    (SELECT count(*) FROM {} AS p WHERE p.job_id = f.job_id), \
    (SELECT coalesce(sum(p.rows), 0)::bigint FROM {} AS p WHERE p.job_id = f.job_id), {} \
FROM {} AS f \
JOIN pg_catalog.pg_class AS c ON c.oid = f.reserved_oid AND c.relkind = 'r' \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $2 \
WHERE f.job_id = $1 AND pg_catalog.obj_description(c.oid, 'pg_class') = $3";

const INSERT: &str = "\
INSERT INTO {} ({}, job_id, pieces, pieces_digest, reserved_oid) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, pg_catalog.to_regclass($11)::oid) \
RETURNING reserved_oid, started_at";

/// The note that a piece is loaded, if the session that had it loaded still holds the lease, and
/// if it went into the table of the fill. The progress stays locked until the end of the
/// transaction, so a claim waits for it.
const NOTE_PIECE: &str = "\
WITH held AS (SELECT p.job_id FROM {} AS p WHERE p.job_id = $1 AND p.epoch = $2 FOR SHARE) \
INSERT INTO {} (job_id, piece, rows, nulled, replaced) \
SELECT f.job_id, $3, $4, $8, $9 FROM held JOIN {} AS f ON f.job_id = held.job_id \
WHERE f.reserved_oid = $5 AND pg_catalog.to_regclass($6)::oid = $5 \
    AND EXISTS (SELECT FROM {} AS l WHERE l.job_id = $1 AND l.epoch = $2 AND l.backend_pid = $7)";

/// The table that a fill loads into.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    pub(super) table: Table,
    pub(super) oid: u32,
    /// When the fill was begun, by the server's clock.
    pub(super) started: Moment,
}

/// A fill that was begun, with its table.
#[derive(Debug)]
pub(super) struct Begun<P> {
    pub(super) fill: UnfinishedFill<P>,
    pub(super) reserved: Reserved,
}

/// The unfinished fills of one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fills<'a> {
    pub(super) link: &'a Link,
    pub(super) state: &'a StateSchema,
    pub(super) job_id: Uuid,
    pub(super) doing: &'a Doing,
}

impl Fills<'_> {
    fn job(&self) -> Param<'_> {
        (&self.job_id, Type::UUID)
    }

    /// Keeps the job to the session of `epoch` until the end of the transaction.
    ///
    /// # Errors
    /// [`Error::Transient`] if another session has it.
    pub(super) async fn hold(&self, epoch: i64) -> Result<(), Error> {
        let sql = "SELECT FROM {} WHERE job_id = $1 AND epoch = $2 FOR UPDATE";
        let sql = Sql::of(sql, &[&self.state.table("progress")]);
        let params = [self.job(), (&epoch as _, Type::INT8)];
        if self.link.execute(&sql, &params, self.doing).await? == 1 {
            return Ok(());
        }
        let doing = self.doing;
        Err(Error::transient(format!(
            "cannot {doing}: another session has the job"
        )))
    }

    /// The fill that can be gone on with in `schema`.
    pub(super) async fn find<P: Position>(&self, schema: &str) -> Result<Option<Begun<P>>, Error> {
        let [pieces, fills] = ["fill_pieces", "fills"].map(|name| self.state.table(name));
        let sql = Sql::of(FIND, &[&pieces, &pieces, &progress_columns_of("f"), &fills]);
        let comment = reserved::comment(self.job_id);
        let params = [
            self.job(),
            (&schema as _, Type::TEXT),
            (&comment as _, Type::TEXT),
        ];
        let rows = self.link.query(&sql, &params, self.doing).await?;
        let begun = rows.first().map(begun).transpose();
        let begun = begun.map_err(|error| self.doing.failed(error, self.link.place()))?;
        Ok(begun.flatten())
    }

    /// The pieces that are loaded.
    pub(super) async fn loaded(&self) -> Result<Loaded, Error> {
        let sql = "SELECT piece, rows FROM {} WHERE job_id = $1";
        let sql = Sql::of(sql, &[&self.state.table("fill_pieces")]);
        let mut loaded = Loaded::default();
        for row in self.link.query(&sql, &[self.job()], self.doing).await? {
            loaded.pieces.insert(unsigned(row.get(0)));
            loaded.rows += unsigned(row.get(1));
        }
        Ok(loaded)
    }

    /// How many values the pieces have otherwise, for the server cannot hold them.
    pub(super) async fn changed(&self) -> Result<BadRowCounts, Error> {
        let sql = "SELECT coalesce(sum(nulled), 0)::bigint, coalesce(sum(replaced), 0)::bigint \
            FROM {} WHERE job_id = $1";
        let sql = Sql::of(sql, &[&self.state.table("fill_pieces")]);
        let row = self.link.query_one(&sql, &[self.job()], self.doing).await?;
        Ok(BadRowCounts {
            nulled: unsigned(row.get(0)),
            replaced: unsigned(row.get(1)),
            ..BadRowCounts::default()
        })
    }

    /// Notes the fill of `plan` into `table`, in the place of any other.
    pub(super) async fn note<P: Position>(
        &self,
        plan: &FillPlan<P>,
        table: Table,
    ) -> Result<Reserved, Error> {
        self.forget().await?;
        self.forget_quarantine().await?;
        let names = Sql::list(", ", PROGRESS_COLUMNS.map(Sql::name));
        let sql = Sql::of(INSERT, &[&self.state.table("fills"), &names]);
        let kept = Kept::of(Some(&Progress {
            watermark: plan.watermark.clone(),
            fingerprint: plan.fingerprint.clone(),
        }))?;
        let pieces = bigint(plan.pieces)?;
        let digest = plan.pieces_digest.0.as_slice();
        let name = table.sql();
        let name = name.as_str();
        let mut params = Vec::from(kept.params());
        params.extend([
            self.job(),
            (&pieces as _, Type::INT8),
            (&digest as _, Type::BYTEA),
            (&name as _, Type::TEXT),
        ]);
        let row = self.link.query_one(&sql, &params, self.doing).await?;
        Ok(Reserved {
            table,
            oid: row.get(0),
            started: row.get(1),
        })
    }

    /// Removes what the state has of a fill; its table is another matter.
    pub(super) async fn forget(&self) -> Result<u64, Error> {
        self.delete("fills").await
    }

    /// Empties the quarantine: it was that of a table that is gone, or of pieces that are.
    pub(super) async fn forget_quarantine(&self) -> Result<u64, Error> {
        self.delete("quarantine").await
    }

    async fn delete(&self, table: &'static str) -> Result<u64, Error> {
        let sql = "DELETE FROM {} WHERE job_id = $1";
        let sql = Sql::of(sql, &[&self.state.table(table)]);
        self.link.execute(&sql, &[self.job()], self.doing).await
    }
}

/// Who loads a piece, and into what.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) hold: Hold,
    /// Of the session that holds the lease.
    pub(super) backend_pid: i32,
    pub(super) reserved: Reserved,
}

impl Note {
    /// Notes a piece inside the transaction that loaded its rows. False if this may not be: then
    /// the transaction must not be committed.
    pub(super) async fn piece(
        &self,
        link: &Link,
        state: &StateSchema,
        (place, rows, changed): (u64, u64, BadRowCounts),
        doing: &Doing,
    ) -> Result<bool, Error> {
        let tables = ["progress", "fill_pieces", "fills", "leases"].map(|name| state.table(name));
        let [progress, pieces, fills, leases] = &tables;
        let sql = Sql::of(NOTE_PIECE, &[progress, pieces, fills, leases]);
        let (place, rows) = (bigint(place)?, bigint(rows)?);
        let (nulled, replaced) = (bigint(changed.nulled)?, bigint(changed.replaced)?);
        let name = self.reserved.table.sql();
        let name = name.as_str();
        let params: [Param<'_>; 9] = [
            (&self.hold.job_id, Type::UUID),
            (&self.hold.epoch, Type::INT8),
            (&place, Type::INT8),
            (&rows, Type::INT8),
            (&self.reserved.oid, Type::OID),
            (&name, Type::TEXT),
            (&self.backend_pid, Type::INT4),
            (&nulled, Type::INT8),
            (&replaced, Type::INT8),
        ];
        Ok(link.execute(&sql, &params, doing).await? == 1)
    }
}

fn begun<P: Position>(row: &Row) -> Result<Option<Begun<P>>, tokio_postgres::Error> {
    let digest: Vec<u8> = row.try_get(1)?;
    let Some(progress) = Kept::read(row, 8)?.progress() else {
        return Ok(None);
    };
    let Ok(digest) = digest.try_into() else {
        return Ok(None);
    };
    let Progress {
        watermark,
        fingerprint,
    } = progress;
    let plan = FillPlan {
        watermark,
        fingerprint,
        pieces: unsigned(row.try_get(0)?),
        pieces_digest: Digest(digest),
    };
    let table = Table {
        schema: row.try_get(2)?,
        name: row.try_get(3)?,
    };
    Ok(Some(Begun {
        fill: UnfinishedFill {
            plan,
            loaded: unsigned(row.try_get(6)?),
            rows: unsigned(row.try_get(7)?),
        },
        reserved: Reserved {
            table,
            oid: row.try_get(4)?,
            started: row.try_get(5)?,
        },
    }))
}

/// Counts are never stored below zero.
fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn bigint(count: u64) -> Result<i64, Error> {
    i64::try_from(count).map_err(|_| Error::bug(format!("{count} is more than bigint holds")))
}
