//! Rows that only the server refuses, for a CHECK constraint, a domain, a text that is longer than a
//! column or an index takes, or a trigger's word. Where a statement that brings many rows is refused,
//! halves of them are tried behind savepoints until it is known which; these are taken out of the
//! staging and set aside, or have the value that is refused as NULL. Then all is written again.
//!
//! All of it is within the transaction of the apply, behind its fence. What cannot be told apart, as
//! where the rest is refused for another reason, stays the error that it was.

mod bisection;
mod named;
mod search;

use std::collections::HashMap;

use arrow_array::{Array, RecordBatch};
use arrow_schema::Schema;
use lakeferry_model::{Effect, OnBadValue, Position};
use tokio_postgres::{Row, types::Type};

use self::{
    bisection::{BITS_IN_BLOCK, Place},
    named::{Meant, Names},
};
use crate::{
    decode::{self, Sent},
    error::Error,
    link::Param,
    sql::Sql,
    target::{
        apply::{Apply, Locked},
        aside::part,
        columns::Columns,
        parking::Updates,
        previous,
        staging::{EFFECT, Staged, StagedIn, mark},
    },
};

/// Rows that are read back at once.
const ROWS_AT_ONCE: usize = 256;

/// Before the first row of an apply is written, and what was set aside since.
pub(super) const BEFORE_ROWS: &str = "SAVEPOINT before_rows";

/// The statements that bring staged rows, and the one before them.
pub(super) struct Bringing<'a> {
    pub(super) delete: Option<&'a Sql>,
    pub(super) updates: Option<&'a Updates>,
    /// Of keys to insert, rows that stayed when they were deleted.
    pub(super) back: Option<&'a Updates>,
    pub(super) insert: &'a Sql,
}

/// A staged row that the server refuses.
#[derive(Debug)]
struct Refused {
    place: Place,
    /// What it was to do.
    effect: Effect,
    column: Option<Meant>,
    reason: String,
}

/// Takes out of the staging what the server refuses, so that its rows can be written once more.
///
/// # Errors
/// `error`, with which writing failed, if that was not about rows or it cannot be told which; and
/// [`Error::NeedsOperator`] if more rows are refused than the job allows.
pub(super) async fn sift<P: Position>(
    apply: &Apply<'_, P>,
    locked: &Locked,
    staged: &mut Staged,
    bringing: &Bringing<'_>,
    error: Error,
) -> Result<(), Error> {
    let halts = staged.aside.allows().on_bad_value == OnBadValue::Halt;
    if halts || !matches!(error, Error::BadRow(_)) {
        return Err(error);
    }
    let mut sieve = Sieve::new(apply, &locked.columns, staged);
    apply.batch("ROLLBACK TO SAVEPOINT before_rows").await?;
    let is_told = sieve.search(locked, bringing).await?;
    if !is_told || sieve.found.is_empty() {
        return Err(error);
    }
    apply.batch("ROLLBACK TO SAVEPOINT before_rows").await?;
    sieve.take_out().await?;
    apply
        .batch("RELEASE SAVEPOINT before_rows; SAVEPOINT before_rows")
        .await
}

/// As [`sift`], of texts that are longer than their column takes: the server would cut off blanks at
/// their end without a word. Before anything is written.
pub(super) async fn sift_long_texts<P: Position>(
    apply: &Apply<'_, P>,
    columns: &Columns,
    staged: &mut Staged,
) -> Result<(), Error> {
    for (column, limit) in columns.limited() {
        let mut sieve = Sieve::new(apply, columns, staged);
        sieve.search_long_texts(&column.name, limit).await?;
        sieve.take_out().await?;
    }
    Ok(())
}

/// A search for the rows of one staging.
struct Sieve<'a, P> {
    apply: &'a Apply<'a, P>,
    columns: &'a Columns,
    staged: &'a mut Staged,
    /// What was staged, as `s` in statements.
    place: Sql,
    meant: HashMap<Names, Option<Meant>>,
    found: Vec<Refused>,
    /// How many may be found, as far as that was asked.
    room: Option<usize>,
}

impl<'a, P: Position> Sieve<'a, P> {
    fn new(apply: &'a Apply<'a, P>, columns: &'a Columns, staged: &'a mut Staged) -> Self {
        Self {
            apply,
            columns,
            place: staged.place.sql(),
            staged,
            meant: HashMap::new(),
            found: Vec::new(),
            room: None,
        }
    }

    /// Whether staged rows say what they do to their key.
    fn is_by_key(&self) -> bool {
        matches!(self.staged.place, StagedIn::Temporary)
    }

    fn name_of(&self, refused: &Refused) -> &str {
        refused
            .column
            .map_or("", |column| self.columns.name_at(column.place))
    }

