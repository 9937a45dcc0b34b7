//! How many kills met the product in which phase.

use std::{collections::BTreeMap, fmt};

use crate::crash_recovery::{phase::Phase, world::Met};

/// Kills of one or more servers, by what they met.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    phases: BTreeMap<Phase, usize>,
    /// Between two statements, or in one that is part of no phase.
    elsewhere: usize,
    /// They met a process that had ended, and count for nothing.
    missed: usize,
}

impl Histogram {
    pub(super) fn add(&mut self, met: Met) {
        match met {
            Met::Process(Some(phase)) => *self.phases.entry(phase).or_default() += 1,
            Met::Process(None) => self.elsewhere += 1,
            Met::Nobody => self.missed += 1,
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (phase, count) in &other.phases {
            *self.phases.entry(*phase).or_default() += count;
        }
        self.elsewhere += other.elsewhere;
        self.missed += other.missed;
    }

    pub(super) fn of(&self, phase: Phase) -> usize {
        self.phases.get(&phase).copied().unwrap_or(0)
    }

    /// Kills that met the product in a phase.
    pub(super) fn total(&self) -> usize {
        self.phases.values().sum()
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in Phase::ALL {
            writeln!(f, "{phase:<32}{:>6}", self.of(phase))?;
        }
        writeln!(f, "{:<32}{:>6}", "in a phase", self.total())?;
        writeln!(f, "{:<32}{:>6}", "elsewhere", self.elsewhere)?;
        write!(f, "{:<32}{:>6}", "met a finished process", self.missed)
    }
}
