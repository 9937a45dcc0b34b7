//! A build of the binaries alone is one of what the tests are built of.
//!
//! A feature that only a test asks for makes cargo build a shared crate, and all that stand on it,
//! once with it and once without: for who builds first and tests then, everything twice.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::checkout::{Checkout, output};
use crate::stage;
use crate::tidy::Problem;

pub(super) fn check(checkout: &Checkout) -> Result<Vec<Problem>> {
    let tree = |edges: &str| {
        let mut cargo = stage::cargo();
        cargo
            .current_dir(checkout.root())
            .args(["tree", "--locked", "--workspace", "--edges", edges])
            .args(["--prefix", "none", "--format", "{p} {f}"]);
        output(&mut cargo)
    };
    Ok(compare(&tree("normal,build")?, &tree("all")?))
}

/// A line of each is a crate and its features; ` (*)` marks one that was there before.
fn compare(binaries: &str, tests: &str) -> Vec<Problem> {
    let crates = |tree: &str| -> BTreeSet<String> {
        let lines = tree
            .lines()
            .map(|line| line.trim_end_matches(" (*)").trim_end());
        lines.map(str::to_owned).collect()
    };
    let tests = crates(tests);
    let other = crates(binaries)
        .into_iter()
        .filter(|line| !tests.contains(line));
    let what = "has more features in a build of the tests: ask for them in [dependencies] too";
    other.map(|line| Problem::new(line, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_other_features_is_one_problem() {
        let tests = "a v1.0.0 std\nb v2.0.0 default,std\nb v2.0.0 default,std (*)\nonly v1.0.0 \n";
        assert_eq!(
            compare("a v1.0.0 std\nb v2.0.0 default,std (*)\n", tests),
            []
        );
        assert_eq!(compare("a v1.0.0 std\nb v2.0.0 std\n", tests).len(), 1);
    }
}
