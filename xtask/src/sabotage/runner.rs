//! Builds and runs one named test in the copy. It shares what cargo built of other people's
//! crates with the checkout, and nothing of our own: see `tree` for how.
//!
//! Cargo builds for the whole workspace, never for one package: with `--package` it would choose
//! other features for what we depend on, and build much of it again.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::sabotage::NamedTest;
use crate::stage;
use crate::stopwatch::Stopwatch;

/// A healthy test takes seconds; one that a fault keeps waiting must not keep us waiting.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);
/// The chance of every test.
const SEED: &str = "1";
/// How many random histories a fault has to be found in.
const HISTORIES: &str = "500";
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
        let Some(messages) = self.build(test, &file)? else {
            return Ok(Outcome::NotCompiled);
        };
        let program = program(&messages, test.package);
        let program = program.with_context(|| format!("cargo built no test {test}"))?;
        let mut command = Command::new(&program.path);
        command
            .current_dir(&program.package)
            .arg(test.filter)
            .env("CARGO_MANIFEST_DIR", &program.package)
            // Where the servers are that integration/setup fetched.
            .env("CARGO_TARGET_DIR", &self.build)
            .env("INSTA_UPDATE", "no")
            // What comes by chance comes alike in the healthy run and with every fault.
            .env("LAKEFERRY_SEED", SEED)
            .env("LAKEFERRY_HISTORIES", HISTORIES)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let watch = Stopwatch::start();
        let status = within(TEST_TIME_MAX, &mut command)?;
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

    /// Builds the test's program; what cargo says of it, or `None` if it does not compile.
    fn build(&self, test: &NamedTest, log: &File) -> Result<Option<String>> {
        let output = stage::cargo()
            .current_dir(&self.tree)
            .args(["test", "--offline", "--locked", "--workspace", "--no-run"])
            .arg("--message-format=json-render-diagnostics")
            .args(test.program)
            .env("CARGO_BUILD_BUILD_DIR", &self.build)
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .output()
            .context("cannot run cargo")?;
        Ok(output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// A test program and the folder of its package.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    package: PathBuf,
}

/// What cargo says of something that it built, as far as we read it.
#[derive(Deserialize)]
struct Artifact {
    executable: PathBuf,
    manifest_path: PathBuf,
    profile: Profile,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The test program of the package among cargo's messages, one a line. The folder of a package
/// has its name.
fn program(messages: &str, package: &str) -> Option<Program> {
    // What is no program has no executable, and is not read.
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| artifact.profile.test)
        .find_map(|artifact| {
            let folder = artifact.manifest_path.parent()?;
            let found = folder.file_name()? == package;
            found.then(|| Program {
                path: artifact.executable,
                package: folder.to_path_buf(),
            })
        })
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
    kill_process_group(group.context("the test has no process id")?, Signal::KILL)?;
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
    fn the_program_of_the_package_is_found() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"w/b/Cargo.toml","profile":{"test":true},"executable":"t/b-1"}
{"reason":"compiler-artifact","manifest_path":"w/a/Cargo.toml","profile":{"test":false},"executable":"t/a"}
{"reason":"compiler-artifact","manifest_path":"w/a/Cargo.toml","profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"w/a/Cargo.toml","profile":{"test":true},"executable":"t/a-1"}
{"reason":"build-finished","success":true}"#;
        let expected = Program {
            path: "t/a-1".into(),
            package: "w/a".into(),
        };
        assert_eq!(program(messages, "a"), Some(expected));
        assert_eq!(program(messages, "c"), None);
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let ended = within(Duration::from_secs(60), &mut Command::new("true")).unwrap();
        assert!(ended.is_some_and(|status| status.success()));
        let hung = within(Duration::from_millis(50), Command::new("sleep").arg("60")).unwrap();
        assert!(hung.is_none());
    }
}
