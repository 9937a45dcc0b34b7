//! What a file must say, what it must not, and what it must not be called.

use std::path::Path;

use crate::tidy::Problem;

/// Longer files are several things under one name.
const LINES_MAX: usize = 600;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "base", "common", "core", "helper", "helpers", "misc", "types", "util", "utils",
];

/// Words that no tracked file holds, in two halves so that this one does not either.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "FIX",
        "ME",
        "is unfinished work: finish it, or make it an issue",
    ),
    ("/ro", "ot/", "is a path of one machine"),
    ("/wo", "rk/", "is a path of one machine"),
    ("/ho", "me/", "is a path of one machine"),
    ("/Us", "ers/", "is a path of one machine"),
    ("/tm", "p/t-", "is a path of one machine"),
    ("arti", "factory", "is a registry of one network"),
    ("index", "-url", "is a registry of one network"),
    ("sparse", "+http", "is a registry of one network"),
    ("replace", "-with", "is a registry of one network"),
];

/// The same for Rust alone.
const FORBIDDEN_IN_RUST: &[(&str, &str, &str)] = &[
    (
        "todo",
        "!(",
        "is unfinished work: finish it, or make it an issue",
    ),
    (
        "unimplemented",
        "!(",
        "is unfinished work: finish it, or make it an issue",
    ),
    ("#[ig", "nore]", "has no reason: say `#[ignore = \"why\"]`"),
];

/// The one source of crates that a lock file may name.
const REGISTRY: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

pub(super) fn check(path: &Path, text: &str) -> Vec<Problem> {
    let place = path.display().to_string();
    let mut problems = forbidden(&place, text, FORBIDDEN);
    if path.file_name().is_some_and(|name| name == "Cargo.lock") {
        problems.extend(foreign_sources(&place, text));
    }
    if path.extension().is_some_and(|extension| extension == "rs") {
        problems.extend(forbidden(&place, text, FORBIDDEN_IN_RUST));
        problems.extend(check_rust(path, text));
    }
    problems
}

fn check_rust(path: &Path, text: &str) -> Vec<Problem> {
    let problem = |what: String| Problem::new(path.display().to_string(), what);
    let mut problems = Vec::new();
    let promise = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"));
    if promise.is_none_or(|promise| promise.trim().is_empty()) {
        problems.push(problem(
            "does not open with its promise, `//! …`".to_owned(),
        ));
    }
    let names = path.iter().map(|name| name.to_string_lossy());
    for name in names {
        if EMPTY_NAMES.contains(&name.trim_end_matches(".rs")) {
            problems.push(problem(format!("{name} says nothing of what is inside")));
        }
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        problems.push(problem(format!(
            "has {lines} lines, more than {LINES_MAX}: split it"
        )));
    }
    problems
}

fn forbidden(place: &str, text: &str, words: &[(&str, &str, &str)]) -> Vec<Problem> {
    let words = words
        .iter()
        .map(|(start, end, why)| (format!("{start}{end}"), why));
    words
        .flat_map(|(word, why)| {
            let lines = text
                .lines()
                .enumerate()
                .filter(move |(_, line)| contains(line, &word));
            lines.map(move |(index, _)| Problem::new(format!("{place}:{}", index + 1), *why))
        })
        .collect()
}

/// Whether a line holds a word; a path only where it starts, not within a longer one.
fn contains(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "_-.}".contains(c))
    })
}

fn foreign_sources(place: &str, text: &str) -> Vec<Problem> {
    let sources = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("source = "));
    sources
        .filter(|(_, line)| *line != REGISTRY)
        .map(|(index, _)| {
            Problem::new(
                format!("{place}:{}", index + 1),
                "is not from the public registry",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(Path::new(path), text).len()
    }

    #[test]
    fn a_rust_file_opens_with_its_promise() {
        assert_eq!(count("src/plan.rs", "//! Plans.\n"), 0);
        for text in ["", "use a;\n", "//!\n", "/// Plans.\n", "\n//! Plans.\n"] {
            assert_eq!(count("src/plan.rs", text), 1, "{text:?}");
        }
        assert_eq!(count("README.md", "Plans.\n"), 0);
    }

    #[test]
    fn a_name_says_what_is_inside() {
        for path in [
            "src/utils.rs",
            "src/types.rs",
            "src/common/plan.rs",
            "core.rs",
        ] {
            assert_eq!(count(path, "//! Plans.\n"), 1, "{path}");
        }
        assert_eq!(count("src/type_map.rs", "//! Plans.\n"), 0);
    }

    #[test]
    fn a_file_is_not_too_long() {
        let text = "//! Plans.\n".repeat(LINES_MAX);
        assert_eq!(count("src/plan.rs", &text), 0);
        assert_eq!(count("src/plan.rs", &format!("{text}\n")), 1);
    }

    #[test]
    fn every_forbidden_word_is_found_with_its_line() {
        for (start, end, _) in FORBIDDEN.iter().chain(FORBIDDEN_IN_RUST) {
            let text = format!("//! Plans.\n// {start}{end}x\n");
            let problems = check(Path::new("src/plan.rs"), &text);
            assert_eq!(problems.len(), 1, "{start}{end}");
            assert_eq!(problems[0].place, "src/plan.rs:2");
        }
        assert_eq!(
            count("src/plan.rs", "//! Plans.\n#[ignore = \"needs a disk\"]\n"),
            0
        );
    }

    #[test]
    fn a_path_of_a_machine_is_told_from_a_folder_of_that_name() {
        let (start, end, _) = FORBIDDEN[2];
        assert_eq!(count("a.md", &format!("see {start}{end}main")), 1);
        assert_eq!(count("a.md", &format!("see docs{start}{end}main")), 0);
    }

    #[test]
    fn a_lock_file_names_the_public_registry_only() {
        assert_eq!(count("Cargo.lock", REGISTRY), 0);
        assert_eq!(
            count("Cargo.lock", "source = \"git+https://example.org/a\""),
            1
        );
    }
}
