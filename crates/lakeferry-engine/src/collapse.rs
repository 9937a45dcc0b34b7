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
//!
//! Rows with NULL in their key have none to be gathered by, and go beside the others ([`unkeyed`]).
//!
//! Where duplicate keys are settled ([`Ranking`]), all + of a version are looked at, and the greatest
//! row of a key is the one. That is for whole tables ([`greatest`]), which have + alone; for changes,
//! see [`touched`].
//!
//! Changes that do not fit into memory are refused, so that a smaller range is read; those of one
//! version, of which there is no smaller range, are sorted on disk ([`spill`]).

use std::{fs::File, io};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use lakeferry_model::{ChangeBatch, NetChanges, OnNullKey, Position, Sign};

use crate::collapse::{
    by_key::{ByKey, HeldKeys, Known},
    keys::Keys,
};

mod by_key;
pub(crate) mod greatest;
mod keys;
mod ranking;
pub(crate) mod spill;
#[cfg(test)]
mod tests;
pub(crate) mod touched;
mod unkeyed;

use ranking::Ranking;
pub(crate) use spill::Merge;
use unkeyed::Unkeyed;
pub(crate) use unkeyed::UnkeyedRows;

/// Rows in each batch of the net changes.
const BATCH_ROWS: usize = 8192;
/// What a key costs in the maps besides its bytes.
const KEY_OVERHEAD_BYTES: usize = 96;

/// Gathers the changes of one commit range.
pub(crate) struct Collapse<P> {
    keys: Keys,
    held: Vec<ChangeBatch<P>>,
    unkeyed: Unkeyed<P>,
    /// The version that is being read; versions only ascend.
    open: Option<P>,
    /// Of the batches in `held`.
    held_keys: HeldKeys,
    gathered: ByKey<Gathered>,
    folded: ByKey<Folded>,
    /// Rows that were taken away, and what they were when they came.
    followed: Vec<(At, At)>,
    /// Whether a version did not follow on the one before it.
    contradicts: bool,
    held_bytes: usize,
    limit_bytes: usize,
    overflow: Overflow,
    /// What did not fit, sorted.
    runs: Vec<File>,
    /// Which + of a key it has, where it may have several.
    ranking: Option<Ranking>,
}

/// What becomes of changes that do not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    Refused,
    /// They are of one version, and sorted on disk.
    Spilled,
}

/// What changes come to.
pub(crate) struct NetRows {
    pub(crate) net: Net,
    pub(crate) unkeyed: UnkeyedRows,
}

/// The net effect of changes on each key.
pub(crate) enum Net {
    Held(NetChanges),
    /// To be merged from disk; it may turn out to be nothing.
    Spilled(Box<Merge>),
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

impl Gathered {
    fn of(sign: Sign, at: At) -> Self {
        let mut gathered = Self::default();
        *gathered.row_of(sign) = Some(at);
        gathered
    }

    /// Takes one more row, and gives the one of its sign that was there.
    #[must_use]
    fn add(&mut self, sign: Sign, at: At) -> Option<At> {
        self.row_of(sign).replace(at)
    }

    fn row_of(&mut self, sign: Sign) -> &mut Option<At> {
        match sign {
            Sign::Minus => &mut self.minus,
            Sign::Plus => &mut self.plus,
        }
    }
}

/// A key after the versions before the open one.
#[derive(Clone, Copy)]
struct Folded {
    was_there: bool,
    /// Its newest row: the + that it has, or the last − that it had.
    row: At,
    is_there: bool,
}

impl Folded {
    /// A key that no version before had.
    fn of(Gathered { minus, plus }: Gathered) -> Self {
        Self {
            was_there: minus.is_some(),
            row: plus.or(minus).expect("a gathered key has a row"),
            is_there: plus.is_some(),
        }
    }
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
    #[error("column {0} of dedupe_by is not among the columns of the job")]
    NoRankColumn(String),
    #[error("it got other columns while it was read")]
    OtherColumns,
    #[error("changes cannot be collapsed")]
    Arrow(#[from] ArrowError),
    #[error("they do not fit into memory, and cannot be sorted on disk: {0}")]
    Disk(io::Error),
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
        overflow: Overflow,
    ) -> Result<Self, CollapseError> {
        Ok(Self {
            keys: Keys::new(columns, key)?,
            held: Vec::new(),
            unkeyed: Unkeyed::new(OnNullKey::Halt),
            open: None,
            held_keys: HeldKeys::default(),
            gathered: ByKey::default(),
            folded: ByKey::default(),
            followed: Vec::new(),
            contradicts: false,
            held_bytes: 0,
            limit_bytes,
            overflow,
            runs: Vec::new(),
            ranking: None,
        })
    }

