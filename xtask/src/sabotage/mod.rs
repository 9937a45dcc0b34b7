//! Breaks the product in one place at a time, in a copy of the checkout, and expects the named
//! test to turn red. A fault that no test notices is a hole in the tests; one that does not
//! compile, or whose text is gone, proves nothing and counts as a failure too.

mod faults;
mod report;
mod runner;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

use crate::checkout::Checkout;
use crate::sabotage::faults::HISTORIES;
use crate::sabotage::report::{Row, Verdict};
use crate::sabotage::runner::{Outcome, Runner};
use crate::sabotage::tree::Tree;

/// One change that makes the product wrong and leaves it compiling.
#[derive(Clone, Copy, Debug)]
struct Fault {
    name: &'static str,
    /// What a user would suffer.
    breaks: &'static str,
    /// Relative to the root of the checkout.
    file: &'static str,
    /// Occurs exactly once in the file.
    find: &'static str,
    replace: &'static str,
    test: NamedTest,
}

/// Faults in what reads a source that random histories do not meet, and why. Other tests do.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "row-ids-begin-at-zero",
        "no history restores one of two files of a commit in the place of the other",
    ),
    (
        "source-digest-unchecked",
        "no history's log is replaced while it is read",
    ),
    ("later-versions-pair", "no history's table is cloned"),
    (
        "metadata-inside-a-range",
        "no row is lost by it: what reads a range parts it once more",
    ),
    ("asked-type-unnoticed", "no history's job asks for types"),
];

impl Fault {
    /// Whether it is in what reads a source or decides what that comes to.
    fn is_of_source(&self) -> bool {
        let crates = ["crates/lakeferry-delta/", "crates/lakeferry-engine/"];
        crates.iter().any(|folder| self.file.starts_with(folder))
    }

    /// Why histories do not meet it.
    fn is_elsewhere(&self) -> Option<&'static str> {
        let of_name = |(name, why): &(&str, &'static str)| (*name == self.name).then_some(*why);
        ELSEWHERE.iter().find_map(of_name)
    }
}

/// A test by its package, the arguments that select its program, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NamedTest {
    package: &'static str,
    /// One program of the package: `["--lib"]` or `["--test", "simulation"]`.
    program: &'static [&'static str],
    /// A part of the test's name, as for `cargo test`.
    filter: &'static str,
}

impl fmt::Display for NamedTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.package,
            self.program.join(" "),
            self.filter
        )
    }
}

/// Applies every fault, or only the one of that name, and prints the table. With `histories`, those
/// that change what is read of a source or what becomes of it, which random histories find.
///
/// # Errors
/// When a test is red without a fault, a fault leaves its test green, or one cannot be applied.
pub(crate) fn run(checkout: &Checkout, only: Option<&str>, histories: bool) -> Result<()> {
    let wanted = |fault: &&Fault| match only {
        Some(name) => name == fault.name,
        None if !histories => true,
        None => fault.is_of_source() && !is_told_elsewhere(fault),
    };
    let test = |fault: &Fault| Fault {
        test: if histories { HISTORIES } else { fault.test },
        ..*fault
    };
    let faults: Vec<_> = faults::all().filter(wanted).map(test).collect();
    ensure!(
        only.is_none() || !faults.is_empty(),
        "there is no fault of that name"
    );
    let folder = checkout.target().join("sabotage");
    let tree = Tree::at(checkout.root(), &folder.join("tree"));
    tree.copy(&checkout.files()?)?;
    let runner = Runner::new(tree.folder(), checkout.target(), &folder)?;
    let mut rows = Vec::new();
    let mut healthy = BTreeMap::new();
    for fault in &faults {
        let verdict = judge(fault, &tree, &runner, &mut healthy)?;
        println!("{}: {verdict}", fault.name);
        rows.push(Row { fault, verdict });
    }
    println!("\n{}", report::table(&rows));
    let failures = rows.iter().filter(|row| !row.verdict.is_red()).count();
    ensure!(
        failures == 0,
        "{failures} of {} faults did not turn their test red",
        rows.len()
    );
    Ok(())
}

/// Says so of a fault that histories do not meet.
fn is_told_elsewhere(fault: &Fault) -> bool {
    let why = fault.is_elsewhere();
    if let Some(why) = why {
        println!("{}: left to {}, for {why}", fault.name, fault.test);
    }
    why.is_some()
}

/// Why faults cannot be applied to the checkout, by their names: whoever changes the product learns
/// it before the long run does.
pub(crate) fn inapplicable(checkout: &Checkout) -> Vec<(&'static str, String)> {
    let tree = Tree::at(checkout.root(), checkout.root());
    let why = |fault: &Fault| Some((fault.name, format!("{:#}", tree.sabotaged(fault).err()?)));
    faults::all().filter_map(why).collect()
}

/// What becomes of the test with the fault. `healthy` remembers which tests pass without any.
fn judge(
    fault: &Fault,
    tree: &Tree,
    runner: &Runner,
    healthy: &mut BTreeMap<NamedTest, Outcome>,
) -> Result<Verdict> {
    // First, for it takes no time.
    let sabotaged = match tree.sabotaged(fault) {
        Ok(text) => text,
        Err(error) => return Ok(Verdict::NotApplied(format!("{error:#}"))),
    };
    let before = match healthy.get(&fault.test) {
        Some(outcome) => outcome.clone(),
        None => runner.run(&fault.test, &format!("{}.healthy", fault.name))?,
    };
    healthy.insert(fault.test, before.clone());
    if !matches!(before, Outcome::Passed { tests: 1.., .. }) {
        return Ok(Verdict::SickBefore(before));
    }
    let _restored_when_dropped = tree.put(fault, &sabotaged)?;
    Ok(match runner.run(&fault.test, fault.name)? {
        Outcome::NotCompiled => Verdict::NotCompiled,
        Outcome::Passed { time, .. } => Verdict::Green(time),
        Outcome::Failed(time) => Verdict::Red(time),
        Outcome::Hung(time) => Verdict::Hung(time),
    })
}
