//! The oracle of the corpus, `integration/oracle/corpus`, asked through its own process.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

/// The process. It ends when its input does.
pub(crate) struct Oracle {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Child,
}

/// What the oracle makes of a table.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reading {
    Rows(Rows),
    /// Files that the log names and that are not there.
    Missing {
        missing: Vec<String>,
    },
    Unreadable {
        error: String,
    },
}

/// The rows of a table.
#[derive(Debug, Deserialize)]
pub(crate) struct Rows {
    pub(crate) rows: u64,
    /// Names of the columns that are synced, and their types in Postgres.
    pub(crate) columns: Vec<(String, String)>,
    /// Columns that tell the rows apart, if any do.
    pub(crate) key: Option<Vec<String>>,
}

/// Versions of a table, ascending, that have the same columns and all their files.
#[derive(Debug, Deserialize)]
pub(crate) struct Stops {
    pub(crate) versions: Vec<u64>,
    /// Columns that tell the rows of each of them apart, if any do.
    pub(crate) key: Option<Vec<String>>,
}

impl Oracle {
    pub(crate) fn start() -> Result<Self> {
        let mut process = Command::new(python()?)
            .arg(script("corpus"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            requests: process.stdin.take().context("no input")?,
            answers: BufReader::new(process.stdout.take().context("no output")?),
            _process: process,
        })
    }

    /// Reads the newest version of a table, and checks what it read against `expected`.
    pub(crate) fn read(&mut self, table: &Path, expected: Option<&Path>) -> Result<Reading> {
        let request =
            json!({ "ask": "read", "table": table, "version": null, "expected": expected });
        self.ask(&request, "")
    }

    /// Reads a version of a table.
    pub(crate) fn read_at(&mut self, table: &Path, version: u64) -> Result<Reading> {
        let request =
            json!({ "ask": "read", "table": table, "version": version, "expected": null });
        self.ask(&request, "")
    }

    /// Versions that a job can stop at on its way to the newest.
    pub(crate) fn stops(&mut self, table: &Path) -> Result<Stops> {
        self.ask(&json!({ "ask": "stops", "table": table }), "")
    }

    /// How `rows`, each a line of JSON, differ from those of the table that was read last.
    pub(crate) fn differences(&mut self, rows: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Compared {
            differences: Vec<String>,
        }
        let request = json!({ "ask": "compare", "bytes": rows.len() });
        Ok(self.ask::<Compared>(&request, rows)?.differences)
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        request: &serde_json::Value,
        payload: &str,
    ) -> Result<T> {
        write!(self.requests, "{request}\n{payload}")?;
        self.requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).with_context(|| format!("the oracle says {answer:?}"))
    }
}

/// A script in the folder of the oracles.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../integration/oracle/{name}"))
}

/// The Python of the environment that `integration/setup` makes in the target directory.
pub(crate) fn python() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let mut folders = here
        .ancestors()
        .map(|folder| folder.join("venv/bin/python"));
    let found = folders.find(|python| python.exists());
    found.context("integration/setup makes an environment for Python; run it")
}
