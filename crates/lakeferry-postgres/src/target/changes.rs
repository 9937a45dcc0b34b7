//! The net changes of a commit range, by what the collapse knows of each key: deletes and updates
//! must find their key, inserts must not. Where the target disagrees, nothing changes.

use lakeferry_model::{Effect, Position, RowCounts};
use tokio_postgres::error::SqlState;

use crate::{
    error::Error,
    sql::{Sql, Table},
    sqlstate,
    target::{
        apply::{Apply, Ended, Locked},
        aside::Scope,
        parking::Updates,
        refusal,
        sift::{Bringing, sift},
        staging::{EFFECT, EffectCounts, Staged, mark},
    },
};

/// From so many rows on, the planner is told what is staged; below it, it takes the index of the
/// target in any case.
const ANALYZE_ROWS: u64 = 1_000;

/// The session is already in the transaction that staged.
/// `kind` is how the run is called in the history, `scope` what it knows of the quarantine.
pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &mut Staged,
    (kind, scope): (&'static str, Scope),
) -> Result<Ended, Error> {
    if staged.aside.is_unmatched() {
        apply.batch("ROLLBACK").await?;
        return Ok(Ended::Unmatched);
    }
    let place = staged.place.sql();
    if staged.counts.total() >= ANALYZE_ROWS {
        apply.batch(Sql::of("ANALYZE {}", &[&place])).await?;
    }
    let Some(locked) = apply.fence_and_lock(staged).await? else {
        return apply.shut().await;
    };
    let statements = Statements::new(&apply.settings.table, &place, &locked);
    let rows = loop {
        match write(apply, &locked, &statements, staged.counts).await {
            Ok(rows) => break rows,
            Err(error) => sift(apply, &locked, staged, &statements.bringing(), error).await?,
        }
    };
    let quarantined = staged.aside.write(apply, scope).await?;
    let bad = quarantined.counts;
    apply.record_run(kind, staged.started, rows, bad).await?;
    apply.commit(rows, Some(quarantined), apply.oid).await
}

async fn write<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    statements: &Statements,
    counts: EffectCounts,
) -> Result<RowCounts, Error> {
    let mut rows = RowCounts::default();
    if counts.deletes > 0 {
        rows.deleted = apply.execute(&statements.delete).await?;
        if rows.deleted != counts.deletes {
            let kept = apply.count(&statements.kept).await?;
            held_back(apply, locked, "delete", (counts.deletes, kept))?;
            let missing = counts.deletes.abs_diff(rows.deleted);
            agree(apply, "delete", counts.deletes, missing)?;
        }
        apply.guard(rows.deleted, counts.inserts).await?;
    }
    if counts.updates > 0 {
        rows.updated = statements.updates.run(apply, locked).await?;
        // Equal rows are not written; only then it takes a look whether all are equal now.
        if rows.updated != counts.updates {
            let unlike = apply.count(&statements.unlike).await?;
            if unlike > 0 {
                let missing = apply.count(&statements.missing).await?;
                agree(apply, "update", counts.updates, missing)?;
                held_back(apply, locked, "update", (counts.updates, unlike))?;
            }
        }
    }
    if counts.inserts > 0 {
        rows.inserted = insert(apply, locked, statements, counts.inserts).await?;
    }
    if !locked.shape.triggers.is_empty() {
        verify(apply, locked, statements, counts).await?;
    }
    Ok(rows)
}

async fn insert<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    statements: &Statements,
    expected: u64,
) -> Result<u64, Error> {
    let mut back = 0;
    if let Some(updates) = &statements.back {
        let present = apply.count(&statements.present).await?;
        agree(apply, "insert", expected, present)?;
        back = updates.run(apply, locked).await?;
    }
    apply.batch("SAVEPOINT before_inserts").await?;
    match apply.link.try_execute(&statements.insert, &[]).await {
        // Where it wrote fewer, a trigger held them back, and that is looked at in the end.
        Ok(inserted) => Ok(back + inserted),
        Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => {
            apply.batch("ROLLBACK TO SAVEPOINT before_inserts").await?;
            if statements.back.is_none() {
                let present = apply.count(&statements.present).await?;
                agree(apply, "insert", expected, present)?;
            }
            // It was another unique constraint than the key's.
            Err(refusal::told(apply, error).await)
        }
        Err(error) => Err(refusal::told(apply, error).await),
    }
}

