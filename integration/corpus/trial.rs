//! One table through the built binary: a job, a sync, and what became of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result};
use lakeferry_postgres_testkit::{Server, Settings, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    corpus::{Corpus, Table},
    history::History,
    oracle::{Oracle, Reading, Rows, Stops},
};

const DATABASE: &str = "corpus";
/// How long a sync may take before it counts as hanging.
const SECONDS_MOST: u32 = 180;
/// Of `timeout`, where it had to end what it ran, by SIGTERM or by SIGKILL.
const TIMED_OUT: [i32; 2] = [124, 137];

/// How a table ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The target has exactly the rows of the table, in the right types.
    Exact {
        rows: u64,
    },
    /// Nobody can read the table here, and the error says so.
    Unreadable {
        error: String,
    },
    /// An error that names the table, where it has rows.
    Refused {
        error: String,
    },
    /// Other rows or other types.
    Wrong {
        how: String,
    },
    /// Rows where the oracle reads none.
    Unproven {
        oracle: String,
    },
    /// An error that names no table, or none of the documented exit codes.
    Vague {
        said: String,
    },
    Panicked {
        said: String,
    },
    Hung,
}

/// What became of a table.
pub(crate) struct Trial {
    pub(crate) outcome: Outcome,
    /// Whether all files of its newest version are there.
    pub(crate) has_files: bool,
}

/// How a table was followed through its history.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Versions that were synced to.
    pub(crate) stops: u64,
    /// The version that the target did not come to exactly, and what became of it.
    pub(crate) stuck: Option<(u64, Outcome)>,
    /// Of the runs (fill, refresh, changes), where all were exact.
    pub(crate) kinds: String,
}

impl Outcome {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Exact { .. } => "exact",
            Self::Unreadable { .. } => "named error",
            Self::Refused { .. } => "refused",
            Self::Wrong { .. } => "WRONG",
            Self::Unproven { .. } => "UNPROVEN",
            Self::Vague { .. } => "VAGUE",
            Self::Panicked { .. } => "PANICKED",
            Self::Hung => "HUNG",
        }
    }

    /// What there is to say about it, on one line.
    pub(crate) fn told(&self) -> String {
        let told = match self {
            Self::Exact { rows } => format!("{rows} rows"),
            Self::Unreadable { error } | Self::Refused { error } => error.clone(),
            Self::Wrong { how } => how.clone(),
            Self::Unproven { oracle } => oracle.clone(),
            Self::Vague { said } | Self::Panicked { said } => said.clone(),
            Self::Hung => format!("{SECONDS_MOST} s"),
        };
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether no table may end so.
    pub(crate) fn is_bad(&self) -> bool {
        match self {
            Self::Exact { .. } | Self::Unreadable { .. } | Self::Refused { .. } => false,
            Self::Wrong { .. }
            | Self::Unproven { .. }
            | Self::Vague { .. }
            | Self::Panicked { .. }
            | Self::Hung => true,
        }
    }
}

/// A server to sync into.
pub(crate) struct Trials {
    server: Server,
    address: String,
    folder: TempDir,
}

impl Trials {
    pub(crate) fn start(version: Version) -> Result<Self> {
        let server = Server::start_with(version, &Settings::quick())?;
        let address = server.create_database(DATABASE)?;
        server.psql(
            DATABASE,
            &format!("ALTER DATABASE {DATABASE} SET timezone = 'UTC'"),
        )?;
        println!("postgres {}", server.release());
        Ok(Self {
            server,
            address,
            folder: tempfile::tempdir()?,
        })
    }

    /// Syncs the newest version of `table` into an empty target and compares.
    pub(crate) fn run(&self, corpus: &Corpus, table: &Table, oracle: &mut Oracle) -> Result<Trial> {
        let (path, expected) = (corpus.path(table), corpus.expected(table));
        let reading = oracle.read(&path, expected.as_deref())?;
        let key = match &reading {
            Reading::Rows(rows) => rows.key.as_deref(),
            Reading::Missing { .. } | Reading::Unreadable { .. } => None,
        };
        let has_files = !matches!(reading, Reading::Missing { .. });
        self.empty()?;
        let outcome = self.synced(&path, key, &reading, oracle)?;
        Ok(Trial { outcome, has_files })
    }

    /// Follows `table` through its history: a fill at the first of its stops, then a sync at each
    /// of the others, compared each time. Nothing where it has no two stops.
    pub(crate) fn follow(
        &self,
        corpus: &Corpus,
        table: &Table,
        oracle: &mut Oracle,
    ) -> Result<Option<Followed>> {
        let path = corpus.path(table);
        let Stops { versions, key } = oracle.stops(&path)?;
        if versions.len() < 2 {
            return Ok(None);
        }
        self.empty()?;
        let history = History::of(&path)?;
        let mut followed = Followed::default();
        for version in versions {
            history.publish(version)?;
            let reading = oracle.read_at(&path, version)?;
            let outcome = self.synced(history.path(), key.as_deref(), &reading, oracle)?;
            followed.stops += 1;
            if !matches!(outcome, Outcome::Exact { .. }) {
                followed.stuck = Some((version, outcome));
                break;
            }
        }
        if followed.stuck.is_none() {
            let kinds = "SELECT string_agg(kind, ', ' ORDER BY run_id) FROM lakeferry.runs";
            followed.kinds = self.server.psql(DATABASE, kinds)?;
        }
        Ok(Some(followed))
    }

