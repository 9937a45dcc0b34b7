//! Figures: how fast rows come, and that memory does not grow with the table. To see them:
//! `cargo test --workspace --test delta_source -- --ignored --nocapture --test-threads 1`.

use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray, cast::AsArray as _};
use arrow_schema::DataType;
use delta_kernel::parquet::{basic::Compression, file::properties::WriterProperties};
use futures_util::TryStreamExt as _;
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem, lineitem_columns};
use lakeferry_model::{
    ChangeBatch, CommitRange, DeltaVersion, Instant, Reading, Source as _, Watermark,
};
use serde_json::json;

use crate::{
    tracked_table::{ON, Tracked, metadata},
    world::{World, array, batch, watermark},
};

/// The environment variable that tells a child process which table to read.
const CHILD_TABLE: &str = "LAKEFERRY_TEST_TABLE";

async fn table_of_lineitem(scale: f64, commits: u16) -> (World, DeltaTable) {
    let world = World::new();
    let mut table = DeltaTable::create(&world.path(), &lineitem_columns(), NewTable::with_feed())
        .await
        .unwrap();
    append_lineitem(&mut table, scale, commits).await.unwrap();
    (world, table)
}

#[allow(
    clippy::disallowed_methods,
    reason = "it measures, and replays nothing"
)]
async fn timed<T>(what: &str, work: impl Future<Output = (usize, T)>) -> T {
    let start = std::time::Instant::now();
    let (rows, result) = work.await;
    print(what, rows, start.elapsed());
    result
}

#[allow(clippy::print_stdout, reason = "figures are to be seen")]
fn print(what: &str, rows: usize, took: Duration) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("");
    let rate = rows as f64 / took.as_secs_f64() / 1e6;
    println!("{what}: {rows} rows in {took:.2?}, {rate:.2} M rows/s; {resident}");
}

