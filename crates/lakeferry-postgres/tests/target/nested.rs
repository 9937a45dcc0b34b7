//! Values with parts, through the server: what stands in the target is what was written, by what
//! Postgres itself says of it.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields};
use lakeferry_model::{Effect, FailureClass, RowCounts, Stage};
use proptest::{
    collection::vec, option::weighted, prelude::*, strategy::ValueTree, test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::fixture::{Desk, applied, on_each_server, refused, stage};

/// Rows of a generated table.
const ROWS: usize = 12;
/// Tables that are generated for each server.
const TABLES: usize = 24;

/// An array, and what each of its values is in JSON.
type Made = (ArrayRef, Vec<Value>);

fn scalars(rows: usize) -> BoxedStrategy<Made> {
    let texts = vec(weighted(0.8, "[^\0]{0,9}"), rows).prop_map(|values| {
        let expected = values.iter().map(|text| json!(text)).collect();
        (Arc::new(StringArray::from(values)) as ArrayRef, expected)
    });
    let longs = vec(weighted(0.8, any::<i64>()), rows).prop_map(|values| {
        let expected = values.iter().map(|value| json!(value)).collect();
        (Arc::new(Int64Array::from(values)) as ArrayRef, expected)
    });
    let number = |value: f64| match value {
        _ if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(value),
    };
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MAX,
        5e-324,
    ];
    let double = prop_oneof![any::<f64>(), proptest::sample::select(special.to_vec())];
    let doubles = vec(weighted(0.8, double), rows).prop_map(move |values| {
        let expected = values.iter().map(|value| value.map_or(Value::Null, number));
        let expected = expected.collect();
        (Arc::new(Float64Array::from(values)) as ArrayRef, expected)
    });
    let booleans = vec(weighted(0.8, any::<bool>()), rows).prop_map(|values| {
        let expected = values.iter().map(|value| json!(value)).collect();
        (Arc::new(BooleanArray::from(values)) as ArrayRef, expected)
    });
    prop_oneof![texts, longs, doubles, booleans].boxed()
}

/// Arrays of `rows` values with up to `depth` levels of parts.
fn nested(rows: usize, depth: u32) -> BoxedStrategy<Made> {
    if depth == 0 {
        return scalars(rows);
    }
    let lengths = || vec(weighted(0.8, 0_usize..4), rows);
    let lists = lengths().prop_flat_map(move |lengths| {
        let elements = nested(lengths.iter().flatten().sum(), depth - 1);
        elements.prop_map(move |(elements, values)| list(&lengths, elements, values))
    });
    let objects = lengths().prop_flat_map(move |lengths| {
        let count = lengths.iter().flatten().sum();
        let keys = vec("[^\0]{0,5}", count);
        let entries = (keys, nested(count, depth - 1));
        entries.prop_map(move |(keys, values)| object(&lengths, keys, values))
    });
    let pairs = lengths().prop_flat_map(move |lengths| {
        let count = lengths.iter().flatten().sum();
        let entries = (vec(any::<i64>(), count), nested(count, depth - 1));
        entries.prop_map(move |(keys, values)| pairs(&lengths, keys, values))
    });
    let members = (nested(rows, depth - 1), nested(rows, depth - 1));
    let valid = vec(prop::bool::weighted(0.8), rows);
    let structs = (members, valid).prop_map(|((a, b), valid)| structure(a, b, valid));
    prop_oneof![1 => scalars(rows), 2 => lists, 2 => objects, 2 => pairs, 3 => structs].boxed()
}

fn offsets(lengths: &[Option<usize>]) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
    let nulls: NullBuffer = lengths
        .iter()
        .map(Option::is_some)
        .collect::<Vec<_>>()
        .into();
    let lengths = lengths.iter().map(|length| length.unwrap_or(0));
    (OffsetBuffer::from_lengths(lengths), Some(nulls))
}

