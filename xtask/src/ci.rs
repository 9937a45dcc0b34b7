//! Everything that has to hold before a change is taken. Stops at the first stage that fails; the
//! tests come last, and what they say last is the last line.

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, Stages, execute, has_subcommand};
use crate::test::{self, Closing};
use crate::{sabotage, tidy, tour};

pub(crate) fn run(checkout: &Checkout) -> Result<Closing> {
    let cargo = |arguments: &str| {
        let mut command = stage::cargo();
        command
            .current_dir(checkout.root())
            .args(arguments.split_whitespace());
        execute(&mut command)
    };
    let mut stages = Stages::default();
    stages.run("fmt", || cargo("fmt --all --check"))?;
    stages.run("tidy", || tidy::run(checkout))?;
    stages.run("deny", || deny(&cargo))?;
    stages.run("clippy", || {
        cargo("clippy --locked --workspace --all-targets --all-features -- -D warnings")
    })?;
    stages.run("build", || cargo("test --locked --workspace --no-run"))?;
    stages.run("tour", || tour::run(checkout))?;
    stages.run("sabotage", || sabotage::run(checkout, None))?;
    let closing = stages.run("test", || test::run(checkout))?;
    println!("{}", stages.table());
    Ok(closing)
}

/// The rules of deny.toml; known vulnerabilities only where their list can be fetched.
fn deny(cargo: &impl Fn(&str) -> Result<()>) -> Result<()> {
    if !has_subcommand("deny") {
        println!("skipped: cargo-deny is not installed; .ci/run installs it");
        return Ok(());
    }
    cargo("deny --locked check bans licenses sources")?;
    match cargo("deny --log-level off fetch db") {
        Ok(()) => cargo("deny --locked check advisories"),
        Err(_) => {
            println!("skipped: advisories, for their list cannot be fetched");
            Ok(())
        }
    }
}
