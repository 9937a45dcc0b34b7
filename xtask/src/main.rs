//! The chores of this repository: `cargo xtask ci | test | tidy | count | corpus | bench | memory | sabotage`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to who runs it"
)]

mod bench;
mod checkout;
mod ci;
mod corpus;
mod count;
mod memory;
mod sabotage;
mod stage;
mod stopwatch;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::checkout::Checkout;

#[derive(Parser)]
#[command(about = "the chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that has to hold before a change is taken, the tests last
    Ci,
    /// Readies the machine and runs all tests
    Test,
    /// Layering, names, promises and other rules that no compiler knows
    Tidy,
    /// Counts the instructions of what each row passes through, none of which may take more than it did
    Count {
        /// What is counted now is what it may take from now on
        #[arg(long)]
        accept: bool,
    },
    /// Every Delta table of the corpus into Postgres, each value compared
    Corpus {
        /// Only tables with this in their name
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
    /// Measures speed beside other tools; builds with the release profile
    Bench {
        /// `backfill` or `increment`, beside other tools; `latency`, `idle`, `unchanged`, `growth` or
        /// `behind`, against what is promised
        name: String,
        /// With the development profile on little data: whether it works, no figures
        #[arg(long)]
        quick: bool,
        /// Options of `benches/bench.py`, after `--`
        #[arg(last = true)]
        options: Vec<String>,
    },
    /// Measures what first fills of 6 and of 60 million rows take; builds with the release profile
    Memory,
    /// Breaks the product in one place at a time: each fault must turn its test red
    Sabotage {
        /// Only the fault of this name
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Only the faults of what reads a source, each of which random histories must find
        #[arg(long)]
        histories: bool,
    },
}

fn main() -> ExitCode {
    match Checkout::find().and_then(|checkout| run(Arguments::parse().chore, &checkout)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore, checkout: &Checkout) -> Result<ExitCode> {
    let closing = match chore {
        Chore::Ci => ci::run(checkout)?,
        Chore::Test => test::run(checkout)?,
        Chore::Tidy => return tidy::run(checkout).map(|()| ExitCode::SUCCESS),
        Chore::Count { accept } => return count::run(checkout, accept).map(|()| ExitCode::SUCCESS),
        Chore::Corpus { only } => return corpus::run(checkout, only.as_deref()),
        Chore::Bench {
            name,
            quick,
            options,
        } => return bench::run(checkout, &name, quick, &options),
        Chore::Memory => return memory::run(checkout).map(|()| ExitCode::SUCCESS),
        Chore::Sabotage { only, histories } => {
            let run = sabotage::run(checkout, only.as_deref(), histories);
            return run.map(|()| ExitCode::SUCCESS);
        }
    };
    println!("{}", closing.line);
    Ok(if closing.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
