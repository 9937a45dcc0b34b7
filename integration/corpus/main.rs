//! Every Delta table of the corpus through the built binary into a real Postgres, compared with what
//! `oracle/corpus` reads of it: its newest version, then, into another target, its history, as far
//! as its files and columns allow. A line for each, then what kept tables from being exact, then the
//! totals. It fails below 99 % of the tables that have rows to read, and where any table at all ends
//! in other rows, a panic, a hang or an error that does not say which table.
//!
//! `cargo xtask corpus` builds and starts it. The corpus is the folder that `LAKEFERRY_CORPUS`
//! names, else `shared/corpora/dev.tar.zst` beside the checkout, unpacked into the target directory.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement shows its figures"
)]

mod corpus;
mod history;
mod oracle;
mod report;
mod trial;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lakeferry_postgres_testkit::servers;

use crate::{corpus::Corpus, oracle::Oracle, report::Report, trial::Trials};

fn main() -> Result<ExitCode> {
    let only = std::env::args().nth(1).unwrap_or_default();
    let Some(corpus) = Corpus::find()? else {
        ensure!(
            std::env::var_os("LAKEFERRY_REQUIRE_ALL").is_none(),
            "no corpus; set LAKEFERRY_CORPUS to its folder"
        );
        eprintln!("skipped: no corpus; set LAKEFERRY_CORPUS to its folder");
        return Ok(ExitCode::SUCCESS);
    };
    let version = servers().pop().context("no Postgres was found")?;
    let trials = Trials::start(version)?;
    let mut oracle = Oracle::start()?;
    let mut report = Report::default();
    let tables = corpus.tables()?;
    for table in tables.iter().filter(|table| table.name.contains(&only)) {
        let trial = trials.run(&corpus, table, &mut oracle)?;
        println!("{}", report.add(table, &trial));
        if let Some(followed) = trials.follow(&corpus, table, &mut oracle)? {
            println!("{}", report.add_followed(table, &followed));
        }
    }
    println!("{report}");
    Ok(match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
