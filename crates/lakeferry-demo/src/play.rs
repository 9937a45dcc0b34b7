//! The demo from its first line to its last: set the stage, fill, go live, take everything away.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    arguments::Arguments,
    interrupt::Interrupt,
    lake::Lake,
    live::live,
    postgres::Postgres,
    product::Product,
    reader::Reader,
    screen::Screen,
    tally::{Tally, grouped, rate},
};

/// How it ended, if nothing failed.
#[derive(Debug)]
pub(crate) enum Ended {
    Whole(Summary),
    /// There was only a table to write.
    Written,
    /// Before there was anything live to see.
    Interrupted,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Rows in Postgres at the end: counted there, and as many as the Delta table has.
    pub(crate) rows: u64,
    pub(crate) filled_rows: u64,
    pub(crate) fill_seconds: f64,
    pub(crate) live_seconds: f64,
    pub(crate) commits: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    /// From a commit to its rows being visible to another session.
    pub(crate) lag_p50_ms: u128,
    pub(crate) lag_p99_ms: u128,
}

/// Plays it. Whatever happens, everything that was set up is taken away.
///
/// # Errors
/// The first failure, or what could not be taken away.
pub(crate) async fn play(
    arguments: &Arguments,
    screen: &Screen,
    interrupt: &Interrupt,
) -> Result<Ended> {
    let postgres = match &arguments.target {
        Some(url) => {
            screen.heading("making a database on the given server");
            Postgres::on(url).await?
        }
        None => {
            screen.heading("starting a throwaway Postgres");
            tokio::task::spawn_blocking(Postgres::start).await??
        }
    };
    screen.line(&format!(
        "   {}; all files are in {}",
        postgres.name,
        postgres.folder().display()
    ));
    let ended = Box::pin(acts(&postgres, arguments, screen, interrupt)).await;
    let taken = postgres.take_away().await;
    if let Ok(what) = &taken {
        screen.heading(&format!("taken away: {what}"));
    }
    // What failed first says more.
    let ended = ended?;
    taken?;
    Ok(ended)
}

async fn acts(
    postgres: &Postgres,
    arguments: &Arguments,
    screen: &Screen,
    interrupt: &Interrupt,
) -> Result<Ended> {
    let folder = postgres.folder();
    let config = folder.join("lakeferry.yaml");
    let product = Product::beside_us(&config, postgres.is_throwaway())?;
    let filled = async {
        let (lake, rows) = write(&folder, arguments.rows, screen).await?;
        write_config(&config, &postgres.url, screen)?;
        fill(postgres, &product, rows, screen)
            .await
            .map(|(reader, took)| (lake, reader, rows, took))
    };
    let (lake, reader, rows, took) = tokio::select! {
        filled = filled => filled?,
        () = interrupt.came() => {
            screen.heading("interrupted before the table was filled");
            return Ok(Ended::Interrupted);
        }
    };

    screen.heading("a commit to Delta every second, a sync after each; Ctrl-C ends it");
    screen.line(&format!(
        "   look for yourself: psql {}",
        hidden_password(&postgres.url)
    ));
    let mut tally = Tally::after_fill(rows);
    let mut view = screen.live();
    let start = Instant::now();
    let stop = stop(interrupt.clone(), arguments.seconds);
    let lived = live(lake, &product, &reader, &mut view, &mut tally, stop).await;
    drop(view);
    lived?;
    let live_seconds = start.elapsed().as_secs_f64();

    let counted = reader.rows().await?;
    ensure!(
        counted == tally.rows,
        "Postgres has {counted} rows, the Delta table {}",
        tally.rows
    );
    Ok(Ended::Whole(Summary {
        rows: counted,
        filled_rows: rows,
        fill_seconds: took.as_secs_f64(),
        live_seconds,
        commits: tally.commits,
        inserted: tally.inserted,
        updated: tally.updated,
        deleted: tally.deleted,
        lag_p50_ms: tally.lags.percentile(50).as_millis(),
        lag_p99_ms: tally.lags.percentile(99).as_millis(),
    }))
}

async fn write(folder: &Path, wanted: u64, screen: &Screen) -> Result<(Lake, u64)> {
    screen.heading("writing a Delta table: lineitem of TPC-H, with the change data feed");
    let start = Instant::now();
    let progress = screen.progress(wanted);
    let lake = folder.join("lake/lineitem");
    let (lake, rows) = Lake::write(&lake, wanted, |rows| progress.set_position(rows)).await?;
    progress.finish_and_clear();
    let took = start.elapsed().as_secs_f64();
    screen.line(&format!("   {} rows in {took:.1} s", grouped(rows)));
    Ok((lake, rows))
}

fn write_config(path: &Path, url: &str, screen: &Screen) -> Result<()> {
    let text = |url: &str| {
        format!(
            "version: 1\ntargets:\n  serving: {{ url: \"{url}\" }}\njobs:\n  lineitem:\n    \
             from: ./lake/lineitem\n    into: serving.public.lineitem\n    \
             key: [l_orderkey, l_linenumber]\n"
        )
    };
    fs::write(path, text(url))?;
    screen.heading("lakeferry.yaml");
    for line in text(&hidden_password(url)).lines() {
        screen.line(&format!("   {line}"));
    }
    Ok(())
}

/// Fills the target; who reads it from now on, and how long it took.
async fn fill(
    postgres: &Postgres,
    product: &Product,
    rows: u64,
    screen: &Screen,
) -> Result<(Reader, Duration)> {
    let reader = Reader::connect(&postgres.url).await?;
    screen.heading("$ lakeferry sync");
    let start = Instant::now();
    product.sync_aloud(screen.is_json()).await?;
    let took = start.elapsed();
    let counted = reader.rows().await?;
    ensure!(
        counted == rows,
        "Postgres has {counted} rows, the Delta table {rows}"
    );
    screen.line(&format!(
        "   {} rows are in Postgres after {:.1} s: {} rows a second",
        grouped(rows),
        took.as_secs_f64(),
        grouped(rate(rows, took))
    ));
    Ok((reader, took))
}

/// Returns at an interrupt, or after `seconds`.
pub(crate) async fn stop(interrupt: Interrupt, seconds: Option<u64>) {
    let Some(seconds) = seconds else {
        return interrupt.came().await;
    };
    tokio::select! {
        () = interrupt.came() => {}
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
    }
}

fn hidden_password(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        return url.to_owned();
    };
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_ok() {
        return parsed.into();
    }
    url.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = [
            "postgresql://me:secret@db.internal:5433/app?sslmode=disable",
            "postgresql://postgres@127.0.0.1:5432/demo",
        ];
        assert_eq!(
            shown.map(hidden_password),
            [
                "postgresql://me:***@db.internal:5433/app?sslmode=disable",
                "postgresql://postgres@127.0.0.1:5432/demo"
            ]
        );
    }
}