    /// Sets what was found aside, and takes it out of the staging.
    async fn take_out(&mut self) -> Result<(), Error> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable_by_key(|refused| refused.place);
        for refused in found.chunks(ROWS_AT_ONCE) {
            let rows = self.read(refused).await?;
            let (null, aside): (Vec<_>, Vec<_>) = (0..)
                .zip(refused)
                .partition(|(row, refused)| self.nulls(&rows, *row, refused));
            self.null(&null).await?;
            self.quarantine(&rows, &aside).await?;
        }
        Ok(())
    }

    /// Whether `refused` comes with NULL instead of its value.
    fn nulls(&self, rows: &RecordBatch, row: usize, refused: &Refused) -> bool {
        let has_value =
            |column: Meant| column.takes_null && rows.column(column.place).is_valid(row);
        self.staged.aside.allows().on_bad_value == OnBadValue::Null
            && refused.column.is_some_and(has_value)
    }

    async fn null(&mut self, rows: &[(usize, &Refused)]) -> Result<(), Error> {
        for (place, column) in self.columns.iter().enumerate() {
            let here = |(_, refused): &&(usize, &Refused)| {
                refused.column.is_some_and(|column| column.place == place)
            };
            let places: Vec<Place> = rows.iter().filter(here).map(|(_, one)| one.place).collect();
            let null = Sql::of("{} = NULL", &[&Sql::name(&column.name)]);
            self.update(&null, &places).await?;
        }
        self.staged.aside.count_nulled(rows.len() as u64);
        Ok(())
    }

    async fn quarantine(
        &mut self,
        rows: &RecordBatch,
        refused: &[(usize, &Refused)],
    ) -> Result<(), Error> {
        let mut told = Vec::with_capacity(refused.len());
        for (row, one) in refused {
            told.push((*row, self.name_of(one).to_owned(), one.reason.clone()));
        }
        self.staged.aside.refuse(self.columns, rows, told)?;
        let is_by_key = self.is_by_key();
        let keeps_previous = self.staged.aside.allows().keeps_previous();
        let places = |which: &dyn Fn(&Refused) -> bool| -> Vec<Place> {
            let all = refused.iter().filter(|(_, one)| which(one));
            all.map(|(_, one)| one.place).collect()
        };
        let is_update = |one: &Refused| is_by_key && one.effect == Effect::Update;
        let updates = places(&is_update);
        let left = match keeps_previous {
            true => places(&|_| true),
            false => places(&|one| !is_update(one)),
        };
        let counts = &mut self.staged.counts;
        counts.updates -= updates.len() as u64;
        counts.inserts -= (refused.len() - updates.len()) as u64;
        if keeps_previous {
            let mut is_update_at = vec![false; rows.num_rows()];
            for (row, one) in refused {
                is_update_at[*row] = is_update(one);
            }
            let (updates, _) = part(rows, is_update_at.into())?;
            self.staged.aside.keep_previous(self.columns, &updates)?;
        } else {
            // The older row of the key goes.
            counts.deletes += updates.len() as u64;
            let delete = Sql::of(
                "{} = {}",
                &[&Sql::name(EFFECT), &effect_sql(Effect::Delete)],
            );
            self.update(&delete, &updates).await?;
        }
        if left.is_empty() {
            return Ok(());
        }
        if keeps_previous && !is_by_key && self.columns.has_key() {
            let [create, add] = previous::add(self.columns, &self.place, AT);
            self.apply.batch(create).await?;
            self.at(&add, &left).await?;
        }
        let sql = Sql::of("DELETE FROM {} AS s WHERE {}", &[&self.place, &AT.into()]);
        self.at(&sql, &left).await
    }

    async fn update(&self, set: &Sql, places: &[Place]) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let sql = Sql::of(
            "UPDATE {} AS s SET {} WHERE {}",
            &[&self.place, set, &AT.into()],
        );
        self.at(&sql, places).await
    }

    async fn at(&self, sql: &Sql, places: &[Place]) -> Result<(), Error> {
        let places = in_words(places.iter().copied());
        let params: [Param<'_>; 1] = [(&places, Type::TEXT_ARRAY)];
        let link = self.apply.link;
        link.execute(sql, &params, &self.apply.doing()).await?;
        Ok(())
    }

    /// The staged rows at these places, which ascend.
    async fn read(&self, refused: &[Refused]) -> Result<RecordBatch, Error> {
        let sql = Sql::of(
            "SELECT {} FROM {} AS s WHERE {} ORDER BY s.ctid",
            &[&self.columns.read_back("s"), &self.place, &AT.into()],
        );
        let places = in_words(refused.iter().map(|one| one.place));
        let params: [Param<'_>; 1] = [(&places, Type::TEXT_ARRAY)];
        let link = self.apply.link;
        let rows = link.query(&sql, &params, &self.apply.doing()).await?;
        if rows.len() != refused.len() {
            return Err(not_read());
        }
        decoded(self.columns, &rows)
    }
}

fn not_read() -> Error {
    Error::bug("a staged row was not read as it was written")
}

/// Rows as [`Columns::read_back`] has them.
pub(super) fn decoded(columns: &Columns, rows: &[Row]) -> Result<RecordBatch, Error> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (place, column) in columns.iter().enumerate() {
        let values: Vec<Option<Sent<'_>>> = rows.iter().map(|row| row.get(place)).collect();
        let decoded = decode::column(&column.name, column.read_as(), &values);
        let (field, array) = decoded.ok_or_else(not_read)?;
        fields.push(field);
        arrays.push(array);
    }
    RecordBatch::try_new(Schema::new(fields).into(), arrays)
        .map_err(|error| not_read().caused_by(error))
}

/// The rows whose places are `$1`.
const AT: &str = "s.ctid = ANY ($1::pg_catalog.text[]::pg_catalog.tid[])";

fn effect_sql(effect: Effect) -> Sql {
    Sql::of(
        "{}::pg_catalog.\"char\"",
        &[&Sql::text(&char::from(mark(effect)).to_string())],
    )
}

fn tid(place: Place) -> Sql {
    let text = Sql::text(&tid_text(place));
    Sql::of("{}::pg_catalog.tid", &[&text])
}

fn tid_text(place: Place) -> String {
    let row = place & ((1 << BITS_IN_BLOCK) - 1);
    format!("({},{row})", place >> BITS_IN_BLOCK)
}

fn in_words(places: impl Iterator<Item = Place>) -> Vec<String> {
    places.map(tid_text).collect()
}
