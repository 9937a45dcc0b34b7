//! Rows with NULL in their key. None of them can be in the target, and no key tells one from another: so
//! each is known by all of its values, and equal ones are counted. One that goes takes away one of these.

use std::collections::{HashMap, hash_map::Entry};

use arrow_array::{Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use lakeferry_model::{Effect, OnNullKey};

use super::{Aside, BadRow, Known, digest, part, values};
use crate::{error::Error, sql::Table, target::columns::Columns};

/// What `reason` says of them, `column` being one that is NULL.
const REASON: &str = "NULL, which no key may hold";

/// The rows without a key of one staging, or of one piece of a fill.
#[derive(Debug, Default)]
pub(super) struct Unkeyed {
    /// Those that came and did not go.
    pub(super) came: HashMap<Known, BadRow>,
    /// How many more went than came: no more than are in quarantine.
    pub(super) gone: HashMap<Known, i64>,
    /// Whether one was to go that is not in quarantine.
    is_unmatched: bool,
}

impl Aside {
    /// Whether a row without a key was to go that is not in quarantine as it was put.
    pub(in crate::target) fn is_unmatched(&self) -> bool {
        self.unkeyed.is_unmatched
    }

    /// Keeps the rows that have NULL in their key, and gives back the others; nothing where there are
    /// no such rows.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] where the job halts for one that comes.
    pub(in crate::target) fn take_unkeyed(
        &mut self,
        (columns, table): (&Columns, &Table),
        effect: Effect,
        rows: &RecordBatch,
    ) -> Result<Option<RecordBatch>, Error> {
        if self.allows.on_null_key == OnNullKey::Halt && effect != Effect::Delete {
            columns.refuse_null_keys(rows, table)?;
        }
        if columns.null_key(rows).is_none() {
            return Ok(None);
        }
        let (unkeyed, others) = part_unkeyed(columns, rows)?;
        let whole = values(&unkeyed)?;
        let keys = values(&unkeyed)?.only(columns.key_places());
        for row in 0..unkeyed.num_rows() {
            let known = digest(&whole.object(row));
            if effect == Effect::Delete {
                self.unkeyed_goes(known);
                continue;
            }
            let column = columns
                .null_key(&unkeyed.slice(row, 1))
                .unwrap_or_default()
                .to_owned();
            let payload = |most| whole.object_within(row, most);
            self.unkeyed_comes(known, (keys.array(row), column), payload)?;
        }
        Ok(Some(others))
    }

    fn unkeyed_goes(&mut self, known: Known) {
        let in_quarantine = self.in_quarantine(&known);
        let Unkeyed {
            came,
            gone,
            is_unmatched,
        } = &mut self.unkeyed;
        match came.entry(known) {
            Entry::Occupied(entry) if entry.get().rows == 1 => {
                let row = entry.remove();
                self.payload_bytes -= row.payload.as_ref().map_or(0, String::len);
            }
            Entry::Occupied(mut entry) => entry.get_mut().rows -= 1,
            Entry::Vacant(_) if gone.get(&known).copied().unwrap_or(0) < in_quarantine => {
                *gone.entry(known).or_insert(0) += 1;
            }
            Entry::Vacant(_) => *is_unmatched = true,
        }
    }

    fn unkeyed_comes(
        &mut self,
        known: Known,
        (key, column): (String, String),
        payload: impl Fn(usize) -> Option<String>,
    ) -> Result<(), Error> {
        if let Entry::Occupied(mut gone) = self.unkeyed.gone.entry(known) {
            *gone.get_mut() -= 1;
            if *gone.get() == 0 {
                gone.remove();
            }
            return Ok(());
        }
        if let Some(row) = self.unkeyed.came.get_mut(&known) {
            row.rows += 1;
            return Ok(());
        }
        let reason = (column, REASON.to_owned());
        let row = self.bad_row(key, reason, payload)?;
        self.unkeyed.came.insert(known, row);
        Ok(())
    }
}

/// The rows of which those that have NULL in their key are left out: for a try with rows in quarantine,
/// where they stay.
pub(in crate::target) fn without_unkeyed(
    columns: &Columns,
    rows: &RecordBatch,
) -> Result<Option<RecordBatch>, Error> {
    match columns.null_key(rows) {
        Some(_) => Ok(Some(part_unkeyed(columns, rows)?.1)),
        None => Ok(None),
    }
}

fn part_unkeyed(
    columns: &Columns,
    rows: &RecordBatch,
) -> Result<(RecordBatch, RecordBatch), Error> {
    let key: Vec<_> = columns
        .key_places()
        .iter()
        .map(|&place| rows.column(place))
        .collect();
    let is_unkeyed = |row| key.iter().any(|column| column.is_null(row));
    let is_unkeyed: BooleanBuffer = (0..rows.num_rows()).map(is_unkeyed).collect();
    part(rows, is_unkeyed)
}
