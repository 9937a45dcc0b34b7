//! A table with column mapping whose columns come, go, and get other names and types, as no writer
//! at hand does it: files by the Parquet writer, its log by the protocol's letter.
//!
//! It remembers each cell by the column that it was written to, so it also knows what a reader has to
//! see.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

/// The key of every such table, of type `long`.
const KEY: &str = "id";

/// The values of a row besides its key, by the names of their columns; all others are NULL.
pub type Cells<'a> = &'a [(&'a str, &'a str)];

/// See the module.
#[derive(Debug)]
pub struct MappedTable {
    path: PathBuf,
    has_feed: bool,
    version: u64,
    columns: Vec<Column>,
    /// The columns of each version.
    history: Vec<Vec<Column>>,
    /// How many columns there ever were.
    numbered: usize,
    /// By key, then by the column's physical name.
    rows: Rows,
    /// Paths and sizes of the live data files.
    files: Vec<(String, u64)>,
}

type Rows = BTreeMap<i64, BTreeMap<String, String>>;

#[derive(Clone, Debug)]
struct Column {
    name: String,
    physical: String,
    number: usize,
    /// As the schema of a table has it.
    of: String,
}

impl MappedTable {
    /// A table with the key and `columns` (name and type), without rows, at version 0.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path, has_feed: bool, columns: &[(&str, &str)]) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("_delta_log"))?;
        fs::create_dir_all(path.join("_change_data"))?;
        let mut table = Self {
            path: path.to_owned(),
            has_feed,
            version: 0,
            columns: Vec::new(),
            history: Vec::new(),
            numbered: 0,
            rows: Rows::new(),
            files: Vec::new(),
        };
        for (name, of) in [(KEY, "long")].iter().chain(columns) {
            table.push_column(name, of);
        }
        let features = json!(["columnMapping", "typeWidening"]);
        let writer = json!(["columnMapping", "typeWidening", "changeDataFeed"]);
        let protocol = json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": features, "writerFeatures": writer,
        } });
        let metadata = table.metadata();
        table.write(&[protocol, metadata])?;
        Ok(table)
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Commits a new column.
    ///
    /// # Errors
    /// Those of the file system, as for all that commits.
    pub fn add_column(&mut self, name: &str, of: &str) -> anyhow::Result<()> {
        self.push_column(name, of);
        self.commit(vec![self.metadata()])
    }

    /// Commits that a column is gone.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn drop_column(&mut self, name: &str) -> anyhow::Result<()> {
        let place = self.place(name)?;
        self.columns.remove(place);
        self.commit(vec![self.metadata()])
    }

    /// Commits another name for a column.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn rename_column(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        let place = self.place(from)?;
        to.clone_into(&mut self.columns[place].name);
        self.commit(vec![self.metadata()])
    }

    /// Commits a wider type for a column.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn widen_column(&mut self, name: &str, of: &str) -> anyhow::Result<()> {
        let place = self.place(name)?;
        of.clone_into(&mut self.columns[place].of);
        self.commit(vec![self.metadata()])
    }

    /// Commits the columns of a version, as RESTORE does where the files are the same.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn restore_columns(&mut self, version: usize) -> anyhow::Result<()> {
        self.columns.clone_from(&self.history[version]);
        self.commit(vec![self.metadata()])
    }

    /// Commits rows in a file of their own, with new keys.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn append(&mut self, rows: &[(i64, Cells<'_>)]) -> anyhow::Result<()> {
        let rows = self.read(rows)?;
        let added = self.add_file(&rows)?;
        self.rows.extend(rows);
        self.commit(vec![added])
    }

    /// Commits rows in the place of those with their keys, and all files written anew.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn put(&mut self, rows: &[(i64, Cells<'_>)]) -> anyhow::Result<()> {
        let (new, mut after) = (self.read(rows)?, self.rows.clone());
        after.extend(new.clone());
        let kept = |(id, _): &(&i64, _)| new.contains_key(id);
        let old: Rows = cloned(self.rows.iter().filter(kept));
        let (changed, inserted): (Rows, Rows) = new
            .into_iter()
            .partition(|(id, _)| self.rows.contains_key(id));
        self.rewrite(
            after,
            &[
                ("update_postimage", changed),
                ("insert", inserted),
                ("update_preimage", old),
            ],
        )
    }

    /// Commits that rows are gone, and all files written anew.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        let is_kept = |(id, _): &(&i64, _)| !ids.contains(id);
        let kept = cloned(self.rows.iter().filter(is_kept));
        let gone = |(id, _): &(&i64, _)| ids.contains(id);
        let gone = cloned(self.rows.iter().filter(gone));
        self.rewrite(kept, &[("delete", gone)])
    }

    /// What a reader of the newest version sees in these columns, as CSV by key; NULL is nothing.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn csv(&self, columns: &[&str]) -> anyhow::Result<String> {
        let places = columns.iter().map(|name| self.place(name));
        let places = places.collect::<anyhow::Result<Vec<_>>>()?;
        let mut text = String::new();
        for (id, cells) in &self.rows {
            let cell = |place: &usize| {
                let column = &self.columns[*place];
                match column.name.as_str() {
                    KEY => id.to_string(),
                    _ => cells.get(&column.physical).cloned().unwrap_or_default(),
                }
            };
            let line: Vec<String> = places.iter().map(cell).collect();
            text.push_str(&line.join(","));
            text.push('\n');
        }
        Ok(text.trim_end().to_owned())
    }

    fn push_column(&mut self, name: &str, of: &str) {
        self.numbered += 1;
        self.columns.push(Column {
            name: name.to_owned(),
            physical: format!("col-{}", self.numbered),
            number: self.numbered,
            of: of.to_owned(),
        });
    }

    fn place(&self, name: &str) -> anyhow::Result<usize> {
        let place = self.columns.iter().position(|column| column.name == name);
        place.with_context(|| format!("no column {name}"))
    }

    /// Rows by the physical names of their columns.
    fn read(&self, rows: &[(i64, Cells<'_>)]) -> anyhow::Result<Rows> {
        let cell = |(name, value): &(&str, &str)| {
            let column = &self.columns[self.place(name)?];
            Ok((column.physical.clone(), (*value).to_owned()))
        };
        let row = |(id, cells): &(i64, Cells<'_>)| {
            let cells = cells.iter().map(cell);
            Ok((*id, cells.collect::<anyhow::Result<_>>()?))
        };
        rows.iter().map(row).collect()
    }

    fn rewrite(&mut self, after: Rows, changes: &[(&str, Rows)]) -> anyhow::Result<()> {
        let mut actions = Vec::new();
        for (path, size) in std::mem::take(&mut self.files) {
            actions.push(json!({ "remove": {
                "path": path, "deletionTimestamp": 0, "dataChange": true,
                "extendedFileMetadata": true, "partitionValues": {}, "size": size,
            } }));
        }
        if !after.is_empty() {
            actions.push(self.add_file(&after)?);
        }
        let changes = changes.iter().filter(|(_, rows)| !rows.is_empty());
        for (number, (kind, rows)) in changes.enumerate().filter(|_| self.has_feed) {
            let path = format!("_change_data/{}-{number}.parquet", self.version + 1);
            let size = self.write_file(&path, rows, Some(kind))?;
            actions.push(json!({ "cdc": {
                "path": path, "partitionValues": {}, "size": size, "dataChange": false,
            } }));
        }
        self.rows = after;
        self.commit(actions)
    }

    fn add_file(&mut self, rows: &Rows) -> anyhow::Result<Value> {
        let path = format!("{}.parquet", self.version + 1);
        let size = self.write_file(&path, rows, None)?;
        self.files.push((path.clone(), size));
        Ok(json!({ "add": {
            "path": path, "partitionValues": {}, "size": size, "modificationTime": 0,
            "dataChange": true,
        } }))
    }

    /// Writes rows with the columns of now, and a kind of change where it is one.
    fn write_file(&self, path: &str, rows: &Rows, change: Option<&str>) -> anyhow::Result<u64> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for column in &self.columns {
            let array = column.array(rows)?;
            let of = array.data_type().clone();
            fields.push(Field::new(&column.physical, of, true));
            arrays.push(array);
        }
        if let Some(kind) = change {
            fields.push(Field::new("_change_type", DataType::Utf8, true));
            let kinds = StringArray::from_iter_values(rows.iter().map(|_| kind));
            arrays.push(Arc::new(kinds));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        let path = self.path.join(path);
        let mut writer = ArrowWriter::try_new(fs::File::create(&path)?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(fs::metadata(&path)?.len())
    }

    fn metadata(&self) -> Value {
        let fields: Vec<Value> = self
            .columns
            .iter()
            .map(|column| {
                json!({ "name": column.name, "type": column.of, "nullable": true, "metadata": {
                    "delta.columnMapping.id": column.number,
                    "delta.columnMapping.physicalName": column.physical,
                } })
            })
            .collect();
        let schema = json!({ "type": "struct", "fields": fields }).to_string();
        json!({ "metaData": {
            "id": "mapped", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema, "partitionColumns": [], "configuration": {
                "delta.columnMapping.mode": "name",
                "delta.columnMapping.maxColumnId": self.numbered.to_string(),
                "delta.enableTypeWidening": "true",
                "delta.enableChangeDataFeed": self.has_feed.to_string(),
            },
        } })
    }

    fn commit(&mut self, actions: Vec<Value>) -> anyhow::Result<()> {
        self.version += 1;
        self.write(&actions)
    }

    fn write(&mut self, actions: &[Value]) -> anyhow::Result<()> {
        self.history.push(self.columns.clone());
        let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
        let name = format!("_delta_log/{:020}.json", self.version);
        fs::write(self.path.join(name), lines.join("\n"))?;
        Ok(())
    }
}

impl Column {
    fn array(&self, rows: &Rows) -> anyhow::Result<ArrayRef> {
        let cells = rows.iter().map(|(id, cells)| match self.name.as_str() {
            KEY => Some(id.to_string()),
            _ => cells.get(&self.physical).cloned(),
        });
        let cells: Vec<Option<String>> = cells.collect();
        let numbers = || cells.iter().map(|cell| cell.as_deref());
        Ok(match self.of.as_str() {
            "long" => Arc::new(numbers().map(parsed).collect::<Result<Int64Array, _>>()?),
            "integer" => Arc::new(numbers().map(parsed).collect::<Result<Int32Array, _>>()?),
            "double" => Arc::new(numbers().map(parsed).collect::<Result<Float64Array, _>>()?),
            "string" => Arc::new(StringArray::from(cells)),
            other => anyhow::bail!("no cells of type {other}"),
        })
    }
}

fn parsed<T: std::str::FromStr>(cell: Option<&str>) -> Result<Option<T>, T::Err> {
    cell.map(str::parse).transpose()
}

fn cloned<'a>(rows: impl Iterator<Item = (&'a i64, &'a BTreeMap<String, String>)>) -> Rows {
    rows.map(|(id, cells)| (*id, cells.clone())).collect()
}