/// Triggers can hold rows back, write other values, or change rows once they are written; so it
/// looks at the outcome.
async fn verify<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    statements: &Statements,
    counts: EffectCounts,
) -> Result<(), Error> {
    apply.settle(&locked.shape).await?;
    for (what, staged, sql) in [
        ("delete", counts.deletes, &statements.kept),
        ("update", counts.updates, &statements.unlike),
        ("insert", counts.inserts, &statements.unlike_inserts),
    ] {
        if staged > 0 {
            let held = apply.count(sql).await?;
            held_back(apply, locked, what, (staged, held))?;
        }
    }
    Ok(())
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
pub(super) fn held_back<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    what: &str,
    (staged, held): (u64, u64),
) -> Result<(), Error> {
    if held == 0 {
        return Ok(());
    }
    let (table, triggers) = (&apply.settings.table, locked.shape.triggers_in_words());
    Err(Error::needs_operator(format!(
        "of {staged} rows to {what}, {held} were held back or changed by a trigger of {table} \
         ({triggers})"
    ))
    .advise("change the trigger, or disable it; then run backfill"))
}

/// The statements of an increment. `t` is the target, `s` the staged rows of one effect.
#[derive(Debug)]
struct Statements {
    delete: Sql,
    /// How many keys to delete are still in the target.
    kept: Sql,
    updates: Updates,
    /// How many rows to update are not in the target as they should be.
    unlike: Sql,
    /// How many keys to update are not in the target.
    missing: Sql,
    /// Of keys to insert, rows that stayed when they were deleted.
    back: Option<Updates>,
    insert: Sql,
    /// How many rows to insert are not in the target as they should be.
    unlike_inserts: Sql,
    /// How many keys to insert are in the target.
    present: Sql,
}

/// How many keys of one effect are in the target.
const PRESENT: &str = "\
SELECT count(*) FROM {} AS s WHERE {} AND EXISTS (SELECT FROM {} AS t WHERE {})";

/// How many rows of one effect are not in the target as they should be.
const UNLIKE: &str = "\
SELECT count(*) FROM {} AS s \
WHERE {} AND NOT EXISTS (SELECT FROM {} AS t WHERE {} AND NOT {})";

impl Statements {
    fn new(table: &Table, staging: &Sql, locked: &Locked) -> Self {
        let Locked {
            columns,
            shape,
            marks,
        } = locked;
        let target = &shape.rows_of(table);
        let same_key = &columns.same_key("t", "s");
        let same_live = &marks.and_live(same_key);
        let differ = &columns.differ("t", "s");
        let [deletes, updates, inserts] =
            &[Effect::Delete, Effect::Update, Effect::Insert].map(of_effect);
        let pairs = |effect, same| Sql::of("{} AND {}", &[effect, same]);
        let back = marks.and_deleted(&pairs(inserts, same_key));
        let is_new = match &back {
            Some(_) => Sql::of(
                "{} AND NOT EXISTS (SELECT FROM {} AS t WHERE {})",
                &[inserts, target, same_key],
            ),
            None => inserts.clone(),
        };
        Self {
            delete: marks.delete(target, Some(staging), &pairs(deletes, same_key)),
            kept: Sql::of(PRESENT, &[staging, deletes, target, same_live]),
            updates: Updates::new(target, staging, pairs(updates, same_live), locked),
            unlike: Sql::of(UNLIKE, &[staging, updates, target, same_live, differ]),
            missing: Sql::of(
                "SELECT count(*) FROM {} AS s \
                    WHERE {} AND NOT EXISTS (SELECT FROM {} AS t WHERE {})",
                &[staging, updates, target, same_live],
            ),
            back: back.map(|pairs| Updates::of_all(target, staging, pairs, locked)),
            insert: Sql::of(
                "INSERT INTO {} ({}{}) SELECT {}{} FROM {} AS s WHERE {}",
                &[
                    &table.sql(),
                    &columns.names(),
                    &marks.names(),
                    &columns.staged("s"),
                    &marks.values(),
                    staging,
                    &is_new,
                ],
            ),
            unlike_inserts: Sql::of(UNLIKE, &[staging, inserts, target, same_live, differ]),
            present: Sql::of(PRESENT, &[staging, inserts, target, same_live]),
        }
    }

    fn bringing(&self) -> Bringing<'_> {
        Bringing {
            delete: Some(&self.delete),
            updates: Some(&self.updates),
            back: self.back.as_ref(),
            insert: &self.insert,
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
    use crate::target::tests::{evil_locked, evil_marked, evil_table};

    #[test]
    fn statements() {
        insta::assert_snapshot!(all_of(&evil_locked()));
    }

    #[test]
    fn statements_where_deleted_rows_stay() {
        insta::assert_snapshot!(all_of(&evil_marked()));
    }

    fn all_of(locked: &Locked) -> String {
        let all = Statements::new(&evil_table(), &Sql::name("staged"), locked);
        let back = all.back.into_iter();
        let back = back.flat_map(|back| [back.update, back.to_write]);
        let all = [
            all.delete,
            all.kept,
            all.updates.update,
            all.updates.to_write,
            all.unlike,
            all.missing,
            all.insert,
            all.unlike_inserts,
            all.present,
        ];
        let all = all.into_iter().chain(back);
        all.map(|sql| sql.as_str().to_owned() + "\n").collect()
    }
}
