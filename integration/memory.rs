//! What a first fill takes of memory: TPC-H's lineitem at two scales, the second ten times the
//! first, each filled by the built binary with its defaults, under one limit of address space.
//! Then a second sync, which must not even assign a transaction id.
//!
//! `cargo xtask memory` builds it, and the binary with the release profile, which is its argument.
//! It needs 25 GB of disk in the folder for temporary files, which it gives back.

#![allow(clippy::print_stdout, reason = "a measurement shows its figures")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use arrow_array::{RecordBatch, cast::AsArray as _, types::Decimal128Type};
use lakeferry_delta_testkit::{DeltaTable, NewTable, lineitem, lineitem_columns};
use lakeferry_postgres_testkit::{Server, Settings, servers};

/// Of TPC-H: 6 and 60 million rows.
const SCALES: [f64; 2] = [1.0, 10.0];

/// Of `ulimit -v`, in KiB.
const ADDRESS_SPACE_KIB: u64 = 3 * 1024 * 1024;

/// Of the resident set at its largest, in KiB (300 MB).
const RESIDENT_MOST_KIB: u64 = 300_000_000 / 1024;

/// Rows of one file, at most.
const ROWS_PER_FILE: f64 = 1_500_000.0;

const DATABASE: &str = "memory";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    println!("ulimit -v {ADDRESS_SPACE_KIB}");
    for scale in SCALES {
        let measured = runtime.block_on(measure(scale))?;
        println!(
            "scale {scale}: {} rows in {}, {} KiB resident at most; the second sync assigned no \
             transaction id",
            measured.rows, measured.elapsed, measured.resident_kib
        );
        ensure!(
            measured.resident_kib <= RESIDENT_MOST_KIB,
            "more than {RESIDENT_MOST_KIB} KiB"
        );
    }
    Ok(())
}

struct Measured {
    rows: u64,
    resident_kib: u64,
    /// As `time` writes it.
    elapsed: String,
}

async fn measure(scale: f64) -> Result<Measured> {
    let version = servers().pop().context("no Postgres was found")?;
    let settings = Settings::quick()
        .with("shared_buffers", "1GB")
        .with("max_wal_size", "8GB")
        .with("maintenance_work_mem", "512MB");
    let server = Server::start_with(version, &settings)?;
    let url = server.create_database(DATABASE)?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("lakeferry.yaml");
    fs::write(
        &config,
        format!(
            "version: 1\ntargets:\n  serving: {{ url: \"{url}\" }}\njobs:\n  lineitem:\n    \
             from: ./lineitem\n    into: serving.public.lineitem\n    \
             key: [l_orderkey, l_linenumber]\n"
        ),
    )?;
    let (rows, price) = write(&folder.path().join("lineitem"), scale).await?;
    let (resident_kib, elapsed) = sync(&config, folder.path())?;
    let sql = "SELECT count(*), sum(l_extendedprice) FROM lineitem";
    let has = server.psql(DATABASE, sql)?;
    let wants = format!("{rows}|{}.{:02}", price / 100, price % 100);
    ensure!(has.trim() == wants, "the target has {has}, not {wants}");

    let xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    let before = server.psql(DATABASE, xid)?;
    sync(&config, folder.path())?;
    let after = server.psql(DATABASE, xid)?;
    ensure!(before == after, "transaction ids from {before} to {after}");
    Ok(Measured {
        rows,
        resident_kib,
        elapsed,
    })
}

/// Writes lineitem; its rows and the sum of its prices, in hundredths.
async fn write(path: &Path, scale: f64) -> Result<(u64, i128)> {
    let new = NewTable::without_feed();
    let mut table = DeltaTable::create(path, &lineitem_columns(), new).await?;
    let files = (scale * 6_001_215.0 / ROWS_PER_FILE).ceil() as u16;
    let (mut rows, mut price) = (0, 0);
    for part in 1..=files {
        let batches = lineitem(scale, part, files)?;
        for batch in &batches {
            rows += batch.num_rows() as u64;
            price += price_of(batch)?;
        }
        table.append_all(batches).await?;
    }
    Ok((rows, price))
}

fn price_of(batch: &RecordBatch) -> Result<i128> {
    let column = batch.column_by_name("l_extendedprice");
    let column = column.context("lineitem has prices")?;
    Ok(column
        .as_primitive::<Decimal128Type>()
        .values()
        .iter()
        .sum())
}

/// Runs a sync under `time`; the resident set at its largest in KiB, and the time.
fn sync(config: &Path, folder: &Path) -> Result<(u64, String)> {
    let report = folder.join("time.txt");
    let script = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$@\"");
    let done = Command::new("sh")
        .args(["-c", &script, "sh", "/usr/bin/time", "-v", "-o"])
        .arg(&report)
        .arg(binary()?)
        .arg("--config")
        .arg(config)
        .arg("sync")
        .output()?;
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let report = fs::read_to_string(report)?;
    let value = |name: &str| {
        let line = report.lines().find(|line| line.contains(name));
        let (_, value) = line.and_then(|line| line.rsplit_once(": "))?;
        Some(value.to_owned())
    };
    let resident = value("Maximum resident set size").context("time says how much")?;
    let elapsed = value("Elapsed (wall clock) time").context("time says how long")?;
    Ok((resident.parse()?, elapsed))
}

/// The binary to measure: the argument.
fn binary() -> Result<PathBuf> {
    let given = env::args_os().nth(1);
    Ok(given.context("give the binary to measure")?.into())
}
