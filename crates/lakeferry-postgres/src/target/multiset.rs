//! A refresh of a table whose rows have no key: of each row as many stay as are staged, surplus ones
//! go by their place in the table, missing ones come.
//!
//! Rows are equal if their texts are, for `=` overlooks what differs (−0.0, the scale of a numeric)
//! and not every type has it. With [`EXACT_TEXT`] the text of a value tells all of it. It is
//! compared by digest, so that wide rows are not sorted whole.

use lakeferry_model::{Position, RowCounts};

use crate::{
    error::Error,
    sql::{Sql, Table},
    target::apply::{Apply, Locked},
};

/// What else a user's settings could shorten.
pub(super) const EXACT_TEXT: &str = "SET LOCAL extra_float_digits = 1";

/// The statements of such a refresh, in their order.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) delete: Sql,
    pub(super) insert: Sql,
    /// How many staged rows are missing.
    pub(super) unlike: Sql,
    /// How many rows the target has.
    pub(super) found: Sql,
}

impl Exchange {
    pub(super) fn new(table: &Table, staging: &Sql, locked: &Locked) -> Self {
        let Locked {
            columns,
            shape,
            marks,
        } = locked;
        let target = &shape.rows_of(table);
        let [here, there] = [columns.compared("t"), columns.staged("s")].map(|row| digest(&row));
        let digests = "SELECT {}.tableoid AS part, {}.ctid AS place, {} AS digest FROM {} AS {}";
        let target_rows = Sql::of(
            digests,
            &[&"t".into(), &"t".into(), &here, target, &"t".into()],
        );
        let staged_rows = Sql::of(
            digests,
            &[&"s".into(), &"s".into(), &there, staging, &"s".into()],
        );
        let surplus = beyond(&target_rows, &staged_rows);
        let missing = beyond(&staged_rows, &target_rows);
        Self {
            delete: Sql::of(
                "DELETE FROM {} AS t USING ({}) AS surplus \
                    WHERE t.tableoid = surplus.part AND t.ctid = surplus.place",
                &[target, &surplus],
            ),
            insert: Sql::of(
                "INSERT INTO {} ({}{}) SELECT {}{} FROM {} AS s, ({}) AS missing \
                    WHERE s.ctid = missing.place",
                &[
                    &table.sql(),
                    &columns.names(),
                    &marks.names(),
                    &columns.staged("s"),
                    &marks.values(),
                    staging,
                    &missing,
                ],
            ),
            unlike: Sql::of("SELECT count(*) FROM ({}) AS missing", &[&missing]),
            found: Sql::of("SELECT count(*) FROM {}", &[target]),
        }
    }

    /// Brings the target to what is staged, `staged` rows in all, under [`EXACT_TEXT`]. A row that changed goes and comes,
    /// so the guard looks at how many are fewer in the end.
    pub(super) async fn run<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        staged: u64,
    ) -> Result<RowCounts, Error> {
        let deleted = match apply.is_filled {
            true => apply.execute(&self.delete).await?,
            false => 0,
        };
        let inserted = apply.execute(&self.insert).await?;
        apply
            .guard(deleted.saturating_sub(inserted), staged)
            .await?;
        Ok(RowCounts {
            inserted,
            updated: 0,
            deleted,
        })
    }
}

/// A row's content, whatever its columns hold.
fn digest(values: &Sql) -> Sql {
    Sql::of(
        "pg_catalog.sha256(pg_catalog.textsend(ROW({})::text))",
        &[values],
    )
}

/// The places of those of `rows` that come more often than in `others`; both give digests.
fn beyond(rows: &Sql, others: &Sql) -> Sql {
    Sql::of(
        "SELECT numbered.part, numbered.place \
            FROM (SELECT part, place, digest, \
                    pg_catalog.row_number() OVER (PARTITION BY digest) AS number \
                FROM ({}) AS digests) AS numbered \
            LEFT JOIN (SELECT digest, pg_catalog.count(*) AS times FROM ({}) AS digests \
                GROUP BY digest) AS counted ON counted.digest = numbered.digest \
            WHERE numbered.number > coalesce(counted.times, 0)",
        &[rows, others],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::{evil_locked, evil_table};

    #[test]
    fn statements() {
        let exchange = Exchange::new(&evil_table(), &Sql::name("staged"), &evil_locked());
        let Exchange {
            delete,
            insert,
            unlike,
            found,
        } = &exchange;
        let all = [delete, insert, unlike, found].map(Sql::as_str);
        insta::assert_snapshot!(all.join("\n"));
    }
}
