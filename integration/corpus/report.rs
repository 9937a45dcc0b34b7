//! What became of all tables: a line for each, the reasons of failures, the total.

use std::{collections::BTreeMap, fmt};

use crate::{
    corpus::{Class, Table},
    trial::{Followed, Outcome, Trial},
};

/// Of the tables that have rows to read, these must be exact, in percent.
const EXACT_LEAST: u64 = 99;
/// Of a reason in the summary.
const REASON_LENGTH: usize = 200;

/// Outcomes, counted.
#[derive(Default)]
pub(crate) struct Report {
    /// Tables of class data whose files are there, and those of them that are exact.
    readable: u64,
    exact: u64,
    /// Of all exact tables.
    rows: u64,
    /// The other tables, and those of them that are exact or end in an error that names them.
    others: u64,
    others_right: u64,
    /// Tables that were followed, and those of them that were exact at each stop.
    followed: u64,
    followed_exactly: u64,
    stops: u64,
    /// Outcomes that no table may have.
    bad: u64,
    /// How many tables failed for each reason.
    reasons: BTreeMap<String, u64>,
}

impl Report {
    /// Counts what became of `table`; its line.
    pub(crate) fn add(&mut self, table: &Table, trial: &Trial) -> String {
        let Trial { outcome, has_files } = trial;
        let (word, told) = (outcome.word(), outcome.told());
        let counts = table.class == Class::Data && *has_files;
        let is_exact = matches!(outcome, Outcome::Exact { .. });
        if let Outcome::Exact { rows } = outcome {
            self.rows += rows;
        }
        self.readable += u64::from(counts);
        self.exact += u64::from(counts && is_exact);
        self.others += u64::from(!counts);
        self.others_right += u64::from(!counts && !outcome.is_bad());
        self.bad += u64::from(outcome.is_bad());
        if outcome.is_bad() || counts && !is_exact {
            let reason: String = told.chars().take(REASON_LENGTH).collect();
            *self.reasons.entry(format!("{word}: {reason}")).or_default() += 1;
        }
        format!("{word:<12} {}  {told}", table.name)
    }

    /// Counts how `table` was followed; its line. A history may halt, but go nowhere wrong.
    pub(crate) fn add_followed(&mut self, table: &Table, followed: &Followed) -> String {
        self.followed += 1;
        self.stops += followed.stops;
        let Followed { stops, kinds, .. } = followed;
        let Some((version, outcome)) = &followed.stuck else {
            self.followed_exactly += 1;
            return format!("  followed   {}  {stops} stops: {kinds}", table.name);
        };
        let (word, told) = (outcome.word(), outcome.told());
        self.bad += u64::from(outcome.is_bad());
        let reason: String = told.chars().take(REASON_LENGTH).collect();
        let reason = format!("history, {word}: {reason}");
        *self.reasons.entry(reason).or_default() += 1;
        format!("  {word} at version {version}  {}  {told}", table.name)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.bad == 0 && self.exact * 100 >= self.readable * EXACT_LEAST
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, tables)| std::cmp::Reverse(**tables));
        for (reason, tables) in reasons {
            writeln!(f, "{tables:>4} × {reason}")?;
        }
        let Self {
            readable,
            exact,
            rows,
            others,
            others_right,
            followed,
            followed_exactly,
            stops,
            bad,
            ..
        } = self;
        write!(
            f,
            "{exact} of {readable} tables exact ({rows} rows in all); of {others} without rows or \
             files {others_right} end in their rows or in an error that names them; \
             {followed_exactly} of {followed} histories exact at each of their {stops} stops; {bad} \
             wrong, unproven, vague, panicked or hanging"
        )
    }
}
