//! All tests of the workspace, on a machine that `integration/setup` has readied. Their closing
//! line is kept, so that it can be the last thing said.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::checkout::Checkout;
use crate::stage::{self, execute, has_subcommand};

/// How the tests ended.
#[must_use]
pub(crate) struct Closing {
    /// In the words of the program that ran them.
    pub(crate) line: String,
    pub(crate) passed: bool,
}

/// Runs all tests. Tests that fail are no error here: who calls says the closing line last.
pub(crate) fn run(checkout: &Checkout) -> Result<Closing> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    if !has_subcommand("nextest") {
        let tests = ["test", "--locked", "--workspace", "--no-fail-fast"];
        return close_with(root, &tests, cargo_test_closing);
    }
    // nextest leaves out the examples in the documentation.
    execute(
        stage::cargo()
            .current_dir(root)
            .args(["test", "--locked", "--workspace", "--doc"]),
    )?;
    let tests = [
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ];
    close_with(root, &tests, nextest_closing)
}

/// Runs cargo, passes on what it says, and closes with what `closing` makes of its lines.
fn close_with(
    root: &Path,
    arguments: &[&str],
    closing: impl Fn(&[String]) -> String,
) -> Result<Closing> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = stage::cargo();
    command.current_dir(root).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("cannot run cargo")?;
    // The command holds the pipe open: without it the reader sees the end.
    drop(command);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        lines.push(line);
    }
    let passed = child.wait()?.success();
    Ok(Closing {
        line: closing(&lines),
        passed,
    })
}

/// `Summary [   1.234s] 12 tests run: 12 passed, 0 skipped`
fn nextest_closing(lines: &[String]) -> String {
    let summary = lines.iter().rev().map(|line| line.trim());
    let mut summary = summary.filter(|line| line.starts_with("Summary ["));
    summary.next().unwrap_or("no tests were run").to_owned()
}

/// `test result: ok. 5 passed; 0 failed; 0 ignored; …`, summed over the test programs.
fn cargo_test_closing(lines: &[String]) -> String {
    let (mut passed, mut failed) = (0_u64, 0_u64);
    for line in lines
        .iter()
        .filter(|line| line.starts_with("test result: "))
    {
        let words: Vec<_> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let count = pair[0].parse::<u64>().unwrap_or_default();
            match pair[1] {
                "passed;" => passed += count,
                "failed;" => failed += count,
                _ => {}
            }
        }
    }
    format!("{passed} passed, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_closes_with_its_summary() {
        let said = "  PASS a\n     Summary [   0.005s] 2 tests run: 1 passed, 1 failed, 0 skipped\n        FAIL b\nerror: test run failed";
        let expected = "Summary [   0.005s] 2 tests run: 1 passed, 1 failed, 0 skipped";
        assert_eq!(nextest_closing(&lines(said)), expected);
    }

    #[test]
    fn cargo_test_closes_with_the_sum() {
        let said = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\ntest result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured\n";
        assert_eq!(cargo_test_closing(&lines(said)), "7 passed, 3 failed");
    }
}