/// What each row gets of `values`.
fn dealt<T>(
    lengths: &[Option<usize>],
    values: Vec<T>,
    form: impl Fn(Vec<T>) -> Value,
) -> Vec<Value> {
    let mut values = values.into_iter();
    lengths
        .iter()
        .map(|length| match length {
            None => Value::Null,
            Some(length) => form(values.by_ref().take(*length).collect()),
        })
        .collect()
}

fn list(lengths: &[Option<usize>], elements: ArrayRef, values: Vec<Value>) -> Made {
    let field = Field::new("element", elements.data_type().clone(), true);
    let (offsets, nulls) = offsets(lengths);
    let array = ListArray::new(field.into(), offsets, elements, nulls);
    (Arc::new(array), dealt(lengths, values, Value::Array))
}

fn map(lengths: &[Option<usize>], keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let key = Field::new("key", keys.data_type().clone(), false);
    let value = Field::new("value", values.data_type().clone(), true);
    let entries = StructArray::new(Fields::from(vec![key, value]), vec![keys, values], None);
    let field = Field::new("key_value", entries.data_type().clone(), false);
    let (offsets, nulls) = offsets(lengths);
    Arc::new(MapArray::new(field.into(), offsets, entries, nulls, false))
}

fn object(lengths: &[Option<usize>], keys: Vec<String>, (array, values): Made) -> Made {
    // Their number makes them different.
    let keys = keys.iter().enumerate();
    let keys: Vec<String> = keys.map(|(place, key)| format!("{key}{place}")).collect();
    let names: ArrayRef = Arc::new(StringArray::from(keys.clone()));
    let members = keys.into_iter().zip(values).collect();
    let expected = dealt(lengths, members, |members| {
        Value::Object(members.into_iter().collect())
    });
    (map(lengths, names, array), expected)
}

fn pairs(lengths: &[Option<usize>], keys: Vec<i64>, (array, values): Made) -> Made {
    let numbers: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
    let entries = keys.into_iter().zip(values);
    let entries = entries.map(|(key, value)| json!([key, value])).collect();
    (
        map(lengths, numbers, array),
        dealt(lengths, entries, Value::Array),
    )
}

fn structure((a, in_a): Made, (b, in_b): Made, valid: Vec<bool>) -> Made {
    let expected = in_a.into_iter().zip(in_b).zip(&valid);
    let expected = expected.map(|((a, b), valid)| match valid {
        true => json!({ "a": a, "the \"b\"\n": b }),
        false => Value::Null,
    });
    let expected = expected.collect();
    let fields = [("a", &a), ("the \"b\"\n", &b)];
    let fields = fields.map(|(name, of)| Field::new(name, of.data_type().clone(), true));
    let fields = Fields::from(fields.to_vec());
    let array = StructArray::new(fields, vec![a, b], Some(valid.into()));
    (Arc::new(array), expected)
}

