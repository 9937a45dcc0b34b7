//! The built binary, run as a user runs it, and what it says.

use std::{fmt, path::Path, process::Command};

use serde::Deserialize;

use crate::fake_clock::FakeClock;

/// What one command said.
#[derive(Debug)]
pub(crate) struct Said {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The one object that `--output json` prints.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    command: String,
    ok: bool,
    result: T,
    error: Option<Trouble>,
}

/// Why a command did not do what it should.
#[derive(Debug, Deserialize)]
struct Trouble {
    reason: String,
    #[serde(default)]
    causes: Vec<String>,
    hint: Option<String>,
}

/// What `sync` and `backfill` say of one job.
#[derive(Debug, Deserialize)]
pub(crate) struct JobDone {
    pub(crate) job: String,
    pub(crate) through: Option<u64>,
    pub(crate) steps: Vec<Step>,
}

/// One apply.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) kind: String,
    pub(crate) rows_read: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

impl JobDone {
    /// Rows inserted, updated and deleted, over all steps.
    pub(crate) fn rows(&self) -> [u64; 3] {
        self.steps
            .iter()
            .fold([0; 3], |[inserted, updated, deleted], step| {
                [
                    inserted + step.inserted,
                    updated + step.updated,
                    deleted + step.deleted,
                ]
            })
    }

    /// Asserts that there was one step, of a kind whose wording has `words` in it.
    #[track_caller]
    pub(crate) fn assert_only(&self, words: &str) {
        let is_it = matches!(self.steps.as_slice(), [step] if step.kind.contains(words));
        assert!(is_it, "not one step {words:?}: {self:?}");
    }
}

impl Step {
    /// The wording of its kind without numbers, so that steps of a kind can be counted.
    pub(crate) fn kind_without_version(&self) -> String {
        let is_word = |word: &&str| !word.starts_with(|c: char| c.is_ascii_digit());
        self.kind
            .split_whitespace()
            .filter(is_word)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Said {
    /// The envelope, whose parts fit the exit code.
    #[track_caller]
    fn envelope<T: for<'de> Deserialize<'de>>(&self) -> Envelope<T> {
        let parsed: Result<Envelope<T>, _> = serde_json::from_str(&self.stdout);
        let envelope = parsed.unwrap_or_else(|error| panic!("{error}\n{self}"));
        assert_eq!(envelope.command, self.command, "{self}");
        assert_eq!(envelope.ok, self.code == 0, "{self}");
        assert_eq!(envelope.ok, envelope.error.is_none(), "{self}");
        envelope
    }

    /// The result of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn result(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self}");
        self.envelope().result
    }

    /// What `sync` or `backfill` did, which must have succeeded.
    #[track_caller]
    pub(crate) fn jobs_done(&self) -> Vec<JobDone> {
        assert_eq!(self.code, 0, "{self}");
        self.envelope().result
    }

    /// The error of a command that failed with `code`: reason, causes and hint in one text.
    #[track_caller]
    pub(crate) fn failure(&self, code: i32) -> String {
        assert_eq!(self.code, code, "{self}");
        let trouble = self.envelope::<serde_json::Value>().error.unwrap();
        let parts = [
            vec![trouble.reason],
            trouble.causes,
            Vec::from_iter(trouble.hint),
        ];
        parts.concat().join("\n")
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(f, "lakeferry {command} ended with {code}\n{stdout}{stderr}")
    }
}

/// Runs `lakeferry ARGUMENTS` in `folder`, as a person would, until it ends.
pub(crate) fn typed(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakeferry"));
    command.current_dir(folder).args(arguments);
    command.env_remove("LAKEFERRY_CONFIG");
    said(&mut command, arguments)
}

/// Runs `lakeferry --config CONFIG --output json ARGUMENTS` until it ends.
pub(crate) fn lakeferry(config: &Path, arguments: &[&str]) -> Said {
    said(&mut with_json(config, arguments), arguments)
}

/// As [`lakeferry`], with these variables and no others of libpq, and without a home.
pub(crate) fn lakeferry_with(
    config: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Said {
    let mut command = with_json(config, arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") || name == "HOME" {
            command.env_remove(&name);
        }
    }
    said(command.envs(variables.iter().copied()), arguments)
}

/// As [`lakeferry`], with another clock.
pub(crate) fn lakeferry_at(config: &Path, arguments: &[&str], clock: &FakeClock) -> Said {
    said(&mut clock.around(&with_json(config, arguments)), arguments)
}

fn with_json(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakeferry"));
    command
        .arg("--config")
        .arg(config)
        .args(["--output", "json"])
        .args(arguments);
    command
}

fn said(command: &mut Command, arguments: &[&str]) -> Said {
    let output = command.output().expect("the binary was built");
    Said {
        command: arguments[0].to_owned(),
        // A signal has no code; none of ours sends one.
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("JSON is UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
