//! Time in a filter: which filters depend on it, and what its functions are at one instant.
//!
//! CURRENT_DATE and CURRENT_TIMESTAMP are those of the watermark's instant, never of the machine.
//! Instants come in steps, so that rows do not move at every look: a filter that only asks for the
//! date moves with the date, in the job's time zone.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use datafusion::{
    common::tree_node::{Transformed, TreeNode as _},
    error::DataFusionError,
    logical_expr::Expr,
    scalar::ScalarValue,
    sql::sqlparser::ast::{self, visit_expressions},
};
use lakeferry_model::Instant;

/// A step of this length is a day of the time zone, however long that is.
const DAY: Duration = Duration::from_secs(86_400);

/// Steps where nothing says how long they are.
const USUAL: Duration = Duration::from_secs(300);

/// The functions that [`settled`] gives values, as DataFusion calls them.
pub(super) const FUNCTIONS: [&str; 2] = ["current_date", "now"];

const DATES: [&str; 2] = ["current_date", "today"];
const MOMENTS: [&str; 2] = ["current_timestamp", "now"];

/// What a filter asks of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing but the date.
    Date,
    Moment,
}

/// What `ast` asks of the time; nothing if it does not depend on it.
pub(crate) fn asked(ast: &ast::Expr) -> Option<Asks> {
    let mut asks = None;
    let walk = visit_expressions(ast, |expr| {
        if let ast::Expr::Function(call) = expr {
            let name = call.name.to_string().to_lowercase();
            let is_in = |names: [&str; 2]| names.contains(&name.trim_matches('"'));
            if is_in(MOMENTS) {
                asks = Some(Asks::Moment);
            } else if is_in(DATES) {
                asks = asks.or(Some(Asks::Date));
            }
        }
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(walk.is_continue(), "nothing stops the walk");
    asks
}

/// The step in which `now` is: its first instant.
pub(crate) fn cut(asks: Asks, now: Instant, zone: Tz, every: Option<Duration>) -> Instant {
    let every = every.unwrap_or(USUAL);
    if asks == Asks::Date || every >= DAY {
        return first_of_day(now, zone);
    }
    let step = i64::try_from(every.as_micros().max(1)).unwrap_or(i64::MAX);
    Instant(now.0.div_euclid(step).saturating_mul(step))
}

/// The first instant of the date that it is at `now`.
fn first_of_day(now: Instant, zone: Tz) -> Instant {
    let Some(date) = date(now, zone) else {
        return now;
    };
    let first = first_at(date.and_time(NaiveTime::MIN), zone);
    first.map_or(now, |first| Instant(first.min(now.0)))
}

/// When clocks in `zone` show `local`, in microseconds. Where they are set forward over it, it is
/// read as if they had not been yet, as in Spark; where it comes twice, the first is meant.
pub(crate) fn first_at(local: chrono::NaiveDateTime, zone: Tz) -> Option<i64> {
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return Some(moment.timestamp_micros());
    }
    // Nowhere are clocks set forward by a day but where a day is left out.
    let before = local.checked_sub_signed(TimeDelta::days(1))?;
    let before = zone.from_local_datetime(&before).latest()?;
    before
        .checked_add_signed(TimeDelta::days(1))
        .map(|moment| moment.timestamp_micros())
}

/// The date that it is at `now`.
fn date(now: Instant, zone: Tz) -> Option<NaiveDate> {
    let moment = DateTime::<Utc>::from_timestamp_micros(now.0)?;
    Some(moment.with_timezone(&zone).date_naive())
}

/// `expr`, with values for the functions of time.
pub(super) fn settled(expr: Expr, now: Instant, zone: Tz) -> Result<Expr, DataFusionError> {
    let transformed = expr.transform_up(|expr| {
        let Expr::ScalarFunction(call) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let value = match call.func.name() {
            "current_date" => ScalarValue::Date32(Some(days(now, zone)?)),
            "now" => ScalarValue::TimestampMicrosecond(Some(now.0), Some(Arc::from(zone.name()))),
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    });
    transformed.map(|transformed| transformed.data)
}

fn days(now: Instant, zone: Tz) -> Result<i32, DataFusionError> {
    let days = date(now, zone).map(|date| date.signed_duration_since(NaiveDate::default()));
    days.and_then(|days| i32::try_from(days.num_days()).ok())
        .ok_or_else(|| DataFusionError::Execution(format!("{} has no date", now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Instant {
        Instant(text.parse::<DateTime<Utc>>().unwrap().timestamp_micros())
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        for (zone, now, wanted) in [
            ("UTC", "2024-02-29T23:59:59.999999Z", "2024-02-29T00:00:00Z"),
            (
                "Europe/Oslo",
                "2024-07-01T21:59:59Z",
                "2024-06-30T22:00:00Z",
            ),
            (
                "Europe/Oslo",
                "2024-07-01T22:00:00Z",
                "2024-07-01T22:00:00Z",
            ),
            (
                "Pacific/Apia",
                "2024-01-01T10:30:00Z",
                "2023-12-31T11:00:00Z",
            ),
            // Midnight is left out: clocks go from 23:59:59 to 01:00.
            (
                "Asia/Beirut",
                "2023-03-26T12:00:00Z",
                "2023-03-25T22:00:00Z",
            ),
            (
                "America/Santiago",
                "2024-09-08T12:00:00Z",
                "2024-09-08T04:00:00Z",
            ),
            // Midnight comes twice: clocks go from 01:00 back to 00:00.
            (
                "America/Havana",
                "2024-11-03T12:00:00Z",
                "2024-11-03T04:00:00Z",
            ),
            (
                "America/Havana",
                "2024-11-03T04:30:00Z",
                "2024-11-03T04:00:00Z",
            ),
        ] {
            let tz: Tz = zone.parse().unwrap();
            for asks in [(Asks::Date, None), (Asks::Moment, Some(DAY))] {
                let cut = cut(asks.0, instant(now), tz, asks.1);
                assert_eq!(cut, instant(wanted), "{zone} {now}");
            }
        }
    }

    /// Through two years, every seven hours: a step never changes the date, and cutting is settled.
    #[test]
    fn a_step_has_the_date_of_its_first_instant() {
        let start = instant("2023-01-01T00:00:00Z").0;
        for zone in [
            "UTC",
            "Asia/Beirut",
            "America/Havana",
            "Asia/Kolkata",
            "Africa/Cairo",
        ] {
            let zone: Tz = zone.parse().unwrap();
            for step in 0..2_500 {
                let now = Instant(start + step * 25_200_000_000);
                let first = cut(Asks::Date, now, zone, None);
                assert!(first <= now);
                assert_eq!(date(first, zone), date(now, zone), "{zone} {now:?}");
                assert_eq!(cut(Asks::Date, first, zone, None), first, "{zone} {now:?}");
            }
        }
    }

    #[test]
    fn shorter_steps_are_counted_from_1970() {
        let cut = |now: i64, every: Option<u64>| {
            let every = every.map(Duration::from_secs);
            cut(Asks::Moment, Instant(now * 1_000_000), Tz::UTC, every).0 / 1_000_000
        };
        assert_eq!(cut(7_199, Some(3_600)), 3_600);
        assert_eq!(cut(7_200, Some(3_600)), 7_200);
        assert_eq!(cut(-1, Some(3_600)), -3_600);
        assert_eq!(cut(601, None), 600);
    }
}