    fn empty(&self) -> Result<()> {
        let sql = "DROP SCHEMA IF EXISTS lakeferry CASCADE; DROP SCHEMA public CASCADE; \
             CREATE SCHEMA public";
        self.server.psql(DATABASE, sql).map(drop)
    }

    /// Syncs the table at `path`, of which the oracle says `reading`.
    fn synced(
        &self,
        path: &Path,
        key: Option<&[String]>,
        reading: &Reading,
        oracle: &mut Oracle,
    ) -> Result<Outcome> {
        let config = self.configure(path, key)?;
        let output = Command::new("timeout")
            .args(["--kill-after=5", &SECONDS_MOST.to_string()])
            .arg(binary()?)
            .arg("--config")
            .arg(config)
            .args(["--output", "json", "sync"])
            .output()
            .context("cannot run lakeferry under timeout")?;
        Ok(match (output.status.code(), reading) {
            (None, _) => Outcome::Hung,
            (Some(code), _) if TIMED_OUT.contains(&code) => Outcome::Hung,
            (Some(0), Reading::Rows(rows)) => self.compared(rows, oracle)?,
            (Some(0), Reading::Missing { missing }) => Outcome::Unproven {
                oracle: missing.join(", "),
            },
            (Some(0), Reading::Unreadable { error }) => Outcome::Unproven {
                oracle: error.clone(),
            },
            (Some(code), reading) => failed(&output, code, path, reading),
        })
    }

    /// A configuration of one job, which deletes what its source deletes, and reads changes wherever
    /// they are no larger than the table; a table without a key is synced as a snapshot.
    fn configure(&self, source: &Path, key: Option<&[String]>) -> Result<PathBuf> {
        let (source, address) = (json!(source), json!(self.address));
        let mode = match key {
            Some(key) => format!("key: {}\n    refresh_above: 100%", json!(key)),
            None => "mode: snapshot".to_owned(),
        };
        let config = self.folder.path().join("lakeferry.yaml");
        fs::write(
            &config,
            format!(
                "version: 1\ndefaults: {{ allow_empty: true, max_delete_share: 100%, on_bad_value: halt }}\ntargets:\n  serving: {{ url: {address} }}\njobs:\n  table:\n    \
                 from: {source}\n    into: serving.public.target\n    {mode}\n"
            ),
        )?;
        Ok(config)
    }

    fn compared(&self, expected: &Rows, oracle: &mut Oracle) -> Result<Outcome> {
        let columns = "SELECT coalesce(json_agg(json_build_array(attname, \
             format_type(atttypid, atttypmod)) ORDER BY attnum), '[]') FROM pg_attribute \
             WHERE attrelid = 'target'::regclass AND attnum > 0 AND NOT attisdropped";
        let found: Vec<(String, String)> =
            serde_json::from_str(&self.server.psql(DATABASE, columns)?)?;
        if found != expected.columns {
            let how = format!("columns {found:?} instead of {:?}", expected.columns);
            return Ok(Outcome::Wrong { how });
        }
        let texts: Vec<_> = found.iter().map(text_of).collect();
        let rows = format!(
            "SELECT to_json(ARRAY[{}]::text[]) FROM target",
            texts.join(", ")
        );
        let differences = oracle.differences(&self.server.psql(DATABASE, &rows)?)?;
        Ok(match differences.is_empty() {
            true => Outcome::Exact {
                rows: expected.rows,
            },
            false => Outcome::Wrong {
                how: differences.join("; "),
            },
        })
    }
}

/// SQL for the text of a column: of an array, that of JSON.
fn text_of((name, kind): &(String, String)) -> String {
    let name = format!("\"{}\"", name.replace('"', "\"\""));
    match kind.ends_with("[]") {
        true => format!("to_jsonb({name})::text"),
        false => format!("{name}::text"),
    }
}

/// The outcome of a sync that ended with `code`.
fn failed(output: &Output, code: i32, path: &Path, reading: &Reading) -> Outcome {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if said.contains("panicked") {
        return Outcome::Panicked { said };
    }
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut error = text(&envelope["error"]["reason"]);
    // Of a configuration that is wrong.
    for problem in envelope["error"]["problems"]
        .as_array()
        .into_iter()
        .flatten()
    {
        error.push_str(": ");
        error.push_str(&text(&problem["what"]));
    }
    for cause in envelope["error"]["causes"].as_array().into_iter().flatten() {
        error.push_str(": ");
        error.push_str(&text(cause));
    }
    let place = path.display().to_string();
    let is_bug = text(&envelope["error"]["hint"]).contains("bug of lakeferry");
    if !(1..=3).contains(&code) || !said.contains(&place) || error.is_empty() || is_bug {
        return Outcome::Vague { said };
    }
    let error = error.replace(&place, "…");
    match reading {
        Reading::Rows(_) => Outcome::Refused { error },
        Reading::Missing { .. } | Reading::Unreadable { .. } => Outcome::Unreadable { error },
    }
}

/// The binary that was built beside this one.
fn binary() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let built = here.parent().and_then(Path::parent);
    Ok(built.context("this is no cargo build")?.join("lakeferry"))
}
