//! Times by the fields of cron, in a time zone.
//!
//! The crate knows the fields; what they mean where clocks are set is decided here, as Vixie's cron
//! does. Where hour and minute are given (`30 2 * * *`), a job runs once a day: at the first of two
//! equal times, and right after the gap if the time falls into one. Where one of them is `*`, it runs
//! by the time that passes: in both of two equal hours, and not in one that is left out.

use std::{fmt, sync::Arc};

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::{
    Cron as Pattern, JobType,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use lakeferry_model::Instant;

use crate::{problem::Fault, secret::shown};

/// In steps of so many hours a change of the clock is looked for; two are never nearer.
const STEP_HOURS: i64 = 12;

/// Times of the day, days, months and weekdays, checked.
#[derive(Clone)]
pub struct Cron {
    text: String,
    pattern: Arc<Pattern>,
}

/// Two are equal if they are written so.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    /// Reads minute, hour, day of the month, month and day of the week, with the second before them
    /// where there are six.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        const HINT: &str = "write minute, hour, day of month, month and day of week, such as \
            \"30 2 * * MON-FRI\"";
        let fault = |why: &str| {
            Fault::new(
                format!("{} is not a cron schedule: {why}", shown(text)),
                HINT,
            )
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let pattern = parser.parse(text).map_err(|error| fault(&told(&error)))?;
        let cron = Self {
            text: text.to_owned(),
            pattern: Arc::new(pattern),
        };
        let any = DateTime::<Utc>::UNIX_EPOCH.naive_utc();
        match cron.on_the_wall(any, true) {
            Some(_) => Ok(cron),
            None => Err(fault("no day is like that")),
        }
    }

    /// The first of its times after `after`, where the clock on the wall is that of `zone`.
    pub fn next_after(&self, after: Instant, zone: Tz) -> Option<Instant> {
        let after = DateTime::from_timestamp_micros(after.0)?;
        let next = Wall { cron: self, zone }.next(after)?;
        Some(Instant(next.timestamp_micros()))
    }

    /// The first time that fits, at or after `from` if `inclusive`, on a clock that is never set.
    fn on_the_wall(&self, from: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        let found = self
            .pattern
            .find_next_occurrence(&from.and_utc(), inclusive);
        found.ok().map(|found| found.naive_utc())
    }
}

/// What is wrong with a pattern; some errors of the crate say it, others are only named.
fn told(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(why)
        | CronError::IllegalCharacters(why)
        | CronError::ComponentError(why) => why.trim_end_matches('.').to_lowercase(),
        other => other.to_string().trim_end_matches('.').to_lowercase(),
    }
}

/// The times of a cron on the clock of a zone.
struct Wall<'a> {
    cron: &'a Cron,
    zone: Tz,
}

impl Wall<'_> {
    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let by_day = self.cron.pattern.determine_job_type() == JobType::FixedTime;
        let (mut from, mut after) = (self.local(after), after);
        let mut inclusive = false;
        loop {
            // As if the clock were not set any more.
            let local = self.cron.on_the_wall(from, inclusive)?;
            let offset = self.offset(after);
            let found = (local - offset).and_utc();
            let Some(set) = self.first_change(after, found) else {
                if by_day && self.is_second(local, found) {
                    (from, inclusive) = (local, false);
                    continue;
                }
                return Some(found);
            };
            let (before, now) = (set.naive_utc() + offset, self.local(set));
            if by_day && local < now {
                // It is one of those that were left out.
                return Some(set);
            }
            // Of those that come twice, what runs by the day ran before the clock was set.
            from = if by_day { before.max(now) } else { now };
            (after, inclusive) = (set, true);
        }
    }

    /// What clocks in UTC lack.
    fn offset(&self, at: DateTime<Utc>) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        TimeDelta::seconds(offset.local_minus_utc().into())
    }

    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc() + self.offset(at)
    }

    /// Whether clocks showed `local` already before `found`.
    fn is_second(&self, local: NaiveDateTime, found: DateTime<Utc>) -> bool {
        let earliest = self.zone.from_local_datetime(&local).earliest();
        earliest.is_some_and(|earliest| earliest.to_utc() < found)
    }

    /// When clocks are set, after `from` and not after `until`: the first second of another offset.
    fn first_change(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = self.offset(from);
        let (mut left, mut right) = (from, from);
        while self.offset(right) == offset {
            if right >= until {
                return None;
            }
            left = right;
            right = (right + TimeDelta::hours(STEP_HOURS)).min(until);
        }
        while right - left > TimeDelta::seconds(1) {
            let middle = left + TimeDelta::seconds((right - left).num_seconds() / 2);
            if self.offset(middle) == offset {
                left = middle;
            } else {
                right = middle;
            }
        }
        // Offsets begin at whole seconds.
        Some(DateTime::from_timestamp(right.timestamp(), 0).unwrap_or(right))
    }
}

#[cfg(test)]
mod tests;
