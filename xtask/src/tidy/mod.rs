//! Style is a test that runs with the others: the rules of the house that no compiler knows.

mod features;
mod layering;
mod manifests;
mod text;

use std::fmt;
use std::fs;

use anyhow::{Result, bail};

use crate::checkout::Checkout;
use crate::sabotage;

/// Something that is against a rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    place: String,
    what: String,
}

impl Problem {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Applies every rule and prints every problem.
///
/// # Errors
/// When there is any.
pub(crate) fn run(checkout: &Checkout) -> Result<()> {
    let mut problems = layering::check(checkout.metadata());
    problems.extend(manifests::check(checkout)?);
    problems.extend(features::check(checkout)?);
    let files = checkout.files()?;
    for path in &files {
        // What is no text has no rules.
        if let Ok(text) = fs::read_to_string(checkout.root().join(path)) {
            problems.extend(text::check(path, &text));
        }
    }
    for (fault, why) in sabotage::inapplicable(checkout) {
        problems.push(Problem::new(format!("fault {fault}"), why));
    }
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems", problems.len());
    }
    println!("{} files are tidy", files.len());
    Ok(())
}
