//! The oracle of the runways: `integration/oracle/runways.py`, asked through its own process.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A version of the runways: those of the history at `seq`, `shift` added to every id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) shift: i64,
}

/// Which rows of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rows {
    All,
    /// Those for which [`FILTER`] is TRUE.
    Filtered,
}

/// The filter that the oracle knows, as a job has it.
pub(crate) const FILTER: &str = "closed = 0 AND length_ft > 3000";

/// The process.
#[derive(Debug)]
pub(crate) struct Oracle {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The table of the runways, as SQL creates it.
#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    columns: Vec<(String, String)>,
}

/// Whether a dump has the rows of a version.
#[derive(Debug, Deserialize)]
pub(crate) struct Compared {
    equal: bool,
    /// How many the version has.
    rows: u64,
    #[serde(default)]
    differences: Vec<String>,
}

/// What leads from one version to another: ids of rows that go, then rows that come, as CSV.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) gone: Vec<i64>,
    #[serde(skip)]
    pub(crate) come: String,
}

impl Oracle {
    pub(crate) fn start(history: &Path) -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../integration/oracle/runways.py"
        );
        let mut process = Command::new(python())
            .arg(script)
            .arg(history)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            requests: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    pub(crate) fn table(&mut self) -> Table {
        self.ask(&json!({ "ask": "table" }), "")
    }

    /// Asserts that `dump` (CSV, ordered by id) has exactly the rows of a version; says how many.
    #[track_caller]
    pub(crate) fn assert_equal(&mut self, dump: &str, version: Version, rows: Rows) -> u64 {
        let Version { seq, shift } = version;
        let filter = rows == Rows::Filtered;
        let request = json!({
            "ask": "compare", "seq": seq, "shift": shift, "filter": filter, "bytes": dump.len()
        });
        let compared: Compared = self.ask(&request, dump);
        assert!(
            compared.equal,
            "{version:?}, {rows:?}: {:#?}",
            compared.differences
        );
        compared.rows
    }

    /// What leads from `after` (nothing: the empty table) to `through`.
    pub(crate) fn step(&mut self, after: Option<Version>, through: Version, rows: Rows) -> Step {
        #[derive(Deserialize)]
        struct Head {
            bytes: usize,
            #[serde(flatten)]
            step: Step,
        }
        let filter = rows == Rows::Filtered;
        let request =
            json!({ "ask": "step", "after": after, "through": through, "filter": filter });
        let Head { bytes, step } = self.ask(&request, "");
        let mut come = vec![0; bytes];
        self.answers.read_exact(&mut come).unwrap();
        Step {
            come: String::from_utf8(come).unwrap(),
            ..step
        }
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        request: &serde_json::Value,
        payload: &str,
    ) -> T {
        let requests = self.requests.as_mut().unwrap();
        write!(requests, "{request}\n{payload}").unwrap();
        requests.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

impl Table {
    /// Columns with their types, for CREATE TABLE.
    pub(crate) fn definitions(&self) -> String {
        let columns = self
            .columns
            .iter()
            .map(|(name, kind)| format!("\"{name}\" {kind}"));
        columns.collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Oracle {
    /// It ends when it has no more requests.
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

/// The Python of the environment that `integration/setup` makes in the target directory.
pub(crate) fn python() -> PathBuf {
    let test = env::current_exe().unwrap();
    let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    let mut folders = test.ancestors().chain([checkout]);
    let found = folders.find_map(|folder| {
        let python = folder.join("venv/bin/python");
        python.exists().then_some(python)
    });
    found.expect("integration/setup makes an environment for Python; run it")
}
