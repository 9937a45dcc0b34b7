//! Builds the product with the release profile and measures what it takes of memory.

use std::process::Command;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, execute};

/// Readies the machine, builds, and starts the measurement.
pub(crate) fn run(checkout: &Checkout) -> Result<()> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    println!("building with the release profile: half an hour on two cores the first time");
    let build = ["build", "--locked", "--release", "--workspace", "--bins"];
    let example = ["--example", "memory"];
    execute(stage::cargo().current_dir(root).args(build).args(example))?;
    execute(Command::new(checkout.target().join("release/examples/memory")).current_dir(root))
}
