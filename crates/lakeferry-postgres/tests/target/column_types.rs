//! Columns of other types than the job's own, where they hold every value exactly.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Float32Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use lakeferry_model::{Effect, FailureClass, RowCounts, Stage};

use crate::fixture::{batch, brought, on_each_server, refused};

/// One row of `id, small, whole, price, ratio, word`, with the extremes of each in turn.
fn row(id: i32, sign: i8) -> RecordBatch {
    let (small, whole, price) = match sign {
        1 => (i16::MAX, i64::MAX, 99_999_999),
        _ => (i16::MIN, i64::MIN, -99_999_999),
    };
    let price = Decimal128Array::from_iter_values([price]).with_precision_and_scale(8, 2);
    let ratio = f32::from(sign) * 0.1;
    let word = format!("{}ß😀", if sign == 1 { "A " } else { "a " });
    let columns: [(&str, ArrayRef, bool); 6] = [
        ("id", Arc::new(Int32Array::from_iter_values([id])), true),
        (
            "small",
            Arc::new(Int16Array::from_iter_values([small])),
            true,
        ),
        (
            "whole",
            Arc::new(Int64Array::from_iter_values([whole])),
            true,
        ),
        ("price", Arc::new(price.unwrap()), true),
        (
            "ratio",
            Arc::new(Float32Array::from_iter_values([ratio])),
            true,
        ),
        (
            "word",
            Arc::new(StringArray::from_iter_values([word])),
            true,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

const TABLES: [&str; 4] = [
    "id bigint, small integer, whole numeric, price numeric, ratio double precision, word varchar",
    "id bigint, small bigint, whole numeric(20,1), price numeric(12,4), ratio real, word varchar(4)",
    "id numeric, small smallint, whole bigint, price numeric(8,2), ratio real, word loose",
    "id key, small few, whole bigint, price amount, ratio real, word label",
];

#[tokio::test]
async fn wider_columns_take_every_value_as_it_is() {
    on_each_server(async |desk| {
        desk.run(
            "CREATE DOMAIN key AS bigint CHECK (VALUE > 0); CREATE DOMAIN few AS smallint; \
             CREATE DOMAIN amount AS numeric(10,3); CREATE DOMAIN name AS varchar(4); \
             CREATE DOMAIN label AS public.name COLLATE \"C\" DEFAULT 'none' NOT NULL",
        )
        .await;
        let citext = desk.client.batch_execute("CREATE EXTENSION citext").await;
        for table in TABLES {
            let word = if citext.is_ok() { "citext" } else { "text" };
            let table = table.replace("loose", word);
            desk.run(&format!("CREATE TABLE target ({table}, PRIMARY KEY (id))"))
                .await;
            let mut session = desk.claim().await;
            let first = [(Effect::Insert, &row(1, 1))];
            brought(&mut session, 1, Stage::Refresh, &first).await;
            let parts = [
                (Effect::Update, &row(1, -1)),
                (Effect::Insert, &row(i32::MAX, 1)),
            ];
            brought(&mut session, 2, Stage::Changes, &parts).await;
            let seen = "SELECT string_agg(concat_ws(' ', id, small, whole::numeric(19,0), \
                price::numeric(8,2), ratio::real, word), ', ' ORDER BY id) FROM target";
            assert_eq!(
                desk.ask(seen).await,
                "1 -32768 -9223372036854775808 -999999.99 -0.1 a ß😀, \
                 2147483647 32767 9223372036854775807 999999.99 0.1 A ß😀",
                "{table}"
            );
            // What is there is equal, to an update and to a rebuild.
            let same = [(Effect::Update, &row(1, -1))];
            let none = RowCounts::default();
            let written = brought(&mut session, 3, Stage::Changes, &same).await;
            assert_eq!(written, none, "{table}");
            let same = [
                (Effect::Insert, &row(1, -1)),
                (Effect::Insert, &row(i32::MAX, 1)),
            ];
            let written = brought(&mut session, 4, Stage::Refresh, &same).await;
            assert_eq!(written, none, "{table}");
            let gone = [(Effect::Delete, &row(1, 1))];
            assert_eq!(
                brought(&mut session, 5, Stage::Changes, &gone)
                    .await
                    .deleted,
                1
            );
            drop(session);
            desk.run("DROP TABLE target; TRUNCATE lakeferry.jobs CASCADE")
                .await;
        }
    })
    .await;
}

/// A text that is too long is never cut, not even where it ends in blanks.
#[tokio::test]
async fn texts_that_are_too_long_are_refused_by_column() {
    on_each_server(async |desk| {
        desk.run("CREATE TABLE target (id bigint PRIMARY KEY, value varchar(3))")
            .await;
        let mut session = desk.claim().await;
        let parts = [(Effect::Insert, &batch(&[(1, Some("äöü")), (2, None)]))];
        brought(&mut session, 1, Stage::Refresh, &parts).await;
        drop(session);
        for long in ["abcd", "abc "] {
            for (kind, effect) in [
                (Stage::Changes, Effect::Update),
                (Stage::Refresh, Effect::Insert),
            ] {
                let rows = batch(&[(1, Some(long)), (2, Some("b"))]);
                let (class, text) =
                    refused(&mut desk.claim().await, kind, &[(effect, &rows)]).await;
                assert_eq!(class, FailureClass::BadRow);
                let message = "column \"value\" of public.target takes 3 characters, and 1 rows \
                    have more; hint: ALTER TABLE";
                assert!(text.starts_with(message), "{text}");
                assert_eq!(desk.rows().await, "1:äöü 2:-");
            }
        }
    })
    .await;
}

/// In a key, what Postgres takes for equal must be equal.
#[tokio::test]
async fn keys_that_compare_loosely_are_refused() {
    on_each_server(async |mut desk| {
        desk.settings.key = vec!["value".to_owned()];
        let citext = desk.client.batch_execute("CREATE EXTENSION citext").await;
        let types = ["citext", "char(9)"].into_iter();
        for kind in types.filter(|kind| *kind != "citext" || citext.is_ok()) {
            desk.run(&format!(
                "CREATE TABLE target (id bigint, value {kind} PRIMARY KEY)"
            ))
            .await;
            let parts = [(Effect::Insert, &batch(&[(1, Some("a"))]))];
            let (class, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(
                text.starts_with("key column \"value\" of public.target is "),
                "{text}"
            );
            assert!(text.contains("TYPE text"), "{text}");
            desk.run("DROP TABLE target").await;
        }
    })
    .await;
}
