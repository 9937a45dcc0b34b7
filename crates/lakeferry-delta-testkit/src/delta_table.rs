//! One Delta table under a writer: each call is one commit and returns its version.

use std::{num::NonZeroU64, path::Path};

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use datafusion::{
    common::Column,
    prelude::{Expr, SessionContext, lit},
};
use deltalake_core::{
    DeltaTable as Writer,
    kernel::{
        StructField, engine::arrow_conversion::TryIntoKernel as _, transaction::CommitProperties,
    },
    operations::write::SchemaMode,
    protocol::SaveMode,
};
use url::Url;

/// The column of a merge's rows that says what happens to their key: `delete` removes it, anything
/// else inserts or updates it.
pub const OP_COLUMN: &str = "op";

/// What a new table is made of.
#[derive(Clone, Debug, Default)]
pub struct NewTable {
    /// Whether the writer records a change data feed.
    pub change_data_feed: bool,
    pub partition_by: Vec<String>,
    /// Further table properties.
    pub properties: Vec<(String, String)>,
}

impl NewTable {
    /// A table with the change data feed on.
    pub fn with_feed() -> Self {
        Self {
            change_data_feed: true,
            ..Self::default()
        }
    }

    /// A table without a change data feed.
    pub fn without_feed() -> Self {
        Self::default()
    }

    /// Partitions the table by `columns`.
    #[must_use]
    pub fn partitioned_by(mut self, columns: &[&str]) -> Self {
        self.partition_by = columns.iter().map(ToString::to_string).collect();
        self
    }

    /// Sets a table property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    fn configuration(&self) -> Vec<(String, Option<String>)> {
        let mut all = vec![(
            "delta.enableExpiredLogCleanup".to_string(),
            Some("false".to_string()),
        )];
        if self.change_data_feed {
            all.push(("delta.enableChangeDataFeed".into(), Some("true".into())));
        }
        all.extend(
            self.properties
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone()))),
        );
        all
    }
}

/// A Delta table on local disk, open for writing.
#[derive(Debug)]
pub struct DeltaTable {
    writer: Writer,
}

impl DeltaTable {
    /// Makes an empty table at `path` as version 0.
    pub async fn create(path: &Path, columns: &Schema, table: NewTable) -> anyhow::Result<Self> {
        let fields = columns
            .fields()
            .iter()
            .map(|field| field.as_ref().try_into_kernel())
            .collect::<Result<Vec<StructField>, _>>()?;
        let writer = Writer::try_from_url(url_of(path)?)
            .await?
            .create()
            .with_columns(fields)
            .with_partition_columns(table.partition_by.clone())
            .with_configuration(table.configuration())
            .with_commit_properties(without_cleanup())
            .await
            .with_context(|| format!("create {}", path.display()))?;
        Ok(Self { writer })
    }

    /// Makes a table at `path` that has `rows` in its version 0.
    pub async fn create_with(
        path: &Path,
        rows: RecordBatch,
        table: NewTable,
    ) -> anyhow::Result<Self> {
        let writer = Writer::try_from_url(url_of(path)?)
            .await?
            .write([rows])
            .with_partition_columns(table.partition_by.clone())
            .with_configuration(table.configuration())
            .with_commit_properties(without_cleanup())
            .await
            .with_context(|| format!("create {}", path.display()))?;
        Ok(Self { writer })
    }

