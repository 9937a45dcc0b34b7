//! The net changes of a commit range, by what the collapse knows of each key: deletes and updates
//! must find their key, inserts must not. Where the target disagrees, nothing changes.

use lakeferry_model::{Effect, Position, RowCounts};
use tokio_postgres::error::SqlState;

use crate::{
    error::Error,
    sql::Sql,
    sqlstate,
    target::{
        apply::{Apply, Ended},
        columns::Columns,
        fence::Fence,
        staging::{EFFECT, Staged, mark},
    },
};

/// From so many rows on, the planner is told what is staged; below it, it takes the index of the
/// target in any case.
const ANALYZE_ROWS: u64 = 1_000;

/// The session is already in the transaction that staged.
pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &Staged,
) -> Result<Ended, Error> {
    let place = staged.place.sql();
    if staged.counts.total() >= ANALYZE_ROWS {
        apply.batch(Sql::of("ANALYZE {}", &[&place])).await?;
    }
    if apply.fence_and_lock(&staged.columns).await? == Fence::Shut {
        return apply.shut().await;
    }
    let statements = Statements::new(&apply.settings.table.sql(), &place, &staged.columns);
    let mut rows = RowCounts::default();
    let counts = staged.counts;
    if counts.deletes > 0 {
        rows.deleted = apply.execute(&statements.delete).await?;
        if rows.deleted != counts.deletes {
            let kept = apply.count(&statements.kept).await?;
            held_back(apply, "delete", counts.deletes, kept)?;
            let missing = counts.deletes.abs_diff(rows.deleted);
            agree(apply, "delete", counts.deletes, missing)?;
        }
        apply.guard(rows.deleted, counts.inserts).await?;
    }
    if counts.updates > 0 {
        rows.updated = apply.execute(&statements.update).await?;
        // Equal rows are not written; only then it takes a look whether all are equal now.
        if rows.updated != counts.updates {
            let unlike = apply.count(&statements.unlike).await?;
            if unlike > 0 {
                let missing = apply.count(&statements.missing).await?;
                agree(apply, "update", counts.updates, missing)?;
                held_back(apply, "update", counts.updates, unlike)?;
            }
        }
    }
    if counts.inserts > 0 {
        rows.inserted = insert(apply, &statements, counts.inserts).await?;
    }
    apply.record_run("changes", staged.started, rows).await?;
    apply.commit(rows, apply.oid).await
}

async fn insert<P: Position>(
    apply: &Apply<'_, P>,
    statements: &Statements,
    expected: u64,
) -> Result<u64, Error> {
    apply.batch("SAVEPOINT before_inserts").await?;
    match apply.link.try_execute(&statements.insert, &[]).await {
        Ok(inserted) => {
            if inserted == expected {
                return Ok(inserted);
            }
            held_back(apply, "insert", expected, expected.abs_diff(inserted))?;
            Ok(inserted)
        }
        Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => {
            apply.batch("ROLLBACK TO SAVEPOINT before_inserts").await?;
            let present = apply.count(&statements.present).await?;
            agree(apply, "insert", expected, present)?;
            // It was another unique constraint than the key's.
            Err(apply.doing().failed(error, apply.link.place()))
        }
        Err(error) => Err(apply.doing().failed(error, apply.link.place())),
    }
}

/// # Errors
/// [`Error::NeedsOperator`] with the counts, unless none disagree.
fn agree<P: Position>(
    apply: &Apply<'_, P>,
    what: &str,
    staged: u64,
    disagree: u64,
) -> Result<(), Error> {
    if disagree == 0 {
        return Ok(());
    }
    let table = &apply.settings.table;
    let found = if what == "insert" {
        "are already in"
    } else {
        "are not in"
    };
    Err(Error::needs_operator(format!(
        "of {staged} keys to {what}, {disagree} {found} {table}: \
         it was changed by somebody else, or the source has duplicate keys"
    ))
    .advise("run backfill to rebuild by difference"))
}

/// # Errors
/// [`Error::NeedsOperator`] with the counts, unless none were held back.
fn held_back<P: Position>(
    apply: &Apply<'_, P>,
    what: &str,
    staged: u64,
    held: u64,
) -> Result<(), Error> {
    if held == 0 {
        return Ok(());
    }
    let table = &apply.settings.table;
    Err(Error::needs_operator(format!(
        "of {staged} rows to {what}, {held} were held back or changed by a trigger of {table}"
    ))
    .advise("change the trigger, or disable it; then run backfill"))
}

/// The statements of an increment. `t` is the target, `s` the staged rows of one effect.
#[derive(Debug)]
struct Statements {
    delete: Sql,
    /// How many keys to delete are still in the target.
    kept: Sql,
    update: Sql,
    /// How many rows to update are not in the target as they should be.
    unlike: Sql,
    /// How many keys to update are not in the target.
    missing: Sql,
    insert: Sql,
    /// How many keys to insert are in the target.
    present: Sql,
}

/// How many keys of one effect are in the target.
const PRESENT: &str = "\
SELECT count(*) FROM {} AS s WHERE {} AND EXISTS (SELECT FROM {} AS t WHERE {})";

impl Statements {
    fn new(target: &Sql, staging: &Sql, columns: &Columns) -> Self {
        let same_key = columns.same_key("t", "s");
        let [deletes, updates, inserts] =
            [Effect::Delete, Effect::Update, Effect::Insert].map(of_effect);
        Self {
            delete: Sql::of(
                "DELETE FROM {} AS t USING {} AS s WHERE {} AND {}",
                &[target, staging, &deletes, &same_key],
            ),
            kept: Sql::of(PRESENT, &[staging, &deletes, target, &same_key]),
            unlike: Sql::of(
                "SELECT count(*) FROM {} AS s \
                    WHERE {} AND NOT EXISTS (SELECT FROM {} AS t WHERE {} AND NOT {})",
                &[
                    staging,
                    &updates,
                    target,
                    &same_key,
                    &columns.differ("t", "s"),
                ],
            ),
            update: Sql::of(
                "UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {} AND {}",
                &[
                    target,
                    &columns.assignments("s"),
                    staging,
                    &updates,
                    &same_key,
                    &columns.differ("t", "s"),
                ],
            ),
            missing: Sql::of(
                "SELECT count(*) FROM {} AS s \
                    WHERE {} AND NOT EXISTS (SELECT FROM {} AS t WHERE {})",
                &[staging, &updates, target, &same_key],
            ),
            insert: Sql::of(
                "INSERT INTO {} ({}) SELECT {} FROM {} AS s WHERE {}",
                &[
                    target,
                    &columns.names(),
                    &columns.names_of("s"),
                    staging,
                    &inserts,
                ],
            ),
            present: Sql::of(PRESENT, &[staging, &inserts, target, &same_key]),
        }
    }
}

fn of_effect(effect: Effect) -> Sql {
    let mark = char::from(mark(effect)).to_string();
    Sql::of("s.{} = {}", &[&Sql::name(EFFECT), &Sql::text(&mark)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::{evil_columns, evil_table};

    #[test]
    fn statements() {
        let all = Statements::new(&evil_table().sql(), &Sql::name("staged"), &evil_columns());
        let all = [
            all.delete,
            all.kept,
            all.update,
            all.unlike,
            all.missing,
            all.insert,
            all.present,
        ];
        insta::assert_snapshot!(all.map(|sql| sql.as_str().to_owned()).join("\n"));
    }
}
