//! Amounts with a unit or a range: bytes, shares of a table, counts, times.

use std::{fmt, time::Duration};

use crate::{problem::Fault, secret::shown};

/// Units of memory, in bytes.
const MEMORY_UNITS: [(&str, u64); 6] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];
const LEAST_MEMORY_BYTES: u64 = 1_000_000;
const MOST_MEMORY_BYTES: u64 = 1 << 40;
/// One run's own, one that renews its lease, and one that loads.
const LEAST_CONNECTIONS: u32 = 3;
const MOST_CONNECTIONS: u32 = 1_000;
const MOST_RUNS: u32 = 256;

/// Units of time, in seconds.
const TIME_UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", DAY_SECONDS)];
const HOUR_SECONDS: u64 = 3_600;
const DAY_SECONDS: u64 = 86_400;

/// When reading the whole table is preferred to reading its changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RefreshAbove {
    /// When it is estimated to cost less.
    Cost,
    /// When the changes are larger than this share of the table, from 0 to 1.
    Share(f64),
}

impl RefreshAbove {
    /// Reads `0.5`, `50%` or `cost`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("cost") {
            return Ok(Self::Cost);
        }
        parse_share(text).map(Self::Share).ok_or_else(|| {
            Fault::new(
                format!("{} is not a share of a table", shown(text)),
                "write a number from 0 to 1, a percentage such as 50%, or cost",
            )
        })
    }
}

/// Reads `0.5` or `50%`, a share from 0 to 1.
pub(crate) fn parse_share(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok()?;
    (0.0..=whole).contains(&share).then_some(share / whole)
}

impl fmt::Display for RefreshAbove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cost => f.write_str("cost"),
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

/// How many rows may be in quarantine: as many as the larger of the two allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxQuarantined {
    pub rows: u64,
    /// Of the target's rows, from 0 to 1.
    pub share: f64,
}

impl Default for MaxQuarantined {
    fn default() -> Self {
        let (rows, share) = (100, 0.001);
        Self { rows, share }
    }
}

impl MaxQuarantined {
    /// Reads `100`, `0.1%` or `100 or 0.1%`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let mut most = Self {
            rows: 0,
            share: 0.0,
        };
        for part in text.split(" or ").map(str::trim) {
            let is_read = match part.ends_with('%') {
                true => parse_share(part).map(|share| most.share = share).is_some(),
                false => part.parse().map(|rows| most.rows = rows).is_ok(),
            };
            if !is_read {
                return Err(Fault::new(
                    format!("{} is not a number of rows", shown(text)),
                    "write a number of rows, a percentage of the table, or both: 100 or 0.1%",
                ));
            }
        }
        Ok(most)
    }
}

/// Reads an amount of memory, `64MB` (millions of bytes) or `64MiB` (2²⁰ bytes), into bytes.
pub(crate) fn parse_memory_bytes(text: &str) -> Result<u64, Fault> {
    let fault = || {
        let what = format!(
            "{} is not an amount of memory from 1MB to 1TiB",
            shown(text)
        );
        Fault::new(what, "write a whole number with a unit: 64MB, 64MiB, 1GB")
    };
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(fault)?;
    let (number, unit) = lower.split_at(digits);
    let unit = MEMORY_UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start());
    let number: u64 = number.parse().map_err(|_| fault())?;
    unit.and_then(|(_, bytes)| number.checked_mul(*bytes))
        .filter(|bytes| (LEAST_MEMORY_BYTES..=MOST_MEMORY_BYTES).contains(bytes))
        .ok_or_else(fault)
}

/// Reads how many connections a target may have open at once.
pub(crate) fn parse_connections(text: &str) -> Result<Option<u32>, Fault> {
    match text.trim().parse() {
        Ok(count @ LEAST_CONNECTIONS..=MOST_CONNECTIONS) => Ok(Some(count)),
        Err(_) if text.trim().eq_ignore_ascii_case("auto") => Ok(None),
        _ => Err(Fault::new(
            format!("{} is not a number of connections", shown(text)),
            format!("write a whole number from {LEAST_CONNECTIONS} to {MOST_CONNECTIONS}, or auto"),
        )),
    }
}

/// Reads how many runs there may be at once.
pub(crate) fn parse_runs(text: &str) -> Result<u32, Fault> {
    match text.trim().parse() {
        Ok(count @ 1..=MOST_RUNS) => Ok(count),
        _ => Err(Fault::new(
            format!("{} is not a number of runs", shown(text)),
            format!("write a whole number from 1 to {MOST_RUNS}"),
        )),
    }
}

