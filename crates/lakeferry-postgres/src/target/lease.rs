//! How it is known whether the holder of a lease is alive, and what becomes of one that stands
//! still.
//!
//! *Alive* is a holder whose backend holds an advisory lock of the job, from the claim to its end.
//! Every role sees such locks, unlike when a backend started; and a backend that got the same
//! number later does not hold it. The lock is shared. It tells who is alive and keeps nobody out:
//! that is what the epoch does.
//!
//! *Standing still* is one that is alive and whose lease has expired. It renews its lease from a
//! connection of its own, so that neither a long COPY nor a long apply lets it expire, and only a
//! process that does nothing at all does. A claim ends the backend of such a holder: its
//! transaction is rolled back, and what it sends when it goes on finds no connection.
//!
//! All moments are the server's. Nothing rests on them but who may end whose backend.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    connect::ConnectSettings,
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
    target::{fence::Hold, settings::TargetSettings, state::StateSchema},
};

/// So often a lease is renewed before it expires: two renewals may fail.
const RENEWALS: u32 = 3;

const RENEW: &str = "\
UPDATE {} SET expires_at = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $1) \
WHERE job_id = $2 AND epoch = $3";

/// Ends the backend of a holder that stands still. The lease is read anew, so that one that was
/// renewed or taken meanwhile keeps its backend.
const END_HOLDER: &str = "\
SELECT pg_catalog.pg_terminate_backend(l.backend_pid) FROM {} AS l \
WHERE l.job_id = $1 AND {} AND {}";

/// Whether the lease `l` has expired.
pub(super) fn has_expired() -> Sql {
    "coalesce(l.expires_at < pg_catalog.clock_timestamp(), false)".into()
}

/// For how long, in seconds, as `make_interval` takes it.
pub(super) fn seconds(lease: Duration) -> f64 {
    lease.as_secs_f64()
}

/// Ends the backend that holds the lease of a job, if the lease has expired.
///
/// # Errors
/// [`Error::NeedsOperator`] if this role may not end it.
pub(super) async fn end_holder(
    link: &Link,
    state: &StateSchema,
    job_id: Uuid,
    doing: &Doing,
) -> Result<(), Error> {
    let leases = state.table("leases");
    let sql = Sql::of(END_HOLDER, &[&leases, &has_expired(), &is_alive()]);
    let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
    link.query(&sql, &params, doing).await.map(drop)
}

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub(super) struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Renewal {
    /// The first connection is opened when the lease is first renewed, which most runs do not
    /// live to see.
    pub(super) fn start(settings: &TargetSettings, state: &StateSchema, hold: Hold) -> Self {
        let renewer = Renewer {
            connect: settings.connect.clone(),
            purpose: format!("lease of {}", settings.job.name),
            lease: settings.lease,
            sql: Sql::of(RENEW, &[&state.table("leases")]),
            doing: Doing::new(format!("renew the lease of job {}", settings.job)),
            hold,
        };
        Self(tokio::spawn(renewer.renew_until_taken()))
    }
}

struct Renewer {
    connect: ConnectSettings,
    purpose: String,
    lease: Duration,
    sql: Sql,
    doing: Doing,
    hold: Hold,
}

impl Renewer {
    /// Ends when another claim has taken the lease. A failure is tried again: if the lease expires
    /// meanwhile, the worst is a run that has to start anew.
    async fn renew_until_taken(self) {
        let mut link = None;
        loop {
            // What the time is only the server says; this merely waits.
            tokio::time::sleep(self.lease / RENEWALS).await;
            match self.renew(&mut link).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    link = None;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "lease not renewed"
                    );
                }
            }
        }
    }

    /// Whether the lease is still that of the session.
    async fn renew(&self, link: &mut Option<Link>) -> Result<bool, Error> {
        let link = match link {
            Some(link) => link,
            None => link.insert(self.connect.connect(&self.purpose).await?),
        };
        let seconds = seconds(self.lease);
        let params: [Param<'_>; 3] = [
            (&seconds, Type::FLOAT8),
            (&self.hold.job_id, Type::UUID),
            (&self.hold.epoch, Type::INT8),
        ];
        let renewed = link.execute(&self.sql, &params, &self.doing).await?;
        Ok(renewed == 1)
    }
}

/// The first half of the locks' numbers: `lake` in ASCII. The other half is the start of the job's
/// id, which is random.
const CLASS: u64 = 0x6c61_6b65;

/// Whether the lease `l` has a holder that is alive, another one than this session.
pub(super) fn is_alive() -> Sql {
    let sql = "EXISTS (SELECT FROM pg_catalog.pg_locks AS k \
        WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 2 AND k.classid = {} \
            AND k.objid = ('x' || pg_catalog.left(l.job_id::text, 8))::bit(32)::bigint::oid \
            AND k.pid = l.backend_pid AND k.pid <> pg_catalog.pg_backend_pid() \
            AND k.database = (SELECT b.oid FROM pg_catalog.pg_database AS b \
                WHERE b.datname = pg_catalog.current_database()))";
    Sql::of(sql, &[&Sql::number(CLASS)])
}

/// Shows until the end of this session that it is alive.
pub(super) async fn show_alive(link: &Link, job_id: Uuid, doing: &Doing) -> Result<(), Error> {
    let sql = "SELECT pg_catalog.pg_advisory_lock_shared({}, \
        ('x' || pg_catalog.left($1::text, 8))::bit(32)::integer)";
    let id = job_id.to_string();
    let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
    let sql = Sql::of(sql, &[&Sql::number(CLASS)]);
    link.query(&sql, &params, doing).await.map(drop)
}
