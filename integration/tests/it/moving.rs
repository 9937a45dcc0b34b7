//! A table whose keys move onto each other, and what each of its versions holds: the test that
//! writes it keeps the rows beside it.

use std::{collections::BTreeMap, path::Path};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::tables;

/// Rows enough that a small change is a small part of the table's files.
const ROWS: i64 = 4_000;

/// The Delta table, its rows now, and those of each version.
pub(crate) struct Moving {
    pub(crate) table: DeltaTable,
    pub(crate) rows: BTreeMap<i64, String>,
    versions: BTreeMap<u64, String>,
}

impl Moving {
    pub(crate) async fn create(path: &Path, random: &mut ChaCha8Rng) -> Self {
        Self::create_with(path, NewTable::with_feed(), ROWS, random).await
    }

    /// With so many rows, in version 1.
    pub(crate) async fn create_with(
        path: &Path,
        new: NewTable,
        count: i64,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let word = |_| format!("{:032x}", random.random::<u128>());
        let rows: BTreeMap<i64, String> = (0..count).zip((0..count).map(word)).collect();
        let words: Vec<_> = rows
            .iter()
            .map(|(id, word)| (*id, Some(word.as_str())))
            .collect();
        let table = tables::create(path, new, &words).await;
        let mut moving = Self {
            table,
            rows,
            versions: BTreeMap::new(),
        };
        moving.note();
        moving
    }

    /// One commit: an UPDATE that raises the keys of all rows or of the last ones, a DELETE, or a
    /// MERGE that updates one row and inserts another.
    pub(crate) async fn commit(&mut self, random: &mut ChaCha8Rng) {
        let last = *self.rows.keys().next_back().unwrap();
        match random.random_range(0..6) {
            0 => self.raise(i64::MIN, None).await,
            1..=3 => {
                let from = last - random.random_range(0..200);
                self.raise(from, Some(&format!("id >= {from}"))).await;
            }
            4 => {
                let nth = random.random_range(0..self.rows.len());
                let from = *self.rows.keys().nth(nth).unwrap();
                let gone = from..from + 20;
                let predicate = format!("id >= {} AND id < {}", gone.start, gone.end);
                self.table.delete(Some(&predicate)).await.unwrap();
                self.rows.retain(|id, _| !gone.contains(id));
                self.note();
            }
            _ => {
                let word = format!("{:032x}", random.random::<u128>());
                let puts = [(last, Some(word.as_str())), (last + 1, Some("new"))];
                self.table
                    .merge(&["id"], tables::puts(&puts))
                    .await
                    .unwrap();
                self.rows
                    .extend(puts.map(|(id, word)| (id, word.unwrap().to_owned())));
                self.note();
            }
        }
    }

    /// `UPDATE … SET id = id + 1` where the id is at least `from`.
    pub(crate) async fn raise(&mut self, from: i64, predicate: Option<&str>) {
        self.table
            .update(&[("id", "id + 1")], predicate)
            .await
            .unwrap();
        let raised = self.rows.split_off(&from);
        self.rows
            .extend(raised.into_iter().map(|(id, word)| (id + 1, word)));
        self.note();
    }

    /// Appends one row.
    pub(crate) async fn insert(&mut self, word: &str) {
        let id = self.rows.keys().next_back().unwrap() + 1;
        let row = tables::words(&[(id, Some(word))]);
        self.table.append(row).await.unwrap();
        self.rows.insert(id, word.to_owned());
        self.note();
    }

    /// The rows of the newest version.
    pub(crate) fn as_csv(&self) -> String {
        let lines = self.rows.iter().map(|(id, word)| format!("{id},{word}"));
        lines.collect::<Vec<_>>().join("\n")
    }
    /// The newest version.
    pub(crate) fn head(&self) -> u64 {
        self.table.version()
    }

    /// The rows of a version, as [`Moving::as_csv`] has them.
    pub(crate) fn csv_at(&self, version: u64) -> &str {
        let newest = self.versions.range(..=version).next_back();
        newest.map_or("", |(_, csv)| csv)
    }

    fn note(&mut self) {
        self.versions.insert(self.table.version(), self.as_csv());
    }
}
