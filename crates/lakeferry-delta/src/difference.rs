//! Rows that came and rows that went, less those that are equal: as multisets, and in bounded
//! memory.
//!
//! First every row is counted, + one way and − the other: what is left over is what differs. Then
//! the rows are looked at again, and as many of each kind are given as were left over. Rows are
//! told apart by 128 bits of their BLAKE3 digest; that two of a table have the same by chance will
//! not be seen. Where more kinds of rows are left over than may be counted at once, they are
//! parted by their digests, and each part takes a pass of its own.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Schema};
use arrow_select::filter::filter_record_batch;
use lakeferry_model::Sign;

use crate::{
    error::{Error, Result},
    reader::Wanted,
};

/// Kinds of rows that are counted at once: about 50 MB.
const COUNTED_MOST: usize = 1 << 20;

/// Rows that need not be read again take at most so many bytes.
const HELD_BYTES: usize = 32 << 20;

/// More parts than 2 to this power are not tried: each takes two looks at all rows, and a refresh
/// takes one.
const DEEPEST: u32 = 3;

/// Which passes there are, and which is next.
pub(crate) struct Difference {
    rows: Arc<Rows>,
    /// There are 2 to this power parts.
    depth: u32,
    next: u32,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    counted: usize,
    held_bytes: usize,
    depth: u32,
}

/// What tells rows apart.
struct Rows {
    table: String,
    converter: RowConverter,
}

type Kind = [u8; 16];

/// One look at all rows, of which it counts a part.
pub(crate) struct Pass {
    rows: Arc<Rows>,
    depth: u32,
    part: u32,
    limits: Limits,
    counting: Mutex<Counting>,
}

#[derive(Default)]
struct Counting {
    /// By how much more often a kind of row came than it went; none that are even.
    counts: HashMap<Kind, i64>,
    held: Vec<(Sign, RecordBatch)>,
    held_bytes: usize,
    too_many: bool,
    error: Option<Error>,
}

/// How it stands once every row was counted.
pub(crate) enum Counted {
    /// Ask [`Pass::rest`] for each of these: they are all rows.
    Held(Vec<(Sign, RecordBatch)>),
    /// Read all rows again, and ask [`Pass::rest`] for each.
    ReadAgain,
    /// Nothing was counted rightly: [`Difference::halve`].
    TooMany,
}

impl Difference {
    /// Between rows of `columns`.
    pub(crate) fn new(table: &str, columns: &Schema) -> Result<Self> {
        let limits = Limits {
            counted: COUNTED_MOST,
            held_bytes: HELD_BYTES,
            depth: DEEPEST,
        };
        Self::within(table, columns, limits)
    }

    fn within(table: &str, columns: &Schema, limits: Limits) -> Result<Self> {
        let field = |field: &Arc<arrow_schema::Field>| SortField::new(field.data_type().clone());
        let fields = columns.fields().iter().map(field).collect();
        let converter = RowConverter::new(fields).map_err(|error| broken(table, error))?;
        let table = table.to_owned();
        Ok(Self {
            rows: Arc::new(Rows { table, converter }),
            depth: 0,
            next: 0,
            limits,
        })
    }

    /// The next look at all rows; none if all parts were counted.
    pub(crate) fn next_pass(&mut self) -> Option<Arc<Pass>> {
        let part = self.next;
        (part < 1 << self.depth).then(|| {
            self.next += 1;
            Arc::new(Pass {
                rows: self.rows.clone(),
                depth: self.depth,
                part,
                limits: self.limits,
                counting: Mutex::default(),
            })
        })
    }

    /// Does the last pass anew, in two.
    ///
    /// # Errors
    /// If there are too many parts by now: [`Error::is_gone`](lakeferry_model::Failure::is_gone),
    /// for a snapshot is read instead.
    pub(crate) fn halve(&mut self) -> Result<()> {
        if self.depth == self.limits.depth {
            return Err(Error::Lost {
                table: self.rows.table.clone(),
                what: "its rewritten files have too many rows to be compared".to_owned(),
                source: None,
            });
        }
        self.depth += 1;
        self.next = (self.next - 1) * 2;
        Ok(())
    }
}

