//! Shows what the product does to who has just cloned it: one command, nothing to set up.

use std::process::Command;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, execute};

/// Readies the machine, builds the workspace as the tests do, and starts the tour.
pub(crate) fn run(checkout: &Checkout) -> Result<()> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    println!(
        "building; the first build takes about 15 minutes on two cores, for all that it links"
    );
    // The whole workspace, so that its dependencies are built once, as the tests want them.
    let build = [
        "build",
        "--locked",
        "--workspace",
        "--bins",
        "--example",
        "tour",
    ];
    execute(stage::cargo().current_dir(root).args(build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    execute(Command::new(target.join("debug/examples/tour")).current_dir(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ci` runs both: the tour as a stage, the tests as the last one.
    #[test]
    fn the_readme_shows_no_command_that_nothing_runs() {
        let readme = Checkout::find().unwrap().root().join("README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let shown = readme.split("```console\n").skip(1);
        let shown: Vec<_> = shown.filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(shown, ["cargo xtask tour\n", "cargo xtask test\n"]);
    }
}