async fn read_all(source: &DeltaSource) -> (usize, ()) {
    let watermark = watermark(source).await;
    let stream = source.snapshot(&watermark).await.unwrap();
    let add = async |sum, batch: RecordBatch| Ok(sum + batch.num_rows());
    (stream.try_fold(0, add).await.unwrap(), ())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: cargo test --workspace --test delta_source reading_lineitem -- --ignored --nocapture"]
async fn reading_lineitem() {
    for scale in [0.1, 0.4] {
        let (world, mut table) = table_of_lineitem(scale, 4).await;
        let all = world.source(None, None);
        timed(&format!("head at {scale}"), async {
            (0, all.head().await.unwrap())
        })
        .await;
        timed(&format!("all of {scale}"), read_all(&all)).await;
        let two = world.source(Some(&["l_orderkey", "l_linenumber"]), None);
        timed("two columns", read_all(&two)).await;
        let few = world.source(None, Some("l_quantity > 45 AND l_returnflag = 'R'"));
        timed("filtered", read_all(&few)).await;
        let after = all.head().await.unwrap().watermark(Instant(0));
        table
            .update(
                &[("l_quantity", "l_quantity + 1")],
                Some("l_linenumber = 1"),
            )
            .await
            .unwrap();
        let range = CommitRange::new(after, watermark(&all).await).unwrap();
        timed("feed of an update", async {
            let stream = all.changes(&range, Reading::Feed).await.unwrap();
            let add = async |sum, batch: ChangeBatch<_>| Ok(sum + batch.rows.num_rows());
            (stream.try_fold(0, add).await.unwrap(), ())
        })
        .await;
    }
}

/// A file of a million rows that is written anew with some of them changed, spread over it: by row
/// tracking, and without.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: cargo test --workspace --test delta_source reading_a_rewritten_file -- --ignored --nocapture"]
async fn reading_a_rewritten_file() {
    const SCALE: f64 = 1.0 / 6.0;
    let old = lineitem(SCALE, 1, 1).unwrap();
    let schema = old[0].schema();
    let columns = schema.fields().iter().map(|field| {
        let of = match field.data_type() {
            DataType::Utf8 => "string".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Int32 => "integer".to_owned(),
            DataType::Int64 => "long".to_owned(),
            DataType::Decimal128(digits, scale) => format!("decimal({digits},{scale})"),
            other => panic!("{other}"),
        };
        (field.name().clone(), of)
    });
    let columns: Vec<_> = columns.collect();
    let columns: Vec<_> = columns.iter().map(|(name, of)| (&**name, &**of)).collect();
    let how = || {
        let how = WriterProperties::builder();
        how.set_compression(Compression::SNAPPY).build()
    };
    for every in [100_000, 100, 10, 1] {
        let mut table = Tracked::of(ON, &columns);
        table.write_file("old", &old, how());
        let mut row = 0;
        let new: Vec<_> = old
            .iter()
            .map(|batch| {
                let rows = row..row + i64::try_from(batch.num_rows()).unwrap();
                row = rows.end;
                changed(batch, rows, every)
            })
            .collect();
        table.write_file("new", &new, how());
        table.commit(&[json!({ "add": table.told("old", Some((0, 1))) })]);
        let added = json!({ "add": table.told("new", Some((row, 2))) });
        table.commit(&[added, table.remove("old", Some((0, 1)))]);
        for _ in 0..3 {
            for (what, properties) in [("without", &ON[..1]), ("by row tracking", ON)] {
                let metadata = metadata(properties, &columns);
                let start = std::fs::read_to_string(table.world.commit_file(0)).unwrap();
                let protocol = start.lines().next().unwrap();
                std::fs::write(
                    table.world.commit_file(0),
                    format!("{protocol}\n{metadata}"),
                )
                .unwrap();
                let source = table.world.source(None, None);
                let head = watermark(&source).await;
                let after = Watermark {
                    version: DeltaVersion(1),
                    digest: None,
                    ..head.clone()
                };
                let range = CommitRange::new(after, head).unwrap();
                timed(&format!("one of {every} changed, {what}"), async {
                    let stream = source.changes(&range, Reading::Files).await.unwrap();
                    let add = async |sum, batch: ChangeBatch<_>| Ok(sum + batch.rows.num_rows());
                    (stream.try_fold(0, add).await.unwrap(), ())
                })
                .await;
            }
        }
    }
}

/// A batch of these rows as a rewritten file has it: one of `every` has another comment.
fn changed(batch: &RecordBatch, rows: std::ops::Range<i64>, every: i64) -> RecordBatch {
    let is_changed = |row: i64| row % every == 0;
    let versions: Int64Array = rows
        .clone()
        .map(|row| (!is_changed(row)).then_some(1))
        .collect();
    let comments = batch.column_by_name("l_comment").unwrap();
    let comments = comments.as_string::<i32>().iter().zip(rows.clone());
    let comments: StringArray = comments
        .map(|(comment, row)| comment.filter(|_| !is_changed(row)).or(Some("changed")))
        .collect();
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let mut columns: Vec<_> = names.zip(batch.columns().iter().cloned()).collect();
    let comment = columns.iter_mut().find(|(name, _)| *name == "l_comment");
    comment.unwrap().1 = array::<StringArray>(comments);
    columns.push(("_ids", array::<Int64Array>(rows.collect::<Vec<_>>())));
    columns.push(("_versions", array::<Int64Array>(versions)));
    crate::world::batch(&columns)
}

/// Tables of equal files, read by processes of their own (the writer takes much more) whose
/// consumer is slower than the reader.
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_table() {
    let small = peak_of_reading(0.1, 8).await;
    let large = peak_of_reading(0.4, 32).await;
    // The rows more are about 300 MiB; allocators differ from run to run by some.
    assert!(large < small + 64 * 1024, "{small} KiB became {large} KiB");
}

/// Rows of 50 kB, which would come 8,192 at once.
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_rows() {
    const ROWS: u16 = 2_000;
    let world = World::new();
    let notes = (0..ROWS).map(|row| format!("{row:05}").repeat(10_000));
    let notes: StringArray = notes.map(Some).collect();
    let wide = batch(&[("note", array::<StringArray>(notes))]);
    let mut table = DeltaTable::create(&world.path(), &wide.schema(), NewTable::default())
        .await
        .unwrap();
    for _ in 0..6 {
        table.append(wide.clone()).await.unwrap();
    }
    let peak = peak_of_child(&world);
    println!("peak memory: {peak} KiB for 600 MB");
    assert!(peak < 256 << 10, "{peak} KiB");
}

async fn peak_of_reading(scale: f64, commits: u16) -> u64 {
    let (world, _table) = table_of_lineitem(scale, commits).await;
    peak_of_child(&world)
}

/// The peak memory, in KiB, of a process that reads the table of `world`.
fn peak_of_child(world: &World) -> u64 {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "figures::a_child_reads_slowly",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_TABLE, world.path())
        // Else glibc keeps what threads free apart, and the peak is of its making.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap_or_else(|| panic!("the child said {said}"));
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of memory_does_not_grow_with_the_table, which runs it in processes of its own"]
async fn a_child_reads_slowly() {
    let Some(location) = std::env::var_os(CHILD_TABLE) else {
        return;
    };
    let location = location.into_string().unwrap();
    let source = DeltaSource::new(Settings {
        location,
        ..Settings::default()
    })
    .unwrap();
    let watermark = watermark(&source).await;
    let stream = source.snapshot(&watermark).await.unwrap();
    stream
        .try_for_each(async |_| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        })
        .await
        .unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("\n{}", peak.unwrap());
}