impl Pass {
    /// Counts the rows of a batch. They may come in any order.
    pub(crate) fn count(&self, sign: Sign, rows: RecordBatch) -> Wanted {
        let kinds = match self.rows.kinds(&rows) {
            Ok(kinds) => kinds,
            Err(error) => return self.fail(error),
        };
        let step = match sign {
            Sign::Minus => -1,
            Sign::Plus => 1,
        };
        let mut guard = self.counting();
        let counting = &mut *guard;
        for kind in kinds.into_iter().filter(|kind| self.has(kind)) {
            match counting.counts.entry(kind) {
                Entry::Vacant(entry) => drop(entry.insert(step)),
                Entry::Occupied(entry) if *entry.get() == -step => drop(entry.remove()),
                Entry::Occupied(mut entry) => *entry.get_mut() += step,
            }
        }
        counting.hold(sign, rows, self.limits.held_bytes);
        counting.too_many |= counting.counts.len() > self.limits.counted;
        if counting.too_many || counting.error.is_some() {
            Wanted::NoMore
        } else {
            Wanted::More
        }
    }

    /// What is to be done now that all rows were counted.
    pub(crate) fn counted(&self) -> Result<Counted> {
        self.outcome()?;
        let mut counting = self.counting();
        Ok(if counting.too_many {
            Counted::TooMany
        } else if counting.counts.is_empty() {
            Counted::Held(Vec::new())
        } else if counting.held_bytes > self.limits.held_bytes {
            Counted::ReadAgain
        } else {
            Counted::Held(std::mem::take(&mut counting.held))
        })
    }

