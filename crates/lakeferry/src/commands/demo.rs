//! `demo`: becomes `lakeferry-demo`, which lies beside this binary and runs it in turn.
//!
//! The demo needs a writer of Delta tables and throwaway servers. Nobody who syncs needs them, so
//! they are not linked here.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use crate::{
    arguments::{DemoOptions, Format},
    exit::{Code, Trouble},
    output::Done,
};

/// Returns only if there is no demo to become.
pub(crate) fn demo(options: &DemoOptions, output: Format) -> Result<Done, Trouble> {
    let here = env::current_exe().map_err(|error| Trouble::environment(error.into()))?;
    let program = here.with_file_name("lakeferry-demo");
    let mut command = Command::new(&program);
    if let Some(rows) = options.rows {
        command.arg(format!("--rows={rows}"));
    }
    if let Some(seconds) = options.seconds {
        command.arg(format!("--for={seconds}"));
    }
    if let Some(target) = &options.target {
        command.arg(format!("--target={target}"));
    }
    if output == Format::Json {
        command.arg("--output=json");
    }
    let error = command.exec();
    let reason = format!("cannot run {}: {error}", program.display());
    Err(Trouble::new(Code::Environment, reason)
        .hint("build it: cargo build --workspace --bins; or start integration/demo"))
}
