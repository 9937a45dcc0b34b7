//! The fence: the compare-and-set that opens every apply, after staging and before the target is
//! touched. All of the state that the session read must still stand, and its lease with it.

use lakeferry_model::{Fingerprint, Position, Progress, Watermark};
use tokio_postgres::{error::SqlState, types::Type};
use uuid::Uuid;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::state::{Kept, PROGRESS_COLUMNS, StateSchema},
};

/// Whether this session may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fence {
    Open,
    /// Somebody else moved the job, or put another table in the place of its target.
    Shut,
}

impl Fence {
    fn open_if(condition: bool) -> Self {
        if condition { Self::Open } else { Self::Shut }
    }
}

/// From what a target is kept until the end of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockMode {
    /// From being altered.
    KeepShape,
    /// Also from rows of others, seen or not yet committed.
    KeepRows,
}

/// Moves the progress from what the session read to what this apply brings. The row stays locked
/// to the end of the transaction, so a claim waits for it.
const MOVE: &str = "\
UPDATE {} AS p SET ({}, updated_at) = ROW($1, $2, $3, $4, $5, $6, $7, pg_catalog.clock_timestamp()) \
WHERE p.job_id = $8 AND p.epoch = $9 AND {} \
AND EXISTS (SELECT FROM {} AS l WHERE l.job_id = p.job_id AND l.epoch = p.epoch \
    AND l.backend_pid = pg_catalog.pg_backend_pid())";

/// The job and epoch that a session holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) job_id: Uuid,
    pub(super) epoch: i64,
}

/// Moves the progress of `hold` from `before` to the given watermark.
pub(super) async fn move_progress<P: Position>(
    link: &Link,
    state: &StateSchema,
    hold: Hold,
    before: Option<&Progress<P>>,
    after: (&Watermark<P>, &Fingerprint),
) -> Result<Fence, Error> {
    let (watermark, fingerprint) = after;
    let after = Kept::of(Some(&Progress {
        watermark: watermark.clone(),
        fingerprint: fingerprint.clone(),
    }))?;
    let before = Kept::of(before)?;
    let mut params: Vec<Param<'_>> = after.params().into();
    params.extend([
        (&hold.job_id as _, Type::UUID),
        (&hold.epoch as _, Type::INT8),
    ]);
    params.extend(before.params());
    let doing = Doing::new(format!("move the progress in schema {state}"))
        .needs(format!("UPDATE ON ALL TABLES IN SCHEMA {:?}", state.name()));
    let moved = link.execute(&move_sql(state), &params, &doing).await?;
    Ok(Fence::open_if(moved == 1))
}

fn move_sql(state: &StateSchema) -> Sql {
    let columns = PROGRESS_COLUMNS.map(Sql::name);
    // The values of before follow those of after, the job and the epoch.
    let same = PROGRESS_COLUMNS.iter().zip(10_u64..).map(|(name, place)| {
        let parts = [&Sql::name(name), &Sql::number(place)];
        Sql::of("p.{} IS NOT DISTINCT FROM ${}", &parts)
    });
    Sql::of(
        MOVE,
        &[
            &state.table("progress"),
            &Sql::list(", ", columns),
            &Sql::list(" AND ", same),
            &state.table("leases"),
        ],
    )
}

/// Keeps the target from what `mode` says until the end of the transaction, and checks that it is
/// still the table with this OID.
pub(super) async fn lock_target(
    link: &Link,
    table: &Table,
    oid: u32,
    mode: LockMode,
) -> Result<Fence, Error> {
    let doing = Doing::new(format!("lock table {table}"))
        .needs(format!(
            "SELECT, INSERT, UPDATE, DELETE ON {}",
            table.sql().as_str()
        ))
        .locks(table.to_string());
    let lock = match mode {
        LockMode::KeepShape => "LOCK TABLE {} IN ROW EXCLUSIVE MODE",
        LockMode::KeepRows => "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
    };
    let lock = Sql::of(lock, &[&table.sql()]);
    match link.try_batch(&lock).await {
        Err(error) if is_gone(&error) => return Ok(Fence::Shut),
        result => result.map_err(|error| doing.failed(error, link.place()))?,
    }
    same_table(link, table, Some(oid)).await
}

/// Checks that what has the target's name is still the relation with this OID, or nothing.
pub(super) async fn same_table(
    link: &Link,
    table: &Table,
    oid: Option<u32>,
) -> Result<Fence, Error> {
    let doing = Doing::new(format!("look for table {table}"));
    let sql = "SELECT pg_catalog.to_regclass($1)::oid IS NOT DISTINCT FROM $2";
    let name = table.sql();
    let params: [_; 2] = [(&name.as_str() as _, Type::TEXT), (&oid as _, Type::OID)];
    let row = link.query_one(&sql.into(), &params, &doing).await?;
    Ok(Fence::open_if(row.get(0)))
}

fn is_gone(error: &tokio_postgres::Error) -> bool {
    let codes = [
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::WRONG_OBJECT_TYPE,
    ];
    codes.iter().any(|code| sqlstate::is(error, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_progress_is_compared() {
        insta::assert_snapshot!(move_sql(&StateSchema::new("lakeferry")).as_str());
    }
}
