//! How far jobs are, while they run: bars on a terminal, else a line a job every few seconds. To
//! stderr, in no colour.

#![allow(
    clippy::print_stderr,
    reason = "lines are what this file prints where there is no terminal"
)]

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lakeferry_engine::{Meter, Phase, Seen};

use crate::{
    arguments::Format,
    commands::wording::{bytes_wording, seconds_wording, thousands},
};

/// How often bars move, and how often lines come.
const TICK: Duration = Duration::from_millis(200);
const LINES: Duration = Duration::from_secs(5);

/// The share of the newest tick in a rate: about the last ten count.
const NEWEST: f64 = 0.1;

/// Shows jobs until it is dropped.
pub(crate) struct Display {
    jobs: Vec<Job>,
    bars: Option<MultiProgress>,
}

struct Job {
    name: String,
    meter: Meter,
    bar: Option<ProgressBar>,
    last: Option<Seen>,
    rows_per_second: f64,
}

impl Display {
    /// For people only; nothing with `--output json`.
    pub(crate) fn new(format: Format, jobs: Vec<(String, Meter)>) -> Option<Self> {
        if format == Format::Json {
            return None;
        }
        let jobs = jobs.into_iter().map(|(name, meter)| Job {
            name,
            meter,
            bar: None,
            last: None,
            rows_per_second: 0.0,
        });
        Some(Self {
            jobs: jobs.collect(),
            bars: std::io::stderr().is_terminal().then(MultiProgress::new),
        })
    }

    /// Goes on for ever.
    pub(crate) async fn show(&mut self) {
        let tick = match self.bars {
            Some(_) => TICK,
            None => LINES,
        };
        loop {
            tokio::time::sleep(tick).await;
            for job in &mut self.jobs {
                let Some(told) = job.look(tick) else {
                    continue;
                };
                match &self.bars {
                    Some(bars) => job.draw(bars, told),
                    None => eprintln!("{}: {told}", job.name),
                }
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // A terminal that is gone needs no cleaning.
            let _ = bars.clear();
        }
    }
}

impl Job {
    /// What is to be said now, `tick` after the last look; nothing while the job waits.
    fn look(&mut self, tick: Duration) -> Option<String> {
        let seen = self.meter.seen();
        let before = self
            .last
            .replace(seen)
            .filter(|before| before.phase == seen.phase);
        let come = before.map_or(0, |before| seen.rows.saturating_sub(before.rows));
        let newest = come as f64 / tick.as_secs_f64();
        self.rows_per_second = match before {
            Some(_) if tick < LINES => self.rows_per_second * (1.0 - NEWEST) + newest * NEWEST,
            _ => newest,
        };
        if seen.phase == Phase::Looking {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return None;
        }
        Some(told(&seen, self.rows_per_second))
    }

    fn draw(&mut self, bars: &MultiProgress, told: String) {
        let Seen {
            rows, rows_total, ..
        } = self.meter.seen();
        let bar = self.bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::no_length());
            bar.set_prefix(self.name.clone());
            bar
        });
        let template = match rows_total {
            Some(_) => "{prefix} [{bar:24}] {msg}",
            None => "{prefix} {spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        if let Some(total) = rows_total {
            bar.set_length(total.max(rows));
        }
        bar.set_position(rows);
        bar.set_message(told);
        bar.tick();
    }
}

/// `loading 1,200,000 of 6,000,000 rows, 98 MB, 240,000 rows/s, 20 s left`.
fn told(seen: &Seen, rows_per_second: f64) -> String {
    let rows = thousands(seen.rows);
    let amount = match seen.rows_total {
        Some(total) => format!("{rows} of {} rows", thousands(total)),
        None => format!("{rows} rows"),
    };
    let bytes = bytes_wording(seen.bytes);
    let rate = thousands(rows_per_second as u64);
    let way = match (seen.version, seen.head) {
        (Some(version), Some(head)) => format!(" (version {version} of {head})"),
        _ => String::new(),
    };
    match seen.phase {
        Phase::Looking => "looking".to_owned(),
        Phase::Applying => format!("applying {amount}{way}"),
        Phase::Reading => format!("reading changes, {amount}, {bytes}, {rate} rows/s{way}"),
        Phase::Loading => {
            let left = seen.rows_total.map(|total| total.saturating_sub(seen.rows));
            let left = match left {
                Some(left) if rows_per_second >= 1.0 => {
                    format!(", {} left", seconds_wording(left as f64 / rows_per_second))
                }
                _ => String::new(),
            };
            format!("loading {amount}, {bytes}, {rate} rows/s{left}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADING: Seen = Seen {
        phase: Phase::Loading,
        rows: 1_200_000,
        bytes: 98_304_000,
        rows_total: Some(6_000_000),
        version: None,
        head: Some(7),
    };

    #[test]
    fn lines_tell_amounts_rates_and_what_is_left() {
        let without_total = Seen {
            rows_total: None,
            ..LOADING
        };
        let changes = Seen {
            phase: Phase::Reading,
            version: Some(5),
            rows: 12,
            bytes: 800,
            ..without_total
        };
        let applying = Seen {
            phase: Phase::Applying,
            ..changes
        };
        for (seen, rate, expected) in [
            (
                LOADING,
                240_000.0,
                "loading 1,200,000 of 6,000,000 rows, 98.3 MB, 240,000 rows/s, 20 s left",
            ),
            (
                LOADING,
                0.0,
                "loading 1,200,000 of 6,000,000 rows, 98.3 MB, 0 rows/s",
            ),
            (
                without_total,
                1_000.0,
                "loading 1,200,000 rows, 98.3 MB, 1,000 rows/s",
            ),
            (
                changes,
                6.0,
                "reading changes, 12 rows, 800 bytes, 6 rows/s (version 5 of 7)",
            ),
            (applying, 0.0, "applying 12 rows (version 5 of 7)"),
        ] {
            assert_eq!(told(&seen, rate), expected);
        }
    }

    #[test]
    fn programs_are_shown_nothing() {
        assert!(Display::new(Format::Json, Vec::new()).is_none());
    }
}
