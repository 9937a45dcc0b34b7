//! What a target has, seen without a claim: reads only, takes no transaction id, waits for nobody.

use lakeferry_model::{Position, Standing};
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::Doing,
    target::{settings::TargetSettings, standing::Found, state::StateSchema},
};

/// All that follows sees this moment. A lock that somebody holds on the target is not waited for
/// longer than a moment.
const BEGIN: &str = "\
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '2s'";

/// Whether the state is there, whole, at this moment. Its last table tells: one transaction
/// creates them all.
const HAS_STATE: &str = "\
SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relname = 'runs')";

pub(super) async fn inspect<P: Position>(
    link: &Link,
    settings: &TargetSettings,
    state: &StateSchema,
) -> Result<Standing<P>, Error> {
    let doing = Doing::new(format!("look at the target of job {}", settings.job))
        .locks(format!("{} or the schema {state}", settings.table));
    link.batch(&BEGIN.into(), &doing).await?;
    let found = if has_state(link, state).await? {
        Found::with_state(link, settings, state).await?
    } else {
        Found::without_state(link, settings).await?
    };
    let standing = found.standing(link, &settings.table).await?;
    link.batch(&"COMMIT".into(), &doing).await?;
    Ok(standing)
}

/// Whether the job ever claimed a table of this database.
pub(super) async fn is_known(
    link: &Link,
    settings: &TargetSettings,
    state: &StateSchema,
) -> Result<bool, Error> {
    if !has_state(link, state).await? {
        return Ok(false);
    }
    let doing = Doing::new(format!("look for job {}", settings.job));
    let sql = "SELECT EXISTS (SELECT FROM {} WHERE deployment = $1 AND name = $2)";
    let sql = Sql::of(sql, &[&state.table("jobs")]);
    let params: [_; 2] = [
        (&settings.job.deployment as _, Type::TEXT),
        (&settings.job.name as _, Type::TEXT),
    ];
    let row = link.query_one(&sql, &params, &doing).await?;
    Ok(row.get(0))
}

/// Whether schema and tables of the state exist.
pub(crate) async fn has_state(link: &Link, state: &StateSchema) -> Result<bool, Error> {
    let doing = Doing::new(format!("look for schema {state}"));
    let params: [_; 1] = [(&state.name() as _, Type::TEXT)];
    let row = link.query_one(&HAS_STATE.into(), &params, &doing).await?;
    Ok(row.get(0))
}
