//! Whatever there is room for, what pairs off came as often as it went.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const AFTER: i64 = 5;

/// A row of a part: whether it is in it, and the numbers that its file has for it.
type Row = (bool, Option<i64>, Option<i64>);

/// Its sign, what its file has for rows without numbers, and its rows.
type Part = (Sign, Fresh, Vec<Row>);

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let number = |most| prop::option::weighted(0.8, 0..most);
    let row = (prop::bool::weighted(0.9), number(12i64), number(8i64));
    let fresh = (0..12i64, 0..8i64).prop_map(|(row_id, version)| Fresh { row_id, version });
    let sign = prop_oneof![Just(Sign::Minus), Just(Sign::Plus)];
    prop::collection::vec((sign, fresh, prop::collection::vec(row, 0..12)), 0..6)
}

/// How much more often rows of these numbers came than they went.
fn sums(parts: &[Part], is_left: impl Fn(usize, usize) -> bool) -> BTreeMap<Numbers, i64> {
    let mut sums = BTreeMap::new();
    for (place, (sign, fresh, rows)) in parts.iter().enumerate() {
        for (row, (is_in_part, id, version)) in rows.iter().enumerate() {
            let id = id.unwrap_or(fresh.row_id + i64::try_from(row).unwrap());
            let numbers = (id, version.unwrap_or(fresh.version));
            if *is_in_part && is_left(place, row) {
                let step = if *sign == Sign::Plus { 1 } else { -1 };
                *sums.entry(numbers).or_default() += step;
            }
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn read(place: usize, first: usize, rows: &[Row]) -> Read {
    let ids = rows.iter().map(|row| row.1).collect();
    let versions = rows.iter().map(|row| row.2).collect();
    Read {
        place,
        first,
        batch: NumberBatch {
            rows: rows.len(),
            columns: [Some(ids), Some(versions)],
        },
    }
}

/// The rows that are left of each part, and the most that waited at once.
fn left(parts: &[Part], waiting_most: usize) -> (Vec<Option<BooleanBuffer>>, usize) {
    let mut pairs = Pairs::new(parts.len(), DeltaVersion(AFTER as u64));
    pairs.waiting_most = waiting_most;
    for (place, (sign, fresh, rows)) in parts.iter().enumerate() {
        let mut in_part = BooleanBufferBuilder::new(rows.len());
        rows.iter().for_each(|row| in_part.append(row.0));
        assert!(pairs.admit(place, *sign, *fresh, in_part));
    }
    let mut most = 0;
    for (place, (_, _, rows)) in parts.iter().enumerate() {
        for (batch, rows) in rows.chunks(5).enumerate() {
            pairs.meet(&read(place, batch * 5, rows));
            most = most.max(pairs.waiting.len());
            let waits: usize = pairs.waits.iter().sum();
            assert_eq!(pairs.waiting.len(), waits);
        }
    }
    (pairs.left().collect(), most)
}

proptest! {
    /// Whatever waits at once, and however often the same numbers are there.
    #[test]
    fn what_pairs_off_came_as_often_as_it_went(parts in parts(), most in 0..20usize) {
        let (left, waited) = left(&parts, most);
        prop_assert!(waited <= most);
        let is_left = |place: usize, row: usize| {
            left[place].as_ref().is_none_or(|rows| rows.value(row))
        };
        prop_assert_eq!(sums(&parts, is_left), sums(&parts, |_, _| true));
        for (place, (_, fresh, rows)) in parts.iter().enumerate() {
            for (row, (is_in_part, _, version)) in rows.iter().enumerate() {
                let is_old = version.unwrap_or(fresh.version) <= AFTER;
                prop_assert!(is_old || is_left(place, row) == *is_in_part || left[place].is_none());
            }
        }
    }
}

/// Numbers are there once on each side: then there is nothing to compare but what changed.
#[test]
fn all_that_was_copied_pairs_off() {
    let fresh = |row_id, version| Fresh { row_id, version };
    let old: Vec<Row> = vec![(true, None, None); 20];
    let new = (0..20).rev().map(|id| {
        let version = (id % 4 > 0).then_some(1);
        (true, Some(id), version)
    });
    let parts = [
        (Sign::Minus, fresh(0, 1), old),
        (Sign::Plus, fresh(20, 6), new.collect()),
    ];
    let (left, _) = left(&parts, 20);
    let left: Vec<Vec<usize>> = left
        .iter()
        .map(|rows| rows.as_ref().unwrap().set_indices().collect())
        .collect();
    assert_eq!(left, [[0, 4, 8, 12, 16], [3, 7, 11, 15, 19]]);
}
