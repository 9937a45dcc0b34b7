//! Jobs without a key: rows are told apart by every bit of them, and only what differs is written.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use lakeferry_model::{Effect, RowCounts, Stage};

use crate::fixture::{batch, brought, on_each_server};

fn doubles(values: &[Option<f64>]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap()
}

#[tokio::test]
async fn what_equals_in_sql_alone_differs() {
    on_each_server(async |mut desk| {
        desk.settings.key.clear();
        // A user's setting under which texts of doubles lose digits.
        desk.run("ALTER DATABASE app SET extra_float_digits = 0")
            .await;
        let third: f64 = 1.0 / 3.0;
        let next = f64::from_bits(third.to_bits() + 1);
        let had = [Some(0.0), Some(third), Some(f64::NAN), None, Some(2.0)];
        let mut session = desk.filled(&doubles(&had)).await;
        let wanted = doubles(&[Some(-0.0), Some(next), Some(f64::NAN), None, Some(2.0)]);
        let parts = [(Effect::Insert, &wanted)];
        let counts = brought(&mut session, 2, Stage::Refresh, &parts).await;
        let expected = RowCounts {
            inserted: 2,
            updated: 0,
            deleted: 2,
        };
        assert_eq!(counts, expected);
        let rows =
            "SELECT string_agg(encode(float8send(x), 'hex'), ' ' ORDER BY x, x::text) FROM target";
        let hex = |value: f64| format!("{:016x}", value.to_bits());
        let found = [-0.0, next, 2.0, f64::NAN].map(hex).join(" ");
        assert_eq!(desk.ask(rows).await, found);
    })
    .await;
}

/// Two partitions give their rows the same places.
#[tokio::test]
async fn surplus_rows_go_from_the_partition_that_has_them() {
    on_each_server(async |mut desk| {
        desk.settings.key.clear();
        desk.run(
            "CREATE TABLE target (id bigint, value text) PARTITION BY LIST (value); \
             CREATE TABLE part_a PARTITION OF target FOR VALUES IN ('a'); \
             CREATE TABLE part_b PARTITION OF target FOR VALUES IN ('b')",
        )
        .await;
        let mut session = desk.claim().await;
        let (a, b) = (Some("a"), Some("b"));
        let had = batch(&[(1, a), (1, a), (2, a), (1, b), (1, b), (2, b)]);
        brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &had)]).await;
        let wanted = batch(&[(1, a), (1, b), (1, b), (2, b), (3, b)]);
        let parts = [(Effect::Insert, &wanted)];
        let counts = brought(&mut session, 2, Stage::Refresh, &parts).await;
        assert_eq!((counts.deleted, counts.inserted), (2, 1));
        assert_eq!(desk.rows().await, "1:a 1:b 1:b 2:b 3:b");
    })
    .await;
}

#[tokio::test]
async fn rows_of_which_there_are_enough_stay_where_they_are() {
    on_each_server(async |mut desk| {
        desk.settings.key.clear();
        let rows = |words: &[&str]| {
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![7; words.len()]));
            let words: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("value", words, true)])
                .unwrap()
        };
        let mut session = desk.filled(&rows(&["x", "x", "y"])).await;
        desk.run("CREATE INDEX ON target (value)").await;
        let places = "SELECT string_agg(ctid::text || xmin || value, ' ' ORDER BY ctid) \
            FROM target WHERE value <> 'z'";
        let before = desk.ask(places).await;
        let parts = [(Effect::Insert, &rows(&["z", "y", "x", "x"]))];
        let counts = brought(&mut session, 2, Stage::Refresh, &parts).await;
        assert_eq!((counts.deleted, counts.inserted), (0, 1));
        assert_eq!(desk.ask(places).await, before);
    })
    .await;
}
