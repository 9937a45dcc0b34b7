//! How fast rows are encoded, with pgpq beside it in the same run. Not a test but a measurement:
//! `cargo test --release -p lakeferry-postgres --test encoder_rate -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints what it ran on"
)]

use std::{hint::black_box, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::BytesMut;
use lakeferry_postgres::encode::Encoder;
use pgpq::ArrowToPostgresBinaryEncoder;

const ROWS: i64 = 8_192;
const ROUNDS: u32 = 400;

/// The row of the measured facts: 117 bytes as COPY.
fn batch() -> RecordBatch {
    let ids = 0..ROWS;
    let decimals = Decimal128Array::from_iter_values(ids.clone().map(|id| i128::from(id) * 12_345));
    let times = TimestampMicrosecondArray::from_iter_values(ids.clone().map(|id| id * 1_000_003));
    let dates = (0..ROWS as i32).map(|id| id % 9_000);
    let columns: [(&str, ArrayRef); 8] = [
        ("a", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("b", Arc::new(Int32Array::from_iter_values(dates.clone()))),
        (
            "c",
            Arc::new(Float64Array::from_iter_values(
                ids.clone().map(|id| id as f64 / 3.0),
            )),
        ),
        ("d", Arc::new(times.with_timezone("UTC"))),
        ("e", Arc::new(Date32Array::from_iter_values(dates))),
        (
            "f",
            Arc::new(decimals.with_precision_and_scale(18, 4).unwrap()),
        ),
        (
            "g",
            Arc::new(StringArray::from_iter_values(
                ids.clone().map(|id| format!("{id:036}")),
            )),
        ),
        (
            "h",
            Arc::new(BooleanArray::from_iter(ids.map(|id| Some(id % 3 == 0)))),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Gigabytes in a second that `encode` writes.
fn rate(encode: impl Fn(&mut BytesMut)) -> f64 {
    let mut out = BytesMut::new();
    encode(&mut out);
    let bytes = out.len() as f64 * f64::from(ROUNDS);
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        out.clear();
        encode(black_box(&mut out));
    }
    bytes / start.elapsed().as_secs_f64() / 1e9
}

#[test]
#[ignore = "a measurement"]
fn gigabytes_in_a_second() {
    let batch = batch();
    let ours = Encoder::new(&batch.schema()).unwrap();
    let write = |out: &mut BytesMut| {
        ours.rows(&batch, None).unwrap().write(out, usize::MAX);
    };
    let peer = |out: &mut BytesMut| {
        let mut pgpq = ArrowToPostgresBinaryEncoder::try_new(&batch.schema()).unwrap();
        let mut header = BytesMut::new();
        pgpq.write_header(&mut header).unwrap();
        pgpq.write_batch(&batch, out).unwrap();
    };
    for _ in 0..3 {
        let (ours, pgpq) = (rate(write), rate(peer));
        println!(
            "ours {ours:.2} GB/s, pgpq {pgpq:.2} GB/s, ratio {:.2}",
            ours / pgpq
        );
    }
}
