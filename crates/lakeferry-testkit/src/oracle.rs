//! What a target must hold: a naive replay of signed changes through the filter.
//!
//! It follows DESIGN §1 promise 1 by the letter and shares no line with the product: no collapse,
//! no batches, no planning, and no filter that moves: each instant is looked at by itself.

use std::collections::{BTreeMap, BTreeSet};

use lakeferry_model::{Instant, Sign, TableId};

use crate::{History, Row, WINDOW, row::cell};

/// What a target must hold in one column, by key.
pub type Cells = BTreeMap<i64, Option<String>>;

/// What a target must hold in one column, and the keys that must be in its quarantine, with what rows
/// have there in that column whose key is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub cells: Cells,
    pub quarantined: Vec<i64>,
    pub unkeyed: Vec<Option<String>>,
}

/// Remembers what each version of each table looked like when it was committed, so that it can
/// say what a target must hold even after the source was cleaned, rewound or replaced.
#[derive(Default)]
pub struct Oracle {
    /// By table, version and digest of the commit: a rewound log may commit a version again.
    versions: BTreeMap<(String, u64, [u8; 32]), Vec<Row>>,
}

impl Oracle {
    /// Takes note of all versions that the history shows now.
    pub fn observe(&mut self, history: &History) {
        let generation = history.generation();
        let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
        for version in 0..=generation.head() {
            for change in generation.changes(version) {
                let count = rows.entry(change.row).or_default();
                *count += if change.sign == Sign::Plus { 1 } else { -1 };
            }
            let Some(digest) = generation.digest(version) else {
                continue;
            };
            let key = (generation.table_id.0.clone(), version, digest.0);
            self.versions.entry(key).or_insert_with(|| {
                let times = |count: i64| 0..count.max(0);
                let live = rows.iter();
                live.flat_map(|(row, count)| times(*count).map(|_| row.clone()))
                    .collect()
            });
        }
    }

    /// What the column of this identity holds in the rows of that version that pass the filter, or
    /// `None` if no such version ever was. A bad value keeps its row aside only if it is synced. The filter is evaluated at `instant`, or does not look
    /// at time. A version before the column came has NULL in it. With an `order`, a key's row is the
    /// one that is greatest in the columns of these identities, in their order, NULL lowest.
    pub fn expected(
        &self,
        (table, version, digest): (&TableId, u64, [u8; 32]),
        instant: Option<Instant>,
        (identity, syncs_value): (&str, bool),
        order: Option<&[&str]>,
    ) -> Option<Expected> {
        let rows = self.versions.get(&(table.0.clone(), version, digest))?;
        let mut expected = Expected::default();
        let mut passing: Vec<&Row> = rows.iter().filter(|row| passes(row, instant)).collect();
        if let Some(order) = order {
            let rank = |row: &&Row| -> Vec<_> { order.iter().map(|of| cell(row, of)).collect() };
            let all = passing.clone();
            passing.retain(|row| {
                let mut others = all.iter().filter(|other| other.id == row.id);
                row.id.is_none() || others.all(|other| rank(other) <= rank(row))
            });
            let mut seen = BTreeSet::new();
            passing.retain(|row| row.id.is_none() || seen.insert(row.id));
        }
        for row in passing {
            let Some(id) = row.id else {
                expected.unkeyed.push(cell(row, identity));
                continue;
            };
            match &row.value {
                Some(text) if syncs_value && text.contains('\0') => expected.quarantined.push(id),
                _ => {
                    expected.cells.insert(id, cell(row, identity));
                }
            }
        }
        expected.quarantined.sort_unstable();
        expected.unkeyed.sort();
        Some(expected)
    }
}

fn passes(row: &Row, instant: Option<Instant>) -> bool {
    let in_time = match (row.seen, instant) {
        (Some(Instant(seen)), Some(Instant(now))) => {
            let age = i128::from(now) - i128::from(seen);
            (0..i128::try_from(WINDOW.as_micros()).unwrap_or(i128::MAX)).contains(&age)
        }
        _ => true,
    };
    row.hot == Some(true) && in_time
}
