//! What has arrived so far, and how the live view shows it.

use std::{collections::VecDeque, time::Duration};

use crate::{
    lags::Lags,
    lake::{Commit, Kind},
};

/// Commits that the view lists.
const LISTED: usize = 6;
/// Lags that the view draws.
const BARS: usize = 48;

/// Counts of what the reader has seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Rows in the target, from the reader's count after the fill on.
    pub(crate) rows: u64,
    pub(crate) commits: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) lags: Lags,
    /// The newest last.
    newest: VecDeque<String>,
}

impl Tally {
    pub(crate) fn after_fill(rows: u64) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Adds a commit whose rows were seen `lag` after it; gives its line.
    pub(crate) fn arrived(&mut self, commit: &Commit, lag: Duration) -> String {
        let Commit {
            version,
            kind,
            rows,
            ..
        } = commit;
        match kind {
            Kind::Insert => {
                self.inserted += rows;
                self.rows += rows;
            }
            Kind::Update => self.updated += rows,
            Kind::Delete => {
                self.deleted += rows;
                self.rows = self.rows.saturating_sub(*rows);
            }
        }
        self.commits += 1;
        self.lags.add(lag);
        let line = format!(
            "version {version:>4}  {}  {rows:>5} rows  visible after {:>5} ms",
            verb(*kind),
            lag.as_millis()
        );
        if self.newest.len() == LISTED {
            self.newest.pop_front();
        }
        self.newest.push_back(line.clone());
        line
    }

    /// Rows that were inserted, updated or deleted.
    pub(crate) fn changed(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// The live view after `elapsed`: lines of fewer than 80 columns.
    pub(crate) fn view(&self, elapsed: Duration) -> String {
        let [p50, p99] = [50, 99].map(|percent| self.lags.percentile(percent).as_millis());
        let last = self.lags.last().unwrap_or_default().as_millis();
        let mut lines = vec![
            format!("  rows in Postgres  {:>12}", grouped(self.rows),),
            format!(
                "  commits           {:>12}   {} rows a second over {} s",
                grouped(self.commits),
                grouped(rate(self.changed(), elapsed)),
                elapsed.as_secs()
            ),
            format!("  commit → visible  {last:>9} ms   p50 {p50} ms, p99 {p99} ms"),
            format!("  {}", self.lags.bars(BARS)),
        ];
        lines.extend(self.newest.iter().map(|line| format!("  {line}")));
        lines.join("\n")
    }
}

/// Rows a second, at least over a millisecond.
pub(crate) fn rate(rows: u64, elapsed: Duration) -> u64 {
    (rows as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Insert => "INSERT",
        Kind::Update => "UPDATE",
        Kind::Delete => "DELETE",
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn tally(kinds: &[Kind]) -> Tally {
        let mut tally = Tally::after_fill(1_000_000);
        for (&kind, version) in kinds.iter().zip(13..) {
            let commit = Commit {
                version,
                kind,
                rows: 1_003,
                at: SystemTime::UNIX_EPOCH,
                probe: (String::new(), 0),
            };
            tally.arrived(&commit, Duration::from_millis(10 * version));
        }
        tally
    }

    #[test]
    fn rows_come_stay_and_go() {
        let tally = tally(&[Kind::Insert, Kind::Insert, Kind::Update, Kind::Delete]);
        assert_eq!(tally.rows, 1_001_003);
        assert_eq!((tally.commits, tally.changed()), (4, 4_012));
    }

    #[test]
    fn the_view_shows_the_newest_commits() {
        let view = tally(&[Kind::Insert; 8]).view(Duration::from_secs(4));
        let expected = "  rows in Postgres     1,008,024
  commits                      8   2,006 rows a second over 4 s
  commit → visible        200 ms   p50 160 ms, p99 200 ms
  ▆▆▆▇▇███
  version   15  INSERT   1003 rows  visible after   150 ms
  version   16  INSERT   1003 rows  visible after   160 ms
  version   17  INSERT   1003 rows  visible after   170 ms
  version   18  INSERT   1003 rows  visible after   180 ms
  version   19  INSERT   1003 rows  visible after   190 ms
  version   20  INSERT   1003 rows  visible after   200 ms";
        assert_eq!(view, expected);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let all = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
