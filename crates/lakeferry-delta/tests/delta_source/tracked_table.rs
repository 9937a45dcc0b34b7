//! A table with row tracking whose log and files are made by hand, as no writer at hand does it.

use std::fs;

use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray};
use delta_kernel::parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use lakeferry_model::{DeltaVersion, Reading, Watermark};
use serde_json::{Value, json};

use crate::world::{World, array, batch, changes, watermark};

pub(crate) const ON: &[(&str, &str)] = &[
    ("delta.enableRowTracking", "true"),
    ("delta.rowTracking.materializedRowIdColumnName", "_ids"),
    (
        "delta.rowTracking.materializedRowCommitVersionColumnName",
        "_versions",
    ),
];

pub(crate) const COLUMNS: &[(&str, &str)] = &[("id", "long"), ("word", "string")];

/// A row of a file: its row id and row commit version where the file has them, its id and its word.
pub(crate) type Stored<'a> = (Option<i64>, Option<i64>, i64, &'a str);

/// What the log says of a file: its first row id and its version.
pub(crate) type Fresh = Option<(i64, i64)>;

/// A table of ids and words whose log and files are made by hand.
pub(crate) struct Tracked {
    pub(crate) world: World,
    version: u64,
}

impl Tracked {
    pub(crate) fn new(properties: &[(&str, &str)]) -> Self {
        Self::of(properties, COLUMNS)
    }

    /// A table of these columns and types.
    pub(crate) fn of(properties: &[(&str, &str)], columns: &[(&str, &str)]) -> Self {
        let world = World::new();
        fs::create_dir_all(world.log_file("")).unwrap();
        let mut table = Self { world, version: 0 };
        let features = ["rowTracking", "domainMetadata", "deletionVectors"];
        let protocol = json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors"], "writerFeatures": features,
        } });
        table.write(&[protocol, metadata(properties, columns)]);
        table
    }

    pub(crate) fn commit(&mut self, actions: &[Value]) {
        self.version += 1;
        self.write(actions);
    }

    fn write(&mut self, actions: &[Value]) {
        let lines: Vec<_> = actions.iter().map(Value::to_string).collect();
        fs::write(self.world.commit_file(self.version), lines.join("\n")).unwrap();
    }

    /// Writes a file, and says that it is there.
    pub(crate) fn add(&self, name: &str, fresh: Fresh, rows: &[Stored<'_>]) -> Value {
        let ids: ArrayRef = array::<Int64Array>(rows.iter().map(|row| row.2).collect::<Vec<_>>());
        let words = rows.iter().map(|row| row.3).collect::<Vec<_>>();
        let mut columns = vec![("id", ids), ("word", array::<StringArray>(words))];
        let numbers = [
            ("_ids", rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            ("_versions", rows.iter().map(|row| row.1).collect()),
        ];
        let numbers = numbers.map(|(name, values)| (name, array::<Int64Array>(values)));
        columns.extend(numbers.into_iter().filter(|(_, column)| {
            // Where there are none the column may be missing.
            column.null_count() < rows.len()
        }));
        self.write_file(name, &[batch(&columns)], WriterProperties::new());
        json!({ "add": self.told(name, fresh) })
    }

    pub(crate) fn write_file(&self, name: &str, rows: &[RecordBatch], how: WriterProperties) {
        let file = fs::File::create(self.world.path().join(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows[0].schema(), Some(how)).unwrap();
        rows.iter().for_each(|rows| writer.write(rows).unwrap());
        writer.close().unwrap();
    }

    pub(crate) fn remove(&self, name: &str, fresh: Fresh) -> Value {
        json!({ "remove": self.told(name, fresh) })
    }

    pub(crate) fn told(&self, name: &str, fresh: Fresh) -> Value {
        let size = fs::metadata(self.world.path().join(name)).unwrap().len();
        let mut file = json!({
            "path": name, "partitionValues": {}, "size": size, "modificationTime": 0,
            "dataChange": true,
        });
        if let Some((row_id, version)) = fresh {
            file["baseRowId"] = row_id.into();
            file["defaultRowCommitVersion"] = version.into();
        }
        file
    }

    pub(crate) fn at(
        &self,
        version: u64,
        head: &Watermark<DeltaVersion>,
    ) -> Watermark<DeltaVersion> {
        Watermark {
            version: DeltaVersion(version),
            digest: None,
            ..head.clone()
        }
    }

    /// What changed after `version`.
    pub(crate) async fn changed(&self, version: u64) -> Vec<String> {
        let source = self.world.source(None, None);
        let after = self.at(version, &watermark(&source).await);
        let changes = changes(&source, &after, Reading::Files).await.unwrap();
        let text = |change: &String| change.split_once(' ').unwrap().1.to_owned();
        changes.iter().map(text).collect()
    }
}

pub(crate) fn metadata(properties: &[(&str, &str)], columns: &[(&str, &str)]) -> Value {
    let column = |(name, of): &(&str, &str)| {
        let of = serde_json::from_str(of).unwrap_or(Value::from(*of));
        json!({ "name": name, "type": of, "nullable": true, "metadata": {} })
    };
    let columns: Vec<Value> = columns.iter().map(column).collect();
    let schema = json!({ "type": "struct", "fields": columns }).to_string();
    let properties = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    let properties = properties.collect::<serde_json::Map<_, _>>();
    json!({ "metaData": {
        "id": "by-hand", "format": { "provider": "parquet", "options": {} },
        "schemaString": schema, "partitionColumns": [], "configuration": properties,
    } })
}
