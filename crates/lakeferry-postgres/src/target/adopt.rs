//! A table that exists, held against all rows that it should have. Where a refresh by difference
//! would find nothing to write, it becomes the job's by progress and OID alone; else nothing is
//! changed, and the differences are counted.
//!
//! Others read meanwhile; whoever writes waits, so that what was compared is what is committed.

use lakeferry_model::{Differences, DifferingKeys, MOST_EXAMPLES, Position, RowCounts};

use crate::{
    error::Error,
    sql::{Sql, Table},
    target::{
        apply::{Apply, Ended, Locked},
        aside::Scope,
        columns::Columns,
        fence::Fence,
        refresh::{dropped, ready},
        staging::{Staged, StagedIn},
    },
};

/// A key is shown up to so many characters.
const SHOWN_CHARACTERS: u64 = 100;

pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &mut Staged,
) -> Result<Ended, Error> {
    let StagedIn::Reserved(staging) = staged.place.clone() else {
        return Err(Error::bug("what to adopt was staged in a temporary table"));
    };
    let place = staging.sql();
    if ready(apply, &staged.columns, &place).await? == Fence::Shut {
        return Ok(Ended::Fenced);
    }
    apply.begin().await?;
    let Some(locked) = apply.fence_and_lock(staged).await? else {
        return apply.shut().await;
    };
    let statements = Statements::new(&apply.settings.table, &place, &locked);
    let differences = statements.differences(apply).await?;
    if !differences.is_empty() {
        apply.batch("ROLLBACK").await?;
        dropped(apply, &staging).await;
        return Ok(Ended::Differs(differences));
    }
    let oid = apply.record_table().await?;
    let rows = RowCounts::default();
    let quarantined = staged.aside.write(apply, Scope::All).await?;
    let bad = quarantined.counts;
    apply.record_run("adopt", staged.started, rows, bad).await?;
    let ended = apply.commit(rows, Some(quarantined), Some(oid)).await?;
    if matches!(ended, Ended::Applied { .. }) {
        dropped(apply, &staging).await;
    }
    Ok(ended)
}

/// What finds one kind of difference.
#[derive(Debug)]
struct Finding {
    count: Sql,
    examples: Sql,
}

impl Finding {
    /// Of the rows of `found`, which has one row a key; `alias` names the one whose key is shown.
    fn new(found: &Sql, columns: &Columns, alias: &'static str) -> Self {
        Self {
            count: Sql::of("SELECT count(*) {}", &[found]),
            examples: Sql::of(
                "SELECT pg_catalog.left(pg_catalog.concat_ws(', ', {}), {}) {} ORDER BY {} LIMIT {}",
                &[
                    &columns.key_as_text(alias),
                    &Sql::number(SHOWN_CHARACTERS),
                    found,
                    &columns.key_of(alias),
                    &Sql::number(MOST_EXAMPLES as u64),
                ],
            ),
        }
    }

    async fn keys<P: Position>(&self, apply: &Apply<'_, P>) -> Result<DifferingKeys, Error> {
        let count = apply.count(&self.count).await?;
        if count == 0 {
            return Ok(DifferingKeys::default());
        }
        let rows = apply
            .link
            .query(&self.examples, &[], &apply.doing())
            .await?;
        let examples = rows.iter().map(|row| row.get(0)).collect();
        Ok(DifferingKeys { count, examples })
    }
}

/// The statements of an adoption. `t` is the target, `s` the staged rows; the conditions are those
/// by which a refresh inserts, deletes and updates.
#[derive(Debug)]
struct Statements {
    missing: Finding,
    surplus: Finding,
    unlike: Finding,
}

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
        let missing = Sql::of(
            "FROM {} AS s WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {})",
            &[staging, target, same_live],
        );
        let surplus = Sql::of(
            "FROM {} AS t WHERE NOT EXISTS (SELECT FROM {} AS s WHERE {})",
            &[target, staging, same_key],
        );
        let surplus = marks.and_live(&surplus);
        let unlike = Sql::of(
            "FROM {} AS t JOIN {} AS s ON {} WHERE {}",
            &[target, staging, same_live, &columns.differ("t", "s")],
        );
        Self {
            missing: Finding::new(&missing, columns, "s"),
            surplus: Finding::new(&surplus, columns, "t"),
            unlike: Finding::new(&unlike, columns, "t"),
        }
    }

    async fn differences<P: Position>(&self, apply: &Apply<'_, P>) -> Result<Differences, Error> {
        Ok(Differences {
            missing: self.missing.keys(apply).await?,
            surplus: self.surplus.keys(apply).await?,
            unlike: self.unlike.keys(apply).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::{evil_locked, evil_table};

    #[test]
    fn statements() {
        let all = Statements::new(&evil_table(), &Sql::name("staged"), &evil_locked());
        let all =
            [all.missing, all.surplus, all.unlike].map(|finding| [finding.count, finding.examples]);
        let all = all.as_flattened().iter().map(Sql::as_str);
        insta::assert_snapshot!(all.collect::<Vec<_>>().join("\n"));
    }
}
