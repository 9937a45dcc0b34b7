//! The net effect of signed changes on each key (DESIGN §4).
//!
//! Within one version order means nothing: writers list new files before removed ones, and a
//! feed may give post-images before pre-images. So the rows of a version are first gathered by
//! key, and only then folded into what earlier versions left:
//!
//! | the key's rows in this version | it has afterwards |
//! |---|---|
//! | + (with or without −) | the row of the + |
//! | only − | no row |
//! | two + | a duplicate key: an error |
//! | two − | it was one before: a contradiction |
//!
//! Between versions the later wins, if it follows on the one before: a − takes the row away that is
//! there, and a + without one finds none. Where it does not, the key had two rows, of which what
//! follows cannot tell the one that is left: a contradiction as well. Whether the key was in the
//! target before the range is told by its first version: it was if there is a − in it. The net
//! effect follows from both ends:
//!
//! | in the target before | has a row afterwards | effect |
//! |---|---|---|
//! | yes | yes | update |
//! | yes | no | delete |
//! | no | yes | insert |
//! | no | no | none |
//!
//! An updated key is a − of the old and a + of the new one, so it needs no case of its own.
//!
//! Keys are compared as bytes of the Arrow row format, which for the types that are allowed in a
//! key is Postgres's equality, once −0.0 and the many NaNs are made one.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, RecordBatch, UInt32Array,
    cast::AsArray,
    types::{Float32Type, Float64Type},
};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use lakeferry_model::{ChangeBatch, NetChanges, Position, Sign};

#[cfg(test)]
mod tests;

/// Rows in each batch of the net changes.
const BATCH_ROWS: usize = 8192;
/// What a key costs in the maps besides its bytes.
const KEY_OVERHEAD_BYTES: usize = 96;

/// Gathers the changes of one commit range.
pub(crate) struct Collapse<P> {
    columns: SchemaRef,
    key: Vec<usize>,
    converter: RowConverter,
    batches: Vec<RecordBatch>,
    /// The version that is being read; versions only ascend.
    open: Option<P>,
    gathered: HashMap<Box<[u8]>, Gathered>,
    folded: HashMap<Box<[u8]>, Folded>,
    /// Rows that were taken away, and what they were when they came.
    followed: Vec<(At, At)>,
    /// Whether a version did not follow on the one before it.
    contradicts: bool,
    held_bytes: usize,
    limit_bytes: usize,
}

/// Where a row is: batch and row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    batch: u32,
    row: u32,
}

/// A key's rows in the open version.
#[derive(Clone, Copy, Default)]
struct Gathered {
    minus: Option<At>,
    plus: Option<At>,
}

/// A key after the versions before the open one.
#[derive(Clone, Copy)]
struct Folded {
    was_there: bool,
    /// Its newest row: the + that it has, or the last − that it had.
    row: At,
    is_there: bool,
}

/// Whether more changes may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    More,
    /// More bytes are held than allowed: read a smaller range.
    Full,
}

/// Why changes cannot be collapsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollapseError {
    #[error("version {version} has two rows with the key {key}")]
    DuplicateKey { version: String, key: String },
    #[error("a key had two rows in a version before the last")]
    Contradiction,
    #[error("version {version} has a row whose key column {column} is null")]
    NullKey { version: String, column: String },
    #[error("the source gave version {version} after a later one")]
    Disordered { version: String },
    #[error("column {0} of the key is not among the columns of the job")]
    NoKeyColumn(String),
    #[error("changes cannot be collapsed")]
    Arrow(#[from] ArrowError),
}

impl<P: Position> Collapse<P> {
    /// Starts with nothing. `key` names columns of `columns`; at most about `limit_bytes` of
    /// changes are held.
    ///
    /// # Errors
    /// [`CollapseError::NoKeyColumn`], and an Arrow error if a key column's type has no order.
    pub(crate) fn new(
        columns: SchemaRef,
        key: &[String],
        limit_bytes: usize,
    ) -> Result<Self, CollapseError> {
        let position = |name: &String| {
            columns
                .index_of(name)
                .map_err(|_| CollapseError::NoKeyColumn(name.clone()))
        };
        let key = key.iter().map(position).collect::<Result<Vec<_>, _>>()?;
        let field = |&at: &usize| SortField::new(columns.field(at).data_type().clone());
        let converter = RowConverter::new(key.iter().map(field).collect())?;
        Ok(Self {
            columns,
            key,
            converter,
            batches: Vec::new(),
            open: None,
            gathered: HashMap::new(),
            folded: HashMap::new(),
            followed: Vec::new(),
            contradicts: false,
            held_bytes: 0,
            limit_bytes,
        })
    }

