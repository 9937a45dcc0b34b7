//! Changes: rows with a sign on their way in, net effects by key on their way out.

use arrow_array::RecordBatch;

/// Whether a row was there before a commit or is there after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// `−`: the row was there before the commit (pre-image, deleted row).
    Minus,
    /// `+`: the row is there after the commit (post-image, inserted row).
    Plus,
}

/// Rows of one commit that have one sign. The filter has been applied: a row is here if it is
/// TRUE for this very row. Within one version neither the order of batches nor that of rows means
/// anything.
#[derive(Clone, Debug)]
pub struct ChangeBatch<P> {
    pub version: P,
    pub sign: Sign,
    /// In the job's columns ([`crate::Head::columns`]).
    pub rows: RecordBatch,
}

/// What a row does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The key is in the target and goes.
    Delete,
    /// The key is in the target and gets this row.
    Update,
    /// The key is not in the target and comes with this row.
    Insert,
}

/// The net effect of a commit range: each key at most once over all three, each part sorted by
/// key. All batches are in the job's columns; of a deleted row only the key counts, and no key is NULL.
#[derive(Clone, Debug, Default)]
pub struct NetChanges {
    pub deletes: Vec<RecordBatch>,
    pub updates: Vec<RecordBatch>,
    pub inserts: Vec<RecordBatch>,
}

impl NetChanges {
    /// The parts in the order in which they are staged.
    pub fn parts(&self) -> [(Effect, &[RecordBatch]); 3] {
        [
            (Effect::Delete, &self.deletes),
            (Effect::Update, &self.updates),
            (Effect::Insert, &self.inserts),
        ]
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.parts()
            .iter()
            .all(|(_, part)| part.iter().all(|batch| batch.num_rows() == 0))
    }
}

/// Rows that an apply wrote to the target; unchanged ones are not written and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, more: Self) {
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.deleted += more.deleted;
    }
}
