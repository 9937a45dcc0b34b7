//! Rows with NULL in their key. There is no key to collapse them by: the target keeps them aside, and
//! counts those that come and those that go one for one.
//!
//! They are given in the order of their versions, and of each version those that come before those that
//! go, so that at no moment more have gone than came. They wait in memory beside the others; where these
//! go to disk, they do too.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
};

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_select::filter::filter_record_batch;
use lakeferry_model::{ChangeBatch, Effect, OnNullKey, Position, Sign};

use super::{CollapseError, keys::Keys, spill};

/// The rows that come, and those that go.
const EFFECTS: [Effect; 2] = [Effect::Insert, Effect::Delete];

/// Gathers the rows without a key among changes.
pub(super) struct Unkeyed<P> {
    policy: OnNullKey,
    held: Vec<ChangeBatch<P>>,
    /// What did not fit, all of one version, by [`EFFECTS`].
    spilled: [Option<StreamWriter<BufWriter<File>>>; 2],
}

/// What was gathered, batch by batch.
pub(crate) enum UnkeyedRows {
    Held(std::vec::IntoIter<(Effect, RecordBatch)>),
    Spilled(std::vec::IntoIter<(Effect, StreamReader<BufReader<File>>)>),
}

impl<P: Position> Unkeyed<P> {
    pub(super) fn new(policy: OnNullKey) -> Self {
        Self {
            policy,
            held: Vec::new(),
            spilled: [None, None],
        }
    }

    /// Keeps the rows of `batch` that have NULL in their key, and gives back the others, and how many
    /// bytes are held for it.
    ///
    /// # Errors
    /// [`CollapseError::NullKey`] where such a row comes and the job halts for it. One that goes came
    /// before the job did so.
    pub(super) fn part(
        &mut self,
        keys: &Keys,
        batch: ChangeBatch<P>,
    ) -> Result<(ChangeBatch<P>, usize), CollapseError> {
        let Some(column) = keys.null_in(&batch.rows) else {
            return Ok((batch, 0));
        };
        let ChangeBatch {
            version,
            sign,
            rows,
        } = batch;
        if (self.policy, sign) == (OnNullKey::Halt, Sign::Plus) {
            return Err(CollapseError::NullKey {
                version: version.to_string(),
                column: column.clone(),
            });
        }
        let key = keys.places().iter().map(|&place| rows.column(place));
        let has_key = |row| key.clone().all(|column| column.is_valid(row));
        let has_key: Vec<bool> = (0..rows.num_rows()).map(has_key).collect();
        let has_none: Vec<bool> = has_key.iter().map(|has_key| !has_key).collect();
        let unkeyed = filter_record_batch(&rows, &BooleanArray::from(has_none))?;
        let rows = filter_record_batch(&rows, &BooleanArray::from(has_key))?;
        let bytes = unkeyed.get_array_memory_size();
        let of = |rows| ChangeBatch {
            version,
            sign,
            rows,
        };
        self.held.push(of(unkeyed));
        Ok((of(rows), bytes))
    }

    /// Writes what is held to disk.
    ///
    /// # Errors
    /// [`CollapseError::Disk`].
    pub(super) fn spill(&mut self) -> Result<(), CollapseError> {
        for batch in self.held.drain(..) {
            let place = &mut self.spilled[usize::from(batch.sign == Sign::Minus)];
            let writer = match place {
                Some(writer) => writer,
                None => place.insert(spill::begin(&batch.rows.schema())?),
            };
            writer.write(&batch.rows).map_err(spill::of_disk)?;
        }
        Ok(())
    }

    /// # Errors
    /// [`CollapseError::Disk`].
    pub(super) fn finish(mut self) -> Result<UnkeyedRows, CollapseError> {
        if self.spilled.iter().all(Option::is_none) {
            self.held
                .sort_by_key(|batch| (batch.version, batch.sign == Sign::Minus));
            let effect = |sign| EFFECTS[usize::from(sign == Sign::Minus)];
            let held = self.held.into_iter();
            let held: Vec<_> = held.map(|batch| (effect(batch.sign), batch.rows)).collect();
            return Ok(UnkeyedRows::Held(held.into_iter()));
        }
        self.spill()?;
        let mut readers = Vec::new();
        for (effect, writer) in EFFECTS.into_iter().zip(self.spilled) {
            if let Some(writer) = writer {
                readers.push((effect, spill::read(spill::end(writer)?)?));
            }
        }
        Ok(UnkeyedRows::Spilled(readers.into_iter()))
    }
}

impl UnkeyedRows {
    /// The next rows, and what they do; `None` at the end.
    ///
    /// # Errors
    /// [`CollapseError::Disk`].
    pub(crate) fn next(&mut self) -> Result<Option<(Effect, RecordBatch)>, CollapseError> {
        let readers = match self {
            Self::Held(batches) => return Ok(batches.next()),
            Self::Spilled(readers) => readers,
        };
        while let Some((effect, reader)) = readers.as_mut_slice().first_mut() {
            if let Some(rows) = reader.next() {
                return Ok(Some((*effect, rows.map_err(spill::of_disk)?)));
            }
            readers.next();
        }
        Ok(None)
    }
}
