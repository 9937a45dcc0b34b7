//! The runs that were recorded, for people to read.

use tokio_postgres::types::Type;

use crate::{
    connect::ConnectSettings,
    error::Error,
    sql::Sql,
    sqlstate::Doing,
    target::{
        inspect::has_state,
        settings::check_name,
        state::StateSchema,
        status::{self, RUN_COLUMNS, Run},
    },
};

const HISTORY: &str = "\
SELECT j.name, r.kind, {} \
FROM {} AS j \
CROSS JOIN LATERAL (SELECT * FROM {} AS r WHERE r.job_id = j.job_id \
    ORDER BY r.run_id DESC LIMIT $3) AS r \
WHERE j.deployment = $1 AND j.name = ANY ($2) ORDER BY r.finished_at DESC, r.run_id DESC";

/// The newest `limit` runs of each of these jobs of `deployment`, each with the name of its job,
/// newest first. Writes nothing.
///
/// # Errors
/// As for a connection; [`Error::NeedsOperator`] if the state must not be read.
pub async fn read_history(
    connect: &ConnectSettings,
    state_schema: &str,
    deployment: &str,
    jobs: &[String],
    limit: u32,
) -> Result<Vec<(String, Run)>, Error> {
    check_name("schema", state_schema)?;
    let state = StateSchema::new(state_schema);
    let link = connect.connect("history").await?;
    let doing = Doing::new(format!("read the runs of deployment {deployment}"))
        .needs(format!("USAGE ON SCHEMA {state}"));
    let mut runs = Vec::new();
    if has_state(&link, &state).await? {
        let tables = ["jobs", "runs"].map(|name| state.table(name));
        let columns = RUN_COLUMNS.into();
        let sql = Sql::of(HISTORY, &[&columns, &tables[0], &tables[1]]);
        let limit = i64::from(limit);
        let params: [_; 3] = [
            (&deployment as _, Type::TEXT),
            (&jobs as _, Type::TEXT_ARRAY),
            (&limit as _, Type::INT8),
        ];
        for row in link.query(&sql, &params, &doing).await? {
            let run = row
                .try_get(1)
                .and_then(|kind| Ok((row.try_get(0)?, status::run(&row, kind, 2)?)));
            runs.push(run.map_err(|error| doing.failed(error, link.place()))?);
        }
    }
    link.close().await;
    Ok(runs)
}
