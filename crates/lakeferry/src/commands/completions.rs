//! `completions`: a script that completes commands in a shell.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use serde_json::json;

use crate::{arguments::Arguments, output::Done};

/// The script for `shell`, to be put where that shell looks for it.
pub(crate) fn completions(shell: Shell) -> Done {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "lakeferry", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let result = json!({ "shell": shell.to_string(), "script": script });
    Done::new(script, &result)
}
