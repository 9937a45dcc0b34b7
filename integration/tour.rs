//! A tour: a Delta table, a throwaway Postgres, and every command of the built binary in turn.
//!
//! `cargo xtask tour` builds and starts it. It writes in a temporary folder only and takes
//! everything away at its end.

#![allow(clippy::print_stdout, reason = "a tour talks to who takes it")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_postgres_testkit::{Server, servers};

const CONFIG: &str = r#"version: 1
targets:
  serving: { url: "URL" }
jobs:
  lineitem:
    from: ./lake/lineitem
    into: serving.public.lineitem
    key: [l_orderkey, l_linenumber]
    filter: l_quantity > 10
"#;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tour())
}

async fn tour() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let version = servers()
        .pop()
        .context("no Postgres was found; integration/setup gets one")?;
    println!("── starting a throwaway Postgres {version}");
    let server = Server::start(version)?;
    let url = server.create_database("tour")?;
    let config = folder.path().join("lakeferry.yaml");
    let text = CONFIG.replace("URL", &url);
    std::fs::write(&config, &text)?;
    println!("── lakeferry.yaml\n{text}");

    println!("── writing a Delta table of TPC-H lineitem (60,175 rows) with the change data feed");
    let path = folder.path().join("lake/lineitem");
    let mut table = DeltaTable::create(&path, &lineitem_columns(), NewTable::with_feed()).await?;
    append_lineitem(&mut table, 0.01, 1).await?;

    for command in ["validate", "plan", "sync", "status"] {
        lakeferry(&config, command)?;
    }
    count(&server, "rows that pass the filter")?;

    println!("── changing the Delta table: an UPDATE and a DELETE, one commit each");
    let half = [("l_quantity", "l_quantity / 2")];
    table.update(&half, Some("l_orderkey % 100 = 0")).await?;
    table.delete(Some("l_orderkey % 100 = 1")).await?;
    for command in ["plan", "sync", "status"] {
        lakeferry(&config, command)?;
    }
    count(&server, "rows that pass the filter now")?;
    println!("── done; the server and the table are taken away");
    Ok(())
}

/// The binary that was built beside this one.
fn binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let built = here
        .parent()
        .and_then(Path::parent)
        .context("this is no cargo build")?;
    Ok(built.join("lakeferry"))
}

fn lakeferry(config: &Path, command: &str) -> Result<()> {
    println!("$ lakeferry {command}");
    let status = Command::new(binary()?)
        .arg("--config")
        .arg(config)
        .arg(command)
        .status()?;
    println!();
    ensure!(status.success(), "lakeferry {command} ended with {status}");
    Ok(())
}

fn count(server: &Server, what: &str) -> Result<()> {
    let rows = server.psql("tour", "SELECT count(*) FROM lineitem")?;
    println!(
        "$ psql -c 'SELECT count(*) FROM lineitem'\n{} {what}\n",
        rows.trim()
    );
    Ok(())
}
