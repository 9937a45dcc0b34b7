//! What is wrong with a file: every problem with its path, line and column, and a remedy.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file that the text is in.
    pub file: PathBuf,
    /// Where in the document: `jobs.customers_hot.key[1]`; empty for the document itself.
    pub path: String,
    /// Of the text that is wrong, from 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// What is wrong, naming the object.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Everything that is wrong with a configuration: file by file as they were read, in the order of
/// their lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    origin: PathBuf,
    problems: Vec<Problem>,
}

impl Problems {
    /// The first file of the configuration.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The problems, in the order in which they stand.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            let Problem {
                file,
                path,
                line,
                column,
                what,
                hint,
            } = problem;
            let separator = if path.is_empty() { "" } else { ": " };
            let file = file.display();
            writeln!(f, "{file}:{line}:{column}: {path}{separator}{what}")?;
            writeln!(f, "  hint: {hint}")?;
        }
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        let files: BTreeSet<&Path> = self.problems.iter().map(|p| p.file.as_path()).collect();
        match files.first() {
            Some(file) if files.len() == 1 => {
                write!(f, "{count} problem{plural} in {}", file.display())
            }
            _ => write!(f, "{count} problems in {} files", files.len()),
        }
    }
}

/// What a value does wrong, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Fault {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<Path>,
    /// As [`Problem::path`].
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) column: u64,
    /// The environment variables that a value was made with.
    pub(crate) variables: Vec<String>,
}

impl Place {
    /// The start of `file`.
    pub(crate) fn start(file: &Arc<Path>) -> Self {
        Self {
            file: Arc::clone(file),
            path: String::new(),
            line: 1,
            column: 1,
            variables: Vec::new(),
        }
    }

    /// The directory that relative paths written here start from.
    pub(crate) fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// In the order in which they were read.
    files: Vec<Arc<Path>>,
    problems: Vec<Problem>,
}

impl Report {
    /// Problems of `file` come after those of the files before.
    pub(crate) fn open(&mut self, file: &Arc<Path>) {
        self.files.push(Arc::clone(file));
    }

    /// Adds a problem, once: a pattern makes many jobs of one text.
    pub(crate) fn add(&mut self, place: &Place, fault: Fault) {
        let problem = Problem {
            file: place.file.to_path_buf(),
            path: place.path.clone(),
            line: place.line,
            column: place.column,
            what: fault.what,
            hint: fault.hint,
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// `checked`, if there was no problem; `origin` is the first file.
    ///
    /// A check that gives nothing has said why; should one forget to, this says so.
    pub(crate) fn close<T>(
        mut self,
        origin: &Arc<Path>,
        checked: Option<T>,
    ) -> Result<T, Problems> {
        match checked {
            Some(checked) if self.problems.is_empty() => return Ok(checked),
            None if self.problems.is_empty() => self.add(
                &Place::start(origin),
                Fault::new(
                    "the file was refused without a reason",
                    "report this as a bug",
                ),
            ),
            _ => {}
        }
        let files = self.files;
        let order = |file: &Path| files.iter().position(|known| **known == *file);
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (order(&problem.file), problem.line, problem.column));
        Err(Problems {
            origin: origin.to_path_buf(),
            problems,
        })
    }
}