    /// Settles duplicate keys.
    fn ranked(mut self, ranking: Ranking) -> Self {
        self.ranking = Some(ranking);
        self
    }

    /// Does this with rows that have NULL in their key, instead of halting.
    pub(crate) fn on_null_key(mut self, policy: OnNullKey) -> Self {
        self.unkeyed = Unkeyed::new(policy);
        self
    }

    /// Takes the rows of a batch.
    ///
    /// # Errors
    /// A [`CollapseError`] that names version and key or column.
    pub(crate) fn push(&mut self, batch: ChangeBatch<P>) -> Result<Verdict, CollapseError> {
        let version = batch.version;
        match self.open {
            Some(open)
                if version < open || (version > open && self.overflow == Overflow::Spilled) =>
            {
                return Err(CollapseError::Disordered {
                    version: version.to_string(),
                });
            }
            Some(open) if version > open => self.fold(),
            _ => {}
        }
        self.open = Some(version);
        let (batch, unkeyed_bytes) = self.unkeyed.part(&self.keys, batch)?;
        self.held_bytes += batch.rows.get_array_memory_size() + unkeyed_bytes;
        self.held.push(batch);
        // Once there are runs, rows of one key meet in the merge.
        if self.runs.is_empty() {
            self.gather()?;
        }
        match self.overflow {
            _ if self.held_bytes <= self.limit_bytes => Ok(Verdict::More),
            Overflow::Refused => Ok(Verdict::Full),
            Overflow::Spilled => self.spill().map(|()| Verdict::More),
        }
    }

