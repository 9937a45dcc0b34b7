//! Figures: how fast rows come, and that memory does not grow with the table. To see them:
//! `cargo test --workspace --test delta_source -- --ignored --nocapture --test-threads 1`.

use std::time::Duration;

use arrow_array::StringArray;
use futures_util::TryStreamExt as _;
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_model::{CommitRange, Instant, Reading, Source as _};

use crate::world::{World, array, batch, watermark};

/// The environment variable that tells a child process which table to read.
const CHILD_TABLE: &str = "LAKEFERRY_TEST_TABLE";

async fn lineitem(scale: f64, commits: u16) -> (World, DeltaTable) {
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
    let add = async |sum, batch: arrow_array::RecordBatch| Ok(sum + batch.num_rows());
    (stream.try_fold(0, add).await.unwrap(), ())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: cargo test --workspace --test delta_source reading_lineitem -- --ignored --nocapture"]
async fn reading_lineitem() {
    for scale in [0.1, 0.4] {
        let (world, mut table) = lineitem(scale, 4).await;
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
            let add =
                async |sum, batch: lakeferry_model::ChangeBatch<_>| Ok(sum + batch.rows.num_rows());
            (stream.try_fold(0, add).await.unwrap(), ())
        })
        .await;
    }
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
    let (world, _table) = lineitem(scale, commits).await;
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
