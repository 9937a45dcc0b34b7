//! A real history, replayed: the changes to the world's runways, version by version, into a Delta
//! table.
//!
//! The parquet has one row a change: `seq` (the version, from 0), `committed_at`, `op` (`insert`,
//! `update` or `delete`), the key `id` and the data columns. Every replayed version is one MERGE
//! by `id`, so that it says what a user's own job would have said.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use arrow_array::{
    Array as _, Int64Array, RecordBatch, StringArray, UInt64Array, cast::AsArray as _,
    types::Int64Type,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{DeltaTable, NewTable, OP_COLUMN};

/// The key of the table.
pub const KEY: &str = "id";
const NOT_DATA: [&str; 3] = ["seq", "committed_at", OP_COLUMN];
/// Where the history lies, seen from the folder of the checkout or from one around it.
const BESIDE: &str = "shared/data/runways_history.parquet";

/// The parquet of the history: named by `LAKEFERRY_RUNWAYS`, or found beside the checkout. Without
/// it a test that needs it passes, and says so on stderr.
///
/// # Panics
/// When there is none, and `LAKEFERRY_RUNWAYS`, `CI` or `LAKEFERRY_REQUIRE_ALL` is set.
pub fn history_file() -> Option<PathBuf> {
    let named = env::var_os("LAKEFERRY_RUNWAYS").map(PathBuf::from);
    let beside = || {
        let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        around
            .map(|folder| folder.join(BESIDE))
            .find(|path| path.exists())
    };
    let required = ["LAKEFERRY_RUNWAYS", "CI", "LAKEFERRY_REQUIRE_ALL"].map(env::var);
    let is_required = required
        .iter()
        .flatten()
        .any(|set| !["", "0", "false"].contains(&set.as_str()));
    let found = named.or_else(beside).filter(|path| path.exists());
    if found.is_none() {
        let what = "no runways_history.parquet; set LAKEFERRY_RUNWAYS to its path";
        assert!(!is_required, "{what}");
        report_skipped(what);
    }
    found
}

#[expect(
    clippy::print_stderr,
    reason = "what is skipped must be seen in the output of the test"
)]
fn report_skipped(what: &str) {
    eprintln!("skipped: {what}");
}

/// The whole history, in memory.
#[derive(Clone, Debug)]
pub struct RunwaysHistory {
    changes: RecordBatch,
    /// The rows of `changes` of each version.
    versions: BTreeMap<i64, Range<usize>>,
}

impl RunwaysHistory {
    /// Reads the history from `parquet`.
    pub fn read(parquet: &Path) -> anyhow::Result<Self> {
        let file = File::open(parquet).with_context(|| format!("open {}", parquet.display()))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let schema = reader.schema().clone();
        let batches = reader.build()?.collect::<Result<Vec<_>, _>>()?;
        let changes = concat_batches(&schema, &batches)?;
        let versions = ranges(&longs(&changes, "seq")?)?;
        Ok(Self { changes, versions })
    }

    /// The newest version.
    pub fn last_seq(&self) -> i64 {
        self.versions.keys().next_back().copied().unwrap_or(-1)
    }

    /// The columns of the table: the key and the data.
    pub fn columns(&self) -> SchemaRef {
        let schema = self.changes.schema();
        let fields = schema
            .fields()
            .iter()
            .filter(|field| !NOT_DATA.contains(&field.name().as_str()))
            .cloned()
            .collect::<Vec<_>>();
        Arc::new(Schema::new(fields))
    }

    /// The rows of the table at `seq`, in order of the key.
    pub fn state_at(&self, seq: i64) -> anyhow::Result<RecordBatch> {
        let ids = longs(&self.changes, KEY)?;
        let ops = texts(&self.changes, OP_COLUMN)?;
        let mut rows = BTreeMap::new();
        for row in self
            .versions
            .range(..=seq)
            .flat_map(|(_, rows)| rows.clone())
        {
            if ops.value(row) == "delete" {
                rows.remove(&ids.value(row));
            } else {
                rows.insert(ids.value(row), row as u64);
            }
        }
        let rows = UInt64Array::from_iter_values(rows.into_values());
        self.without(&NOT_DATA, &take_record_batch(&self.changes, &rows)?)
    }

    /// The changes of `seq`, with their [`OP_COLUMN`]; none if the history has no such version.
    pub fn changes_of(&self, seq: i64) -> anyhow::Result<Option<RecordBatch>> {
        let Some(rows) = self.versions.get(&seq) else {
            return Ok(None);
        };
        let rows = self.changes.slice(rows.start, rows.len());
        self.without(&NOT_DATA[..2], &rows).map(Some)
    }

    fn without(&self, names: &[&str], rows: &RecordBatch) -> anyhow::Result<RecordBatch> {
        let schema = rows.schema();
        let kept = (0..schema.fields().len())
            .filter(|&index| !names.contains(&schema.field(index).name().as_str()))
            .collect::<Vec<_>>();
        Ok(rows.project(&kept)?)
    }
}

/// A replay of the history into a Delta table.
#[derive(Debug)]
pub struct RunwaysReplay {
    history: RunwaysHistory,
    table: DeltaTable,
    seq: i64,
}

impl RunwaysReplay {
    /// Makes the table at `path` with the rows as of `seq`: version 0 makes the table, version 1
    /// writes the rows.
    pub async fn start_at(
        history: RunwaysHistory,
        seq: i64,
        path: &Path,
        table: NewTable,
    ) -> anyhow::Result<Self> {
        let rows = history.state_at(seq)?;
        let mut table = DeltaTable::create(path, &history.columns(), table).await?;
        table.append(rows).await?;
        Ok(Self {
            history,
            table,
            seq,
        })
    }

    /// The version of the history that the table has.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The table, for commits that the history does not have.
    pub fn table(&mut self) -> &mut DeltaTable {
        &mut self.table
    }

    /// Replays the next version as one MERGE; returns its number, or nothing at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<i64>> {
        let seq = self.seq + 1;
        let Some(changes) = self.history.changes_of(seq)? else {
            ensure!(
                seq > self.history.last_seq(),
                "the history has no version {seq}"
            );
            return Ok(None);
        };
        self.table
            .merge(&[KEY], changes)
            .await
            .with_context(|| format!("merge version {seq}"))?;
        self.seq = seq;
        Ok(Some(seq))
    }
}

/// The row ranges of equal values in an ascending column.
fn ranges(seqs: &Int64Array) -> anyhow::Result<BTreeMap<i64, Range<usize>>> {
    let mut ranges = BTreeMap::<i64, Range<usize>>::new();
    for (row, &seq) in seqs.values().iter().enumerate() {
        let range = ranges.entry(seq).or_insert(row..row);
        ensure!(
            range.end == row,
            "the changes of version {seq} are not together"
        );
        range.end = row + 1;
    }
    Ok(ranges)
}

fn longs(rows: &RecordBatch, name: &str) -> anyhow::Result<Int64Array> {
    let column = rows
        .column_by_name(name)
        .with_context(|| format!("no column {name}"))?;
    Ok(cast(column, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .clone())
}

fn texts(rows: &RecordBatch, name: &str) -> anyhow::Result<StringArray> {
    let column = rows
        .column_by_name(name)
        .with_context(|| format!("no column {name}"))?;
    ensure!(column.null_count() == 0, "column {name} has nulls");
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}
