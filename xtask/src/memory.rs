//! Builds the binary with the release profile and measures what it takes of memory. What writes the
//! tables and measures is built as the tests are.

use std::process::Command;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, execute};

/// Readies the machine, builds, and starts the measurement.
pub(crate) fn run(checkout: &Checkout) -> Result<()> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    println!("building with the release profile: half an hour on two cores the first time");
    cargo(checkout, &["--release", "--package", "lakeferry", "--bins"])?;
    cargo(checkout, &["--workspace", "--example", "memory"])?;
    let built = |path: &str| checkout.target().join(path);
    let mut measure = Command::new(built("debug/examples/memory"));
    execute(measure.arg(built("release/lakeferry")).current_dir(root))
}

fn cargo(checkout: &Checkout, arguments: &[&str]) -> Result<()> {
    let build = ["build", "--locked"].iter().chain(arguments);
    execute(stage::cargo().current_dir(checkout.root()).args(build))
}
