//! A rebuild by difference: what is not staged goes, what differs or is new comes, and what is
//! equal is not written. Readers never wait, and indexes, views, grants and columns of users stay.
//!
//! Rows without a key are counted instead: see [`super::multiset`].
//!
//! Update and insert are two statements rather than `INSERT … ON CONFLICT`: that would check
//! columns of users that are NOT NULL for rows which are only updated, and lock rows that are
//! equal.

use lakeferry_model::{Position, RowCounts};
use tokio_postgres::error::SqlState;

use crate::{
    error::Error,
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::{
        apply::{Apply, Ended, Locked},
        aside::Scope,
        columns::Columns,
        duplicates,
        fence::Fence,
        multiset::{EXACT_TEXT, Exchange},
        parking::Updates,
        previous::Previous,
        reserved,
        sift::{BEFORE_ROWS, Bringing, sift},
        staging::{Staged, StagedIn},
    },
};

pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &mut Staged,
) -> Result<Ended, Error> {
    let StagedIn::Reserved(staging) = staged.place.clone() else {
        return Err(Error::bug("a refresh was staged in a temporary table"));
    };
    let place = staging.sql();
    if ready(apply, &staged.columns, &place).await? == Fence::Shut {
        return Ok(Ended::Fenced);
    }
    apply.begin().await?;
    let Some(locked) = apply.fence_and_lock(staged).await? else {
        return apply.shut().await;
    };
    let rows = match staged.columns.has_key() {
        true => merge(apply, &locked, staged).await?,
        false => exchange(apply, &locked, staged).await?,
    };
    let oid = apply.record_table().await?;
    let quarantined = staged.aside.write(apply, Scope::All).await?;
    let bad = quarantined.counts;
    apply
        .record_run("refresh", staged.started, rows, bad)
        .await?;
    let ended = apply.commit(rows, Some(quarantined), Some(oid)).await?;
    if matches!(ended, Ended::Applied { .. }) {
        dropped(apply, &staging).await;
    }
    Ok(ended)
}

/// Drops what was staged and is of no more use. Where that fails, the next run does.
pub(super) async fn dropped<P: Position>(apply: &Apply<'_, P>, staging: &Table) {
    let doing = Doing::new("drop what was staged");
    if let Err(error) = reserved::drop(apply.link, staging, &doing).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "staging was left behind"
        );
    }
}

/// Readies what was staged to be compared, which is also the check that no key, if there is one,
/// comes twice. Shut
/// where the staging is gone, for another session dropped it.
pub(super) async fn ready<P: Position>(
    apply: &Apply<'_, P>,
    columns: &Columns,
    place: &Sql,
) -> Result<Fence, Error> {
    let analyze = Sql::of("ANALYZE {}", &[place]);
    let sql = match columns.has_key() {
        true => Sql::of(
            "CREATE UNIQUE INDEX ON {} ({}); {}",
            &[place, &columns.key_names(), &analyze],
        ),
        false => analyze,
    };
    match apply.link.try_batch(&sql).await {
        Ok(()) => Ok(Fence::Open),
        Err(error) if sqlstate::is(&error, &SqlState::UNDEFINED_TABLE) => Ok(Fence::Shut),
        Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => {
            Err(duplicates::error(apply, columns, place).await?)
        }
        Err(error) => Err(apply.doing().failed(error, apply.link.place())),
    }
}

async fn merge<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    staged: &mut Staged,
) -> Result<RowCounts, Error> {
    let keeps_previous = apply.is_filled && staged.aside.allows().keeps_previous();
    let previous = match keeps_previous {
        true => Some(Previous::begin(apply, locked, staged).await?),
        false => None,
    };
    let stays = previous.as_ref().map(Previous::stays);
    let merge = Merge::new(&apply.settings.table, &staged.place.sql(), locked, stays);
    if !apply.is_filled {
        // The table was empty when the job claimed it, and nothing of anybody else is touched.
        refuse_rows_of_others(apply).await?;
    }
    let bringing = Bringing {
        delete: apply.is_filled.then_some(&merge.delete),
        updates: apply.is_filled.then_some(&merge.updates),
        back: merge.back.as_ref().filter(|_| apply.is_filled),
        insert: &merge.insert,
    };
    let rows = loop {
        let mut all = staged.counts.inserts;
        if let Some(previous) = &previous {
            all += previous.count(apply).await?;
        }
        match merge.run(apply, locked, all).await {
            Ok(rows) => break rows,
            Err(error) => sift(apply, locked, staged, &bringing, error).await?,
        }
    };
    if let Some(previous) = &previous {
        let keys = previous.keys(apply, &locked.columns).await?;
        staged.aside.keep_previous(&locked.columns, &keys)?;
    }
    Ok(rows)
}

