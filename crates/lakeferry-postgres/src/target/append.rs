//! Rows that only come: all that is staged is inserted, whatever rows are there. Without a key, equal
//! rows are as many rows; with one, a key that is there is an error.

use lakeferry_model::{Position, RowCounts};

use crate::{
    error::Error,
    sql::Sql,
    target::{
        apply::{Apply, Ended, Locked},
        aside::Scope,
        changes::held_back,
        sift::{Bringing, sift},
        staging::{EFFECT, Staged},
    },
};

/// The session is already in the transaction that staged.
pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &mut Staged,
) -> Result<Ended, Error> {
    let Some(locked) = apply.fence_and_lock(staged).await? else {
        return apply.shut().await;
    };
    let insert = insert(apply, &staged.place.sql(), &locked);
    let bringing = Bringing {
        delete: None,
        updates: None,
        back: None,
        insert: &insert,
    };
    let inserted = loop {
        match write(apply, &locked, &insert, staged.counts.inserts).await {
            Ok(inserted) => break inserted,
            Err(error) => sift(apply, &locked, staged, &bringing, error).await?,
        }
    };
    let rows = RowCounts {
        inserted,
        ..RowCounts::default()
    };
    let quarantined = staged.aside.write(apply, Scope::Added).await?;
    let bad = quarantined.counts;
    apply
        .record_run("append", staged.started, rows, bad)
        .await?;
    apply.commit(rows, Some(quarantined), apply.oid).await
}

async fn write<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    insert: &Sql,
    staged: u64,
) -> Result<u64, Error> {
    let inserted = apply.execute(insert).await?;
    held_back(apply, locked, "insert", (staged, staged.abs_diff(inserted)))?;
    apply.settle(&locked.shape).await?;
    Ok(inserted)
}

/// What it is staged with is no condition: but one is wanted to add others to.
fn insert<P>(apply: &Apply<'_, P>, staging: &Sql, locked: &Locked) -> Sql {
    let Locked { columns, marks, .. } = locked;
    Sql::of(
        "INSERT INTO {} ({}{}) SELECT {}{} FROM {} AS s WHERE s.{} IS NOT NULL",
        &[
            &apply.settings.table.sql(),
            &columns.names(),
            &marks.names(),
            &columns.staged("s"),
            &marks.values(),
            staging,
            &Sql::name(EFFECT),
        ],
    )
}
