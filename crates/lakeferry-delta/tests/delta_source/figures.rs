//! Figures, printed: how fast rows come and how much memory they take. Run by hand, alone:
//! `cargo test --workspace --test delta_source -- --ignored --nocapture --test-threads 1`.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use lakeferry_delta::DeltaSource;
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_model::{CommitRange, Instant, Reading, Source as _};

use crate::world::{World, watermark};

async fn lineitem(scale: f64) -> (World, DeltaTable) {
    let world = World::new();
    let mut table = DeltaTable::create(&world.path(), &lineitem_columns(), NewTable::with_feed())
        .await
        .unwrap();
    append_lineitem(&mut table, scale, 4).await.unwrap();
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
#[ignore = "prints figures"]
async fn reading_lineitem() {
    for scale in [0.1, 0.4] {
        let (world, mut table) = lineitem(scale).await;
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
