//! How much is read and held: projection, streams that are dropped, memory.

use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use futures_util::{StreamExt as _, TryStreamExt as _};
use lakeferry_delta::DeltaSource;
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_model::{FILTER_COLUMNS, Source as _};

use crate::world::{World, array, batch, rows, types, watermark};

fn pairs() -> RecordBatch {
    batch(&[
        ("id", array::<Int64Array>(vec![1, 2, 3])),
        ("part", array::<StringArray>(vec!["a", "b", "b"])),
        ("note", array::<StringArray>(vec!["x", "y", "z"])),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_in_the_listed_order_and_no_others() {
    for partitions in [&[][..], &["part"], &["part", "id"]] {
        let new = NewTable::without_feed().partitioned_by(partitions);
        let (world, _table) = World::with(new, pairs()).await;
        let source = world.source(Some(&["NOTE", "part"]), Some("id > 1"));
        let head = source.head().await.unwrap();
        assert_eq!(types(&head.columns), "note: Utf8\npart: Utf8");
        assert_eq!(rows(&source).await, ["y | b", "z | b"]);
        // Not a column of the data files is asked for.
        let source = world.source(Some(&["part"]), None);
        assert_eq!(rows(&source).await, ["a", "b", "b"]);
    }
}

/// What a filter reads besides the job's columns is told: its verdicts change with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_tells_the_columns_that_only_the_filter_reads() {
    let (world, _table) = World::with(NewTable::without_feed(), pairs()).await;
    for (filter, told) in [
        (
            Some("ID > 1 AND part = 'b' AND note <> ''"),
            Some("id long id, part string part"),
        ),
        (Some("note = 'x'"), None),
        (None, None),
    ] {
        let head = world.source(Some(&["note"]), filter).head().await.unwrap();
        let found = head.columns.metadata().get(FILTER_COLUMNS);
        assert_eq!(found.map(String::as_str), told, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_came_later_is_null_before() {
    let (world, mut table) = World::with(NewTable::with_feed(), pairs()).await;
    let wider = batch(&[
        ("id", array::<Int64Array>(vec![4])),
        ("later", array::<StringArray>(vec!["new"])),
    ]);
    table.append(wider).await.unwrap();
    let source = world.source(Some(&["later"]), None);
    assert_eq!(rows(&source).await, ["new", "~", "~", "~"]);
    let source = world.source(Some(&["later"]), Some("later IS NULL AND note IS NOT NULL"));
    assert_eq!(rows(&source).await, ["~", "~", "~"]);
}

/// Of the rows of keys only the files are read that can hold them, also where the job calls the key
/// otherwise, has a filter, or asks for more keys than are compared one by one.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_keys_are_read_from_their_files() {
    let ids = |ids: Vec<i64>| {
        let names = vec!["a"; ids.len()];
        batch(&[
            ("Id", array::<Int64Array>(ids)),
            ("name", array::<StringArray>(names)),
        ])
    };
    let (world, mut table) = World::with(NewTable::without_feed(), ids((0..100).collect())).await;
    let data = |world: &World| -> Vec<_> {
        let files = std::fs::read_dir(world.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files.filter(|file| file.is_file()).collect()
    };
    let first = data(&world);
    table.append(ids((1_000..1_200).collect())).await.unwrap();
    // What can be read can be read without them.
    first
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    for filter in [None, Some("name = 'a'")] {
        let mut settings = world.settings(None, filter);
        settings.columns.renamed = vec![("id".to_owned(), "key".to_owned())];
        let source = DeltaSource::new(settings).unwrap();
        let at = watermark(&source).await;
        let count = async |keys: Vec<i64>| {
            let keys = batch(&[("key", array::<Int64Array>(keys))]);
            let rows = source.rows_of(&at, &keys).await.unwrap();
            let rows: Vec<RecordBatch> = rows.try_collect().await?;
            Ok::<_, lakeferry_delta::Error>(rows.iter().map(RecordBatch::num_rows).sum::<usize>())
        };
        assert_eq!(count(vec![1_003, 1_003, 2_000]).await.unwrap(), 200);
        assert_eq!(count((1_000..1_150).collect()).await.unwrap(), 200);
        assert_eq!(count(vec![500, 2_000]).await.unwrap(), 0);
        assert!(count(vec![99, 1_003]).await.is_err());
        assert!(count((99..1_150).collect()).await.is_err());
    }
}

async fn lineitem(scale: f64) -> (World, DeltaSource, usize) {
    let world = World::new();
    let mut table = DeltaTable::create(&world.path(), &lineitem_columns(), NewTable::default())
        .await
        .unwrap();
    let rows = append_lineitem(&mut table, scale, 4).await.unwrap();
    let source = world.source(None, None);
    (world, source, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_whole() {
    let (_world, source, rows) = lineitem(0.02).await;
    let watermark = watermark(&source).await;
    let stream = source.snapshot(&watermark).await.unwrap();
    let read = stream
        .try_fold(0, async |sum, batch| Ok(sum + batch.num_rows()))
        .await
        .unwrap();
    assert_eq!(read, rows);
    assert_eq!(source.head().await.unwrap().size.rows, Some(rows as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_stops_its_readers() {
    let (_world, source, _) = lineitem(0.02).await;
    let watermark = watermark(&source).await;
    let mut stream = source.snapshot(&watermark).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    // A runtime waits for its blocking threads when it ends: this test would hang.
    let runtime = tokio::runtime::Handle::current();
    let idle = async {
        while runtime.metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle)
        .await
        .unwrap();
}
