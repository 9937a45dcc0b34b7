//! Instructions of the collapse, which `cargo xtask count` counts under callgrind: those of what is
//! called `counted` and no others.

use std::hint::black_box;

use super::*;

const ROWS: i64 = 8_192;

#[inline(never)]
fn counted(mut collapse: Collapse<u64>, changes: Vec<ChangeBatch<u64>>) -> NetRows {
    for change in black_box(changes) {
        assert_eq!(collapse.push(change).unwrap(), Verdict::More);
    }
    collapse.finish().unwrap()
}

/// Each row is `(key, value)`.
fn rows(version: u64, sign: Sign, row: impl Fn(i64) -> (i64, String)) -> ChangeBatch<u64> {
    let rows: Vec<(i64, String)> = (0..ROWS).map(row).collect();
    let rows: Vec<(i64, &str)> = rows
        .iter()
        .map(|(id, value)| (*id, value.as_str()))
        .collect();
    change(version, sign, &rows)
}

fn count(changes: Vec<ChangeBatch<u64>>) {
    let all: usize = changes.iter().map(|change| change.rows.num_rows()).sum();
    drop(black_box(counted(collapse(), changes)));
    println!("rows: {all}");
}

/// Spread, so that they come in no order.
fn key(row: i64) -> i64 {
    row * 7_919 % 1_000_003
}

#[test]
#[ignore = "cargo xtask count"]
fn inserts() {
    count(vec![rows(1, Sign::Plus, |row| {
        (key(row), format!("value {row}"))
    })]);
}

#[test]
#[ignore = "cargo xtask count"]
fn updates() {
    let value = |version: u64| move |row| (key(row), format!("value {row} of {version}"));
    count(vec![
        rows(1, Sign::Minus, value(0)),
        rows(1, Sign::Plus, value(1)),
    ]);
}

/// Each key changes in each version.
#[test]
#[ignore = "cargo xtask count"]
fn versions() {
    let value = |version: u64| move |row| (key(row), format!("value {row} of {version}"));
    let of = |version| {
        let (minus, plus) = (value(version - 1), value(version));
        [
            rows(version, Sign::Minus, minus),
            rows(version, Sign::Plus, plus),
        ]
    };
    count((1..4).flat_map(of).collect());
}