fn rows(first: i64, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let count = i64::try_from(columns[0].1.len()).unwrap();
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
    let columns = [("id", id)].into_iter().chain(columns);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// jsonb says whether it is what serde_json wrote; the numbers are compared as numerics.
#[tokio::test]
async fn any_value_is_the_json_that_it_should_be() {
    on_each_server(async |desk| {
        let mut runner = TestRunner::deterministic();
        for table in 0..TABLES {
            // A struct around it, so that it is no array of scalars.
            let made = (nested(ROWS, 4), nested(ROWS, 1), vec(any::<bool>(), ROWS));
            let made = made.prop_map(|(a, b, valid)| structure(a, b, valid));
            let (array, expected) = made.new_tree(&mut runner).unwrap().current();
            // Cut out of the middle, as readers do.
            let batch = rows(0, vec![("value", array)]).slice(2, ROWS - 3);
            desk.run("DROP TABLE IF EXISTS target; DROP SCHEMA IF EXISTS lakeferry CASCADE")
                .await;
            drop(desk.filled(&batch).await);
            for (id, expected) in expected.iter().enumerate().skip(2).take(ROWS - 3) {
                let expected = (!expected.is_null()).then(|| expected.to_string());
                let sql = "SELECT value::text, value IS NOT DISTINCT FROM $2::text::jsonb \
                    FROM target WHERE id = $1";
                let id = i64::try_from(id).unwrap();
                let row = desk.client.query_one(sql, &[&id, &expected]).await.unwrap();
                let found: Option<&str> = row.get(0);
                assert!(
                    row.get::<_, bool>(1),
                    "{table}: {found:?} is not {expected:?}"
                );
            }
        }
    })
    .await;
}

/// What people read, so that encoder and server cannot agree on a wrong value.
#[tokio::test]
async fn values_read_as_they_should() {
    let nines = 10_i128.pow(38) - 1;
    let decimals = Decimal128Array::from(vec![-nines, 1]);
    let decimals = decimals.with_precision_and_scale(38, 38).unwrap();
    let micros = TimestampMicrosecondArray::from(vec![253_402_300_799_999_999, -1]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("decimal", Arc::new(decimals)),
        ("double", Arc::new(Float64Array::from(vec![-0.0, 1e300]))),
        ("long", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]))),
        ("date", Arc::new(Date32Array::from(vec![20_484, i32::MAX]))),
        ("tz", Arc::new(micros.clone().with_timezone("UTC"))),
        ("ntz", Arc::new(micros)),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![&b"\0\xff"[..], b""])),
        ),
        ("text", Arc::new(StringArray::from(vec!["ü🦆\u{1}\"", ""]))),
    ];
    let fields = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let fields = fields.collect::<Fields>();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let value: ArrayRef = Arc::new(StructArray::new(fields, arrays, None));
    let batch = rows(0, vec![("value", value)]);
    on_each_server(async |desk| {
        desk.filled(&batch).await;
        for (sql, shown) in [
            ("value->>'decimal' FROM target WHERE id = 0", format!("-0.{nines}")),
            ("value->>'decimal' FROM target WHERE id = 1", format!("0.{}1", "0".repeat(37))),
            // jsonb has numerics, and they no sign on zero.
            ("value->>'double' FROM target WHERE id = 0", "0.0".to_owned()),
            ("value->>'long' FROM target WHERE id = 0", i64::MIN.to_string()),
            ("value->>'long' FROM target WHERE id = 1", i64::MAX.to_string()),
            ("value->>'date' FROM target WHERE id = 0", "2026-01-31".to_owned()),
            ("value->>'date' FROM target WHERE id = 1", "+5881580-07-11".to_owned()),
            ("value->>'tz' FROM target WHERE id = 0", "9999-12-31T23:59:59.999999Z".to_owned()),
            ("value->>'ntz' FROM target WHERE id = 1", "1969-12-31T23:59:59.999999".to_owned()),
            ("(value->>'tz')::timestamptz = '1969-12-31 23:59:59.999999+00' FROM target WHERE id = 1", "true".to_owned()),
            ("value->>'bytes' FROM target WHERE id = 0", "AP8=".to_owned()),
            ("decode(value->>'bytes', 'base64') FROM target WHERE id = 0", "\\x00ff".to_owned()),
            ("value->>'text' FROM target WHERE id = 0", "ü🦆\u{1}\"".to_owned()),
        ] {
            let sql = format!("SELECT {sql}");
            assert_eq!(desk.ask(&sql).await, shown, "{sql}");
        }
    })
    .await;
}

/// Three rows of arrays, objects and structs, nulls among them.
fn some_rows() -> RecordBatch {
    let lengths = [Some(2), None, Some(0)];
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["b", "a"]));
    rows(
        1,
        vec![
            ("texts", list(&lengths, texts.clone(), vec![]).0),
            ("numbers", list(&lengths, numbers.clone(), vec![]).0),
            ("object", map(&lengths, names, numbers)),
        ],
    )
}

