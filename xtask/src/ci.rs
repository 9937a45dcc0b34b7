//! Everything that has to hold before a change is taken. Stops at the first stage that fails; the
//! tests come last, and what they say last is the last line.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::checkout::Checkout;
use crate::stage::{self, Stages, execute, has_subcommand};
use crate::test::{self, Closing};
use crate::{bench, count, sabotage, tidy};

pub(crate) fn run(checkout: &Checkout) -> Result<Closing> {
    let cargo = |arguments: &str| {
        let mut command = stage::cargo();
        command
            .current_dir(checkout.root())
            .args(arguments.split_whitespace());
        execute(&mut command)
    };
    let mut stages = Stages::default();
    stages.run("fmt", || cargo("fmt --all --check"))?;
    stages.run("tidy", || tidy::run(checkout))?;
    stages.run("deny", || deny(&cargo))?;
    stages.run("clippy", || {
        cargo("clippy --locked --workspace --all-targets --all-features -- -D warnings")
    })?;
    stages.run("build", || cargo("test --locked --workspace --no-run"))?;
    stages.run("count", || count::run(checkout, false))?;
    stages.run("demo", || demo(checkout))?;
    stages.run("bench", || benches(checkout))?;
    stages.run("sabotage", || sabotage::run(checkout, None, false))?;
    let closing = stages.run("test", || test::run(checkout))?;
    println!("{}", stages.table());
    Ok(closing)
}

/// The README's first command, in short.
fn demo(checkout: &Checkout) -> Result<()> {
    let mut command = stage::command("integration/demo");
    execute(
        command
            .current_dir(checkout.root())
            .args(["--for", "5", "--rows", "60000"]),
    )
}

/// Whether the benchmarks of what is promised work; their figures count elsewhere.
fn benches(checkout: &Checkout) -> Result<()> {
    for name in bench::PROMISES {
        ensure!(
            bench::run(checkout, name, true, &[])? == ExitCode::SUCCESS,
            "{name} failed"
        );
    }
    Ok(())
}

/// The rules of deny.toml; known vulnerabilities only where their list can be fetched.
fn deny(cargo: &impl Fn(&str) -> Result<()>) -> Result<()> {
    if !has_subcommand("deny") {
        println!("skipped: cargo-deny is not installed; .ci/run installs it");
        return Ok(());
    }
    cargo("deny --locked check bans licenses sources")?;
    match cargo("deny --log-level off fetch db") {
        Ok(()) => cargo("deny --locked check advisories"),
        Err(_) => {
            println!("skipped: advisories, for their list cannot be fetched");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The demo is a stage of [`run`], and the tests are its last.
    #[test]
    fn the_readme_shows_no_command_that_nothing_runs() {
        let readme = Checkout::find().unwrap().root().join("README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let shown = readme.split("```console\n").skip(1);
        let shown: Vec<_> = shown.filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(shown, ["integration/demo\n", "cargo xtask test\n"]);
    }
}
