//! The Delta source keeps the contract of every source.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_model::ColumnChoice;
use lakeferry_testkit::{KEY, Row, STEP, WINDOW, contract::source};
use tempfile::TempDir;

struct OnDisk {
    dir: TempDir,
}

impl OnDisk {
    fn path(&self) -> PathBuf {
        self.dir.path().join("table")
    }

    fn filtered(&self, filter: &str, filter_every: Option<Duration>) -> DeltaSource {
        DeltaSource::new(Settings {
            location: self.path().to_str().unwrap().to_owned(),
            columns: ColumnChoice {
                listed: Some(vec!["ID".to_owned(), "value".to_owned()]),
                ..ColumnChoice::default()
            },
            filter: Some(filter.to_owned()),
            filter_every,
            ..Settings::default()
        })
        .unwrap()
    }

    async fn table(&self) -> DeltaTable {
        DeltaTable::open(&self.path()).await.unwrap()
    }

    async fn merge(&self, rows: Vec<Row>, op: &str) {
        let mut columns = fields();
        columns.push(Field::new(OP_COLUMN, DataType::Utf8, false));
        let mut arrays = arrays(&rows);
        arrays.push(Arc::new(StringArray::from(vec![op; rows.len()])));
        let changes = RecordBatch::try_new(Arc::new(Schema::new(columns)), arrays).unwrap();
        self.table().await.merge(&[KEY], changes).await.unwrap();
    }
}

impl source::Harness for OnDisk {
    type Source = DeltaSource;

    fn source(&self) -> DeltaSource {
        self.filtered("Hot", None)
    }

    fn timed(&self) -> DeltaSource {
        let seconds = WINDOW.as_secs();
        let filter = format!(
            "hot AND (seen IS NULL OR seen <= CURRENT_TIMESTAMP \
             AND seen > now() - INTERVAL {seconds} SECONDS)"
        );
        self.filtered(&filter, Some(STEP))
    }

    async fn create(&self, feed: bool, rows: Vec<Row>) {
        if self.path().exists() {
            std::fs::remove_dir_all(self.path()).unwrap();
        }
        let table = if feed {
            NewTable::with_feed()
        } else {
            NewTable::without_feed()
        };
        DeltaTable::create_with(&self.path(), batch(&rows), table)
            .await
            .unwrap();
    }

    async fn append(&self, rows: Vec<Row>) {
        self.table().await.append(batch(&rows)).await.unwrap();
    }

    async fn upsert(&self, rows: Vec<Row>) {
        self.merge(rows, "upsert").await;
    }

    async fn delete(&self, ids: Vec<i64>) {
        let row = |id| Row {
            id: Some(id),
            value: None,
            hot: None,
            seen: None,
            extra: None,
        };
        self.merge(ids.into_iter().map(row).collect(), "delete")
            .await;
    }

    async fn shift_ids(&self) {
        self.table()
            .await
            .update(&[(KEY, "id + 1")], None)
            .await
            .unwrap();
    }

    async fn optimize(&self) {
        self.table().await.optimize().await.unwrap();
    }
}

fn fields() -> Vec<Field> {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Field::new("id", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("hot", DataType::Boolean, true),
        Field::new("seen", moment, true),
    ]
}

fn arrays(rows: &[Row]) -> Vec<ArrayRef> {
    vec![
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.value.clone())
                .collect::<StringArray>(),
        ),
        Arc::new(rows.iter().map(|row| row.hot).collect::<BooleanArray>()),
        Arc::new(
            rows.iter()
                .map(|row| row.seen.map(|seen| seen.0))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    ]
}

fn batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Schema::new(fields())), arrays(rows)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_keeps_the_contract() {
    source::holds(async || OnDisk {
        dir: tempfile::tempdir().unwrap(),
    })
    .await;
}
