//! The source: lineitem as a Delta table with the feed, and the commits to it.
//!
//! Rows are chosen by arithmetic on their order, so that each commit is also one statement of
//! SQL, which the oracle runs.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use arrow_array::{Int64Array, RecordBatch, cast::AsArray as _, types::Int64Type};
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem, lineitem_columns};
use rand::{Rng, seq::IndexedRandom as _};

/// The table comes in as many commits, each with its own range of orders.
pub(super) const PARTS: u16 = 25;

/// The keys of one part, at scale 1. Orders are numbered with gaps: 8 of 32.
const KEYS_IN_PART: f64 = 6_000_000.0 / PARTS as f64;

/// Rows that a commit brings get keys from a band of their own: its number times this.
const BAND: i64 = 10_000_000;

/// Bands older than so many commits are removed again, so that the table keeps its size.
const BANDS: i64 = 12;

/// One commit.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The rows of these orders change.
    Update(Range<i64>),
    /// Every seventh of these orders goes, and what came `BANDS` commits ago.
    Delete {
        orders: Range<i64>,
        remainder: i64,
        bands: Range<i64>,
    },
    /// Every fifth of these orders gets another key.
    Move {
        orders: Range<i64>,
        remainder: i64,
        shift: i64,
    },
    /// All of these orders go.
    Clear(Range<i64>),
    /// These orders, as they were first, come with `shift` added to their keys.
    Insert { orders: Range<i64>, shift: i64 },
}

impl Change {
    /// The rows that it is about.
    pub(super) fn predicate(&self) -> String {
        let of = |orders: &Range<i64>| {
            format!(
                "l_orderkey >= {} AND l_orderkey < {}",
                orders.start, orders.end
            )
        };
        match self {
            Self::Update(orders) | Self::Clear(orders) | Self::Insert { orders, .. } => of(orders),
            Self::Delete {
                orders,
                remainder,
                bands,
            } => {
                let (orders, bands) = (of(orders), of(bands));
                format!("({orders} AND l_orderkey % 7 = {remainder}) OR ({bands})")
            }
            Self::Move {
                orders, remainder, ..
            } => {
                format!("{} AND l_orderkey % 5 = {remainder}", of(orders))
            }
        }
    }

    /// The columns that it sets, each with its expression.
    pub(super) fn assignments(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Update(_) => vec![
                ("l_suppkey", "l_suppkey + 1".to_owned()),
                ("l_comment", "concat('changed, by ', l_shipmode)".to_owned()),
            ],
            Self::Move { shift, .. } => vec![("l_orderkey", format!("l_orderkey + {shift}"))],
            _ => Vec::new(),
        }
    }
}

/// The Delta table.
#[derive(Debug)]
pub(super) struct Lake {
    table: DeltaTable,
    scale: f64,
}

impl Lake {
    /// Makes the table and writes all of lineitem.
    pub(super) async fn create(path: &Path, scale: f64) -> Result<Self> {
        let columns = lineitem_columns();
        let mut table = DeltaTable::create(path, &columns, NewTable::with_feed()).await?;
        append_lineitem(&mut table, scale, PARTS).await?;
        Ok(Self { table, scale })
    }

    /// The newest version.
    pub(super) fn head(&self) -> u64 {
        self.table.version()
    }

    /// What the next increment consists of: always an update, of one part, and more of the others.
    pub(super) fn choose(&self, random: &mut impl Rng) -> Vec<Change> {
        let mut parts: Vec<u16> = (1..=PARTS).collect();
        let mut part = || {
            let last = parts.len() - 1;
            parts.swap_remove(random.random_range(0..=last))
        };
        let [updated, deleted, moved, inserted, restored] =
            std::array::from_fn(|_| self.orders_of(part()));
        let mut version = self.head() as i64;
        let mut changes = vec![Change::Update(updated)];
        let kinds = [[0, 1], [1, 2], [2, 3], [3, 0]];
        for kind in kinds.choose(random).into_iter().flatten() {
            version += 1;
            let shift = (version + 1) * BAND;
            let remainder = version % 5;
            match kind {
                0 => changes.push(Change::Move {
                    orders: moved.clone(),
                    remainder,
                    shift,
                }),
                1 => changes.push(Change::Insert {
                    orders: first_third(&inserted),
                    shift,
                }),
                2 => changes.push(Change::Delete {
                    orders: deleted.clone(),
                    remainder,
                    bands: BAND..(version - BANDS).max(1) * BAND,
                }),
                _ => {
                    changes.push(Change::Clear(restored.clone()));
                    changes.push(Change::Insert {
                        orders: restored.clone(),
                        shift: 0,
                    });
                    version += 1;
                }
            }
        }
        changes
    }

    /// Makes one commit.
    pub(super) async fn commit(&mut self, change: &Change) -> Result<u64> {
        let predicate = change.predicate();
        match change {
            Change::Update(_) | Change::Move { .. } => {
                let set = change.assignments();
                let set: Vec<_> = set
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                self.table.update(&set, Some(&predicate)).await
            }
            Change::Delete { .. } | Change::Clear(_) => self.table.delete(Some(&predicate)).await,
            Change::Insert { orders, shift } => {
                let part = 1 + (orders.start - 1) / self.keys_in_part();
                let rows = lineitem(self.scale, u16::try_from(part)?, PARTS)?;
                let rows: Result<Vec<_>> = rows
                    .iter()
                    .map(|rows| shifted(rows, orders, *shift))
                    .collect();
                self.table.append_all(rows?).await
            }
        }
        .with_context(|| format!("commit {change:?}"))
    }

    fn orders_of(&self, part: u16) -> Range<i64> {
        let width = self.keys_in_part();
        let start = i64::from(part - 1) * width + 1;
        start..start + width
    }

    fn keys_in_part(&self) -> i64 {
        (KEYS_IN_PART * self.scale).round() as i64
    }
}

fn first_third(orders: &Range<i64>) -> Range<i64> {
    orders.start..orders.start + (orders.end - orders.start) / 3
}

/// The rows of `orders`, which are in order, with `shift` added to their keys.
fn shifted(rows: &RecordBatch, orders: &Range<i64>, shift: i64) -> Result<RecordBatch> {
    let keys = rows.column(0).as_primitive::<Int64Type>();
    let from = keys.values().partition_point(|key| *key < orders.start);
    let to = keys.values().partition_point(|key| *key < orders.end);
    let rows = rows.slice(from, to - from);
    let keys = rows.column(0).as_primitive::<Int64Type>();
    let keys = Int64Array::from_iter_values(keys.values().iter().map(|key| key + shift));
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new(keys);
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}
