//! A stage of a chore: named, timed, and the last one when it fails.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::stopwatch::Stopwatch;

/// The stages that have ended, in order, with the time that each took.
#[derive(Default)]
pub(crate) struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Runs a stage.
    ///
    /// # Errors
    /// That of the stage, with its name; the times so far are printed then.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        println!("== {name}");
        let watch = Stopwatch::start();
        let result = work();
        self.0.push((name, watch.elapsed()));
        if result.is_err() {
            println!("{}", self.table());
        }
        result.with_context(|| format!("stage {name} failed"))
    }

    /// Minutes by stage, a line each.
    pub(crate) fn table(&self) -> String {
        let all = self.0.iter().map(|(_, time)| *time).sum();
        let rows = self.0.iter().copied().chain([("all", all)]);
        let lines: Vec<_> = rows
            .map(|(name, time)| format!("{name:<12} {:>6.1} min", time.as_secs_f64() / 60.0))
            .collect();
        lines.join("\n")
    }
}

/// Cargo, as from a shell.
pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// A program that may run cargo, as from a shell. What `cargo run` tells us of our own package
/// would make build scripts that look at it run again, and most of what we depend on be built
/// anew, each time that a chore and a shell take turns.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command with our input and output.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    ensure!(
        status.success(),
        "{program} {} ended with {status}",
        arguments.join(" ")
    );
    Ok(())
}

/// Whether a cargo subcommand is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let output = cargo().args([name, "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_a_stage_and_the_sum() {
        let stages = Stages(vec![
            ("one", Duration::from_secs(90)),
            ("two", Duration::from_secs(30)),
        ]);
        let expected = "one             1.5 min\ntwo             0.5 min\nall             2.0 min";
        assert_eq!(stages.table(), expected);
    }
}
