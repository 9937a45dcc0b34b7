//! Rows that meet the row that they are a copy of, in bounded memory.

use std::collections::{HashMap, hash_map::Entry};

use arrow_array::{Array as _, Int64Array};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use lakeferry_model::{DeltaVersion, Sign};

use crate::{data_file::Fresh, parquet::NumberBatch};

/// Rows that wait for their partner at once: about 50 MB, while nothing else is held.
const WAITING_MOST: usize = 1 << 20;

/// So many rows have a mark at most, which is a bit: 32 MB.
const MARKED_MOST: usize = 1 << 28;

/// The numbers of some rows of the part at a place.
pub(super) struct Read {
    pub(super) place: usize,
    /// Where in its file the first one is.
    pub(super) first: usize,
    pub(super) batch: NumberBatch,
}

/// A row as it was: its row id and its row commit version.
type Numbers = (i64, i64);

/// Which rows have no partner yet.
pub(super) struct Pairs {
    /// No later row commit version pairs.
    after: i64,
    /// By the place of their part; nothing for those that were not admitted.
    parts: Vec<Option<Marks>>,
    marked: usize,
    waiting: HashMap<Numbers, Place>,
    /// How many of these went, and how many came.
    waits: [usize; 2],
    waiting_most: usize,
}

/// Which rows of a part are left.
struct Marks {
    side: usize,
    fresh: Fresh,
    left: BooleanBufferBuilder,
    is_whole: bool,
}

/// A row, by its part and its place in the file.
#[derive(Clone, Copy)]
struct Place {
    part: u32,
    row: u32,
}

impl Pairs {
    /// Of so many parts, in a range after `after`.
    pub(super) fn new(parts: usize, after: DeltaVersion) -> Self {
        Self {
            after: i64::try_from(after.0).unwrap_or(i64::MAX),
            parts: (0..parts).map(|_| None).collect(),
            marked: 0,
            waiting: HashMap::new(),
            waits: [0, 0],
            waiting_most: WAITING_MOST,
        }
    }

    /// Whether a row of this row commit version can have been there before the range.
    pub(super) fn is_old(&self, version: i64) -> bool {
        version <= self.after
    }

    /// Lets the part at `place` pair off, of whose file these rows are in it; not if there are too many.
    pub(super) fn admit(
        &mut self,
        place: usize,
        sign: Sign,
        fresh: Fresh,
        rows: BooleanBufferBuilder,
    ) -> bool {
        let has_room = self.marked + rows.len() <= MARKED_MOST;
        if has_room {
            self.marked += rows.len();
            self.parts[place] = Some(Marks {
                side: usize::from(sign == Sign::Plus),
                fresh,
                left: rows,
                is_whole: true,
            });
        }
        has_room
    }

    /// How many rows wait that went, and how many that came.
    pub(super) fn waiting(&self) -> [usize; 2] {
        self.waits
    }

    /// Pairs the rows off with those that came along before.
    pub(super) fn meet(&mut self, read: &Read) {
        for row in 0..read.batch.rows {
            let Some((numbers, side)) = self.numbers(read, row) else {
                continue;
            };
            let (Ok(part), Ok(row)) = (read.place.try_into(), (read.first + row).try_into()) else {
                continue;
            };
            self.meet_row(numbers, side, Place { part, row });
        }
    }

    /// The numbers of a row that may pair off, and its side.
    fn numbers(&self, read: &Read, row: usize) -> Option<(Numbers, usize)> {
        let marks = self.parts[read.place].as_ref()?;
        let place = read.first + row;
        let is_left = place < marks.left.len() && marks.left.get_bit(place);
        let [ids, versions] = &read.batch.columns;
        let version = value(versions, row).unwrap_or(marks.fresh.version);
        if !is_left || !self.is_old(version) {
            return None;
        }
        let fresh = || marks.fresh.row_id.checked_add(i64::try_from(place).ok()?);
        let id = value(ids, row).or_else(fresh)?;
        Some(((id, version), marks.side))
    }

    fn meet_row(&mut self, numbers: Numbers, side: usize, place: Place) {
        let has_room = self.waiting.len() < self.waiting_most;
        let parts = &mut self.parts;
        let is_partner = |other: &Place| {
            let other = parts.get(other.part as usize).and_then(Option::as_ref);
            other.is_some_and(|other| other.side != side)
        };
        match self.waiting.entry(numbers) {
            Entry::Occupied(waiting) if is_partner(waiting.get()) => {
                for paired in [waiting.remove(), place] {
                    if let Some(marks) = &mut parts[paired.part as usize] {
                        marks.left.set_bit(paired.row as usize, false);
                        marks.is_whole = false;
                    }
                }
                self.waits[1 - side] -= 1;
            }
            Entry::Vacant(free) if has_room => {
                free.insert(place);
                self.waits[side] += 1;
            }
            // Another one of its side has these numbers, or there is no room: it is compared.
            _ => {}
        }
    }

    /// The rows that are left of each part; nothing for parts of which none paired off.
    pub(super) fn left(self) -> impl Iterator<Item = Option<BooleanBuffer>> {
        self.parts.into_iter().map(|marks| {
            let mut marks = marks.filter(|marks| !marks.is_whole)?;
            Some(marks.left.finish())
        })
    }
}

fn value(column: &Option<Int64Array>, row: usize) -> Option<i64> {
    let column = column.as_ref().filter(|column| column.is_valid(row))?;
    Some(column.value(row))
}

#[cfg(test)]
mod tests;
