//! When a job runs.

mod cron;

use std::{fmt, time::Duration};

pub use self::cron::Cron;
use crate::{problem::Fault, secret::shown, suggest};

/// Units of time, in seconds, greatest first.
const UNITS: [(&str, u64); 5] = [
    ("WEEK", 604_800),
    ("DAY", 86_400),
    ("HOUR", 3_600),
    ("MINUTE", 60),
    ("SECOND", 1),
];

/// The longest interval: a year. Longer ones are slips.
const LONGEST_SECONDS: u64 = 366 * 86_400;

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Only when a command says so.
    OnCommand,
    /// Again and again, this long after the last start; whole seconds, from one second to 366
    /// days.
    Every(Duration),
    /// When the clock on the wall, in the job's time zone, shows one of these times.
    Cron(Cron),
}

impl Schedule {
    /// Reads `EVERY n UNIT` or `none`, in upper or lower case, or the five or six fields of cron.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        const HINT: &str = "write EVERY n SECONDS, MINUTES, HOURS, DAYS or WEEKS, five or six \
            fields of cron, or none";
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [none] if none.eq_ignore_ascii_case("none") => Ok(Self::OnCommand),
            [every, count, unit] if every.eq_ignore_ascii_case("every") => {
                let unit_seconds = unit_seconds(unit)?;
                let seconds = count
                    .parse()
                    .ok()
                    .and_then(|n: u64| n.checked_mul(unit_seconds));
                match seconds {
                    Some(seconds @ 1..=LONGEST_SECONDS) => {
                        Ok(Self::Every(Duration::from_secs(seconds)))
                    }
                    _ => Err(Fault::new(
                        format!("{} is not a number of intervals up to a year", shown(count)),
                        HINT,
                    )),
                }
            }
            [_, _, _, _, _] | [_, _, _, _, _, _] => Cron::parse(&words.join(" ")).map(Self::Cron),
            _ => Err(Fault::new(
                format!("{} is not a schedule", shown(text)),
                HINT,
            )),
        }
    }
}

fn unit_seconds(unit: &str) -> Result<u64, Fault> {
    let upper = unit.to_ascii_uppercase();
    let singular = upper.strip_suffix('S').unwrap_or(&upper);
    UNITS
        .iter()
        .find(|(name, _)| *name == singular)
        .map(|(_, seconds)| *seconds)
        .ok_or_else(|| {
            let known = ["SECONDS", "MINUTES", "HOURS", "DAYS", "WEEKS"];
            let hint = suggest::hint(unit, known, "known units");
            Fault::new(format!("unknown unit of time {}", shown(unit)), hint)
        })
}

/// As it would be written, in the greatest unit that fits.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = match self {
            Self::OnCommand => return f.write_str("none"),
            Self::Cron(cron) => return write!(f, "{cron}"),
            Self::Every(interval) => interval,
        };
        let seconds = interval.as_secs();
        let fitting = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
        let (name, unit) = fitting.copied().unwrap_or(("SECOND", 1));
        let count = seconds / unit;
        write!(
            f,
            "EVERY {count} {name}{}",
            if count == 1 { "" } else { "S" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn schedules_are_read_and_shown() {
        for (text, expected) in [
            ("EVERY 5 MINUTES", Some("EVERY 5 MINUTES")),
            ("every 1 minute", Some("EVERY 1 MINUTE")),
            (" EVERY  90   SECONDS ", Some("EVERY 90 SECONDS")),
            ("EVERY 120 SECONDS", Some("EVERY 2 MINUTES")),
            ("EVERY 24 HOURS", Some("EVERY 1 DAY")),
            ("EVERY 366 DAYS", Some("EVERY 366 DAYS")),
            ("EVERY 2 WEEKS", Some("EVERY 2 WEEKS")),
            ("none", Some("none")),
            ("EVERY 367 DAYS", None),
            ("EVERY 0 MINUTES", None),
            ("EVERY -1 MINUTES", None),
            ("EVERY 1.5 HOURS", None),
            ("EVERY 99999999999999999999 WEEKS", None),
            ("EVERY 18446744073709551615 WEEKS", None),
            ("EVERY 5 MINUTS", None),
            ("EVERY MINUTE", None),
            ("5 MINUTES", None),
            (" */5  * * * *", Some("*/5 * * * *")),
            ("30 0 2 * * MON-FRI", Some("30 0 2 * * MON-FRI")),
            ("0 25 * * *", None),
            ("0 0 30 2 *", None),
            ("0 0 0 1 1 * 2030", None),
            ("@daily", None),
            ("", None),
        ] {
            let shown = Schedule::parse(text)
                .ok()
                .map(|schedule| schedule.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
