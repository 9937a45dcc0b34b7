//! What became of each fault, as a table.

use std::fmt;
use std::time::Duration;

use crate::sabotage::Fault;
use crate::sabotage::runner::Outcome;

pub(super) struct Row<'a> {
    pub(super) fault: &'a Fault,
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Red(Duration),
    /// Red, since the test did not end: whatever runs the tests would have ended it.
    Hung(Duration),
    Green(Duration),
    NotCompiled,
    NotApplied(String),
    /// The test does not pass without the fault.
    SickBefore(Outcome),
}

impl Verdict {
    pub(super) fn is_red(&self) -> bool {
        matches!(self, Self::Red(_) | Self::Hung(_))
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Red(_) => "red",
            Self::Hung(_) => "red (hung)",
            Self::Green(_) => "GREEN",
            Self::NotCompiled => "DOES NOT COMPILE",
            Self::NotApplied(_) => "NOT APPLIED",
            Self::SickBefore(_) => "SICK WITHOUT IT",
        }
    }

    fn seconds(&self) -> String {
        match self {
            Self::Red(time) | Self::Hung(time) | Self::Green(time) => {
                format!("{:.1}", time.as_secs_f64())
            }
            _ => "-".to_owned(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::NotApplied(why) => write!(f, ": {why}"),
            Self::SickBefore(outcome) => write!(f, ": {outcome}"),
            _ => Ok(()),
        }
    }
}

/// Columns separated by `|`, so that it can be pasted into a page of documentation.
pub(super) fn table(rows: &[Row<'_>]) -> String {
    let head = ["fault", "what it breaks", "test", "red?", "seconds"].map(str::to_owned);
    let cells = rows.iter().map(|Row { fault, verdict }| {
        [
            fault.name.to_owned(),
            fault.breaks.to_owned(),
            fault.test.to_string(),
            verdict.word().to_owned(),
            verdict.seconds(),
        ]
    });
    let lines: Vec<_> = [head].into_iter().chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text: Vec<_> = lines.iter().map(|line| row(line, widths)).collect();
    let rule = widths.map(|width| "-".repeat(width));
    text.insert(1, row(&rule, widths));
    text.join("\n")
}

fn row(cells: &[String; 5], widths: [usize; 5]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"));
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sabotage::NamedTest;

    #[test]
    fn the_table_lines_up() {
        let fault = Fault {
            name: "no-fence",
            breaks: "a stale daemon writes",
            file: "a.rs",
            find: "a",
            replace: "b",
            test: NamedTest {
                package: "p",
                program: &["--lib"],
                filter: "fence",
            },
        };
        let rows = [
            Row {
                fault: &fault,
                verdict: Verdict::Red(Duration::from_millis(1_250)),
            },
            Row {
                fault: &fault,
                verdict: Verdict::NotCompiled,
            },
        ];
        let expected = "\
| fault    | what it breaks        | test          | red?             | seconds |
| -------- | --------------------- | ------------- | ---------------- | ------- |
| no-fence | a stale daemon writes | p --lib fence | red              | 1.2     |
| no-fence | a stale daemon writes | p --lib fence | DOES NOT COMPILE | -       |";
        assert_eq!(table(&rows), expected);
        assert!(rows[0].verdict.is_red() && !rows[1].verdict.is_red());
    }
}
