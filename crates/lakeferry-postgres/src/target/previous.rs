//! Rows that stay through a rebuild as they are, for what their keys have now cannot be held: the keys
//! wait in a temporary table beside the staging, and what deletes looks there, too.

use arrow_array::RecordBatch;
use lakeferry_model::Position;

use crate::{
    error::Error,
    sql::Sql,
    sqlstate::Doing,
    target::{
        apply::{Apply, Locked},
        aside::part,
        columns::Columns,
        copy::Copy,
        sift::{BEFORE_ROWS, decoded},
        staging::Staged,
    },
};

/// Keys whose rows stay.
#[derive(Debug)]
pub(super) struct Previous {
    /// Whether row `t` of the target is of such a key.
    stays: Sql,
    /// How many rows stay that are not staged as well.
    count: Sql,
    /// The keys of which the target has a row.
    there: Sql,
}

impl Previous {
    /// Begins with the keys that were set aside while `staged` was loaded. From here on,
    /// `before_rows` is another savepoint.
    pub(super) async fn begin<P: Position>(
        apply: &Apply<'_, P>,
        Locked {
            columns,
            shape,
            marks,
        }: &Locked,
        staged: &mut Staged,
    ) -> Result<Self, Error> {
        apply.batch(create(columns)).await?;
        let doing = Doing::rows("copy the keys of rows that were set aside");
        let (place, names) = (place(), columns.names());
        let encoder = columns.encoder()?;
        let mut copy = Copy::open(apply.link, &place, &names, encoder, doing).await?;
        for mut keys in std::mem::take(&mut staged.bad_keys) {
            loop {
                let faults = copy.put(apply.link, &keys, None).await?;
                if faults.is_empty() {
                    break;
                }
                // Of a key that cannot be held there is no row.
                let mut is_bad = vec![false; keys.num_rows()];
                faults.iter().for_each(|fault| is_bad[fault.row] = true);
                (_, keys) = part(&keys, is_bad.into())?;
            }
        }
        copy.finish(apply.link).await?;
        apply.batch(BEFORE_ROWS).await?;
        let same_key = columns.same_key("t", "b");
        let live = marks.and_live(&same_key);
        let target = shape.rows_of(&apply.settings.table);
        Ok(Self {
            stays: Sql::of(
                "EXISTS (SELECT FROM {} AS b WHERE {})",
                &[&place, &same_key],
            ),
            count: Sql::of(
                "SELECT count(*) FROM {} AS b WHERE EXISTS (SELECT FROM {} AS t WHERE {}) \
                    AND NOT EXISTS (SELECT FROM {} AS s WHERE {})",
                &[
                    &place,
                    &target,
                    &live,
                    &staged.place.sql(),
                    &columns.same_staged_key("s", "b"),
                ],
            ),
            there: Sql::of(
                "SELECT {} FROM {} AS b WHERE EXISTS (SELECT FROM {} AS t WHERE {})",
                &[&columns.read_back("b"), &place, &target, &live],
            ),
        })
    }

    pub(super) fn stays(&self) -> &Sql {
        &self.stays
    }

    pub(super) async fn count<P: Position>(&self, apply: &Apply<'_, P>) -> Result<u64, Error> {
        apply.count(&self.count).await
    }

    /// The keys of which the target has a row, NULL in all other columns.
    pub(super) async fn keys<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        columns: &Columns,
    ) -> Result<RecordBatch, Error> {
        let rows = (apply.link.query(&self.there, &[], &apply.doing())).await?;
        decoded(columns, &rows)
    }
}

/// Where the keys wait.
fn place() -> Sql {
    Sql::of("pg_temp.{}", &[&Sql::name("_lakeferry_previous")])
}

fn create(columns: &Columns) -> Sql {
    let parts = [&place(), &columns.definitions()];
    Sql::of(
        "CREATE TEMPORARY TABLE IF NOT EXISTS {} ({}) ON COMMIT DROP",
        &parts,
    )
}

/// Adds the keys of staged rows `s` that `which` says, which are about to be taken out.
pub(super) fn add(columns: &Columns, staging: &Sql, which: &'static str) -> [Sql; 2] {
    let names = columns.key_names();
    let parts = [&place(), &names, &names, staging, &which.into()];
    let insert = Sql::of(
        "INSERT INTO {} ({}) SELECT {} FROM {} AS s WHERE {}",
        &parts,
    );
    [create(columns), insert]
}