    /// Those of `rows` that are left over, in this pass's part.
    pub(crate) fn rest(&self, sign: Sign, rows: &RecordBatch) -> Result<RecordBatch> {
        let kinds = self.rows.kinds(rows)?;
        let mut counting = self.counting();
        let mut take = |kind: &Kind| match (counting.counts.get_mut(kind), sign) {
            (Some(count), Sign::Minus) if *count < 0 => {
                *count += 1;
                true
            }
            (Some(count), Sign::Plus) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        let left: BooleanArray = kinds.iter().map(|kind| Some(take(kind))).collect();
        filter_record_batch(rows, &left).map_err(|error| broken(&self.rows.table, error))
    }

    /// Whether all that was left over has been given: so it is, unless the rows were others the
    /// second time.
    pub(crate) fn is_even(&self) -> bool {
        self.counting().counts.values().all(|&count| count == 0)
    }

    /// Keeps an error of a reading thread for [`Pass::outcome`].
    pub(crate) fn fail(&self, error: Error) -> Wanted {
        self.counting().error.get_or_insert(error);
        Wanted::NoMore
    }

    /// The error that was kept, if any.
    pub(crate) fn outcome(&self) -> Result<()> {
        self.counting().error.take().map_or(Ok(()), Err)
    }

    /// Whether a kind of row is in this pass's part, by the first bits of its digest.
    fn has(&self, kind: &Kind) -> bool {
        let first = u32::from_be_bytes([kind[0], kind[1], kind[2], kind[3]]);
        first.checked_shr(u32::BITS - self.depth).unwrap_or(0) == self.part
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    fn hold(&mut self, sign: Sign, rows: RecordBatch, most_bytes: usize) {
        self.held_bytes += rows.get_array_memory_size();
        if self.held_bytes > most_bytes {
            self.held = Vec::new();
        } else {
            self.held.push((sign, rows));
        }
    }
}

impl Rows {
    fn kinds(&self, rows: &RecordBatch) -> Result<Vec<Kind>> {
        let rows = self
            .converter
            .convert_columns(rows.columns())
            .map_err(|error| broken(&self.table, error))?;
        let kind = |row: arrow_row::Row<'_>| {
            let digest = blake3::hash(row.data());
            *digest
                .as_bytes()
                .first_chunk()
                .expect("a digest is longer than a kind")
        };
        Ok(rows.iter().map(kind).collect())
    }
}

fn broken(table: &str, error: ArrowError) -> Error {
    Error::Broken {
        table: table.to_owned(),
        what: "its rows cannot be compared".to_owned(),
        source: Some(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow_array::{Int64Array, StringArray, cast::AsArray as _, types::Int64Type};
    use arrow_schema::{DataType, Field};
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<i64>, Option<String>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("number", DataType::Int64, true),
            Field::new("word", DataType::Utf8, true),
        ]);
        let numbers: Int64Array = rows.iter().map(|(number, _)| *number).collect();
        let words: StringArray = rows.iter().map(|(_, word)| word.clone()).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(words)]).unwrap()
    }

    fn rows_of(batch: &RecordBatch) -> Vec<Row> {
        let numbers = batch.column(0).as_primitive::<Int64Type>().iter();
        let words = batch.column(1).as_string::<i32>().iter();
        let words = words.map(|word| word.map(str::to_owned));
        numbers.zip(words).collect()
    }

    /// What is left over of `batches`, as they would be read, and the passes that it took.
    fn left(batches: &[(Sign, Vec<Row>)], limits: Limits) -> (BTreeMap<Row, i64>, usize) {
        let columns = batch(&[]).schema();
        let mut difference = Difference::within("t", &columns, limits).unwrap();
        let (mut left, mut passes) = (BTreeMap::new(), 0);
        while let Some(pass) = difference.next_pass() {
            passes += 1;
            for (sign, rows) in batches {
                if pass.count(*sign, batch(rows)) == Wanted::NoMore {
                    break;
                }
            }
            let all = match pass.counted().unwrap() {
                Counted::TooMany => {
                    difference.halve().unwrap();
                    continue;
                }
                Counted::Held(held) => held,
                Counted::ReadAgain => {
                    let read = batches.iter();
                    read.map(|(sign, rows)| (*sign, batch(rows))).collect()
                }
            };
            for (sign, rows) in all {
                let step = if sign == Sign::Plus { 1 } else { -1 };
                for row in rows_of(&pass.rest(sign, &rows).unwrap()) {
                    *left.entry(row).or_default() += step;
                }
            }
        }
        (left, passes)
    }

    proptest! {
        /// Whatever memory there is.
        #[test]
        fn what_is_left_over_is_the_difference(
            batches in prop::collection::vec(
                (
                    prop_oneof![Just(Sign::Minus), Just(Sign::Plus)],
                    prop::collection::vec(
                        (prop::option::of(0..5i64), prop::option::of("[ab]{0,1}")),
                        0..20,
                    ),
                ),
                0..8,
            ),
            counted in 1..20usize,
            held_bytes in prop_oneof![Just(0), Just(2000), Just(1 << 20)],
        ) {
            let mut expected = BTreeMap::<Row, i64>::new();
            for (sign, rows) in &batches {
                for row in rows {
                    let step = if *sign == Sign::Plus { 1 } else { -1 };
                    *expected.entry(row.clone()).or_default() += step;
                }
            }
            expected.retain(|_, count| *count != 0);
            let limits = Limits { counted, held_bytes, depth: 20 };
            let (left, passes) = left(&batches, limits);
            prop_assert_eq!(left, expected);
            prop_assert!(passes > 0);
        }
    }

    #[test]
    fn few_counts_at_once_take_several_passes() {
        let rows: Vec<Row> = (0..200).map(|number| (Some(number), None)).collect();
        let limits = Limits {
            counted: 20,
            held_bytes: 1 << 20,
            depth: 20,
        };
        let (left, passes) = left(&[(Sign::Plus, rows)], limits);
        assert_eq!(left.len(), 200);
        assert!(passes > 10, "{passes} passes");
    }
}
