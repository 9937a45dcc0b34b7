//! Writes one of the tables that the benchmarks read: `data TABLE SCALE FOLDER`.
//!
//! | table | rows at scale 1 | what it is |
//! |---|---|---|
//! | `lineitem` | 6,001,215 | TPC-H's, 16 columns, no feed |
//! | `changed` | the same | with a feed; one row in eight updated, one in sixteen deleted, two commits |
//! | `wide` | 500,000 | 100 columns: numbers and short texts |
//! | `narrow` | 10,000,000 | two numbers |
//! | `text` | 1,000,000 | three texts of 100 to 300 bytes |
//! | `nested` | 500,000 | lists, a struct and a map |
//!
//! The same arguments always write the same rows.

#![allow(
    clippy::print_stdout,
    reason = "whoever runs it reads how many rows there are"
)]

use std::{env, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
    builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder},
};
use arrow_schema::Schema;
use lakeferry_delta_testkit::{DeltaTable, NewTable, lineitem, lineitem_columns};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Rows of one file, at most.
const ROWS_PER_FILE: f64 = 1_500_000.0;

const ROWS_PER_BATCH: i64 = 8_192;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,0123456789";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [table, scale, folder] = &arguments[..] else {
        bail!("data TABLE SCALE FOLDER");
    };
    let (scale, folder) = (scale.parse()?, Path::new(folder));
    let rows = match table.as_str() {
        "lineitem" => {
            write_lineitem(folder, scale, NewTable::without_feed())
                .await?
                .0
        }
        "changed" => write_changed(folder, scale).await?,
        "wide" => write(folder, 500_000.0 * scale, wide).await?,
        "narrow" => write(folder, 10_000_000.0 * scale, narrow).await?,
        "text" => write(folder, 1_000_000.0 * scale, texts).await?,
        "nested" => write(folder, 500_000.0 * scale, nested).await?,
        other => bail!("there is no table {other}"),
    };
    println!("{rows}");
    Ok(())
}

async fn write_lineitem(folder: &Path, scale: f64, new: NewTable) -> Result<(usize, DeltaTable)> {
    let mut table = DeltaTable::create(folder, &lineitem_columns(), new).await?;
    let files = (scale * 6_001_215.0 / ROWS_PER_FILE).ceil() as u16;
    let mut rows = 0;
    for part in 1..=files {
        let batches = lineitem(scale, part, files)?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        table.append_all(batches).await?;
    }
    Ok((rows, table))
}

async fn write_changed(folder: &Path, scale: f64) -> Result<usize> {
    let (rows, mut table) = write_lineitem(folder, scale, NewTable::with_feed()).await?;
    let set = [("l_quantity", "l_quantity + 1"), ("l_comment", "'changed'")];
    table.update(&set, Some("l_orderkey % 8 = 0")).await?;
    table.delete(Some("l_orderkey % 16 = 1")).await?;
    Ok(rows)
}

/// Makes the rows with the ids from the first number up to the second.
type Make = fn(&mut ChaCha8Rng, i64, i64) -> Result<RecordBatch>;

async fn write(folder: &Path, rows: f64, make: Make) -> Result<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let columns = make(&mut random, 0, 0)?.schema();
    let mut table =
        DeltaTable::create(folder, &nullable(&columns), NewTable::without_feed()).await?;
    let rows = rows as i64;
    let mut next = 0;
    while next < rows {
        let end = rows.min(next + ROWS_PER_FILE as i64);
        let mut batches = Vec::new();
        while next < end {
            let until = end.min(next + ROWS_PER_BATCH);
            batches.push(make(&mut random, next, until)?);
            next = until;
        }
        table.append_all(batches).await?;
    }
    usize::try_from(rows).context("a number of rows")
}

fn nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    Schema::new(
        fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    )
}

fn batch(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn ids(first: i64, end: i64) -> (String, ArrayRef) {
    (
        "id".to_owned(),
        Arc::new(Int64Array::from_iter_values(first..end)),
    )
}

fn text(random: &mut ChaCha8Rng, bytes: std::ops::Range<usize>) -> String {
    let length = random.random_range(bytes);
    let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    (0..length).map(letter).collect()
}

fn texts_of(random: &mut ChaCha8Rng, rows: usize, bytes: std::ops::Range<usize>) -> ArrayRef {
    let texts = (0..rows).map(|_| text(random, bytes.clone()));
    Arc::new(StringArray::from_iter_values(texts))
}

fn narrow(random: &mut ChaCha8Rng, first: i64, end: i64) -> Result<RecordBatch> {
    let numbers = (first..end).map(|_| random.random_range(0..1_000_000));
    let numbers = Arc::new(Int32Array::from_iter_values(numbers));
    batch(vec![ids(first, end), ("number".to_owned(), numbers)])
}

fn texts(random: &mut ChaCha8Rng, first: i64, end: i64) -> Result<RecordBatch> {
    let rows = usize::try_from(end - first)?;
    let mut columns = vec![ids(first, end)];
    for name in ["title", "body", "note"] {
        columns.push((name.to_owned(), texts_of(random, rows, 100..300)));
    }
    batch(columns)
}

fn wide(random: &mut ChaCha8Rng, first: i64, end: i64) -> Result<RecordBatch> {
    let rows = usize::try_from(end - first)?;
    let mut columns = vec![ids(first, end)];
    for place in 1..100 {
        let array: ArrayRef = match place % 4 {
            0 => Arc::new(Int32Array::from_iter((0..rows).map(|_| {
                random
                    .random_bool(0.9)
                    .then(|| random.random_range(0..1_000))
            }))),
            1 => Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|_| random.random_range(0.0..1e6)),
            )),
            2 => Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|_| random.random()),
            )),
            _ => texts_of(random, rows, 4..16),
        };
        columns.push((format!("column_{place}"), array));
    }
    batch(columns)
}

fn nested(random: &mut ChaCha8Rng, first: i64, end: i64) -> Result<RecordBatch> {
    let rows = usize::try_from(end - first)?;
    let mut numbers = ListBuilder::new(Int64Builder::new());
    let mut properties = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for _ in 0..rows {
        for _ in 0..random.random_range(0..8) {
            numbers
                .values()
                .append_value(random.random_range(0..1_000_000));
        }
        numbers.append(true);
        for place in 0..random.random_range(0..4) {
            properties.keys().append_value(format!("key_{place}"));
            properties.values().append_value(text(random, 4..20));
        }
        properties.append(true)?;
    }
    let point = RecordBatch::try_from_iter_with_nullable([
        ("word", texts_of(random, rows, 4..20), true),
        (
            "number",
            Arc::new(Int64Array::from_iter_values(first..end)) as ArrayRef,
            true,
        ),
    ])?;
    batch(vec![
        ids(first, end),
        ("numbers".to_owned(), Arc::new(numbers.finish())),
        ("point".to_owned(), Arc::new(StructArray::from(point))),
        ("properties".to_owned(), Arc::new(properties.finish())),
    ])
}
