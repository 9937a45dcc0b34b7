//! Requests: what a command asks of whoever works on a job, and what came of it.

use lakeferry_model::{Holder, RowCounts};
use tokio_postgres::{Row, types::Type};

use super::{Control, is_held};
use crate::{error::Error, link::Param, sql::Sql, sqlstate::Doing};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Sync,
    Backfill,
    Adopt,
    RefreshSchema,
    /// Of the quarantine.
    Retry,
    Reset,
    /// A reset that also forgets what the target has.
    Forget,
}

impl RequestKind {
    const ALL: [Self; 7] = [
        Self::Sync,
        Self::Backfill,
        Self::Adopt,
        Self::RefreshSchema,
        Self::Retry,
        Self::Reset,
        Self::Forget,
    ];

    /// As the state names it.
    fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Backfill => "backfill",
            Self::Adopt => "adopt",
            Self::RefreshSchema => "refresh_schema",
            Self::Retry => "retry",
            Self::Reset => "reset",
            Self::Forget => "forget",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub kind: RequestKind,
    /// Whether it may delete as much as the source lost.
    pub accept_deletes: bool,
    /// Whether it is done also while the job is paused.
    pub even_if_paused: bool,
}

/// A request that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    id: i64,
    pub request: Request,
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why it was not done; absent if it was.
    pub error: Option<String>,
    /// The version that the target had then, if it was filled.
    pub version: Option<u64>,
    pub rows: RowCounts,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It waits, or is being done.
    UnderWay,
    /// Nobody works on the job, and nobody took the request: whoever made it may do it.
    Free,
    Ended(Answer),
    /// It is not there any more.
    Gone,
}

/// Old answers go where a request comes.
const REQUEST: &str = "\
WITH old AS (DELETE FROM {} \
    WHERE ended_at < pg_catalog.clock_timestamp() - interval '7 days') \
INSERT INTO {} (deployment, job, kind, accept_deletes, even_if_paused, requested_by) \
VALUES ($1, $2, $3, $4, $5, $6) RETURNING request_id";

const FOLLOW: &str = "\
SELECT r.ended_at IS NOT NULL, {} AND NOT {}, r.error, r.version, r.inserted, r.updated, r.deleted \
FROM {} AS r WHERE r.request_id = $1";

/// The oldest, unless somebody else does it.
const TAKE: &str = "\
UPDATE {} SET taken_at = pg_catalog.clock_timestamp(), taken_by = $3 \
WHERE request_id = (SELECT r.request_id FROM {} AS r \
    WHERE r.deployment = $1 AND r.job = $2 AND r.ended_at IS NULL AND (r.taken_by = $3 OR {}) \
    ORDER BY r.request_id LIMIT 1 FOR UPDATE SKIP LOCKED) \
RETURNING request_id, kind, accept_deletes, even_if_paused";

const END: &str = "\
UPDATE {} SET ended_at = pg_catalog.clock_timestamp(), error = $2, version = $3, inserted = $4, \
    updated = $5, deleted = $6 \
WHERE request_id = $1 AND ended_at IS NULL";

