//! Whatever the text: settings or problems, never a panic, never a password.

use proptest::{prelude::*, sample::Index};

use super::{REFERENCE, load_text};

/// Pieces that YAML and the checks treat in special ways.
const PIECES: &[&str] = &[
    "\t",
    "\n",
    "  ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "*",
    "&a ",
    "*a",
    "<<: *a",
    "|\n",
    "!!int ",
    "? ",
    "---\n",
    "#",
    "%",
    "@",
    "\0",
    "é",
    "\u{feff}",
    "\u{2028}",
    "-1",
    "1e999",
    "~",
    "0x7fffffffffffffffffffffffffffffff",
    "EVERY 18446744073709551615 WEEKS",
    "99999999999GB",
    "prod.silver.customers",
    "\"\".\"\"",
    "s3://b/{table}",
    "file://%ff",
    "version: 1\n",
    "postgresql://a:b@[::1]:0/?host=%",
    "jobs:\n",
    "100%",
    "nan",
];

/// One change to a text: what it takes away and what it puts there.
fn changed(text: &str, at: &Index, length: usize, piece: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len() + 1);
    let end = (at + length).min(characters.len());
    let (before, after) = (&characters[..at], &characters[end..]);
    before
        .iter()
        .copied()
        .chain(piece.chars())
        .chain(after.iter().copied())
        .collect()
}

/// Loads and shows `text`, and checks what holds for every report.
fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = load_text(text) else {
        return Ok(());
    };
    let lines = text.lines().count() as u64 + 1;
    prop_assert!(problems.iter().count() > 0);
    for problem in problems.iter() {
        prop_assert!((1..=lines).contains(&problem.line), "{}", problems);
        prop_assert!(!problem.what.is_empty() && !problem.hint.is_empty());
    }
    prop_assert!(
        !problems.to_string().contains("without a reason"),
        "{}",
        text
    );
    prop_assert!(!problems.to_string().contains("hunter2"), "{}", problems);
    Ok(())
}

#[test]
fn deep_nesting() {
    for piece in ["[", "{a: ", "- ", "? ", "&a [", "!a [", "[[], "] {
        for depth in [1, 10, 15, 16, 17, 60, 100, 10_000] {
            check(&piece.repeat(depth)).unwrap();
        }
    }
}

#[test]
fn deep_nesting_by_aliases() {
    let (open, close) = ("[".repeat(12), "]".repeat(12));
    let mut text = "a0: &a0 x\n".to_owned();
    for n in 1..200 {
        let before = n - 1;
        text.push_str(&format!("a{n}: &a{n} {open}*a{before}{close}\n"));
    }
    check(&text).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn pieces_of_yaml(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn a_right_file_with_changes(
        changes in prop::collection::vec(
            (any::<Index>(), 0..20_usize, prop::sample::select(PIECES)),
            1..6,
        ),
    ) {
        let text = changes.iter().fold(REFERENCE.to_owned(), |text, (at, length, piece)| {
            changed(&text, at, *length, piece)
        });
        check(&text)?;
    }

    #[test]
    fn a_right_file_with_one_line_moved(from in any::<Index>(), to in any::<Index>()) {
        let mut lines: Vec<&str> = REFERENCE.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len() + 1), line);
        check(&lines.join("\n"))?;
    }
}
