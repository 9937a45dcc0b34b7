//! Brings other people's Delta tables into Postgres and compares them, value by value.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, execute};

/// Readies the machine, builds, and runs all tables, or those with `only` in their name.
pub(crate) fn run(checkout: &Checkout, only: Option<&str>) -> Result<ExitCode> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    let build = [
        "build",
        "--locked",
        "--workspace",
        "--bins",
        "--example",
        "corpus",
    ];
    execute(stage::cargo().current_dir(root).args(build))?;
    let status = Command::new(checkout.target().join("debug/examples/corpus"))
        .current_dir(root)
        .args(only)
        .status()?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
