//! How far a run is: counters that the run moves and anybody may read while it goes on. They
//! decide nothing, and hold no value of a row.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use arrow_array::{Array as _, RecordBatch};

/// The counters of one job. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    place: Mutex<Place>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    phase: Phase,
    rows_total: Option<u64>,
    version: Option<u64>,
    head: Option<u64>,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It looks what there is to do, or waits for its turn or for the next attempt.
    #[default]
    Looking,
    /// Rows go from the source into the target's staging.
    Loading,
    /// Changes are read from the source.
    Reading,
    /// The one transaction.
    Applying,
}

/// How far a run is, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub phase: Phase,
    /// Rows from the source in this phase, and their size in memory.
    pub rows: u64,
    pub bytes: u64,
    /// How many rows there will be, where the source knows it.
    pub rows_total: Option<u64>,
    /// The position that the target has, and the newest.
    pub version: Option<u64>,
    pub head: Option<u64>,
}

impl Meter {
    /// How far the run is now.
    pub fn seen(&self) -> Seen {
        let Place {
            phase,
            rows_total,
            version,
            head,
        } = *self.place();
        Seen {
            phase,
            rows: self.0.rows.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
            rows_total,
            version,
            head,
        }
    }

    /// The target is at `version` and the source at `head`.
    pub(crate) fn at(&self, version: Option<u64>, head: u64) {
        let mut place = self.place();
        (place.version, place.head) = (version, Some(head));
    }

    /// A phase in which rows are counted anew.
    pub(crate) fn begin(&self, phase: Phase, rows_total: Option<u64>) {
        let mut place = self.place();
        (place.phase, place.rows_total) = (phase, rows_total);
        self.0.rows.store(0, Ordering::Relaxed);
        self.0.bytes.store(0, Ordering::Relaxed);
    }

    /// A phase that has no rows of its own.
    pub(crate) fn turn(&self, phase: Phase) {
        self.place().phase = phase;
    }

    /// Rows of this phase that were there already.
    pub(crate) fn had(&self, rows: u64) {
        self.0.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows that came from the source.
    pub(crate) fn add(&self, rows: &RecordBatch) {
        let bytes = rows
            .columns()
            .iter()
            .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
            .sum::<usize>();
        self.0
            .rows
            .fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        // Whoever panicked left counters behind, nothing more.
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
