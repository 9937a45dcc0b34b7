//! Counts the instructions of the encoder and of the collapse, which are the same whatever else a
//! machine does, under callgrind, and holds them against those of `benches/instructions.txt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::checkout::Checkout;
use crate::stage;

/// The instructions of a row that were counted last, a line each: `library test count`.
const EXPECTED: &str = "benches/instructions.txt";

/// So many times as many are too many; hash tables are seeded anew each time, and
/// C libraries copy in other ways on other processors.
const TOLERANCE: f64 = 1.1;

/// Libraries, and the part of their tests' names that says that a test is counted.
const COUNTED: [(&str, &str); 2] = [
    ("lakeferry_engine", "collapse::tests::counted::"),
    ("lakeferry_postgres", "encode::tests::counted::"),
];

/// Counts them all, or accepts them as those to hold against from now on.
///
/// # Errors
/// If something takes more than it did, or valgrind is not there.
pub(crate) fn run(checkout: &Checkout, accept: bool) -> Result<()> {
    let found = count(checkout)?;
    let path = checkout.root().join(EXPECTED);
    if accept {
        let lines: String = found
            .iter()
            .map(|(name, count)| format!("{name} {count:.1}\n"))
            .collect();
        return fs::write(&path, lines).with_context(|| format!("cannot write {EXPECTED}"));
    }
    let expected = expected(&path)?;
    let mut wrong = Vec::new();
    println!(
        "{:<60} {:>10} {:>10} {:>6}",
        "instructions of a row", "then", "now", "ratio"
    );
    for (name, now) in &found {
        let Some(then) = expected.get(name) else {
            wrong.push(format!("{name} was never counted"));
            continue;
        };
        println!("{name:<60} {then:>10.1} {now:>10.1} {:>6.3}", now / then);
        if *now > then * TOLERANCE {
            wrong.push(format!(
                "{name} takes {now:.1} instructions a row and took {then:.1}"
            ));
        }
    }
    let gone = expected.keys().filter(|name| !found.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} is counted no more")));
    ensure!(
        wrong.is_empty(),
        "{}; where that is meant, `cargo xtask count --accept` says so",
        wrong.join("; ")
    );
    Ok(())
}

fn expected(path: &Path) -> Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {EXPECTED}"))?;
    let line = |line: &str| {
        let (name, count) = line
            .rsplit_once(' ')
            .context("a line has a name and a count")?;
        Ok((name.to_owned(), count.parse()?))
    };
    text.lines().map(line).collect()
}

/// The instructions of a row, by library and test.
fn count(checkout: &Checkout) -> Result<BTreeMap<String, f64>> {
    let programs = programs(checkout)?;
    let mut counts = BTreeMap::new();
    for (library, part) in COUNTED {
        let program = programs
            .get(library)
            .with_context(|| format!("{library} has no tests"))?;
        let mut list = Command::new(program);
        let listed = list.args(["--list", "--ignored", part]).output()?;
        let listed = String::from_utf8(listed.stdout)?;
        for test in listed
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
        {
            let count =
                instructions(program, test).with_context(|| format!("cannot count {test}"))?;
            counts.insert(
                format!("{library} {}", test.trim_start_matches(part)),
                count,
            );
        }
    }
    Ok(counts)
}

/// The programs that have the unit tests of the libraries.
fn programs(checkout: &Checkout) -> Result<BTreeMap<String, PathBuf>> {
    let mut build = stage::cargo();
    // What is counted is built as a release is; the rest is there already.
    let optimised = COUNTED.map(|(library, _)| {
        let package = library.replace('_', "-");
        format!("profile.dev.package.{package}.opt-level=3")
    });
    for profile in &optimised {
        build.args(["--config", profile]);
    }
    let arguments = "test --locked --workspace --lib --no-run --message-format json";
    let arguments = arguments.split(' ');
    let built = build
        .current_dir(checkout.root())
        .args(arguments)
        .output()?;
    ensure!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let mut programs = BTreeMap::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        let (name, program) = (&message["target"]["name"], &message["executable"]);
        if let (Some(name), Some(program)) = (name.as_str(), program.as_str()) {
            programs.insert(name.to_owned(), program.into());
        }
    }
    Ok(programs)
}

fn instructions(program: &Path, test: &str) -> Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*counted::counted*",
    ]);
    let ran = valgrind
        .arg(program)
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "--test-threads=1",
            test,
        ])
        .output()
        .context("valgrind cannot be run: integration/setup installs it")?;
    let (said, told) = (
        String::from_utf8(ran.stdout)?,
        String::from_utf8_lossy(&ran.stderr).into_owned(),
    );
    ensure!(ran.status.success(), "{said}\n{told}");
    let after = |text: &str, mark: &str| -> Option<f64> {
        let (_, rest) = text.split_once(mark)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let rows = after(&said, "rows:").context("it does not tell its rows")?;
    let counted = after(&told, "Collected :").filter(|counted| *counted > 0.0);
    Ok(counted.with_context(|| format!("nothing was counted: {told}"))? / rows)
}
