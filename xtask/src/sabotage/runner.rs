//! Builds and runs one named test in the copy. It shares what cargo built of other people's
//! crates with the checkout, and nothing of our own: see `tree` for how.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::sabotage::NamedTest;
use crate::stopwatch::Stopwatch;

/// A healthy test takes seconds; one that a fault keeps waiting must not keep us waiting.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a test.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    NotCompiled,
    /// With the number of tests that the filter found.
    Passed {
        tests: u64,
        time: Duration,
    },
    Failed(Duration),
    Hung(Duration),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompiled => f.write_str("it does not compile"),
            Self::Passed { tests, .. } => write!(f, "{tests} tests of that name passed"),
            Self::Failed(_) => f.write_str("it fails"),
            Self::Hung(_) => f.write_str("it hangs"),
        }
    }
}

pub(super) struct Runner {
    tree: PathBuf,
    /// Where cargo keeps what it builds on the way: that of the checkout.
    build: PathBuf,
    /// Where it puts finished programs: not that of the checkout, whose programs stay healthy.
    target: PathBuf,
    logs: PathBuf,
}

impl Runner {
    pub(super) fn new(tree: &Path, build: &Path, folder: &Path) -> Result<Self> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let (tree, build) = (tree.to_path_buf(), build.to_path_buf());
        Ok(Self {
            tree,
            build,
            target: folder.join("out"),
            logs,
        })
    }

    /// Runs a test; what it says goes to a file of the log's name.
    pub(super) fn run(&self, test: &NamedTest, log: &str) -> Result<Outcome> {
        let path = self.logs.join(format!("{log}.log"));
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let status = self.cargo(test, &file)?.arg("--no-run").status()?;
        if !status.success() {
            return Ok(Outcome::NotCompiled);
        }
        let watch = Stopwatch::start();
        let mut command = self.cargo(test, &file)?;
        let status = within(TEST_TIME_MAX, command.args(["--", test.filter]))?;
        let time = watch.elapsed();
        Ok(match status {
            None => Outcome::Hung(time),
            Some(status) if status.success() => Outcome::Passed {
                tests: passed(&fs::read_to_string(&path)?),
                time,
            },
            Some(_) => Outcome::Failed(time),
        })
    }

    fn cargo(&self, test: &NamedTest, log: &File) -> Result<Command> {
        let mut command = Command::new("cargo");
        command
            .current_dir(&self.tree)
            .args(["test", "--offline", "--locked", "--package", test.package])
            .args(test.program)
            .env("CARGO_BUILD_BUILD_DIR", &self.build)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("INSTA_UPDATE", "no")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?);
        // Those of the xtask that runs us say where the checkout is, not the copy.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
            command.env_remove(name);
        }
        Ok(command)
    }
}

/// Runs a command to its end, or ends it and everything it started; `None` then.
fn within(time: Duration, command: &mut Command) -> Result<Option<ExitStatus>> {
    let mut child = command
        .process_group(0)
        .spawn()
        .context("cannot run cargo")?;
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(PAUSE);
    }
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process_group(group.context("cargo has no process id")?, Signal::KILL)?;
    child.wait()?;
    Ok(None)
}

/// `test result: ok. 5 passed; …`: the sum over the programs.
fn passed(log: &str) -> u64 {
    let results = log
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "));
    let counts = results.filter_map(|result| result.split(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_passed_are_counted() {
        let log = "running 2 tests\ntest result: ok. 2 passed; 0 failed\n\nrunning 0 tests\ntest result: ok. 0 passed; 0 failed\n";
        assert_eq!(passed(log), 2);
        assert_eq!(passed("running 0 tests\n"), 0);
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let ended = within(Duration::from_secs(60), &mut Command::new("true")).unwrap();
        assert!(ended.is_some_and(|status| status.success()));
        let hung = within(Duration::from_millis(50), Command::new("sleep").arg("60")).unwrap();
        assert!(hung.is_none());
    }
}
