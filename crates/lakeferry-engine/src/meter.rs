//! How far a run is: counters that the run moves and anybody may read while it goes on. They
//! decide nothing, and hold no value of a row.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow_array::{Array as _, RecordBatch};
use lakeferry_model::{Clock, Instant};

use crate::cadence::since;

/// The counters of one job. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    place: Mutex<Place>,
    rows: AtomicU64,
    bytes: AtomicU64,
    bytes_before: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    phase: Phase,
    /// What time goes to, and since when; absent between runs. It looks between two steps, too.
    timed: Option<(Phase, Instant)>,
    spent: Spent,
    rows_total: Option<u64>,
    version: Option<u64>,
    head: Option<u64>,
    /// Rows, and their bytes, that were read while others were applied: they count for the phase that
    /// goes on with them.
    ahead: (u64, u64),
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

/// How long was spent in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub looking: Duration,
    pub loading: Duration,
    pub reading: Duration,
    pub applying: Duration,
}

/// What all runs took together, the one that goes on included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub spent: Spent,
    /// The size in memory of rows from the source.
    pub bytes: u64,
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
            ..
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

    /// What all runs took until `now`.
    pub fn totals(&self, now: Instant) -> Totals {
        // While it is held no phase begins, which moves bytes from the one to the other.
        let held = self.place();
        let mut place = *held;
        place.time(None, now);
        let bytes = [&self.0.bytes_before, &self.0.bytes];
        let bytes = bytes.map(|bytes| bytes.load(Ordering::Relaxed));
        Totals {
            spent: place.spent,
            bytes: bytes.iter().sum::<u64>() + place.ahead.1,
        }
    }

    /// A run begins; it ends when what this returns is dropped.
    pub(crate) fn run<'a, C: Clock>(&'a self, clock: &'a C) -> Running<'a, C> {
        self.turn(Phase::Looking, clock.now());
        Running { meter: self, clock }
    }

    /// It looks on; the target is at `version` and the source at `head`.
    pub(crate) fn at(&self, version: Option<u64>, head: u64, now: Instant) {
        let mut place = self.place();
        (place.version, place.head) = (version, Some(head));
        place.time(Some(Phase::Looking), now);
    }

    /// A phase in which rows are counted anew.
    pub(crate) fn begin(&self, phase: Phase, rows_total: Option<u64>, now: Instant) {
        let mut place = self.place();
        let (_, dropped) = mem::take(&mut place.ahead);
        self.0.bytes_before.fetch_add(dropped, Ordering::Relaxed);
        self.count_from(&mut place, (phase, rows_total, now), (0, 0));
    }

    /// A phase that goes on with what was read while others were applied.
    pub(crate) fn begin_ahead(&self, phase: Phase, now: Instant) {
        let mut place = self.place();
        let ahead = mem::take(&mut place.ahead);
        self.count_from(&mut place, (phase, None, now), ahead);
    }

    fn count_from(
        &self,
        place: &mut Place,
        (phase, rows_total, now): (Phase, Option<u64>, Instant),
        (rows, bytes): (u64, u64),
    ) {
        (place.phase, place.rows_total) = (phase, rows_total);
        place.time(Some(phase), now);
        self.0.rows.store(rows, Ordering::Relaxed);
        let before = self.0.bytes.swap(bytes, Ordering::Relaxed);
        self.0.bytes_before.fetch_add(before, Ordering::Relaxed);
    }

    /// A phase that has no rows of its own.
    pub(crate) fn turn(&self, phase: Phase, now: Instant) {
        let mut place = self.place();
        place.phase = phase;
        place.time(Some(phase), now);
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
        let (rows, bytes) = (rows.num_rows() as u64, bytes as u64);
        let mut place = self.place();
        match place.phase {
            Phase::Applying => {
                place.ahead.0 += rows;
                place.ahead.1 += bytes;
            }
            _ => {
                self.0.rows.fetch_add(rows, Ordering::Relaxed);
                self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        // Whoever panicked left counters behind, nothing more.
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run whose time counts.
#[derive(Debug)]
pub(crate) struct Running<'a, C: Clock> {
    meter: &'a Meter,
    clock: &'a C,
}

impl<C: Clock> Drop for Running<'_, C> {
    fn drop(&mut self) {
        self.meter.place().time(None, self.clock.now());
    }
}

impl Place {
    /// From `now` on time goes to `phase`.
    fn time(&mut self, phase: Option<Phase>, now: Instant) {
        if let Some((phase, from)) = self.timed {
            let spent = match phase {
                Phase::Looking => &mut self.spent.looking,
                Phase::Loading => &mut self.spent.loading,
                Phase::Reading => &mut self.spent.reading,
                Phase::Applying => &mut self.spent.applying,
            };
            *spent += since(from, now);
        }
        self.timed = phase.map(|phase| (phase, now));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;

    use super::*;

    #[derive(Debug)]
    struct Stopped(Instant);

    impl Clock for Stopped {
        fn now(&self) -> Instant {
            self.0
        }

        async fn sleep(&self, _: Duration) {}
    }

    fn second(number: i64) -> Instant {
        Instant(number * 1_000_000)
    }

    #[test]
    fn time_goes_to_the_phase_it_is_spent_in_and_to_none_between_runs() {
        let meter = Meter::default();
        meter.turn(Phase::Looking, second(10));
        meter.at(Some(1), 2, second(11));
        meter.begin(Phase::Reading, None, second(13));
        meter.turn(Phase::Applying, second(17));
        meter.at(Some(2), 2, second(25));
        drop(Running {
            meter: &meter,
            clock: &Stopped(second(41)),
        });
        let seconds = Duration::from_secs;
        let mut spent = Spent {
            looking: seconds(3 + 16),
            loading: seconds(0),
            reading: seconds(4),
            applying: seconds(8),
        };
        assert_eq!(meter.totals(second(100)).spent, spent);
        let clock = Stopped(second(200));
        let _running = meter.run(&clock);
        meter.begin(Phase::Loading, None, second(200));
        spent.loading = seconds(32);
        assert_eq!(meter.totals(second(232)).spent, spent);
        // A clock that is set back takes nothing of it away.
        meter.turn(Phase::Applying, second(150));
        spent.loading = seconds(0);
        assert_eq!(meter.totals(second(150)).spent, spent);
    }

    #[test]
    fn bytes_of_all_phases_are_kept() {
        let meter = Meter::default();
        let column = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("id", column as _)]).unwrap();
        for _ in 0..3 {
            meter.begin(Phase::Reading, None, second(1));
            meter.add(&rows);
        }
        assert_eq!(meter.seen().bytes, 24);
        assert_eq!(meter.totals(second(1)).bytes, 72);
        // What is read ahead counts once, for the phase that goes on with it.
        meter.turn(Phase::Applying, second(2));
        meter.add(&rows);
        assert_eq!((meter.seen().rows, meter.seen().bytes), (3, 24));
        assert_eq!(meter.totals(second(2)).bytes, 96);
        meter.begin_ahead(Phase::Reading, second(3));
        assert_eq!((meter.seen().rows, meter.seen().bytes), (3, 24));
        assert_eq!(meter.totals(second(3)).bytes, 96);
        meter.turn(Phase::Applying, second(4));
        meter.add(&rows);
        meter.begin(Phase::Loading, None, second(5));
        assert_eq!((meter.seen().rows, meter.seen().bytes), (0, 0));
        assert_eq!(meter.totals(second(5)).bytes, 120);
    }
}
