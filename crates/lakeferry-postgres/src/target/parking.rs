//! Updates that pass values from row to row under a unique index.
//!
//! The state that an apply leads to is one of the source and may well be unique, where the way there
//! is not: Postgres checks such an index after each row. So, when one refuses, the update is taken
//! back, the columns it is over are set to NULL in the rows whose values move, and then it goes
//! through, unless rows have the same values in the end. Columns that take no NULL, and those that
//! others refer to (a reference might be cascaded away), are not parked: then only a constraint that
//! is DEFERRABLE helps. Triggers see a row that was parked twice.

use std::collections::BTreeSet;

use lakeferry_model::Position;
use tokio_postgres::error::SqlState;

use crate::{
    error::Error,
    sql::Sql,
    sqlstate::{self, caused_by},
    target::{
        apply::{Apply, Locked},
        columns::{Column, Columns},
        refusal,
        rivals::{self, Rival},
    },
};

/// Brings staged rows into rows of the target that have their key.
#[derive(Debug)]
pub(super) struct Updates {
    pub(super) update: Sql,
    /// How many rows that writes.
    pub(super) to_write: Sql,
    target: Sql,
    staging: Sql,
    /// Which pairs of rows, `t` of the target and `s` of the staging, belong together.
    pairs: Sql,
}

impl Updates {
    /// Those of staged rows `s` and rows `t` of the target for which `pairs` holds.
    pub(super) fn new(target: &Sql, staging: &Sql, pairs: Sql, locked: &Locked) -> Self {
        let differ = locked.columns.differ("t", "s");
        let which = Sql::of("{} AND {}", &[&pairs, &differ]);
        Self::of(target, staging, (pairs, &which), locked)
    }

    /// The same, of rows `t` that are written even where they are equal.
    pub(super) fn of_all(target: &Sql, staging: &Sql, pairs: Sql, locked: &Locked) -> Self {
        let which = pairs.clone();
        Self::of(target, staging, (pairs, &which), locked)
    }

    fn of(target: &Sql, staging: &Sql, (pairs, which): (Sql, &Sql), locked: &Locked) -> Self {
        let Locked { columns, marks, .. } = locked;
        let (assignments, marks) = (columns.assignments("s"), marks.assignments());
        Self {
            update: Sql::of(
                "UPDATE {} AS t SET {}{} FROM {} AS s WHERE {}",
                &[target, &assignments, &marks, staging, which],
            ),
            to_write: Sql::of(
                "SELECT count(*) FROM {} AS t, {} AS s WHERE {}",
                &[target, staging, which],
            ),
            target: target.clone(),
            staging: staging.clone(),
            pairs,
        }
    }

    /// Sets to NULL what keeps rows out of the way of `rivals`, if any of it can be.
    pub(super) fn park(&self, columns: &Columns, rivals: &[Rival]) -> Option<Sql> {
        let rivals = rivals.iter().filter(|rival| can_park(columns, rival));
        let rivals: Vec<&Rival> = rivals.collect();
        let parked: BTreeSet<&str> = rivals
            .iter()
            .flat_map(|rival| parking(columns, rival))
            .collect();
        if parked.is_empty() {
            return None;
        }
        let nulls = parked
            .iter()
            .map(|name| Sql::of("{} = NULL", &[&Sql::name(name)]));
        // An expression, or a part of the rows, can depend on any column.
        let is_plain = rivals.iter().all(|rival| rival.is_plain);
        let moves = |column: &Column| {
            !is_plain
                || rivals
                    .iter()
                    .any(|rival| rival.columns.contains(&column.name))
        };
        Some(Sql::of(
            "UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {}",
            &[
                &self.target,
                &Sql::list(", ", nulls),
                &self.staging,
                &self.pairs,
                &columns.differ_where(moves, "t", "s"),
            ],
        ))
    }

    /// Runs the update and says how many rows it wrote.
    pub(super) async fn run<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        locked: &Locked,
    ) -> Result<u64, Error> {
        if !locked.shape.has_rivals {
            return apply.execute(&self.update).await;
        }
        apply.batch("SAVEPOINT before_updates").await?;
        let error = match apply.link.try_execute(&self.update, &[]).await {
            Ok(rows) => return Ok(rows),
            Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => error,
            Err(error) => return Err(refusal::told(apply, error).await),
        };
        apply.batch("ROLLBACK TO SAVEPOINT before_updates").await?;
        let rivals = rivals::all(apply).await?;
        let Some(rival) = rivals::named(&rivals, &error) else {
            return Err(apply.doing().failed(error, apply.link.place()));
        };
        match self.park(&locked.columns, &rivals) {
            Some(park) if can_park(&locked.columns, rival) => {
                let way = Way { rival, park };
                self.run_parked(apply, locked, &rivals, way).await
            }
            _ => Err(caused_by(rivals::exchange(apply.settings, rival), error)),
        }
    }

    async fn run_parked<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        locked: &Locked,
        rivals: &[Rival],
        way: Way<'_>,
    ) -> Result<u64, Error> {
        let rows = apply.count(&self.to_write).await?;
        match apply.link.try_execute(&way.park, &[]).await {
            Ok(parked) => tracing::debug!(parked, "rows exchange values under a unique index"),
            // A CHECK or a domain wants a value there, or somebody refers to it.
            Err(error) if is_integrity(&error) => {
                return Err(caused_by(
                    rivals::exchange(apply.settings, way.rival),
                    error,
                ));
            }
            Err(error) => return Err(refusal::told(apply, error).await),
        }
        let error = match apply.link.try_execute(&self.update, &[]).await {
            Ok(_) => return Ok(rows),
            Err(error) => error,
        };
        let is_unique = sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION);
        match rivals::named(rivals, &error) {
            Some(rival) if is_unique && !can_park(&locked.columns, rival) => {
                Err(caused_by(rivals::exchange(apply.settings, rival), error))
            }
            _ => Err(refusal::told(apply, error).await),
        }
    }
}

/// The index that refused, and what keeps rows out of its way.
struct Way<'a> {
    rival: &'a Rival,
    park: Sql,
}

/// The synced columns, none of the key, any of which keeps a row out of the index's way.
fn parking<'a>(columns: &Columns, rival: &'a Rival) -> impl Iterator<Item = &'a str> {
    let is_synced = |name: &&String| {
        columns
            .iter()
            .any(|column| column.name == **name && !column.is_key)
    };
    let synced: Vec<&String> = rival.parking().iter().filter(is_synced).collect();
    synced.into_iter().map(String::as_str)
}

fn can_park(columns: &Columns, rival: &Rival) -> bool {
    parking(columns, rival).next().is_some()
}

/// Whether a constraint refused (class 23 of SQLSTATE).
fn is_integrity(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("23"))
}