    /// Opens the table at `path` at its newest version.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let writer = deltalake_core::open_table(url_of(path)?)
            .await
            .with_context(|| format!("open {}", path.display()))?;
        Ok(Self { writer })
    }

    /// The newest version that this writer knows.
    pub fn version(&self) -> u64 {
        self.writer.version().unwrap_or_default()
    }

    /// Adds rows; columns that the table lacks are added to it.
    pub async fn append(&mut self, rows: RecordBatch) -> anyhow::Result<u64> {
        self.append_all([rows]).await
    }

    /// Adds the rows of many batches in one commit.
    pub async fn append_all(
        &mut self,
        rows: impl IntoIterator<Item = RecordBatch>,
    ) -> anyhow::Result<u64> {
        self.writer = self
            .writer
            .clone()
            .write(rows)
            .with_save_mode(SaveMode::Append)
            .with_schema_mode(SchemaMode::Merge)
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Adds rows in files of about `bytes` each.
    pub async fn append_in_files_of(
        &mut self,
        bytes: NonZeroU64,
        rows: impl IntoIterator<Item = RecordBatch>,
    ) -> anyhow::Result<u64> {
        self.writer = self
            .writer
            .clone()
            .write(rows)
            .with_save_mode(SaveMode::Append)
            .with_target_file_size(Some(bytes))
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Replaces all rows.
    pub async fn overwrite(&mut self, rows: RecordBatch) -> anyhow::Result<u64> {
        self.writer = self
            .writer
            .clone()
            .write([rows])
            .with_save_mode(SaveMode::Overwrite)
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// One MERGE: rows of `changes` whose [`OP_COLUMN`] is `delete` remove their key, the others
    /// update it where it is there and insert it where not.
    pub async fn merge(&mut self, key: &[&str], changes: RecordBatch) -> anyhow::Result<u64> {
        let columns: Vec<String> = changes
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| name != OP_COLUMN)
            .collect();
        let on_key = key
            .iter()
            .map(|name| of("target", name).eq(of("source", name)))
            .reduce(Expr::and)
            .context("a merge needs a key")?;
        let deletes = || of("source", OP_COLUMN).eq(lit("delete"));
        let keeps = || of("source", OP_COLUMN).not_eq(lit("delete"));
        let source = SessionContext::new().read_batch(changes)?;
        let (writer, _) = self
            .writer
            .clone()
            .merge(source, on_key)
            .with_source_alias("source")
            .with_target_alias("target")
            .with_commit_properties(without_cleanup())
            .when_matched_delete(|delete| delete.predicate(deletes()))?
            .when_matched_update(|update| {
                columns
                    .iter()
                    .fold(update.predicate(keeps()), |update, name| {
                        update.update(unqualified(name), of("source", name))
                    })
            })?
            .when_not_matched_insert(|insert| {
                columns
                    .iter()
                    .fold(insert.predicate(keeps()), |insert, name| {
                        insert.set(unqualified(name), of("source", name))
                    })
            })?
            .await?;
        self.writer = writer;
        Ok(self.version())
    }

    /// One UPDATE: `set` is pairs of column and SQL expression; all rows without `predicate`.
    pub async fn update(
        &mut self,
        set: &[(&str, &str)],
        predicate: Option<&str>,
    ) -> anyhow::Result<u64> {
        let mut update = self
            .writer
            .clone()
            .update()
            .with_commit_properties(without_cleanup());
        for (column, expression) in set {
            update = update.with_update(unqualified(column), *expression);
        }
        if let Some(predicate) = predicate {
            update = update.with_predicate(predicate);
        }
        (self.writer, _) = update.await?;
        Ok(self.version())
    }

    /// One DELETE; all rows without `predicate`.
    pub async fn delete(&mut self, predicate: Option<&str>) -> anyhow::Result<u64> {
        let mut delete = self
            .writer
            .clone()
            .delete()
            .with_commit_properties(without_cleanup());
        if let Some(predicate) = predicate {
            delete = delete.with_predicate(predicate);
        }
        (self.writer, _) = delete.await?;
        Ok(self.version())
    }

    /// One RESTORE to `version`.
    pub async fn restore(&mut self, version: u64) -> anyhow::Result<u64> {
        (self.writer, _) = self
            .writer
            .clone()
            .restore()
            .with_version_to_restore(version)
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Adds a column, which is null in all rows.
    pub async fn add_column(&mut self, column: &Field) -> anyhow::Result<u64> {
        let column: StructField = column.try_into_kernel()?;
        self.writer = self
            .writer
            .clone()
            .add_columns()
            .with_fields([column])
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// One OPTIMIZE: small files are rewritten into larger ones, no row changes.
    pub async fn optimize(&mut self) -> anyhow::Result<u64> {
        (self.writer, _) = self
            .writer
            .clone()
            .optimize()
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Removes data files that the newest version does not need and that are older than the
    /// table's `delta.deletedFileRetentionDuration`.
    pub async fn vacuum(&mut self) -> anyhow::Result<u64> {
        (self.writer, _) = self
            .writer
            .clone()
            .vacuum()
            .with_enforce_retention_duration(false)
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Sets table properties.
    pub async fn set_properties(&mut self, properties: &[(&str, &str)]) -> anyhow::Result<u64> {
        self.writer = self
            .writer
            .clone()
            .set_tbl_properties()
            .with_properties(
                properties
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_string()))
                    .collect(),
            )
            .with_commit_properties(without_cleanup())
            .await?;
        Ok(self.version())
    }

    /// Writes a log checkpoint of the newest version; no commit.
    pub async fn checkpoint(&mut self) -> anyhow::Result<()> {
        deltalake_core::checkpoints::create_checkpoint(&self.writer, None).await?;
        Ok(())
    }

    /// The table's rows at its newest version, as the writer's own reader gives them.
    pub async fn rows(&self) -> anyhow::Result<Vec<RecordBatch>> {
        let session = SessionContext::new();
        self.writer.update_datafusion_session(&session.state())?;
        let provider = self.writer.table_provider().await?;
        Ok(session.read_table(provider)?.collect().await?)
    }
}

fn url_of(path: &Path) -> anyhow::Result<Url> {
    std::fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
    let path = path.canonicalize()?;
    Url::from_directory_path(&path)
        .map_err(|()| anyhow::anyhow!("{} does not make a URL", path.display()))
}

fn without_cleanup() -> CommitProperties {
    CommitProperties::default().with_cleanup_expired_logs(Some(false))
}

fn of(relation: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(relation), name))
}

fn unqualified(name: &str) -> Column {
    Column::new_unqualified(name)
}
