//! How many kills met the product in which phase.

use std::{collections::BTreeMap, fmt};

use crate::crash_recovery::{
    phase::{Phase, Work},
    world::Met,
};

const WORKS: [Work; 3] = [Work::Fill, Work::Increment, Work::Refresh];

/// Kills of one or more servers, by the phase that they met: nothing between two statements, or in
/// one that is part of no phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    kills: BTreeMap<(Option<Phase>, Work), usize>,
    /// They met a process that had ended, and count for nothing.
    missed: usize,
}

impl Histogram {
    pub(super) fn add(&mut self, work: Work, met: Met) {
        match met {
            Met::Process(phase) => *self.kills.entry((phase, work)).or_default() += 1,
            Met::Nobody => self.missed += 1,
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (key, count) in &other.kills {
            *self.kills.entry(*key).or_default() += count;
        }
        self.missed += other.missed;
    }

    /// Kills in a phase of a first fill or an increment.
    pub(super) fn of(&self, phase: Phase) -> usize {
        [Work::Fill, Work::Increment]
            .into_iter()
            .map(|work| self.count(Some(phase), work))
            .sum()
    }

    /// Kills in any phase of a first fill or an increment.
    pub(super) fn total(&self) -> usize {
        Phase::ALL.into_iter().map(|phase| self.of(phase)).sum()
    }

    fn count(&self, phase: Option<Phase>, work: Work) -> usize {
        self.kills.get(&(phase, work)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32}{:>10}{:>10}{:>10}",
            "killed", "fill", "increment", "refresh"
        )?;
        for phase in Phase::ALL.map(Some).into_iter().chain([None]) {
            let name = phase.map_or("elsewhere".to_owned(), |phase| phase.to_string());
            let [fill, increment, refresh] = WORKS.map(|work| self.count(phase, work));
            writeln!(f, "{name:<32}{fill:>10}{increment:>10}{refresh:>10}")?;
        }
        writeln!(f, "{} in the phases of fills and increments", self.total())?;
        write!(
            f,
            "{} met a finished process and are not counted",
            self.missed
        )
    }
}
