//! How a table that was to be adopted differs from its source: for people and for programs.

use std::fmt;

use lakeferry_model::{Differences, DifferingKeys};
use serde::Serialize;

/// How a table differs from its source.
#[derive(Debug, Serialize)]
pub(crate) struct Differing {
    missing: Keys,
    surplus: Keys,
    unlike: Keys,
}

/// How many keys differ in one way, and some of them.
#[derive(Debug, Serialize)]
struct Keys {
    count: u64,
    examples: Vec<String>,
}

impl From<&DifferingKeys> for Keys {
    fn from(keys: &DifferingKeys) -> Self {
        Self {
            count: keys.count,
            examples: keys.examples.clone(),
        }
    }
}

impl From<&Differences> for Differing {
    fn from(differences: &Differences) -> Self {
        Self {
            missing: (&differences.missing).into(),
            surplus: (&differences.surplus).into(),
            unlike: (&differences.unlike).into(),
        }
    }
}

impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, keys) in [
            ("missing", &self.missing),
            ("surplus", &self.surplus),
            ("unlike", &self.unlike),
        ] {
            if keys.count > 0 {
                let more = if keys.count > keys.examples.len() as u64 {
                    "; …"
                } else {
                    ""
                };
                let examples = keys.examples.join("; ");
                writeln!(f, "  {kind}: {}, with keys {examples}{more}", keys.count)?;
            }
        }
        Ok(())
    }
}