    /// Gathers the rows of the newest batch.
    fn gather(&mut self) -> Result<(), CollapseError> {
        let Some(ChangeBatch {
            version,
            sign,
            rows,
        }) = self.held.last()
        else {
            return Ok(());
        };
        let keys = self.keys.of(rows)?;
        self.held_bytes += keys.size();
        let batch = self.held_keys.push(keys);
        self.gathered.reserve(rows.num_rows());
        let of = |at: At| (&self.held[at.batch as usize].rows, at.row as usize);
        let greatest = |at: At, other: At| match (&self.ranking, sign) {
            (Some(ranking), Sign::Plus) => Ok(match ranking.beats(of(at), of(other))? {
                true => at,
                false => other,
            }),
            _ => Err(self.keys.twice(*sign, version, of(at))),
        };
        for row in 0..place(rows.num_rows()) {
            let at = At { batch, row };
            let new = Gathered::of(*sign, at);
            let noted = self.gathered.note(&self.held_keys, at, new, |gathered, _| {
                let place = gathered.row_of(*sign);
                let chosen = place.map_or(Ok(at), |other| greatest(at, other))?;
                *place = Some(chosen);
                Ok::<_, CollapseError>(())
            });
            match noted {
                Some(result) => result?,
                None => self.held_bytes += KEY_OVERHEAD_BYTES,
            }
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), CollapseError> {
        if self.runs.is_empty() {
            tracing::info!("the changes do not fit into memory: they are sorted on disk");
        }
        self.gathered = ByKey::default();
        self.held_keys.clear();
        self.unkeyed.spill()?;
        if self.held.iter().any(|batch| batch.rows.num_rows() > 0) {
            let run = spill::write(&self.keys, self.ranking.as_ref(), &self.held)?;
            self.runs.push(run);
        }
        self.held.clear();
        self.held_bytes = 0;
        Ok(())
    }

    /// The net effect of all that was pushed.
    ///
    /// # Errors
    /// [`CollapseError::Contradiction`], [`CollapseError::Disk`], and an Arrow error if the rows cannot
    /// be gathered.
    pub(crate) fn finish(mut self) -> Result<NetRows, CollapseError> {
        if let (Some(version), false) = (self.open, self.runs.is_empty()) {
            self.spill()?;
            let ranks = (self.keys, self.ranking);
            let merge = Merge::open(ranks, version.to_string(), self.runs)?;
            return Ok(NetRows {
                net: Net::Spilled(Box::new(merge)),
                unkeyed: self.unkeyed.finish()?,
            });
        }
        // Of one version nothing has to be folded.
        if !self.folded.is_empty() {
            self.fold();
        }
        if self.contradicts || !self.is_followed()? {
            return Err(CollapseError::Contradiction);
        }
        let mut deletes = Vec::new();
        let mut updates = Vec::new();
        let mut inserts = Vec::new();
        let once = self.gathered.drain();
        let once = once.map(|known| known.map(Folded::of));
        for Known { key, of, .. } in self.folded.drain().chain(once) {
            let row = (self.held_keys.bytes(key), of.row);
            match (of.was_there, of.is_there) {
                (true, false) => deletes.push(row),
                (true, true) => updates.push(row),
                (false, true) => inserts.push(row),
                (false, false) => {}
            }
        }
        let batches: Vec<&RecordBatch> = self.held.iter().map(|batch| &batch.rows).collect();
        let net = Net::Held(NetChanges {
            deletes: sorted(&batches, deletes)?,
            updates: sorted(&batches, updates)?,
            inserts: sorted(&batches, inserts)?,
        });
        Ok(NetRows {
            net,
            unkeyed: self.unkeyed.finish()?,
        })
    }

    /// Closes the open version.
    fn fold(&mut self) {
        for gathered in self.gathered.drain() {
            let minus = gathered.of.minus;
            let new = gathered.map(Folded::of);
            self.folded.merge(&self.held_keys, new, |folded, new| {
                match minus {
                    Some(minus) if folded.is_there => {
                        self.followed.push((folded.row, minus));
                        self.held_bytes += size_of::<(At, At)>();
                    }
                    minus => self.contradicts |= folded.is_there || minus.is_some(),
                }
                (folded.row, folded.is_there) = (new.row, new.is_there);
            });
        }
    }

    /// Whether what was taken away is what was there.
    fn is_followed(&self) -> Result<bool, CollapseError> {
        let batches: Vec<&RecordBatch> = self.held.iter().map(|batch| &batch.rows).collect();
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
}

/// The place of a batch among those that are held.
fn place(index: usize) -> u32 {
    u32::try_from(index).expect("fewer batches than bytes held")
}

/// Rows of `batches` in the order of their keys.
fn sorted<K: AsRef<[u8]>>(
    batches: &[&RecordBatch],
    rows: Vec<(K, At)>,
) -> Result<Vec<RecordBatch>, CollapseError> {
    let first = |(key, at): (K, At)| (first_bytes(key.as_ref()), key, at);
    let mut rows: Vec<(u128, K, At)> = rows.into_iter().map(first).collect();
    rows.sort_unstable_by(|(first, one, _), (second, other, _)| {
        let others = || one.as_ref().cmp(other.as_ref());
        first.cmp(second).then_with(others)
    });
    let chunk = |rows: &[(u128, K, At)]| {
        let at = |(.., at): &(u128, K, At)| (at.batch as usize, at.row as usize);
        let places: Vec<_> = rows.iter().map(at).collect();
        Ok(interleave_record_batch(batches, &places)?)
    };
    rows.chunks(BATCH_ROWS).map(chunk).collect()
}

/// The first bytes of a key, in whose order keys are that differ in them: most do.
fn first_bytes(key: &[u8]) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let count = key.len().min(first.len());
    first[..count].copy_from_slice(&key[..count]);
    u128::from_be_bytes(first)
}
