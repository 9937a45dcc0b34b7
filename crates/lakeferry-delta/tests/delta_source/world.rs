//! A table in a directory of its own, and what a source shows of it as text.

use std::{path::PathBuf, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::Schema;
use futures_util::TryStreamExt as _;
use lakeferry_delta::{DeltaSource, Error, Settings};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_model::{
    ColumnChoice, CommitRange, Content, DeltaVersion, Failure as _, Instant, Reading, Sign,
    Source as _, Watermark,
};
use tempfile::TempDir;

pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    /// A world whose table has `rows` in version 0.
    pub(crate) async fn with(table: NewTable, rows: RecordBatch) -> (Self, DeltaTable) {
        let world = Self::new();
        let table = DeltaTable::create_with(&world.path(), rows, table)
            .await
            .unwrap();
        (world, table)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("table")
    }

    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.path().join("_delta_log").join(name)
    }

    pub(crate) fn commit_file(&self, version: u64) -> PathBuf {
        self.log_file(&format!("{version:020}.json"))
    }

    pub(crate) fn source(&self, columns: Option<&[&str]>, filter: Option<&str>) -> DeltaSource {
        DeltaSource::new(self.settings(columns, filter)).unwrap()
    }

    pub(crate) fn settings(&self, columns: Option<&[&str]>, filter: Option<&str>) -> Settings {
        Settings {
            location: self.path().to_str().unwrap().to_owned(),
            columns: ColumnChoice {
                listed: columns.map(|names| names.iter().map(ToString::to_string).collect()),
                ..ColumnChoice::default()
            },
            filter: filter.map(ToOwned::to_owned),
            ..Settings::default()
        }
    }

    /// `text` without this world's directory.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(self.dir.path().to_str().unwrap(), "…")
    }

    /// An error as an operator sees it, with its causes.
    pub(crate) fn told(&self, error: &Error) -> String {
        let mut text = format!("{:?}: {error}", error.class());
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!("\n  cause: {cause}"));
            source = cause.source();
        }
        if let Some(hint) = error.hint() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        self.anonymous(&text)
    }
}

/// A batch of nullable columns.
pub(crate) fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array)| (*name, array.clone(), true)),
    )
    .unwrap()
}

/// A nullable column.
pub(crate) fn array<A: arrow_array::Array + 'static>(array: impl Into<A>) -> ArrayRef {
    Arc::new(array.into())
}

pub(crate) async fn watermark(source: &DeltaSource) -> Watermark<DeltaVersion> {
    source.head().await.unwrap().watermark(Instant(0))
}

/// The rows at the head, sorted, one text each.
pub(crate) async fn rows(source: &DeltaSource) -> Vec<String> {
    rows_at(source, Instant(0)).await
}

/// The same, the filter evaluated at `instant`.
pub(crate) async fn rows_at(source: &DeltaSource, instant: Instant) -> Vec<String> {
    let watermark = source.head().await.unwrap().watermark(instant);
    let batches = snapshot_at(source, &watermark).await.unwrap();
    let mut rows: Vec<_> = batches.iter().flat_map(texts).collect();
    rows.sort();
    rows
}

pub(crate) async fn snapshot_at(
    source: &DeltaSource,
    watermark: &Watermark<DeltaVersion>,
) -> Result<Vec<RecordBatch>, Error> {
    source.snapshot(watermark).await?.try_collect().await
}

/// The changes of `(after, head]`: `version`, sign and row, sorted.
pub(crate) async fn changes(
    source: &DeltaSource,
    after: &Watermark<DeltaVersion>,
    reading: Reading,
) -> Result<Vec<String>, Error> {
    let through = watermark(source).await;
    let range = CommitRange::new(after.clone(), through).unwrap();
    let batches: Vec<_> = source.changes(&range, reading).await?.try_collect().await?;
    assert!(batches.is_sorted_by_key(|batch| batch.version));
    let mut changes: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            let sign = if batch.sign == Sign::Plus { '+' } else { '-' };
            let version = batch.version;
            texts(&batch.rows)
                .into_iter()
                .map(move |row| format!("{version} {sign} {row}"))
        })
        .collect();
    changes.sort();
    Ok(changes)
}

/// What the survey of `(after, head]` says of each commit.
pub(crate) async fn contents(
    source: &DeltaSource,
    after: &Watermark<DeltaVersion>,
) -> Vec<Content> {
    let head = source.head().await.unwrap();
    let survey = source.survey(after, &head).await.unwrap();
    survey.commits.iter().map(|commit| commit.content).collect()
}

/// One text a row; nulls are `~`.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("~");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            values.join(" | ")
        })
        .collect()
}

/// The names and types of a schema.
pub(crate) fn types(schema: &Schema) -> String {
    let types: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| format!("{}: {}", field.name(), field.data_type()))
        .collect();
    types.join("\n")
}
