//! A replay of the runways' history ends in the rows that the history has, also over the versions
//! that delete almost all rows and bring them back.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_select::concat::concat_batches;
use lakeferry_delta_testkit::{
    DeltaTable, NewTable, append_lineitem, lineitem_columns,
    runways::{KEY, RunwaysHistory, RunwaysReplay, history_file},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_table_has_the_rows_of_the_history() {
    let Some(parquet) = history_file() else {
        return;
    };
    let history = RunwaysHistory::read(&parquet).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for table in [NewTable::with_feed(), NewTable::without_feed()] {
        let path = dir.path().join(format!("{}", table.change_data_feed));
        let mut replay = RunwaysReplay::start_at(history.clone(), 1006, &path, table)
            .await
            .unwrap();
        while replay.seq() < 1010 {
            assert_eq!(replay.next().await.unwrap(), Some(replay.seq()));
            let expected = history.state_at(replay.seq()).unwrap();
            let rows = replay.table().rows().await.unwrap();
            assert_eq!(sorted(&rows, &expected), expected, "at {}", replay.seq());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lineitem_comes_in_the_asked_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = DeltaTable::create(dir.path(), &lineitem_columns(), NewTable::default())
        .await
        .unwrap();
    let rows = append_lineitem(&mut table, 0.01, 3).await.unwrap();
    assert_eq!((rows, table.version()), (60_175, 3));
}

/// `rows` in order of the key, in the types of `like`.
fn sorted(rows: &[RecordBatch], like: &RecordBatch) -> RecordBatch {
    let columns = |batch: &RecordBatch| -> Vec<ArrayRef> {
        let fields = like.schema().fields().clone();
        let one = |field: &arrow_schema::FieldRef| {
            cast(
                batch.column_by_name(field.name()).unwrap(),
                field.data_type(),
            )
            .unwrap()
        };
        fields.iter().map(one).collect()
    };
    let plain = rows
        .iter()
        .map(|batch| RecordBatch::try_new(like.schema(), columns(batch)).unwrap())
        .collect::<Vec<_>>();
    let all = concat_batches(&like.schema(), &plain).unwrap();
    let key = all.column_by_name(KEY).unwrap();
    let order = arrow_ord::sort::sort_to_indices(key, None, None).unwrap();
    arrow_select::take::take_record_batch(&all, &order).unwrap()
}
