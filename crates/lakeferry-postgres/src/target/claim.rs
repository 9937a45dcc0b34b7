//! Taking a job's lease. A claim is granted once no live backend holds it, and after the end of
//! every transaction of an earlier session: what it then reads is settled, also where the answer
//! to a COMMIT was lost. A holder whose lease has expired loses its backend first.

use lakeferry_model::{Claim, Holder, JobKey, Position, Standing};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        apply::BEGIN_PATIENTLY,
        lease::{end_holder, has_expired, is_alive, seconds, show_alive},
        migrations, reserved,
        settings::TargetSettings,
        standing::{Found, name_params, refuse_other_table},
        state::StateSchema,
    },
};

/// How often a holder is looked at before it counts as alive: a session that was dropped, or ended
/// for its lease, takes its backend a moment to end.
const LOOKS: u32 = 10;

/// Between two looks. The server waits, so that no clock is needed here.
const PAUSE: &str = "SELECT pg_catalog.pg_sleep(0.02)";

/// The job, its table, its lease, whether the holder is alive, whether the job ever filled its
/// table, and whether the lease has expired.
const LEASE: &str = "\
SELECT j.job_id, j.target_schema, j.target_table, l.holder, {}, \
    p.version IS NOT NULL OR j.target_oid IS NOT NULL, {} \
FROM {} AS j JOIN {} AS p ON p.job_id = j.job_id LEFT JOIN {} AS l ON l.job_id = j.job_id \
WHERE j.deployment = $1 AND j.name = $2";

const TAKE_LEASE: &str = "\
WITH next AS (UPDATE {} SET epoch = epoch + 1 WHERE job_id = $1 RETURNING epoch) \
INSERT INTO {} AS l (job_id, holder, epoch, backend_pid, backend_start, expires_at) \
SELECT $1, $2, next.epoch, a.pid, a.backend_start, \
    pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) \
FROM next, pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid() \
ON CONFLICT (job_id) DO UPDATE SET \
    (holder, epoch, backend_pid, backend_start, expires_at, claimed_at) \
    = ROW(excluded.holder, excluded.epoch, excluded.backend_pid, excluded.backend_start, \
        excluded.expires_at, pg_catalog.clock_timestamp())";

/// What a claim won.
#[derive(Debug)]
pub(super) struct Claimed<P> {
    pub(super) job_id: Uuid,
    pub(super) standing: Standing<P>,
    /// The OID of what has the target's name.
    pub(super) oid: Option<u32>,
}

/// What the lease's row says.
struct Lease {
    job_id: Uuid,
    /// That the job is tied to.
    table: Table,
    /// Present if it is alive.
    holder: Option<Holder>,
    has_expired: bool,
}

pub(super) async fn claim<P: Position>(
    link: &Link,
    settings: &TargetSettings,
    state: &StateSchema,
    holder: &Holder,
) -> Result<Claim<Claimed<P>>, Error> {
    if link.recovering() {
        return Err(Error::transient(format!("{} is a standby", link.place()))
            .advise("name the primary in the url, or wait for the end of the failover"));
    }
    let claims = Claims {
        link,
        settings,
        state,
        doing: Doing::new(format!("claim job {}", settings.job))
            .needs(format!("ALL ON ALL TABLES IN SCHEMA {:?}", state.name()))
            .locks(format!("the state of job {}", settings.job)),
    };
    claims.limit_waits().await?;
    migrations::bring_up(link, state).await?;
    let lease = match claims.lease().await? {
        Some(lease) => lease,
        None => claims.register().await?,
    };
    if let Some(alive) = claims.outlasts(&lease).await? {
        return Ok(Claim::Held(alive));
    }
    if lease.table != settings.table {
        claims.move_job(lease.job_id).await?;
    }
    claims.take(lease.job_id, holder).await
}

struct Claims<'a> {
    link: &'a Link,
    settings: &'a TargetSettings,
    state: &'a StateSchema,
    doing: Doing,
}

