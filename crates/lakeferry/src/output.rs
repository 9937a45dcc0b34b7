//! Printing: results to stdout, errors to stderr, or one JSON object for both.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this file does"
)]

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    arguments::Format,
    exit::{Code, Trouble},
};

/// What a command found or did: the same for people and for programs.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) text: String,
    pub(crate) result: Value,
    /// Of the jobs that failed; the command went on with the others.
    pub(crate) troubles: Vec<Trouble>,
}

impl Done {
    pub(crate) fn new(text: String, result: &impl Serialize) -> Self {
        let result = serde_json::to_value(result).unwrap_or_default();
        Self {
            text,
            result,
            troubles: Vec::new(),
        }
    }
}

/// Where and how to print.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    command: &'static str,
}

impl Output {
    pub(crate) fn new(format: Format, command: &'static str) -> Self {
        Self { format, command }
    }

    /// Prints a result; the exit code is that of the worst job.
    pub(crate) fn done(&self, done: &Done) -> ExitCode {
        let worst = done.troubles.iter().max_by_key(|trouble| trouble.code);
        let code = worst.map_or(Code::Done, |trouble| trouble.code);
        match self.format {
            Format::Json => self.envelope(code, &done.result, worst),
            Format::Text => {
                if !done.text.is_empty() {
                    println!("{}", done.text.trim_end());
                }
                done.troubles.iter().for_each(print_trouble);
            }
        }
        ExitCode::from(code as u8)
    }

    /// Prints why a command did nothing.
    pub(crate) fn failed(&self, trouble: &Trouble) -> ExitCode {
        match self.format {
            Format::Json => self.envelope(trouble.code, &Value::Null, Some(trouble)),
            Format::Text => print_trouble(trouble),
        }
        ExitCode::from(trouble.code as u8)
    }

    fn envelope(&self, code: Code, result: &Value, error: Option<&Trouble>) {
        let ok = code == Code::Done;
        println!(
            "{}",
            json!({ "command": self.command, "ok": ok, "result": result, "error": error })
        );
    }
}

fn print_trouble(trouble: &Trouble) {
    if let Some(report) = &trouble.report {
        eprintln!("{}", report.trim_end());
        return;
    }
    eprintln!("error: {}", trouble.reason);
    for cause in &trouble.causes {
        eprintln!("  caused by: {cause}");
    }
    if let Some(differences) = &trouble.differences {
        eprint!("{differences}");
    }
    if let Some(job) = &trouble.job {
        eprintln!("  in: {job}");
    }
    if let Some(hint) = &trouble.hint {
        eprintln!("  hint: {hint}");
    }
}
