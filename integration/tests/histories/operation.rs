//! What can happen in a history, and what becomes of the rows by it.

use lakeferry_delta_testkit::How;
use lakeferry_engine::Request;

use crate::{
    job::Setting,
    ledger::{Cells, Column, Ledger, Of, Row, State, VALUE},
};

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Insert(Vec<Row>),
    /// A row whose key another one may have, or none.
    Duplicate(Row),
    /// A cell of the rows, by its column's identity, gets this value.
    Update(Which, u64, Option<String>, How),
    Delete(Which, How),
    /// Rows that come, or take the place of those with their keys; and keys that go.
    Merge(Vec<Row>, Vec<i64>, How),
    Overwrite(Vec<Row>),
    /// Keys that become others, all at once.
    Rekey(Vec<(i64, i64)>, How),
    Optimize,
    Vacuum,
    /// A log checkpoint is written, and of the commits up to it so many are left.
    CleanLog(usize),
    Restore(usize),
    /// Its storage has what it had at this version, as from a backup: no commit tells of it.
    Rewind(usize),
    AddColumn(Column),
    DropColumn(u64),
    RenameColumn(u64, String),
    WidenColumn(u64, Of),
    Feed(bool),
    /// Rows are tracked from now on, or no longer.
    Track,
    /// Another table stands where this one was.
    Replace(State),
    /// Minutes pass.
    Wait(i64),
    /// The user wants something else of the job.
    Want(Setting),
    Sync(Request),
}

/// Which rows.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    Ids(Vec<i64>),
    /// Those with this key and this value.
    Like(Option<i64>, Option<String>),
}

/// The kinds, each of which has to be a fair share of what happens.
pub(crate) const KINDS: &[&str] = &[
    "insert",
    "duplicate",
    "update",
    "delete",
    "merge",
    "overwrite",
    "key swap",
    "deletion vector",
    "optimize",
    "vacuum",
    "log cleanup",
    "restore",
    "rewind",
    "add column",
    "drop column",
    "rename column",
    "widen column",
    "feed on",
    "feed off",
    "row tracking",
    "replace",
    "time",
    "other settings",
    "sync",
];

impl Operation {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Update(.., How::Marked)
            | Self::Delete(.., How::Marked)
            | Self::Merge(.., How::Marked)
            | Self::Rekey(.., How::Marked) => "deletion vector",
            Self::Insert(_) => "insert",
            Self::Duplicate(_) => "duplicate",
            Self::Update(..) => "update",
            Self::Delete(..) => "delete",
            Self::Merge(..) => "merge",
            Self::Overwrite(_) => "overwrite",
            Self::Rekey(..) => "key swap",
            Self::Optimize => "optimize",
            Self::Vacuum => "vacuum",
            Self::CleanLog(_) => "log cleanup",
            Self::Restore(_) => "restore",
            Self::Rewind(_) => "rewind",
            Self::AddColumn(_) => "add column",
            Self::DropColumn(_) => "drop column",
            Self::RenameColumn(..) => "rename column",
            Self::WidenColumn(..) => "widen column",
            Self::Feed(true) => "feed on",
            Self::Feed(false) => "feed off",
            Self::Track => "row tracking",
            Self::Replace(_) => "replace",
            Self::Wait(_) => "time",
            Self::Want(_) => "other settings",
            Self::Sync(_) => "sync",
        }
    }

    /// Whether a job that only adds rows can go on after it.
    pub(crate) fn only_adds(&self) -> bool {
        matches!(
            self,
            Self::Insert(_) | Self::Optimize | Self::Feed(_) | Self::Wait(_) | Self::Sync(_)
        )
    }

    /// The newest version after it.
    pub(crate) fn after(&self, ledger: &Ledger) -> State {
        let mut state = ledger.now().clone();
        let rows = &mut state.rows;
        match self {
            Self::Insert(new) => rows.extend_from_slice(new),
            Self::Duplicate(row) => rows.push(row.clone()),
            Self::Update(which, identity, cell, _) => {
                for row in rows.iter_mut().filter(|row| which.is(row)) {
                    set(&mut row.cells, *identity, cell.clone());
                }
            }
            Self::Delete(which, _) => rows.retain(|row| !which.is(row)),
            Self::Merge(upserts, deletes, _) => merge(rows, upserts, deletes),
            Self::Overwrite(new) => rows.clone_from(new),
            Self::Rekey(moves, _) => {
                for row in rows {
                    let moved = moves.iter().find(|(from, _)| row.id == Some(*from));
                    row.id = moved.map_or(row.id, |(_, to)| Some(*to));
                }
            }
            Self::Restore(version) | Self::Rewind(version) => {
                state = ledger.versions[*version].clone();
            }
            Self::AddColumn(column) => state.columns.push(column.clone()),
            Self::DropColumn(identity) => {
                state.columns.retain(|column| column.identity != *identity);
                rows.iter_mut()
                    .for_each(|row| drop(row.cells.remove(identity)));
            }
            Self::RenameColumn(identity, name) => {
                let columns = state.columns.iter_mut();
                let columns = columns.filter(|column| column.identity == *identity);
                columns.for_each(|column| column.name.clone_from(name));
            }
            Self::WidenColumn(identity, of) => {
                let columns = state.columns.iter_mut();
                let columns = columns.filter(|column| column.identity == *identity);
                columns.for_each(|column| column.of = *of);
            }
            Self::Feed(on) => state.has_feed = *on,
            Self::Replace(other) => state = other.clone(),
            Self::Optimize
            | Self::Vacuum
            | Self::CleanLog(_)
            | Self::Track
            | Self::Wait(_)
            | Self::Want(_)
            | Self::Sync(_) => {}
        }
        state
    }
}

impl Which {
    pub(crate) fn is(&self, row: &Row) -> bool {
        match self {
            Self::Ids(ids) => row.id.is_some_and(|id| ids.contains(&id)),
            Self::Like(id, value) => row.id == *id && row.cells.get(&VALUE) == value.as_ref(),
        }
    }
}

fn merge(rows: &mut Vec<Row>, upserts: &[Row], deletes: &[i64]) {
    rows.retain(|row| !row.id.is_some_and(|id| deletes.contains(&id)));
    for upsert in upserts {
        let matched: Vec<&mut Row> = rows.iter_mut().filter(|row| row.id == upsert.id).collect();
        if matched.is_empty() {
            rows.push(upsert.clone());
        } else {
            matched.into_iter().for_each(|row| row.clone_from(upsert));
        }
    }
}

fn set(cells: &mut Cells, identity: u64, cell: Option<String>) {
    match cell {
        Some(cell) => drop(cells.insert(identity, cell)),
        None => drop(cells.remove(&identity)),
    }
}
