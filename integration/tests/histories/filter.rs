//! The filters of jobs, in SQL and once more by themselves.

use crate::ledger::{HOT, NUMBER, Row, SEEN};

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    All,
    Hot,
    Small,
    /// Looks at the time of day.
    Recent,
    /// Looks at the date.
    Days,
    /// Time lets rows go only if another column does not hold them, which most of those do that are
    /// not null.
    Either,
}

impl Filter {
    /// Those that jobs have, some more often than others.
    pub(crate) const CHOICE: [Self; 10] = [
        Self::All,
        Self::All,
        Self::Hot,
        Self::Small,
        Self::Recent,
        Self::Recent,
        Self::Days,
        Self::Either,
        Self::Either,
        Self::Either,
    ];

    pub(crate) fn sql(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Hot => Some("hot"),
            Self::Small => Some("number IS NULL OR number < 50"),
            Self::Recent => Some(
                "hot = true AND (seen IS NULL OR seen > CURRENT_TIMESTAMP - INTERVAL 48 HOURS)",
            ),
            Self::Days => Some("CAST(seen AS DATE) >= CURRENT_DATE - INTERVAL 2 DAYS"),
            Self::Either => Some("seen > CURRENT_TIMESTAMP - INTERVAL 48 HOURS OR number > -100"),
        }
    }

    /// Whether it is TRUE for a row at this instant.
    pub(crate) fn passes(self, row: &Row, instant: i64) -> bool {
        let hot = || row.cells.get(&HOT).is_some_and(|hot| hot == "true");
        let number = |identity: u64| row.cells.get(&identity)?.parse::<i64>().ok();
        let fresh = |seen: i64| seen > instant - 48 * HOUR;
        match self {
            Self::All => true,
            Self::Hot => hot(),
            Self::Small => number(NUMBER).is_none_or(|number| number < 50),
            Self::Recent => hot() && number(SEEN).is_none_or(fresh),
            Self::Days => {
                let day = |micros: i64| micros.div_euclid(DAY);
                number(SEEN).is_some_and(|seen| day(seen) >= day(instant) - 2)
            }
            Self::Either => {
                number(SEEN).is_some_and(fresh) || number(NUMBER).is_some_and(|held| held > -100)
            }
        }
    }

    pub(crate) fn is_timed(self) -> bool {
        matches!(self, Self::Recent | Self::Days | Self::Either)
    }

    /// The latest instant, not after `now`, that a job with this filter has to be at.
    pub(crate) fn due(self, now: i64) -> i64 {
        let step = match self {
            Self::Days => DAY,
            _ => HOUR,
        };
        now.div_euclid(step) * step
    }
}