#[tokio::test]
async fn equal_rows_are_left_alone() {
    let versions = "SELECT string_agg(format('%s %s %s %s', id, ctid, xmin, xmax), ',' ORDER BY id) FROM target";
    on_each_server(async |desk| {
        let rows = some_rows();
        let mut session = desk.filled(&rows).await;
        let before = desk.ask(versions).await;
        for (version, kind, effect) in [
            (2, Stage::Refresh, Effect::Insert),
            (3, Stage::Changes, Effect::Update),
        ] {
            stage(&mut session, kind, &[(effect, &rows)]).await.unwrap();
            assert_eq!(applied(&mut session, version).await, RowCounts::default());
            assert_eq!(desk.ask(versions).await, before, "{kind:?} wrote rows");
        }
        let parts = [
            (Effect::Delete, &rows.slice(0, 1)),
            (Effect::Delete, &rows.slice(2, 1)),
        ];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        assert_eq!(applied(&mut session, 4).await.deleted, 2);
        assert_eq!(
            desk.ask("SELECT string_agg(id::text, ' ') FROM target")
                .await,
            "2"
        );
    })
    .await;
}

/// An array may be jsonb where the table that exists has it so.
#[tokio::test]
async fn a_users_jsonb_takes_arrays() {
    on_each_server(async |desk| {
        desk.run(
            "CREATE TABLE target (id bigint PRIMARY KEY, texts jsonb, \
             numbers double precision[], object jsonb)",
        )
        .await;
        let mut session = desk.claim().await;
        let rows = some_rows();
        for (version, kind, effect, written) in [
            (1, Stage::Refresh, Effect::Insert, 3),
            (2, Stage::Refresh, Effect::Insert, 0),
            (3, Stage::Changes, Effect::Update, 0),
        ] {
            stage(&mut session, kind, &[(effect, &rows)]).await.unwrap();
            let counts = applied(&mut session, version).await;
            assert_eq!(counts.inserted + counts.updated, written, "{version}");
        }
        let row = "SELECT format('%s %s %s', texts, numbers, object) FROM target WHERE id = 1";
        let shown = "[\"a\", null] {NaN,-0} {\"a\": 0.0, \"b\": \"NaN\"}";
        assert_eq!(desk.ask(row).await, shown);
        desk.run("ALTER TABLE target ALTER numbers TYPE real[]")
            .await;
        let (class, told) = refused(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        let message = "column \"numbers\" of public.target is real[] and not double precision[]";
        assert!(told.starts_with(message), "{told}");
    })
    .await;
}

#[tokio::test]
async fn what_jsonb_cannot_hold_is_refused_before_the_server_sees_it() {
    on_each_server(async |desk| {
        let rows_of = |key: &str| {
            let names: ArrayRef = Arc::new(StringArray::from(vec!["a", key]));
            let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
            rows(1, vec![("value", map(&[Some(2)], names, values))])
        };
        let mut session = desk.filled(&rows_of("b")).await;
        for (key, told) in [
            (
                "a",
                "column \"value\" holds a map that has the same key twice",
            ),
            ("\0", "column \"value\" holds a text with the character NUL"),
        ] {
            let rows = rows_of(key);
            let parts = [(Effect::Insert, &rows)];
            let (class, text) = refused(&mut session, Stage::Refresh, &parts).await;
            assert_eq!(class, FailureClass::BadRow);
            assert!(text.starts_with(told), "{text}");
            drop(session);
            session = desk.claim().await;
        }
        assert_eq!(
            desk.ask("SELECT value FROM target").await,
            "{\"a\": 1, \"b\": 2}"
        );
    })
    .await;
}

#[tokio::test]
async fn no_key_has_parts() {
    on_each_server(async |mut desk: Desk| {
        for (key, found) in [("texts", "text[]"), ("object", "jsonb")] {
            desk.settings.key = vec![key.to_owned()];
            let mut session = desk.claim().await;
            let rows = some_rows();
            let parts = [(Effect::Insert, &rows)];
            let (class, told) = refused(&mut session, Stage::Fill, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            let message =
                format!("key column {key:?} is {found}, whose equality is not that of bytes");
            assert!(told.starts_with(&message), "{told}");
        }
    })
    .await;
}