/// As [`merge`], of rows without a key.
async fn exchange<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    staged: &mut Staged,
) -> Result<RowCounts, Error> {
    let exchange = Exchange::new(&apply.settings.table, &staged.place.sql(), locked);
    if !apply.is_filled {
        refuse_rows_of_others(apply).await?;
    }
    let bringing = Bringing {
        delete: apply.is_filled.then_some(&exchange.delete),
        updates: None,
        back: None,
        insert: &exchange.insert,
    };
    // A savepoint that is rolled back to takes settings with it.
    apply.batch(EXACT_TEXT).await?;
    apply.batch(BEFORE_ROWS).await?;
    loop {
        let written = async {
            let rows = exchange.run(apply, staged.counts.inserts).await?;
            let looks = [&exchange.unlike, &exchange.found];
            verify(apply, locked, looks, staged.counts.inserts).await?;
            Ok(rows)
        };
        match written.await {
            Ok(rows) => return Ok(rows),
            Err(error) => sift(apply, locked, staged, &bringing, error).await?,
        }
    }
}

/// Counts of affected rows do not tell what a trigger held back, so it looks at the outcome: how
/// many staged rows are not there as they should be, and how many rows there are.
async fn verify<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    [unlike, found]: [&Sql; 2],
    staged: u64,
) -> Result<(), Error> {
    apply.settle(&locked.shape).await?;
    let unlike = apply.count(unlike).await?;
    let found = apply.count(found).await?;
    if unlike == 0 && found == staged {
        return Ok(());
    }
    let (table, triggers) = (&apply.settings.table, locked.shape.triggers_in_words());
    Err(Error::needs_operator(format!(
        "of {staged} rows, {unlike} are missing from {table} or differ after the refresh, and it \
         has {found} rows: a trigger ({triggers}) held back or changed what was written, or \
         somebody else wrote"
    ))
    .advise("change the trigger, or disable it; then run backfill"))
}

async fn refuse_rows_of_others<P: Position>(apply: &Apply<'_, P>) -> Result<(), Error> {
    let table = &apply.settings.table;
    let sql = "SELECT count(*) FROM (SELECT FROM {} LIMIT 1) AS first";
    if apply.count(&Sql::of(sql, &[&table.sql()])).await? == 0 {
        return Ok(());
    }
    Err(
        Error::needs_operator(format!("{table} has rows that its job did not write")).advise(
            format!(
                "if these are the rows of the source: lakeferry adopt {}; else empty or drop the \
                 table, or give the job another one",
                apply.settings.job.name
            ),
        ),
    )
}

/// The statements of a refresh, in their order.
#[derive(Debug)]
struct Merge {
    delete: Sql,
    updates: Updates,
    /// Rows that stayed when they were deleted, and are there again.
    back: Option<Updates>,
    insert: Sql,
    /// How many staged rows are not in the target as they should be.
    unlike: Sql,
    /// How many rows the target has.
    found: Sql,
}

impl Merge {
    /// Rows for which `stays` holds are not deleted.
    fn new(table: &Table, staging: &Sql, locked: &Locked, stays: Option<&Sql>) -> Self {
        let Locked {
            columns,
            shape,
            marks,
        } = locked;
        let target = &shape.rows_of(table);
        let same_key = columns.same_key("t", "s");
        let same_live = marks.and_live(&same_key);
        let stays = stays.map(|stays| Sql::of(" AND NOT {}", &[stays]));
        let is_gone = Sql::of(
            "NOT EXISTS (SELECT FROM {} AS s WHERE {}){}",
            &[staging, &same_key, &stays.unwrap_or_default()],
        );
        let back = marks.and_deleted(&same_key);
        Self {
            delete: marks.delete(target, None, &is_gone),
            updates: Updates::new(target, staging, same_live.clone(), locked),
            back: back.map(|pairs| Updates::of_all(target, staging, pairs, locked)),
            insert: Sql::of(
                "INSERT INTO {} ({}{}) SELECT {}{} FROM {} AS s \
                    WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {})",
                &[
                    &table.sql(),
                    &columns.names(),
                    &marks.names(),
                    &columns.staged("s"),
                    &marks.values(),
                    staging,
                    target,
                    &same_key,
                ],
            ),
            unlike: Sql::of(
                "SELECT count(*) FROM {} AS s \
                    WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {} AND NOT {})",
                &[staging, target, &same_live, &columns.differ("t", "s")],
            ),
            found: Sql::of(
                "SELECT count(*) FROM {} AS t{}",
                &[target, &marks.where_live()],
            ),
        }
    }

    /// Brings the target to what is staged and what stays, `all` rows together.
    async fn run<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        locked: &Locked,
        all: u64,
    ) -> Result<RowCounts, Error> {
        let mut rows = RowCounts::default();
        if apply.is_filled {
            rows.deleted = apply.execute(&self.delete).await?;
            apply.guard(rows.deleted, all).await?;
            rows.updated = self.updates.run(apply, locked).await?;
            if let Some(back) = &self.back {
                rows.inserted = back.run(apply, locked).await?;
            }
        }
        rows.inserted += apply.execute(&self.insert).await?;
        verify(apply, locked, [&self.unlike, &self.found], all).await?;
        Ok(rows)
    }
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
        let merge = Merge::new(&evil_table(), &Sql::name("staged"), locked, None);
        let back = merge.back.into_iter();
        let back = back.flat_map(|back| [back.update, back.to_write]);
        let all = [
            merge.delete,
            merge.updates.update,
            merge.updates.to_write,
            merge.insert,
            merge.unlike,
            merge.found,
        ];
        let all = all.into_iter().chain(back);
        all.map(|sql| sql.as_str().to_owned() + "\n").collect()
    }
}
