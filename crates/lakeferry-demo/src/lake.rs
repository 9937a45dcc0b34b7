//! The Delta table: its first rows, then a commit at a time. The writer is deltalake, as a user's
//! own job would be one.
//!
//! Every commit touches the newest orders only, which lie in small files of their own: the
//! statistics in the log spare the writer the large ones.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use arrow_array::RecordBatch;
use lakeferry_delta_testkit::{DeltaTable, NewTable, lineitem, lineitem_columns};

use crate::orders::{Lot, NewOrders};

/// Rows of lineitem at scale 1, and the largest order key there.
const SCALE_1: (f64, f64) = (6_001_215.0, 6_000_000.0);
/// Rows of one file.
const ROWS_PER_FILE: u64 = 300_000;
/// Lots of new orders that the table has at first, so that the oldest can go.
const LOTS: u64 = 2;

/// A Delta table with a writer.
#[derive(Debug)]
pub(crate) struct Lake {
    table: DeltaTable,
    folder: PathBuf,
    orders: NewOrders,
    /// How many commits there were after the first rows.
    turn: u64,
}

/// What a commit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// A commit to the Delta table.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) rows: u64,
    /// When its file came into the log.
    pub(crate) at: SystemTime,
    /// A query for those of its rows that a reader finds once it is there, and how many they are.
    pub(crate) probe: (String, i64),
}

impl Lake {
    /// Makes a table of about `rows` rows in `folder`; tells `progress` how many it has so far.
    pub(crate) async fn write(
        folder: &Path,
        rows: u64,
        progress: impl Fn(u64),
    ) -> Result<(Self, u64)> {
        let (scale, parts) = (scale_of(rows), parts_of(rows)?);
        let new = NewTable::with_feed();
        let mut table = DeltaTable::create(folder, &lineitem_columns(), new).await?;
        let generate = |part| tokio::task::spawn_blocking(move || lineitem(scale, part, parts));
        let mut written = 0;
        let mut next = generate(1);
        for part in 1..=parts {
            let batches = next.await??;
            // The next part is made while this one is written.
            next = generate((part + 1).min(parts));
            written += batches.iter().map(rows_of).sum::<u64>();
            table.append_all(batches).await?;
            progress(written);
        }
        let orders = new_orders(rows)?;
        for number in 0..LOTS {
            let lot = orders.lot(number)?;
            written += rows_of(&lot.rows);
            table.append(lot.rows).await?;
        }
        let lake = Self {
            table,
            folder: folder.to_owned(),
            orders,
            turn: 0,
        };
        Ok((lake, written))
    }

    /// Goes on with a table that was made with as many rows.
    pub(crate) async fn open(folder: &Path, rows: u64) -> Result<Self> {
        let table = DeltaTable::open(folder).await?;
        // Version 0 has no rows yet; each part and each lot is a commit.
        let first = u64::from(parts_of(rows)?) + LOTS;
        let turn = table.version().checked_sub(first);
        let turn = turn.with_context(|| {
            let folder = folder.display();
            format!("the table in {folder} was not made whole: remove it")
        })?;
        Ok(Self {
            table,
            folder: folder.to_owned(),
            orders: new_orders(rows)?,
            turn,
        })
    }

    /// Makes the next commit: new orders, then a change to them, then the oldest of them go.
    pub(crate) async fn commit(&mut self) -> Result<Commit> {
        let round = self.turn / 3;
        let (kind, number) = match self.turn % 3 {
            0 => (Kind::Insert, round + LOTS),
            1 => (Kind::Update, round + LOTS),
            _ => (Kind::Delete, round),
        };
        self.turn += 1;
        let lot = self.orders.lot(number)?;
        let rows = rows_of(&lot.rows);
        let keys = format!("l_orderkey BETWEEN {} AND {}", lot.first_key, lot.last_key);
        let (version, probe) = self.perform(kind, lot, &keys).await?;
        Ok(Commit {
            version,
            kind,
            rows,
            at: self.committed_at(version)?,
            probe,
        })
    }

    async fn perform(&mut self, kind: Kind, lot: Lot, keys: &str) -> Result<(u64, (String, i64))> {
        let rows = i64::try_from(lot.rows.num_rows())?;
        let count = format!("SELECT count(*) FROM lineitem WHERE {keys}");
        Ok(match kind {
            Kind::Insert => (self.table.append(lot.rows).await?, (count, rows)),
            Kind::Update => {
                let comment = format!("'changed in turn {}'", self.turn);
                let set = [("l_shipmode", "'AIR'"), ("l_comment", comment.as_str())];
                let version = self.table.update(&set, Some(keys)).await?;
                (
                    version,
                    (format!("{count} AND l_comment = {comment}"), rows),
                )
            }
            Kind::Delete => (self.table.delete(Some(keys)).await?, (count, 0)),
        })
    }

    fn committed_at(&self, version: u64) -> Result<SystemTime> {
        let entry = self.folder.join(format!("_delta_log/{version:020}.json"));
        let metadata = fs::metadata(&entry);
        let metadata = metadata.with_context(|| format!("cannot see {}", entry.display()))?;
        Ok(metadata.modified()?)
    }
}

fn scale_of(rows: u64) -> f64 {
    rows as f64 / SCALE_1.0
}

fn parts_of(rows: u64) -> Result<u16> {
    Ok(u16::try_from(rows.div_ceil(ROWS_PER_FILE))?)
}

fn new_orders(rows: u64) -> Result<NewOrders> {
    NewOrders::after((scale_of(rows) * SCALE_1.1).ceil() as i64)
}

fn rows_of(rows: &RecordBatch) -> u64 {
    rows.num_rows() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn three_commits_leave_as_many_lots_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut lake, written) = Lake::write(folder.path(), 2_000, |_| {}).await.unwrap();
        let mut has = written;
        let kinds = [Kind::Insert, Kind::Update, Kind::Delete, Kind::Insert];
        for (turn, kind) in kinds.into_iter().enumerate() {
            if turn == 2 {
                lake = Lake::open(folder.path(), 2_000).await.unwrap();
            }
            let commit = lake.commit().await.unwrap();
            assert_eq!((commit.kind, commit.version), (kind, lake.table.version()));
            match kind {
                Kind::Insert => has += commit.rows,
                Kind::Update => {}
                Kind::Delete => has -= commit.rows,
            }
            let rows = lake.table.rows().await.unwrap();
            assert_eq!(rows.iter().map(rows_of).sum::<u64>(), has, "{kind:?}");
        }
    }
}