impl Claims<'_> {
    fn job_params(&self) -> [Param<'_>; 2] {
        let JobKey { deployment, name } = &self.settings.job;
        [(deployment, Type::TEXT), (name, Type::TEXT)]
    }

    async fn batch(&self, sql: &'static str) -> Result<(), Error> {
        self.link.batch(&sql.into(), &self.doing).await
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        let [jobs, progress, leases] =
            ["jobs", "progress", "leases"].map(|name| self.state.table(name));
        let sql = Sql::of(
            LEASE,
            &[&is_alive(), &has_expired(), &jobs, &progress, &leases],
        );
        let rows = self
            .link
            .query(&sql, &self.job_params(), &self.doing)
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let table = Table {
            schema: row.get(1),
            name: row.get(2),
        };
        if row.get(5) {
            refuse_other_table(self.settings, &table)?;
        }
        let holder: Option<String> = row.get(3);
        let is_alive: bool = row.get(4);
        Ok(Some(Lease {
            job_id: row.get(0),
            table,
            holder: holder.filter(|_| is_alive).map(Holder),
            has_expired: row.get(6),
        }))
    }

    /// Writes the job's rows. Of two that come at once, one writes them and the other waits.
    async fn register(&self) -> Result<Lease, Error> {
        if let Some(lease) = self.insert().await? {
            return Ok(lease);
        }
        self.take_over_table().await?;
        match self.insert().await? {
            Some(lease) => Ok(lease),
            None => Err(Error::transient(format!(
                "table {} was given to another job meanwhile",
                self.settings.table
            ))),
        }
    }

    /// Writes the job's rows, unless the table is another job's.
    async fn insert(&self) -> Result<Option<Lease>, Error> {
        let sql = Sql::of(
            "WITH job AS (INSERT INTO {} (deployment, name, target_schema, target_table) \
                VALUES ($3, $4, $1, $2) ON CONFLICT DO NOTHING RETURNING job_id) \
            INSERT INTO {} (job_id) SELECT job_id FROM job",
            &[&self.state.table("jobs"), &self.state.table("progress")],
        );
        let [deployment, name] = self.job_params();
        let [schema, table] = name_params(&self.settings.table);
        let params = [schema, table, deployment, name];
        self.link.execute(&sql, &params, &self.doing).await?;
        self.lease().await
    }

    /// Ties the job, which filled nothing yet and whose holder is gone, to the table of its
    /// settings.
    async fn move_job(&self, job_id: Uuid) -> Result<(), Error> {
        self.take_over_table().await?;
        let sql = "UPDATE {} AS j SET target_schema = $1, target_table = $2 \
            WHERE j.job_id = $3 AND {}";
        let sql = Sql::of(sql, &[&self.state.table("jobs"), &self.is_unused()]);
        let [schema, table] = name_params(&self.settings.table);
        let params = [schema, table, (&job_id as _, Type::UUID)];
        self.batch(BEGIN_PATIENTLY).await?;
        self.lock(job_id).await?;
        self.link.execute(&sql, &params, &self.doing).await?;
        self.batch("COMMIT").await
    }

    /// Whether the job `j` never filled a table and has no holder that is alive.
    fn is_unused(&self) -> Sql {
        let [progress, leases] = ["progress", "leases"].map(|name| self.state.table(name));
        Sql::of(
            "j.target_oid IS NULL AND NOT EXISTS (SELECT FROM {} AS p \
                WHERE p.job_id = j.job_id AND p.version IS NOT NULL) \
            AND NOT EXISTS (SELECT FROM {} AS l WHERE l.job_id = j.job_id AND {})",
            &[&progress, &leases, &is_alive()],
        )
    }

    /// Removes the job that the table is tied to, if there is one.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming it, if it filled the table or somebody is about to.
    async fn take_over_table(&self) -> Result<(), Error> {
        let table = &self.settings.table;
        let sql = "SELECT job_id, deployment, name FROM {} \
            WHERE target_schema = $1 AND target_table = $2";
        let jobs = self.state.table("jobs");
        let sql = Sql::of(sql, &[&jobs]);
        let rows = self
            .link
            .query(&sql, &name_params(table), &self.doing)
            .await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let job_id: Uuid = row.get(0);
        let other = JobKey {
            deployment: row.get(1),
            name: row.get(2),
        };
        self.batch(BEGIN_PATIENTLY).await?;
        self.lock(job_id).await?;
        let sql = "DELETE FROM {} AS j WHERE j.job_id = $1 AND {}";
        let sql = Sql::of(sql, &[&jobs, &self.is_unused()]);
        let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
        let removed = self.link.execute(&sql, &params, &self.doing).await?;
        self.batch("COMMIT").await?;
        if removed == 0 {
            return Err(self.table_taken(&other));
        }
        reserved::drop_leftovers(self.link, table, job_id, None).await?;
        Ok(())
    }

    fn table_taken(&self, other: &JobKey) -> Error {
        let TargetSettings { job, table, .. } = self.settings;
        let jobs = self.state.table("jobs");
        let [deployment, name] = [&other.deployment, &other.name].map(|part| Sql::text(part));
        let delete = Sql::of(
            "DELETE FROM {} WHERE deployment = {} AND name = {}",
            &[&jobs, &deployment, &name],
        );
        let delete = delete.as_str();
        Error::needs_operator(format!(
            "job {job} cannot write {table}: it belongs to job {other}"
        ))
        .advise(format!(
            "give each job a table of its own; if {other} is no job any more, drop its table and \
             {delete}"
        ))
    }

    /// Waits for the apply of an earlier session on a job, and for a claim that came first; keeps
    /// others waiting until the end of the transaction.
    async fn lock(&self, job_id: Uuid) -> Result<(), Error> {
        let lock = "SELECT FROM {} WHERE job_id = $1 FOR UPDATE";
        let lock = Sql::of(lock, &[&self.state.table("progress")]);
        let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
        self.link.execute(&lock, &params, &self.doing).await?;
        Ok(())
    }

    /// The holder, if it is still alive after a moment.
    async fn outlasts(&self, lease: &Lease) -> Result<Option<Holder>, Error> {
        let (mut holder, mut has_expired) = (lease.holder.clone(), lease.has_expired);
        for _ in 0..LOOKS {
            let Some(holder_now) = &holder else {
                return Ok(None);
            };
            if has_expired {
                self.end(lease.job_id, holder_now).await?;
            }
            self.batch(PAUSE).await?;
            (holder, has_expired) = match self.lease().await? {
                Some(lease) => (lease.holder, lease.has_expired),
                None => (None, false),
            };
        }
        Ok(holder)
    }

    /// Ends the backend of a holder whose lease has expired.
    async fn end(&self, job_id: Uuid, holder: &Holder) -> Result<(), Error> {
        tracing::warn!(job = %self.settings.job, %holder, "its lease has expired: ending its session");
        let doing = Doing::new(format!(
            "end the session of {holder}, whose lease on job {} has expired",
            self.settings.job
        ))
        .needs("pg_signal_backend");
        end_holder(self.link, self.state, job_id, &doing).await
    }

    /// No statement of the session waits for a lock without end, and a session that stops inside a
    /// transaction ends by itself when its lease does.
    async fn limit_waits(&self) -> Result<(), Error> {
        let millis = u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX);
        let sql = "SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = {}";
        let sql = Sql::of(sql, &[&Sql::number(millis)]);
        self.link.batch(&sql, &self.doing).await
    }

    async fn take<P: Position>(
        &self,
        job_id: Uuid,
        holder: &Holder,
    ) -> Result<Claim<Claimed<P>>, Error> {
        self.batch(BEGIN_PATIENTLY).await?;
        self.lock(job_id).await?;
        if let Some(alive) = self.lease().await?.and_then(|lease| lease.holder) {
            self.batch("ROLLBACK").await?;
            return Ok(Claim::Held(alive));
        }
        show_alive(self.link, job_id, &self.doing).await?;
        let job: Param<'_> = (&job_id, Type::UUID);
        let take = Sql::of(
            TAKE_LEASE,
            &[&self.state.table("progress"), &self.state.table("leases")],
        );
        let holder: Param<'_> = (&holder.0, Type::TEXT);
        let seconds = seconds(self.settings.lease);
        let params = [job, holder, (&seconds, Type::FLOAT8)];
        let taken = self.link.execute(&take, &params, &self.doing).await?;
        if taken != 1 {
            let job = &self.settings.job;
            return Err(Error::transient(format!(
                "job {job} was removed while it was claimed"
            )));
        }
        let found = Found::with_state(self.link, self.settings, self.state).await?;
        self.batch("COMMIT").await?;
        let oid = found.oid();
        let standing = found.standing(self.link, &self.settings.table).await?;
        Ok(Claim::Granted(Claimed {
            job_id,
            standing,
            oid,
        }))
    }
}
