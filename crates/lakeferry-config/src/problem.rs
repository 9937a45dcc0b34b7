//! What is wrong with a file: every problem with its path, line and column, and a remedy.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
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

/// Everything that is wrong with one file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    origin: PathBuf,
    problems: Vec<Problem>,
}

impl Problems {
    /// The file.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The problems, in the order of its lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.display();
        for problem in &self.problems {
            let Problem {
                path,
                line,
                column,
                what,
                hint,
            } = problem;
            let separator = if path.is_empty() { "" } else { ": " };
            writeln!(f, "{origin}:{line}:{column}: {path}{separator}{what}")?;
            writeln!(f, "  hint: {hint}")?;
        }
        let count = self.problems.len();
        write!(
            f,
            "{count} problem{} in {origin}",
            if count == 1 { "" } else { "s" }
        )
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

/// Where in a document something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn add(&mut self, place: &Place, fault: Fault) {
        let Place { path, line, column } = place.clone();
        let Fault { what, hint } = fault;
        self.problems.push(Problem {
            path,
            line,
            column,
            what,
            hint,
        });
    }

    /// `checked`, if there was no problem.
    ///
    /// A check that gives nothing has said why; should one forget to, this says so.
    pub(crate) fn close<T>(mut self, origin: &Path, checked: Option<T>) -> Result<T, Problems> {
        match checked {
            Some(checked) if self.problems.is_empty() => return Ok(checked),
            None if self.problems.is_empty() => self.add(
                &Place {
                    path: String::new(),
                    line: 1,
                    column: 1,
                },
                Fault::new(
                    "the file was refused without a reason",
                    "report this as a bug",
                ),
            ),
            _ => self
                .problems
                .sort_by_key(|problem| (problem.line, problem.column)),
        }
        Err(Problems {
            origin: origin.to_owned(),
            problems: self.problems,
        })
    }
}
