//! How fast rows are encoded and applied, with pgpq beside it in the same run. Not tests but
//! measurements: `cargo test --release --workspace --test rates -- --ignored --nocapture
//! --test-threads 1`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints what it ran on"
)]

use std::{hint::black_box, sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use lakeferry_model::{
    BadRows, Claim, CommitOutcome, Digest, Effect, FillPlan, Fingerprint, Guard, Holder, Instant,
    JobKey, Loader, Session, Stage, TableId, Target, Watermark,
};
use lakeferry_postgres::{
    ConnectSettings, PostgresSession, PostgresTarget, Table, TargetSettings, encode::Encoder,
};
use lakeferry_postgres_testkit::{Server, Settings, servers};
use pgpq::ArrowToPostgresBinaryEncoder;
use tokio_postgres::{Client, NoTls};

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
#[ignore = "a measurement: cargo test --release --workspace --test rates gigabytes -- --ignored --nocapture"]
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

/// Seconds that `work` takes.
async fn seconds(work: impl Future) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    let start = std::time::Instant::now();
    work.await;
    start.elapsed().as_secs_f64()
}

/// The batch with other keys: `first..first + ROWS`.
fn moved(batch: &RecordBatch, first: i64) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from_iter_values(first..first + ROWS));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

async fn by_pgpq(client: &Client, batches: &[RecordBatch]) {
    let copy = "COPY peer FROM STDIN (FORMAT binary)";
    let mut sink = Box::pin(client.copy_in::<_, Bytes>(copy).await.unwrap());
    let mut pgpq = ArrowToPostgresBinaryEncoder::try_new(&batches[0].schema()).unwrap();
    let mut out = BytesMut::new();
    pgpq.write_header(&mut out).unwrap();
    for batch in batches {
        pgpq.write_batch(batch, &mut out).unwrap();
        sink.send(out.split().freeze()).await.unwrap();
    }
    pgpq.write_footer(&mut out).unwrap();
    sink.send(out.freeze()).await.unwrap();
    sink.as_mut().finish().await.unwrap();
}

/// Loads `batches` as a fill of one piece.
async fn loaded(session: &mut Lease, batches: &[RecordBatch]) {
    let plan = FillPlan {
        watermark: watermark(1),
        fingerprint: fingerprint(),
        pieces: 1,
        pieces_digest: Digest([0; 32]),
    };
    session.fill(&plan, &batches[0].schema()).await.unwrap();
    let mut loader = session.loader().await.unwrap();
    loader.begin(0).await.unwrap();
    for batch in batches {
        loader.put(batch).await.unwrap();
    }
    loader.finish().await.unwrap();
}

async fn staged(session: &mut Lease, stage: Stage, parts: &[(Effect, &[RecordBatch])]) {
    session.stage(stage, &parts[0].1[0].schema()).await.unwrap();
    for (effect, batches) in parts {
        for batch in *batches {
            session.put(*effect, batch).await.unwrap();
        }
    }
}

fn watermark(version: u64) -> Watermark<u64> {
    Watermark {
        table_id: TableId("a-table".to_owned()),
        version,
        digest: None,
        instant: Instant(0),
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint {
        key: vec!["a".to_owned()],
        rows: String::new(),
        columns: Vec::new(),
        columns_made: 0,
    }
}

async fn applied(session: &mut Lease, version: u64) {
    let (watermark, fingerprint) = (watermark(version), fingerprint());
    let outcome = session.apply(&watermark, &fingerprint).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
}

async fn claimed(url: &str) -> Lease {
    let settings = TargetSettings {
        connect: ConnectSettings::parse(url).unwrap(),
        state_schema: "lakeferry".to_owned(),
        job: JobKey {
            deployment: "rates".to_owned(),
            name: "job".to_owned(),
        },
        table: Table {
            schema: "public".to_owned(),
            name: "target".to_owned(),
        },
        key: vec!["a".to_owned()],
        comment: None,
        lease: Duration::from_secs(30),
        guard: Guard::default(),
        allow_rewrite: false,
        bad_rows: BadRows::HALT,
        own: lakeferry_model::OwnColumns::default(),
        max_connections: 8,
    };
    let target = PostgresTarget::new(settings).unwrap();
    match target.claim(&Holder("rates".to_owned())).await.unwrap() {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    }
}

type Lease = PostgresSession<u64>;

#[tokio::test]
#[ignore = "a measurement: cargo test --release --workspace --test rates rows_in -- --ignored --nocapture"]
async fn rows_in_a_second() {
    for version in servers() {
        let settings = Settings::quick()
            .with("shared_buffers", "1GB")
            .with("max_wal_size", "8GB");
        let server = Server::start_with(version, &settings).unwrap();
        println!("postgres {}", server.release());
        let url = server.create_database("app").unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let (first, count) = (batch(), 128);
        let batches: Vec<_> = (0..count)
            .map(|number| moved(&first, number * ROWS))
            .collect();
        let rows = (ROWS * count) as f64;
        let create = "CREATE TABLE peer (a int8, b int4, c float8, d timestamptz, e date, \
            f numeric(18,4), g text, h bool)";
        let mut session = claimed(&url).await;
        for _ in 0..3 {
            client
                .batch_execute(&format!("DROP TABLE IF EXISTS peer; {create}"))
                .await
                .unwrap();
            let pgpq = seconds(by_pgpq(&client, &batches)).await;
            let ours = seconds(loaded(&mut session, &batches)).await;
            let (ours, pgpq) = (rows / ours / 1e6, rows / pgpq / 1e6);
            println!("copy: ours {ours:.2} M rows/s, pgpq {pgpq:.2} M rows/s");
        }
        let took = seconds(applied(&mut session, 1)).await;
        println!("fill of {rows} rows: key, analyze, rename in {took:.2} s");
        let parts = [(Effect::Insert, &batches[..])];
        let took = seconds(async {
            staged(&mut session, Stage::Refresh, &parts).await;
            applied(&mut session, 2).await;
        });
        println!("refresh of {rows} rows, all equal, in {:.2} s", took.await);
        let fresh: Vec<_> = (count..count + 12)
            .map(|number| moved(&first, number * ROWS))
            .collect();
        let updates: Vec<_> = (0..12)
            .map(|number| moved(&first, number * ROWS + 1))
            .collect();
        let parts = [(Effect::Update, &updates[..]), (Effect::Insert, &fresh[..])];
        let took = seconds(async {
            staged(&mut session, Stage::Changes, &parts).await;
            applied(&mut session, 3).await;
        });
        println!("98,304 updates and 98,304 inserts in {:.2} s", took.await);
        let one = [moved(&first, 5).slice(0, 1)];
        let took = seconds(async {
            staged(&mut session, Stage::Changes, &[(Effect::Update, &one)]).await;
            applied(&mut session, 4).await;
        });
        println!("one update in {:.1} ms", took.await * 1e3);
    }
}
