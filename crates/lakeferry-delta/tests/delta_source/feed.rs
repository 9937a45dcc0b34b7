//! Changes: through the feed, and as the rows of added files.

use arrow_array::{Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{NewTable, OP_COLUMN};
use lakeferry_model::{Content, Reading};

use crate::world::{World, array, batch, changes, contents, rows, watermark};

fn people(rows: &[(i64, &str, i64)]) -> RecordBatch {
    let ids: Vec<_> = rows.iter().map(|row| row.0).collect();
    let names: Vec<_> = rows.iter().map(|row| row.1).collect();
    let ages: Vec<_> = rows.iter().map(|row| row.2).collect();
    batch(&[
        ("id", array::<Int64Array>(ids)),
        ("name", array::<StringArray>(names)),
        ("age", array::<Int64Array>(ages)),
    ])
}

fn merge_of(rows: &[(i64, &str, i64, &str)]) -> RecordBatch {
    let data: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2)).collect();
    let data = people(&data);
    let ops: Vec<_> = rows.iter().map(|row| row.3).collect();
    let schema = data.schema();
    let mut columns: Vec<_> = schema
        .fields()
        .iter()
        .zip(data.columns())
        .map(|(field, column)| (field.name().as_str(), column.clone()))
        .collect();
    columns.push((OP_COLUMN, array::<StringArray>(ops)));
    batch(&columns)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_judges_each_image_by_itself() {
    let start = people(&[
        (1, "in", 50),
        (2, "out", 10),
        (3, "stays", 60),
        (4, "never", 1),
    ]);
    let (world, mut table) = World::with(NewTable::with_feed(), start).await;
    let source = world.source(Some(&["id", "name"]), Some("AGE >= 18"));
    let after = watermark(&source).await;
    table
        .merge(
            &["id"],
            merge_of(&[
                (1, "left", 2, "update"),
                (2, "came", 40, "update"),
                (3, "stayed", 61, "update"),
                (4, "still out", 3, "update"),
                (5, "new in", 20, "insert"),
                (6, "new out", 2, "insert"),
            ]),
        )
        .await
        .unwrap();
    table
        .merge(
            &["id"],
            merge_of(&[(3, "", 0, "delete"), (4, "", 0, "delete")]),
        )
        .await
        .unwrap();
    assert_eq!(
        contents(&source, &after).await,
        [Content::Feed, Content::Feed]
    );
    insta::assert_debug_snapshot!(changes(&source, &after, Reading::Feed).await.unwrap());
    insta::assert_debug_snapshot!("rows_after_the_merges", rows(&source).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_a_minus_and_a_plus() {
    let start = people(&[(1, "a", 1), (2, "b", 2), (3, "c", 3)]);
    let (world, mut table) = World::with(NewTable::with_feed(), start).await;
    let source = world.source(Some(&["id", "name"]), None);
    let after = watermark(&source).await;
    table.update(&[("id", "id + 1")], None).await.unwrap();
    let wanted = [
        "1 + 2 | a",
        "1 + 3 | b",
        "1 + 4 | c",
        "1 - 1 | a",
        "1 - 2 | b",
        "1 - 3 | c",
    ];
    assert_eq!(
        changes(&source, &after, Reading::Feed).await.unwrap(),
        wanted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_files_that_go_are_read_as_deletes() {
    let start = people(&[(1, "a", 1), (2, "b", 2)]);
    for partitions in [&[][..], &["name"]] {
        let new = NewTable::with_feed().partitioned_by(partitions);
        let (world, mut table) = World::with(new, start.clone()).await;
        let source = world.source(None, Some("name <> 'x'"));
        let after = watermark(&source).await;
        table
            .overwrite(people(&[(2, "b", 3), (3, "c", 3)]))
            .await
            .unwrap();
        table.delete(Some("name = 'b'")).await.unwrap();
        table.delete(None).await.unwrap();
        let wanted = [
            "1 + 2 | b | 3",
            "1 + 3 | c | 3",
            "1 - 1 | a | 1",
            "1 - 2 | b | 2",
            "2 - 2 | b | 3",
            "3 - 3 | c | 3",
        ];
        assert_eq!(
            changes(&source, &after, Reading::Feed).await.unwrap(),
            wanted
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_read_across_new_columns_and_rewrites() {
    let start = people(&[(1, "a", 1), (2, "b", 2)]);
    let (world, mut table) = World::with(NewTable::with_feed(), start).await;
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.append(people(&[(3, "c", 3)])).await.unwrap();
    table.optimize().await.unwrap();
    table
        .set_properties(&[("delta.logRetentionDuration", "interval 60 days")])
        .await
        .unwrap();
    let wider = batch(&[
        ("id", array::<Int64Array>(vec![4])),
        ("name", array::<StringArray>(vec!["d"])),
        ("age", array::<Int64Array>(vec![4])),
        ("city", array::<StringArray>(vec!["Oslo"])),
    ]);
    table.append(wider).await.unwrap();
    table.delete(Some("id = 1")).await.unwrap();
    let (feed, nothing) = (Content::Feed, Content::Nothing);
    assert_eq!(
        contents(&source, &after).await,
        [feed, nothing, nothing, feed, feed]
    );
    let wanted = [
        "1 + 3 | c | 3 | ~",
        "4 + 4 | d | 4 | Oslo",
        "5 - 1 | a | 1 | ~",
    ];
    assert_eq!(
        changes(&source, &after, Reading::Feed).await.unwrap(),
        wanted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_switched_follows_the_metadata() {
    let start = people(&[(1, "a", 1), (2, "b", 2)]);
    let (world, mut table) = World::with(NewTable::with_feed(), start).await;
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.append(people(&[(3, "c", 3)])).await.unwrap();
    table
        .set_properties(&[("delta.enableChangeDataFeed", "false")])
        .await
        .unwrap();
    table
        .set_properties(&[("delta.enableChangeDataFeed", "true")])
        .await
        .unwrap();
    table.delete(Some("id = 1")).await.unwrap();
    let (feed, nothing) = (Content::Feed, Content::Nothing);
    assert_eq!(
        contents(&source, &after).await,
        [feed, nothing, nothing, feed]
    );
    let wanted = ["1 + 3 | c | 3", "4 - 1 | a | 1"];
    assert_eq!(
        changes(&source, &after, Reading::Feed).await.unwrap(),
        wanted
    );

    table
        .set_properties(&[("delta.enableChangeDataFeed", "false")])
        .await
        .unwrap();
    table.append(people(&[(9, "z", 9)])).await.unwrap();
    table.delete(Some("id = 2")).await.unwrap();
    let (added, rewritten) = (Content::Added, Content::Rewritten);
    let wanted = [feed, nothing, nothing, feed, nothing, added, rewritten];
    assert_eq!(contents(&source, &after).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn added_files_that_were_rewritten_since_are_read_all_the_same() {
    let start = people(&[(1, "a", 1)]);
    for partitions in [&[][..], &["name"]] {
        let new = NewTable::without_feed().partitioned_by(partitions);
        let (world, mut table) = World::with(new, start.clone()).await;
        let source = world.source(Some(&["name", "id"]), Some("age < 9"));
        let after = watermark(&source).await;
        table
            .append(people(&[(2, "b", 2), (3, "a", 9)]))
            .await
            .unwrap();
        table.append(people(&[(4, "b", 4)])).await.unwrap();
        table.optimize().await.unwrap();
        table.checkpoint().await.unwrap();
        table.append(people(&[(5, "c", 5)])).await.unwrap();
        let (added, nothing) = (Content::Added, Content::Nothing);
        assert_eq!(
            contents(&source, &after).await,
            [added, added, nothing, added]
        );
        let wanted = ["4 + b | 2", "4 + b | 4", "4 + c | 5"];
        assert_eq!(
            changes(&source, &after, Reading::Files).await.unwrap(),
            wanted
        );
    }
}
