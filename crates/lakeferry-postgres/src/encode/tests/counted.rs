//! Instructions of encoding, which `cargo xtask count` counts under callgrind: those of what is
//! called `counted` and no others.

use std::hint::black_box;

use arrow_array::{Int64Array, StructArray, builder::ListBuilder, builder::StringBuilder};

use super::*;

const ROWS: i64 = 8_192;

#[inline(never)]
fn counted(encoder: &Encoder, batch: &RecordBatch, out: &mut BytesMut) {
    let mut rows = encoder.rows(black_box(batch), None).unwrap();
    while rows.write(out, usize::MAX) {}
}

fn count(columns: Vec<ArrayRef>) {
    let batch = batch(columns);
    let encoder = Encoder::new(&batch.schema()).unwrap();
    // There is room for all, so that nothing moves as it is written.
    let mut out = BytesMut::with_capacity(1 << 24);
    counted(&encoder, &batch, &mut out);
    assert!(black_box(&out).len() > batch.num_rows());
    println!("rows: {}", batch.num_rows());
}

fn ids() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..ROWS))
}

fn words(of: impl Fn(i64) -> Option<String>) -> ArrayRef {
    Arc::new(StringArray::from_iter((0..ROWS).map(of)))
}

#[test]
#[ignore = "cargo xtask count"]
fn numbers_and_times() {
    let small = || (0..ROWS as i32).map(|id| id % 9_000);
    let times = TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|id| id * 1_000_003));
    let floats = (0..ROWS).map(|id| (id % 11 > 0).then_some(id as f64 / 3.0));
    let flags = (0..ROWS).map(|id| Some(id % 3 == 0));
    count(vec![
        ids(),
        Arc::new(Int32Array::from_iter_values(small())),
        Arc::new(Float64Array::from_iter(floats)),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Date32Array::from_iter_values(small())),
        Arc::new(BooleanArray::from_iter(flags)),
    ]);
}

#[test]
#[ignore = "cargo xtask count"]
fn decimals() {
    let numbers = |factor: i128| {
        let numbers = (0..ROWS).map(|id| i128::from(id) * factor);
        let numbers = Decimal128Array::from_iter_values(numbers);
        Arc::new(numbers.with_precision_and_scale(38, 4).unwrap()) as ArrayRef
    };
    count(vec![
        numbers(1),
        numbers(12_345),
        numbers(-1_000_000_007_000_000_007),
    ]);
}

#[test]
#[ignore = "cargo xtask count"]
fn texts() {
    let long = |id: i64| Some(format!("{id:0100}"));
    count(vec![
        words(|id| Some(format!("{id:08}"))),
        words(long),
        words(|id| (id % 2 == 0).then(|| "naïve".to_owned())),
    ]);
}

#[test]
#[ignore = "cargo xtask count"]
fn lists() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for id in 0..ROWS {
        lists.append_value((0..id % 5).map(|element| Some(format!("{element:010}"))));
    }
    count(vec![ids(), Arc::new(lists.finish())]);
}

#[test]
#[ignore = "cargo xtask count"]
fn documents() {
    let part = |name: &str, array: &ArrayRef| {
        let of = array.data_type().clone();
        (
            Arc::new(arrow_schema::Field::new(name, of, true)),
            array.clone(),
        )
    };
    let (number, word) = (ids(), words(|id| Some(format!("word \"{id}\""))));
    let documents = StructArray::from(vec![part("number", &number), part("word", &word)]);
    count(vec![ids(), Arc::new(documents)]);
}