impl Control {
    /// Asks for something to be done for `job`; says by which number to follow it.
    ///
    /// # Errors
    /// As for a claim.
    pub async fn request(&self, job: &str, request: Request, by: &str) -> Result<i64, Error> {
        let doing = self.writing(format!("ask for job {job}"));
        let link = self.link_to_write(&doing).await?;
        let requests = self.state.table("requests");
        let sql = Sql::of(REQUEST, &[&requests, &requests]);
        let kind = request.kind.name();
        let mut params = Vec::from(self.of(&job));
        params.extend::<[Param<'_>; 4]>([
            (&kind, Type::TEXT),
            (&request.accept_deletes, Type::BOOL),
            (&request.even_if_paused, Type::BOOL),
            (&by, Type::TEXT),
        ]);
        let row = link.query_one(&sql, &params, &doing).await?;
        self.spares.keep(link).await;
        Ok(row.get(0))
    }

    /// How a request stands.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn follow(&self, id: i64) -> Result<Followed, Error> {
        let doing = Doing::new("look what came of a request");
        let link = self.spares.connect(&self.connect, "control").await?;
        let [requests, jobs, leases] =
            ["requests", "jobs", "leases"].map(|name| self.state.table(name));
        let held = is_held(&jobs, &leases);
        let sql = Sql::of(FOLLOW, &[&self.is_free(), &held, &requests]);
        let rows = link.query(&sql, &[(&id, Type::INT8)], &doing).await?;
        let followed = match rows.first() {
            None => Ok(Followed::Gone),
            Some(row) if row.get(0) => answer(row).map(Followed::Ended),
            Some(row) if row.get(1) => Ok(Followed::Free),
            Some(_) => Ok(Followed::UnderWay),
        };
        let followed = followed.map_err(|error| doing.failed(error, link.place()));
        self.spares.keep(link).await;
        followed
    }

    /// Takes a request back that nobody does; says whether that was still so.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn withdraw(&self, id: i64) -> Result<bool, Error> {
        let doing = self.writing("take a request back".to_owned());
        let link = self.spares.connect(&self.connect, "control").await?;
        let sql = "DELETE FROM {} AS r WHERE r.request_id = $1 AND r.ended_at IS NULL AND {}";
        let sql = Sql::of(sql, &[&self.state.table("requests"), &self.is_free()]);
        let gone = link.execute(&sql, &[(&id, Type::INT8)], &doing).await?;
        self.spares.keep(link).await;
        Ok(gone > 0)
    }

    /// Takes the oldest request of `job` that nobody else does, to do it and then [`Control::end`] it.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn take(&self, job: &str, holder: &Holder) -> Result<Option<Taken>, Error> {
        let doing = self.writing(format!("take a request for job {job}"));
        let link = self.spares.connect(&self.connect, "control").await?;
        let requests = self.state.table("requests");
        let sql = Sql::of(TAKE, &[&requests, &requests, &self.is_free()]);
        let [deployment, job] = self.of(&job);
        let params = [deployment, job, (&holder.0 as _, Type::TEXT)];
        let rows = link.query(&sql, &params, &doing).await?;
        let taken = rows.first().map(taken).transpose();
        let taken = taken.map_err(|error| doing.failed(error, link.place()));
        self.spares.keep(link).await;
        Ok(taken?.flatten())
    }

    /// Says what came of a request.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn end(&self, taken: Taken, answer: &Answer) -> Result<(), Error> {
        let doing = self.writing("answer a request".to_owned());
        let link = self.spares.connect(&self.connect, "control").await?;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let version = answer.version.map(number);
        let rows = answer.rows;
        let [inserted, updated, deleted] = [rows.inserted, rows.updated, rows.deleted].map(number);
        let params: [Param<'_>; 6] = [
            (&taken.id, Type::INT8),
            (&answer.error, Type::TEXT),
            (&version, Type::INT8),
            (&inserted, Type::INT8),
            (&updated, Type::INT8),
            (&deleted, Type::INT8),
        ];
        let sql = Sql::of(END, &[&self.state.table("requests")]);
        link.execute(&sql, &params, &doing).await?;
        self.spares.keep(link).await;
        Ok(())
    }
}

/// `None` for a kind that a later build brought.
fn taken(row: &Row) -> Result<Option<Taken>, tokio_postgres::Error> {
    let (id, name): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
    let kind = RequestKind::ALL.iter().find(|kind| kind.name() == name);
    let (accept_deletes, even_if_paused) = (row.try_get(2)?, row.try_get(3)?);
    Ok(kind.map(|kind| Taken {
        id,
        request: Request {
            kind: *kind,
            accept_deletes,
            even_if_paused,
        },
    }))
}

fn answer(row: &Row) -> Result<Answer, tokio_postgres::Error> {
    let number = |place| {
        let found: Option<i64> = row.try_get(place)?;
        Ok(found.and_then(|found| u64::try_from(found).ok()))
    };
    Ok(Answer {
        error: row.try_get(2)?,
        version: number(3)?,
        rows: RowCounts {
            inserted: number(4)?.unwrap_or(0),
            updated: number(5)?.unwrap_or(0),
            deleted: number(6)?.unwrap_or(0),
        },
    })
}
