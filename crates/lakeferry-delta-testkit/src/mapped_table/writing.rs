//! What a mapped table writes: its files and its log.

use std::{collections::BTreeSet, fs, sync::Arc};

use anyhow::ensure;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{
    MappedTable,
    columns::{self, Column, ROW_ID, ROW_VERSION, Row},
    files::{DataFile, Fresh},
};

impl MappedTable {
    /// Writes rows that are new or changed, and says where they are.
    pub(super) fn data_files(&mut self, rows: Vec<Row>) -> anyhow::Result<Vec<Value>> {
        let each = rows.len().div_ceil(self.files_at_once).max(1);
        let parts: Vec<Vec<Row>> = rows.chunks(each).map(<[Row]>::to_vec).collect();
        let files = parts.into_iter().enumerate();
        let written = files.map(|file| self.data_file(file, true));
        written.filter_map(Result::transpose).collect()
    }

    /// Writes rows to the file of this number in the next commit, and says that it is there; nothing
    /// for no rows.
    pub(super) fn data_file(
        &mut self,
        (number, rows): (usize, Vec<Row>),
        data_change: bool,
    ) -> anyhow::Result<Option<Value>> {
        if rows.is_empty() {
            return Ok(None);
        }
        ensure!(rows.len() <= usize::from(u16::MAX), "too many rows");
        // What columns had that are gone is not written again.
        let written = |row: Row| {
            let is_hidden = |name: &String| [ROW_ID, ROW_VERSION].contains(&name.as_str());
            let is_there = |name: &String| match is_hidden(name) {
                true => self.now.is_tracked,
                false => self.now.columns.iter().any(|now| now.physical == *name),
            };
            row.into_iter().filter(|(name, _)| is_there(name)).collect()
        };
        let rows: Vec<Row> = rows.into_iter().map(written).collect();
        let path = format!("{}-{number}.parquet", self.version + 1);
        let file = DataFile {
            size: self.write_file(&path, &rows, None)?,
            path,
            rows: Arc::new(rows),
            deleted: BTreeSet::new(),
            fresh: Arc::default(),
        };
        if self.can_track {
            self.number(&file);
        }
        let action = file.add(data_change);
        self.now.files.push(file);
        Ok(Some(action))
    }

    /// Gives the rows of a file ids in the next commit, unless they have any.
    pub(super) fn number(&mut self, file: &DataFile) {
        let fresh = Fresh {
            base: self.next_id,
            version: self.version + 1,
        };
        if file.fresh.set(fresh).is_ok() {
            self.next_id += file.rows.len() as i64;
        }
    }

    pub(super) fn feed_file(
        &self,
        number: usize,
        kind: &str,
        rows: &[Row],
    ) -> anyhow::Result<Option<Value>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let path = format!("_change_data/{}-{number}.parquet", self.version + 1);
        let size = self.write_file(&path, rows, Some(kind))?;
        Ok(Some(json!({ "cdc": {
            "path": path, "partitionValues": {}, "size": size, "dataChange": false,
        } })))
    }

    /// Writes rows with the columns of now, and a kind of change where it is one.
    fn write_file(&self, path: &str, rows: &[Row], change: Option<&str>) -> anyhow::Result<u64> {
        let batch = columns::batch(&self.now.columns, rows, change)?;
        let path = self.path.join(path);
        let mut writer = ArrowWriter::try_new(fs::File::create(&path)?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(fs::metadata(&path)?.len())
    }

    pub(super) fn protocol(&self) -> Value {
        let features = ["columnMapping", "typeWidening", "deletionVectors"];
        let mut of_writers = [&features[..], &["changeDataFeed"]].concat();
        if self.can_track {
            of_writers.extend(["rowTracking", "domainMetadata"]);
        }
        json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": features, "writerFeatures": of_writers,
        } })
    }

    pub(super) fn metadata(&self) -> Value {
        let fields: Vec<Value> = self.now.columns.iter().map(Column::field).collect();
        let schema = json!({ "type": "struct", "fields": fields }).to_string();
        json!({ "metaData": {
            "id": self.id, "format": { "provider": "parquet", "options": {} },
            "schemaString": schema, "partitionColumns": [], "configuration": {
                "delta.columnMapping.mode": "name",
                "delta.columnMapping.maxColumnId": self.numbered.to_string(),
                "delta.enableTypeWidening": "true",
                "delta.enableChangeDataFeed": self.now.has_feed.to_string(),
                "delta.enableRowTracking": self.now.is_tracked.to_string(),
                "delta.rowTracking.materializedRowIdColumnName": ROW_ID,
                "delta.rowTracking.materializedRowCommitVersionColumnName": ROW_VERSION,
            },
        } })
    }

    pub(super) fn commit(&mut self, actions: Vec<Value>) -> anyhow::Result<()> {
        self.version += 1;
        if actions.is_empty() {
            return self.write(&[json!({ "commitInfo": { "operation": "nothing" } })]);
        }
        self.write(&actions)
    }

    pub(super) fn write(&mut self, actions: &[Value]) -> anyhow::Result<()> {
        self.history.push(self.now.clone());
        let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
        let name = format!("_delta_log/{:020}.json", self.version);
        fs::write(self.path.join(name), lines.join("\n"))?;
        Ok(())
    }
}
