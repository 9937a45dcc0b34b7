//! A table in memory: a key, and columns of texts that can be altered.

use arrow_schema::Schema;
use lakeferry_model::{Alteration, COMMIT_VERSION, DELETED_AT, OwnColumns};

use super::{TargetError, rows::Keying};
use crate::KEY;

/// What follows the key in a row.
pub(super) type Cells = Vec<Option<String>>;

/// A row with or without a key.
pub(super) type Values = (Option<i64>, Cells);

pub(super) type Rows = Vec<Values>;

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u64,
    /// What the cells are called.
    pub(super) columns: Vec<String>,
    pub(super) rows: Rows,
}

/// The names of the cells in rows of `columns`, which begin with the key.
pub(super) fn cell_names(columns: &Schema) -> Result<Vec<String>, TargetError> {
    let mut names = columns.fields().iter().map(|field| field.name().clone());
    match names.next() {
        Some(key) if key == KEY => Ok(names.collect()),
        _ => Err(TargetError::Misused("the first column is not the key")),
    }
}

/// What one apply writes into the columns that are the target's own.
pub(super) struct Marks {
    pub(super) own: OwnColumns,
    pub(super) version: String,
}

/// The target's own columns have a clock, which says nothing in memory.
const NOW: &str = "now";

impl Table {
    /// Whether this row is not marked as deleted.
    pub(super) fn is_live(&self, row: &Cells) -> bool {
        let place = self.place(DELETED_AT);
        place.is_err() || place.is_ok_and(|place| row[place].is_none())
    }

    /// Marks a row that is written, or deleted.
    fn mark(&self, row: &mut Cells, marks: &Marks, is_live: bool) -> Result<(), TargetError> {
        for field in marks.own.fields() {
            let cell = &mut row[self.place(field.name())?];
            *cell = match field.name().as_str() {
                COMMIT_VERSION => Some(marks.version.clone()),
                DELETED_AT => (!is_live).then(|| NOW.to_owned()),
                _ => Some(NOW.to_owned()),
            };
        }
        Ok(())
    }

    /// Where these cells are.
    pub(super) fn places(&self, names: &[String]) -> Result<Vec<usize>, TargetError> {
        names.iter().map(|name| self.place(name)).collect()
    }

    fn place(&self, name: &str) -> Result<usize, TargetError> {
        let place = self.columns.iter().position(|column| column == name);
        place.ok_or_else(|| TargetError::Misfit(format!("there is no column {name}")))
    }

    /// The rows, with the cells at `places` alone; where deleted rows stay, those that live.
    pub(super) fn narrowed(&self, places: &[usize], own: OwnColumns) -> Rows {
        let cells = |row: &Cells| places.iter().map(|&place| row[place].clone()).collect();
        self.rows
            .iter()
            .filter(|(_, row)| !own.deleted_at || self.is_live(row))
            .map(|(id, row)| (*id, cells(row)))
            .collect()
    }

    /// Takes `rows`, which have the cells at `places`; rows that were there keep all others. Those
    /// that are not among them go, or are marked as deleted.
    pub(super) fn take(
        &mut self,
        rows: Rows,
        places: &[usize],
        keying: Keying,
        marks: &Marks,
    ) -> Result<(), TargetError> {
        let mut before = std::mem::take(&mut self.rows);
        for (id, cells) in rows {
            let same = |(other, row): &Values| match keying {
                Keying::ById => *other == id,
                Keying::Nothing => {
                    let mut pairs = places.iter().zip(&cells);
                    *other == id && pairs.all(|(&place, cell)| row[place] == *cell)
                }
            };
            let found = before.iter().position(same);
            let found = found.map(|place| before.swap_remove(place).1);
            let mut row = found.clone();
            let row = row.get_or_insert_with(|| vec![None; self.columns.len()]);
            for (&place, cell) in places.iter().zip(cells) {
                row[place] = cell;
            }
            let is_back = marks.own.deleted_at && !self.is_live(row);
            if found.as_ref() != Some(row) || is_back {
                self.mark(row, marks, true)?;
            }
            self.rows.push((id, std::mem::take(row)));
        }
        if marks.own.deleted_at {
            for (id, mut row) in before {
                if self.is_live(&row) {
                    self.mark(&mut row, marks, false)?;
                }
                self.rows.push((id, row));
            }
        }
        Ok(())
    }

    pub(super) fn alter(&mut self, alteration: &Alteration) -> Result<(), TargetError> {
        let has = |name: &String| self.columns.contains(name);
        match alteration {
            Alteration::Rename { from, to } if has(from) && has(to) => {
                Err(TargetError::Misfit(format!("there is a column {to}")))
            }
            Alteration::Rename { from, to } if has(from) => {
                let place = self.place(from)?;
                self.columns[place].clone_from(to);
                Ok(())
            }
            // Somebody did it already.
            Alteration::Rename { to, .. } => self.place(to).map(drop),
            Alteration::Clear(name) if has(name) => {
                let place = self.place(name)?;
                self.rows.iter_mut().for_each(|(_, row)| row[place] = None);
                Ok(())
            }
            Alteration::Drop(name) if has(name) => {
                let place = self.place(name)?;
                self.columns.remove(place);
                self.rows
                    .iter_mut()
                    .for_each(|(_, row)| drop(row.remove(place)));
                Ok(())
            }
            Alteration::Add(field) if has(field.name()) => {
                let place = self.place(field.name())?;
                match self.rows.iter().all(|(_, row)| row[place].is_none()) {
                    true => Ok(()),
                    false => Err(TargetError::Misfit(format!(
                        "there is a column {} with values",
                        field.name()
                    ))),
                }
            }
            Alteration::Add(field) => {
                self.columns.push(field.name().clone());
                self.rows.iter_mut().for_each(|(_, row)| row.push(None));
                Ok(())
            }
            // All columns are texts, and take NULL; what is gone is gone.
            Alteration::Detach(_)
            | Alteration::Clear(_)
            | Alteration::Widen(_)
            | Alteration::Drop(_) => Ok(()),
        }
    }
}
