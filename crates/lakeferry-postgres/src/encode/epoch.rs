//! From days and microseconds since 1970 to those since 2000, and the ends of what Postgres holds
//! (`src/include/datatype/timestamp.h`).

use std::ops::RangeInclusive;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Dates that Postgres holds, in days since 1970: the first is 4714-11-24 BC, Julian day 0; the
/// last lies in 5874898 AD (`IS_VALID_DATE`).
pub(crate) const DATES: RangeInclusive<i32> = -2_451_545 + EPOCH_DAYS..=2_145_031_948 + EPOCH_DAYS;

/// Timestamps that Postgres holds, in microseconds since 1970: from 4714-11-24 BC
/// (`MIN_TIMESTAMP`). The last one, of 294276 AD, lies above what 64 bits since 1970 reach.
pub(crate) const TIMESTAMPS: RangeInclusive<i64> =
    -211_813_488_000_000_000 + EPOCH_MICROS..=i64::MAX;

/// `days` must be in [`DATES`]; else the result means nothing.
#[inline]
pub(super) fn date(days: i32) -> i32 {
    days.wrapping_sub(EPOCH_DAYS)
}

/// The way back, of what the server holds.
pub(crate) fn days_since_1970(date: i32) -> Option<i32> {
    date.checked_add(EPOCH_DAYS)
}

/// `micros` must be in [`TIMESTAMPS`]; else the result means nothing.
#[inline]
pub(super) fn timestamp(micros: i64) -> i64 {
    micros.wrapping_sub(EPOCH_MICROS)
}

/// The way back.
pub(crate) fn micros_since_1970(timestamp: i64) -> Option<i64> {
    timestamp.checked_add(EPOCH_MICROS)
}

/// As [`timestamp`], for values that were not checked.
pub(crate) fn checked_timestamp(micros: i64) -> Option<i64> {
    TIMESTAMPS.contains(&micros).then(|| timestamp(micros))
}
