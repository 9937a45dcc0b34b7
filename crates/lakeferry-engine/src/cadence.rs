//! When a job is due: what its schedule means, decided purely.

use std::{sync::Arc, time::Duration};

use lakeferry_model::{Calendar, Instant};

/// At most so much, and a tenth of the interval, lies between the first runs of jobs that are due
/// again and again, so that not all come at once.
const SPREAD_MAX: Duration = Duration::from_secs(30);

/// Times that passed are counted so far; more are as bad.
const PASSED_MAX: u64 = 1_000;

/// When a job runs by itself.
#[derive(Clone, Debug)]
pub enum Cadence {
    /// Never.
    OnCommand,
    /// So long after its last start, and soon after the start of all.
    Every(Duration),
    /// At these times.
    Calendar(Arc<dyn Calendar>),
    /// Whenever its source moves, and once at the start of all.
    Continuous,
}

impl Cadence {
    /// When a job is due first that is there since `now`; `chance`, from 0 to 1, tells jobs apart.
    pub(crate) fn first(&self, now: Instant, chance: f64) -> Option<Instant> {
        match self {
            Self::OnCommand => None,
            Self::Every(interval) => {
                let spread = (*interval / 10).min(SPREAD_MAX);
                Some(later(now, spread.mul_f64(chance)))
            }
            Self::Calendar(calendar) => calendar.next_after(now),
            Self::Continuous => Some(now),
        }
    }

    /// When a job is due that was started at `started`.
    pub(crate) fn next(&self, started: Instant) -> Option<Instant> {
        match self {
            Self::OnCommand | Self::Continuous => None,
            Self::Every(interval) => Some(later(started, *interval)),
            Self::Calendar(calendar) => calendar.next_after(started),
        }
    }

    /// How many times passed after `due`, until `now`, at which there would have been another run.
    pub(crate) fn passed(&self, due: Instant, now: Instant) -> u64 {
        match self {
            Self::OnCommand | Self::Continuous => 0,
            Self::Every(interval) => {
                let passed = since(due, now).as_micros() / interval.as_micros().max(1);
                u64::try_from(passed).unwrap_or(u64::MAX).min(PASSED_MAX)
            }
            Self::Calendar(calendar) => {
                let next = |at: &Instant| calendar.next_after(*at);
                let times = std::iter::successors(next(&due), next);
                let passed = times.take_while(|time| *time <= now);
                passed.zip(0..PASSED_MAX).count() as u64
            }
        }
    }
}

/// So long after a moment.
pub(crate) fn later(at: Instant, wait: Duration) -> Instant {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Instant(at.0.saturating_add(micros))
}

/// How long it is from one moment to a later one; nothing if it is not later.
pub(crate) fn since(from: Instant, until: Instant) -> Duration {
    let micros = until.0.saturating_sub(from.0);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: Instant = Instant(1_000_000);

    /// Every ten seconds, on the clock, for a minute.
    #[derive(Debug)]
    struct Tens;

    impl Calendar for Tens {
        fn next_after(&self, after: Instant) -> Option<Instant> {
            let next = (after.0.div_euclid(10_000_000) + 1) * 10_000_000;
            (next <= 60_000_000).then_some(Instant(next))
        }
    }

    fn tens() -> Cadence {
        Cadence::Calendar(Arc::new(Tens))
    }

    #[test]
    fn intervals_begin_soon_and_are_spread() {
        let every = Cadence::Every(MINUTE);
        assert_eq!(every.first(START, 0.0), Some(START));
        let half = Duration::from_secs(3);
        assert_eq!(every.first(START, 0.5), Some(later(START, half)));
        let rare = Cadence::Every(MINUTE * 60 * 24);
        assert_eq!(rare.first(START, 1.0), Some(later(START, SPREAD_MAX)));
        assert_eq!(every.next(START), Some(later(START, MINUTE)));
    }

    #[test]
    fn times_of_a_calendar_are_kept_whatever_the_chance() {
        for chance in [0.0, 0.9] {
            assert_eq!(tens().first(START, chance), Some(Instant(10_000_000)));
        }
        assert_eq!(tens().next(Instant(10_000_000)), Some(Instant(20_000_000)));
        assert_eq!(tens().next(Instant(60_000_000)), None);
    }

    #[test]
    fn by_command_is_never() {
        assert_eq!(Cadence::OnCommand.first(START, 0.5), None);
        assert_eq!(Cadence::OnCommand.next(START), None);
    }

    #[test]
    fn times_that_passed_are_counted() {
        for (cadence, until, expected) in [
            (
                Cadence::Every(MINUTE),
                later(START, MINUTE - Duration::from_micros(1)),
                0,
            ),
            (Cadence::Every(MINUTE), later(START, MINUTE * 3), 3),
            (
                Cadence::Every(Duration::from_secs(1)),
                later(START, MINUTE * 60),
                PASSED_MAX,
            ),
            (Cadence::Every(MINUTE), Instant(0), 0),
            (tens(), Instant(9_000_000), 0),
            (tens(), Instant(30_000_000), 3),
            (tens(), Instant(i64::MAX), 6),
        ] {
            assert_eq!(cadence.passed(START, until), expected, "{cadence:?}");
        }
    }
}