    /// Takes the rows of a batch.
    ///
    /// # Errors
    /// A [`CollapseError`] that names version and key or column.
    pub(crate) fn push(&mut self, batch: ChangeBatch<P>) -> Result<Verdict, CollapseError> {
        let ChangeBatch {
            version,
            sign,
            rows,
        } = batch;
        match self.open {
            Some(open) if version < open => {
                return Err(CollapseError::Disordered {
                    version: version.to_string(),
                });
            }
            Some(open) if version > open => self.fold(),
            _ => {}
        }
        self.open = Some(version);
        let keys = self.key_arrays(&rows, version)?;
        let keys = self.converter.convert_columns(&keys)?;
        let batch = u32::try_from(self.batches.len()).expect("fewer batches than bytes held");
        for (row, key) in (0..).zip(keys.iter()) {
            let bytes = key.data();
            if !self.gathered.contains_key(bytes) {
                self.held_bytes += bytes.len() + KEY_OVERHEAD_BYTES;
                self.gathered.insert(bytes.into(), Gathered::default());
            }
            let gathered = self.gathered.get_mut(bytes).expect("it was just inserted");
            let place = match sign {
                Sign::Minus => &mut gathered.minus,
                Sign::Plus => &mut gathered.plus,
            };
            if place.replace(At { batch, row }).is_some() {
                if sign == Sign::Minus {
                    return Err(CollapseError::Contradiction);
                }
                let key = self.describe(&rows, row as usize);
                return Err(CollapseError::DuplicateKey {
                    version: version.to_string(),
                    key,
                });
            }
        }
        self.held_bytes += rows.get_array_memory_size();
        self.batches.push(rows);
        Ok(if self.held_bytes > self.limit_bytes {
            Verdict::Full
        } else {
            Verdict::More
        })
    }

    /// The net effect of all that was pushed.
    ///
    /// # Errors
    /// [`CollapseError::Contradiction`], and an Arrow error if the rows cannot be gathered.
    pub(crate) fn finish(mut self) -> Result<NetChanges, CollapseError> {
        self.fold();
        if self.contradicts || !self.is_followed()? {
            return Err(CollapseError::Contradiction);
        }
        let mut deletes = Vec::new();
        let mut updates = Vec::new();
        let mut inserts = Vec::new();
        for (
            key,
            Folded {
                was_there,
                row,
                is_there,
            },
        ) in self.folded.drain()
        {
            match (was_there, is_there) {
                (true, false) => deletes.push((key, row)),
                (true, true) => updates.push((key, row)),
                (false, true) => inserts.push((key, row)),
                (false, false) => {}
            }
        }
        Ok(NetChanges {
            deletes: self.sorted(deletes)?,
            updates: self.sorted(updates)?,
            inserts: self.sorted(inserts)?,
        })
    }

    /// Closes the open version.
    fn fold(&mut self) {
        for (key, Gathered { minus, plus }) in self.gathered.drain() {
            let row = plus.or(minus).expect("a gathered key has a row");
            let is_there = plus.is_some();
            match self.folded.entry(key) {
                Entry::Vacant(entry) => {
                    let was_there = minus.is_some();
                    entry.insert(Folded {
                        was_there,
                        row,
                        is_there,
                    });
                }
                Entry::Occupied(mut entry) => {
                    let folded = entry.get_mut();
                    match minus {
                        Some(minus) if folded.is_there => {
                            self.followed.push((folded.row, minus));
                            self.held_bytes += size_of::<(At, At)>();
                        }
                        minus => self.contradicts |= folded.is_there || minus.is_some(),
                    }
                    (folded.row, folded.is_there) = (row, is_there);
                }
            }
        }
    }

    /// Whether what was taken away is what was there.
    fn is_followed(&self) -> Result<bool, CollapseError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        for chunk in self.followed.chunks(BATCH_ROWS) {
            let rows = |of: fn(&(At, At)) -> At| {
                let at = |pair| (of(pair).batch as usize, of(pair).row as usize);
                let places: Vec<_> = chunk.iter().map(at).collect();
                interleave_record_batch(&batches, &places)
            };
            if rows(|(there, _)| *there)? != rows(|(_, taken)| *taken)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sorted(&self, mut rows: Vec<(Box<[u8]>, At)>) -> Result<Vec<RecordBatch>, CollapseError> {
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let chunk = |rows: &[(Box<[u8]>, At)]| {
            let at = |(_, at): &(_, At)| (at.batch as usize, at.row as usize);
            let places: Vec<_> = rows.iter().map(at).collect();
            Ok(interleave_record_batch(&batches, &places)?)
        };
        rows.chunks(BATCH_ROWS).map(chunk).collect()
    }

    fn key_arrays(&self, rows: &RecordBatch, version: P) -> Result<Vec<ArrayRef>, CollapseError> {
        let canonical_column = |&at: &usize| {
            let array = rows.column(at);
            if array.null_count() > 0 {
                let column = self.columns.field(at).name().clone();
                return Err(CollapseError::NullKey {
                    version: version.to_string(),
                    column,
                });
            }
            Ok(canonical(array))
        };
        self.key.iter().map(canonical_column).collect()
    }

    /// The key of a row, for a message.
    fn describe(&self, rows: &RecordBatch, row: usize) -> String {
        let index = UInt32Array::from(vec![u32::try_from(row).unwrap_or(u32::MAX)]);
        let part = |&at: &usize| {
            let name = self.columns.field(at).name();
            let value = arrow_select::take::take(rows.column(at), &index, None);
            let text =
                value.and_then(|value| arrow_cast::display::array_value_to_string(&value, 0));
            format!("{name} = {}", text.unwrap_or_else(|_| "?".to_owned()))
        };
        self.key.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// One bit pattern for numbers that are equal to Postgres.
fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let one = |value: f32| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            };
            let values: Float32Array = array.as_primitive::<Float32Type>().unary(one);
            Arc::new(values)
        }
        DataType::Float64 => {
            let one = |value: f64| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            };
            let values: Float64Array = array.as_primitive::<Float64Type>().unary(one);
            Arc::new(values)
        }
        _ => Arc::clone(array),
    }
}
