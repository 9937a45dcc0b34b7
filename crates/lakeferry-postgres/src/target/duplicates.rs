//! The error for keys that come more than once.

use lakeferry_model::Position;

use crate::{
    error::Error,
    sql::Sql,
    target::{apply::Apply, columns::Columns},
};

/// Counts the keys that `place` holds more than once, outside of any failed transaction.
pub(super) async fn error<P: Position>(
    apply: &Apply<'_, P>,
    columns: &Columns,
    place: &Sql,
) -> Result<Error, Error> {
    let sql = Sql::of(
        "SELECT count(*) FROM (SELECT FROM {} GROUP BY {} HAVING count(*) > 1) AS duplicate",
        &[place, &columns.key_names()],
    );
    let count = apply.count(&sql).await?;
    let (job, table) = (&apply.settings.job, &apply.settings.table);
    let key = columns.key_in_words();
    Ok(Error::needs_operator(format!(
        "duplicate key: {count} values of {key} come in more than one row of job {job} for {table}"
    ))
    .advise(
        "choose a key that is unique in the source, one row of each by dedupe_by: COLUMN, or filter \
         the other rows out",
    ))
}
