//! A table with mapped columns and deletion vectors, in the words of the ledger.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lakeferry_delta_testkit::{Fate, How, MappedTable, Named};

use crate::{
    ledger::{Column, Of, Row, State, VALUE},
    operation::{Operation, Which},
};

const KEY: &str = "id";

pub(crate) struct MappedLake(MappedTable);

impl MappedLake {
    pub(crate) fn create(
        path: &Path,
        (number, files_at_once): (u64, usize),
        state: &State,
    ) -> Result<Self> {
        let columns = state.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| (column.name.as_str(), type_name(column.of)))
            .collect();
        let id = format!("table-{number}");
        let table = MappedTable::create_as(&id, path, state.has_feed, &columns)?;
        let mut table = table.in_files(files_at_once);
        let rows = all_named(&state.columns, &state.rows);
        table.change(How::Rewritten, rows, |_| Fate::Stays)?;
        Ok(Self(table))
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.version()
    }

    pub(crate) async fn checkpoint(&self) -> Result<()> {
        self.0.checkpoint().await
    }

    pub(crate) fn perform(&mut self, operation: &Operation, now: &State) -> Result<()> {
        let column = |identity: u64| now.column(identity).context("no such column");
        if let Some((how, new, fate)) = change(operation, now) {
            return self.0.change(how, new, fate);
        }
        let table = &mut self.0;
        match operation {
            Operation::Overwrite(rows) => table.overwrite(all_named(&now.columns, rows)),
            // As it may be done to a table that is as it should be.
            Operation::Optimize if table.version() % 2 == 1 => table.add_again(),
            Operation::Optimize => table.optimize(),
            Operation::Vacuum => table.vacuum(),
            Operation::Restore(version) => table.restore(*version as u64),
            Operation::AddColumn(column) => table.add_column(&column.name, type_name(column.of)),
            Operation::DropColumn(identity) => table.drop_column(&column(*identity)?.name),
            Operation::RenameColumn(identity, name) => {
                table.rename_column(&column(*identity)?.name, name)
            }
            Operation::WidenColumn(identity, of) => {
                table.widen_column(&column(*identity)?.name, type_name(*of))
            }
            Operation::Feed(on) => table.set_feed(*on),
            Operation::Track => table.set_tracking(!table.is_tracked()),
            other => bail!("{other:?} is for the lake"),
        }
    }
}

/// How rows go, which ones come, and what becomes of each that is there.
type Change<'a> = (How, Vec<Named>, Box<dyn Fn(&Named) -> Fate + 'a>);

/// What an operation does to the rows, where it is one on rows.
fn change<'a>(operation: &'a Operation, now: &'a State) -> Option<Change<'a>> {
    let columns = &now.columns;
    Some(match operation {
        Operation::Insert(rows) => {
            let new = all_named(columns, rows);
            (How::Rewritten, new, Box::new(|_| Fate::Stays))
        }
        Operation::Duplicate(row) => {
            let new = vec![named(columns, row)];
            (How::Rewritten, new, Box::new(|_| Fate::Stays))
        }
        Operation::Update(which, identity, cell, how) => {
            let (which, name) = (chosen(which, columns), &now.column(*identity)?.name);
            let fate = move |row: &Named| {
                let mut new = row.clone();
                match cell {
                    Some(cell) => drop(new.insert(name.clone(), cell.clone())),
                    None => drop(new.remove(name)),
                }
                if which(row) {
                    Fate::Becomes(new)
                } else {
                    Fate::Stays
                }
            };
            (*how, Vec::new(), Box::new(fate))
        }
        Operation::Delete(which, how) => {
            let which = chosen(which, columns);
            let fate = move |row: &Named| {
                if which(row) { Fate::Goes } else { Fate::Stays }
            };
            (*how, Vec::new(), Box::new(fate))
        }
        Operation::Rekey(moves, how) => {
            let fate = |row: &Named| {
                let from = |(from, _): &&(i64, i64)| id_of(row) == Some(*from);
                moves.iter().find(from).map_or(Fate::Stays, |(_, to)| {
                    let mut new = row.clone();
                    new.insert(KEY.to_owned(), to.to_string());
                    Fate::Becomes(new)
                })
            };
            (*how, Vec::new(), Box::new(fate))
        }
        Operation::Merge(upserts, deletes, how) => {
            let there = now.ids();
            let is_there = |row: &&Row| row.id.is_some_and(|id| there.contains(&id));
            let new = upserts.iter().filter(|row| !is_there(row));
            let new = new.map(|row| named(columns, row)).collect();
            let fate = |row: &Named| {
                let id = id_of(row);
                let upsert = upserts.iter().find(|upsert| upsert.id == id);
                match upsert {
                    _ if id.is_some_and(|id| deletes.contains(&id)) => Fate::Goes,
                    Some(upsert) => Fate::Becomes(named(columns, upsert)),
                    None => Fate::Stays,
                }
            };
            (*how, new, Box::new(fate))
        }
        _ => return None,
    })
}

fn id_of(row: &Named) -> Option<i64> {
    row.get(KEY)?.parse().ok()
}

fn all_named(columns: &[Column], rows: &[Row]) -> Vec<Named> {
    rows.iter().map(|row| named(columns, row)).collect()
}

fn named(columns: &[Column], row: &Row) -> Named {
    let cell = |column: &Column| {
        Some((
            column.name.clone(),
            row.cells.get(&column.identity)?.clone(),
        ))
    };
    let id = row.id.map(|id| (KEY.to_owned(), id.to_string()));
    id.into_iter()
        .chain(columns.iter().filter_map(cell))
        .collect()
}

/// Whether a row is one of those.
fn chosen(which: &Which, columns: &[Column]) -> impl Fn(&Named) -> bool {
    let value = columns.iter().find(|column| column.identity == VALUE);
    let value = value.map(|column| column.name.clone()).unwrap_or_default();
    let which = which.clone();
    move |row| {
        let id = id_of(row);
        match &which {
            Which::Ids(ids) => id.is_some_and(|id| ids.contains(&id)),
            Which::Like(like, text) => id == *like && row.get(&value) == text.as_ref(),
        }
    }
}

fn type_name(of: Of) -> &'static str {
    match of {
        Of::Byte => "byte",
        Of::Short => "short",
        Of::Integer => "integer",
        Of::Long => "long",
        Of::Text => "string",
        Of::Boolean => "boolean",
        Of::Time => "timestamp",
    }
}