/// Reads a time of at most an hour: `30s`, `2m`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, Fault> {
    match parse_seconds(text) {
        Some(seconds @ 1..=HOUR_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(Fault::new(
            format!("{} is not a time from 1s to 1h", shown(text)),
            "write a whole number with a unit: 30s, 2m, 1h",
        )),
    }
}

/// Reads how long the steps of a filter are: `5m`, `1d`.
pub(crate) fn parse_step(text: &str) -> Result<Duration, Fault> {
    match parse_seconds(text) {
        Some(seconds @ 1..=DAY_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(Fault::new(
            format!("{} is not a time from 1s to 1d", shown(text)),
            "write a whole number with a unit: 30s, 5m, 1h, 1d",
        )),
    }
}

fn parse_seconds(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    TIME_UNITS.iter().find_map(|(unit, seconds)| {
        let number = lower.strip_suffix(unit)?.trim_end();
        number.parse::<u64>().ok()?.checked_mul(*seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        MaxQuarantined, RefreshAbove, parse_connections, parse_memory_bytes, parse_runs,
        parse_step, parse_time,
    };

    #[test]
    fn rows_or_a_share_may_be_in_quarantine() {
        for (text, expected) in [
            ("100 or 0.1%", Some((100, 0.001))),
            ("0", Some((0, 0.0))),
            ("5", Some((5, 0.0))),
            ("2 %", Some((0, 0.02))),
            ("100 or 101%", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("many", None),
        ] {
            let most = MaxQuarantined::parse(text).ok();
            assert_eq!(most.map(|most| (most.rows, most.share)), expected, "{text}");
        }
        let default = MaxQuarantined::parse("100 or 0.1%").ok();
        assert_eq!(default, Some(MaxQuarantined::default()));
    }

    #[test]
    fn steps_are_a_day_at_most() {
        for (text, expected) in [
            ("1s", Some(1)),
            ("24h", Some(86_400)),
            ("1d", Some(86_400)),
            ("0s", None),
            ("2d", None),
            ("25h", None),
            ("day", None),
        ] {
            let seconds = parse_step(text).ok().map(|step| step.as_secs());
            assert_eq!(seconds, expected, "{text}");
        }
    }

    #[test]
    fn times_have_a_unit_and_bounds() {
        for (text, expected) in [
            ("30s", Some(30)),
            ("1 s", Some(1)),
            ("2M", Some(120)),
            ("1h", Some(3_600)),
            ("0s", None),
            ("2h", None),
            ("1d", None),
            ("30", None),
            ("1.5s", None),
            ("-1s", None),
            ("18446744073709551615h", None),
            ("s", None),
            ("", None),
        ] {
            let seconds = parse_time(text).ok().map(|time| time.as_secs());
            assert_eq!(seconds, expected, "{text}");
        }
    }

    #[test]
    fn shares_are_numbers_percentages_or_cost() {
        for (text, expected) in [
            ("0.5", Some(RefreshAbove::Share(0.5))),
            ("50%", Some(RefreshAbove::Share(0.5))),
            ("0", Some(RefreshAbove::Share(0.0))),
            ("1", Some(RefreshAbove::Share(1.0))),
            ("100 %", Some(RefreshAbove::Share(1.0))),
            ("COST", Some(RefreshAbove::Cost)),
            ("1.01", None),
            ("101%", None),
            ("-0.1", None),
            ("nan", None),
            ("inf", None),
            ("half", None),
            ("", None),
        ] {
            assert_eq!(RefreshAbove::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn memory_has_a_unit_and_bounds() {
        for (text, expected) in [
            ("64MB", Some(64_000_000)),
            ("64 mib", Some(67_108_864)),
            ("1GB", Some(1_000_000_000)),
            ("1024GiB", Some(1 << 40)),
            ("1000KB", Some(1_000_000)),
            ("999KB", None),
            ("1025GiB", None),
            ("64", None),
            ("MB", None),
            ("6.4MB", None),
            ("-1MB", None),
            ("64M", None),
            ("99999999999999999999GB", None),
            ("18446744073709551615GB", None),
            ("", None),
        ] {
            assert_eq!(parse_memory_bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn runs_have_bounds() {
        for (text, expected) in [
            ("1", Some(1)),
            ("256", Some(256)),
            ("0", None),
            ("257", None),
        ] {
            assert_eq!(parse_runs(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn connections_have_bounds() {
        for (text, expected) in [
            ("3", Some(Some(3))),
            ("1000", Some(Some(1000))),
            ("auto", Some(None)),
            ("2", None),
            ("1001", None),
            ("1.5", None),
        ] {
            assert_eq!(parse_connections(text).ok(), expected, "{text}");
        }
    }
}
