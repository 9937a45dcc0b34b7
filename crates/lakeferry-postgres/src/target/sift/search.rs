//! Finds the rows that the server refuses, and which column that is about.

use lakeferry_model::{Effect, OnBadValue, Position};

use super::{
    Bringing, Refused, Sieve,
    bisection::{BITS_IN_BLOCK, Bisection, Place, Span},
    effect_sql,
    named::{Meant, Names},
    tid,
};
use crate::{
    error::Error,
    sql::Sql,
    target::{
        apply::Locked,
        aside::MOST_ROWS,
        parking::Updates,
        rivals,
        staging::{EFFECT, mark},
    },
};

/// What to do about more rows than can be set aside.
const REFUSED: &str = "correct the values in the source, or keep such rows out by the job's filter";

impl<P: Position> Sieve<'_, P> {
    /// Finds all rows that are refused; false if something else is.
    pub(super) async fn search(
        &mut self,
        locked: &Locked,
        bringing: &Bringing<'_>,
    ) -> Result<bool, Error> {
        if let Some(delete) = bringing.delete {
            self.apply.execute(delete).await?;
        }
        if let Some(updates) = bringing.updates {
            self.park(locked, updates).await?;
            if !self.search_in(&updates.update, Effect::Update).await? {
                return Ok(false);
            }
        }
        if let Some(back) = bringing.back {
            self.park(locked, back).await?;
            if !self.search_in(&back.update, Effect::Insert).await? {
                return Ok(false);
            }
        }
        self.search_in(bringing.insert, Effect::Insert).await
    }

    /// Keeps rows that exchange values under a unique index out of each other's way, where it can.
    async fn park(&self, locked: &Locked, updates: &Updates) -> Result<(), Error> {
        if !locked.shape.has_rivals {
            return Ok(());
        }
        let rivals = rivals::all(self.apply).await?;
        let Some(park) = updates.park(self.columns, &rivals) else {
            return Ok(());
        };
        self.apply.batch("SAVEPOINT probe").await?;
        if let Err(error) = self.apply.link.try_execute(&park, &[]).await {
            self.refusal_of(error)?;
            self.apply.batch("ROLLBACK TO SAVEPOINT probe").await?;
        }
        Ok(())
    }

    async fn search_in(&mut self, statement: &Sql, effect: Effect) -> Result<bool, Error> {
        let mut bisection = Bisection::new(self.blocks().await?);
        while let Some(span) = bisection.next() {
            let Span { from, until } = span;
            let probe = Sql::of(
                "SAVEPOINT probe; {} AND s.ctid >= {} AND s.ctid < {}; RELEASE SAVEPOINT probe",
                &[statement, &tid(from), &tid(until)],
            );
            let Err(error) = self.apply.link.try_batch(&probe).await else {
                continue;
            };
            let Some((names, message)) = self.refusal_of(error)? else {
                return Ok(false);
            };
            let back = "ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe";
            self.apply.batch(back).await?;
            if let Some(place) = bisection.refused(span) {
                let column = self.meant(names).await?;
                let reason = format!("what the server refuses: {message}");
                self.find(Refused {
                    place,
                    effect,
                    column,
                    reason,
                })
                .await?;
            }
        }
        Ok(true)
    }

    /// What the server says of a row that it refuses; nothing if it refuses something else.
    ///
    /// # Errors
    /// If it may be better in a moment.
    fn refusal_of(&self, error: tokio_postgres::Error) -> Result<Option<(Names, String)>, Error> {
        let told = error.as_db_error();
        let told = told.map(|told| (Names::of(told), told.message().to_owned()));
        match self.apply.doing().failed(error, self.apply.link.place()) {
            Error::BadRow(_) => Ok(told),
            error @ Error::Transient(_) => Err(error),
            _ => Ok(None),
        }
    }

    async fn meant(&mut self, names: Names) -> Result<Option<Meant>, Error> {
        if let Some(known) = self.meant.get(&names) {
            return Ok(*known);
        }
        let meant = names.meant(self.apply, self.columns).await?;
        self.meant.insert(names, meant);
        Ok(meant)
    }

    pub(super) async fn search_long_texts(&mut self, name: &str, limit: u32) -> Result<(), Error> {
        let of_rows = match self.is_by_key() {
            true => Sql::of(
                " AND s.{} <> {}",
                &[&Sql::name(EFFECT), &effect_sql(Effect::Delete)],
            ),
            false => Sql::default(),
        };
        let sql = Sql::of(
            "SELECT s.ctid::text, {} FROM {} AS s \
                WHERE pg_catalog.char_length(s.{}) > {}{} ORDER BY s.ctid LIMIT {}",
            &[
                &self.effect_sql(),
                &self.place,
                &Sql::name(name),
                &Sql::number(limit.into()),
                &of_rows,
                &Sql::number(MOST_ROWS as u64 + 1),
            ],
        );
        let rows = self
            .apply
            .link
            .query(&sql, &[], &self.apply.doing())
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        let column = self.meant(Names::of_column(name)).await?;
        for row in rows {
            let is_update = row.get::<_, i8>(1) == mark(Effect::Update).cast_signed();
            let refused = Refused {
                place: place_of(row.get(0))
                    .ok_or_else(|| Error::bug("the server named no place of a row"))?,
                effect: match is_update {
                    true => Effect::Update,
                    false => Effect::Insert,
                },
                column,
                reason: format!("a text of more than {limit} characters"),
            };
            self.find(refused).await?;
        }
        Ok(())
    }

    /// What a staged row does, in SQL.
    fn effect_sql(&self) -> Sql {
        match self.is_by_key() {
            true => Sql::of("s.{}", &[&Sql::name(EFFECT)]),
            false => effect_sql(Effect::Insert),
        }
    }

    /// # Errors
    /// [`Error::NeedsOperator`] if these are too many.
    async fn find(&mut self, refused: Refused) -> Result<(), Error> {
        self.found.push(refused);
        let allows = self.staged.aside.allows();
        let count = self.found.len();
        let max_rows = usize::try_from(allows.max_rows).unwrap_or(usize::MAX);
        let is_nulled = allows.on_bad_value == OnBadValue::Null;
        if count <= MOST_ROWS && (is_nulled || count <= max_rows) {
            return Ok(());
        }
        let room = match self.room {
            Some(room) => room,
            None => *self.room.insert(self.count_room().await?),
        };
        match self.found.last() {
            Some(last) if count > room => Err(self.too_many(last)),
            _ => Ok(()),
        }
    }

    fn too_many(&self, last: &Refused) -> Error {
        let (count, table) = (self.found.len(), &self.apply.settings.table);
        let (column, reason) = (self.name_of(last), &last.reason);
        let one = match column {
            "" => format!("one is {reason}"),
            _ => format!("in one column {column:?} holds {reason}"),
        };
        let too_many = self.staged.aside.allows().refusal(count as u64, 0);
        let what = match &too_many {
            Some(too_many) => format!("at least {too_many}"),
            None => format!("more than {MOST_ROWS} rows are refused by the server"),
        };
        let what = format!("of the source of {table}, {what}; {one}; nothing was changed");
        Error::needs_operator(what).advise(too_many.map_or(REFUSED, |too_many| too_many.hint()))
    }

    /// How many rows may be found: what the job allows, and more than that never counts exactly; that
    /// is done when they are written to the quarantine.
    async fn count_room(&self) -> Result<usize, Error> {
        let allows = self.staged.aside.allows();
        if allows.on_bad_value == OnBadValue::Null {
            return Ok(MOST_ROWS);
        }
        // As many as a server can count.
        let limit = Sql::number(i64::MAX.unsigned_abs());
        let held = self.apply.count_live(&limit).await?;
        let all = held.saturating_add(self.staged.counts.total());
        let share = (all as f64 * allows.max_share) as u64;
        let room = usize::try_from(share.max(allows.max_rows)).unwrap_or(usize::MAX);
        Ok(room.min(MOST_ROWS))
    }

    async fn blocks(&self) -> Result<u64, Error> {
        let sql = "SELECT pg_catalog.pg_relation_size({}::pg_catalog.regclass) \
            / pg_catalog.current_setting('block_size')::bigint";
        self.apply
            .count(&Sql::of(sql, &[&Sql::text(self.place.as_str())]))
            .await
    }
}

/// The way back.
fn place_of(tid: &str) -> Option<Place> {
    let inside = tid.strip_prefix('(')?.strip_suffix(')')?;
    let (block, row) = inside.split_once(',')?;
    let (block, row): (Place, Place) = (block.parse().ok()?, row.parse().ok()?);
    Some(block << BITS_IN_BLOCK | row)
}
