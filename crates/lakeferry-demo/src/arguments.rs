//! The command line, as `lakeferry demo` hands it on.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
#[command(
    name = "lakeferry-demo",
    version,
    about = "the other half of `lakeferry demo`"
)]
pub(crate) struct Arguments {
    /// About how many rows the Delta table has
    #[arg(long, default_value_t = 3_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10_000..=60_000_000))]
    pub(crate) rows: u64,
    /// Seconds after which the commits end; without it they go on until Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// A server to use instead of a throwaway one, as a URL of one of its databases
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Only write the Delta table into a folder and commit to it every second, for a daemon to sync;
    /// one that is there already goes on
    #[arg(long, value_name = "FOLDER", conflicts_with = "target")]
    pub(crate) write: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object to stdout, everything else to stderr
    Json,
}
