//! How it is known whether the holder of a lease is alive: its backend holds an advisory lock of
//! the job, from the claim to its end. Every role sees such locks, unlike when a backend started;
//! and a backend that got the same number later does not hold it.
//!
//! The lock is shared. It tells who is alive and keeps nobody out: that is what the epoch does.

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
};

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
