//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Keeps Postgres tables in step with Delta tables.
#[derive(Debug, Parser)]
#[command(name = "lakeferry", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        env = "LAKEFERRY_CONFIG",
        default_value = "lakeferry.yaml"
    )]
    #[arg(value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// How results and errors are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results and errors are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: results to stdout, errors to stderr
    Text,
    /// One JSON object to stdout: command, ok, result, error
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration, and that each job's columns, key and filter fit its source
    Validate,
    /// Show what a sync would do; writes nothing
    Plan {
        /// Jobs to look at; all if none is named
        jobs: Vec<String>,
    },
    /// Bring targets to the newest version of their sources
    Sync {
        /// Jobs to sync; all if none is named
        jobs: Vec<String>,
    },
    /// Fill a target, or rebuild it by difference whatever it has
    Backfill {
        /// The job
        job: String,
    },
    /// Show how far each job has come
    Status {
        /// Jobs to show; all if none is named
        jobs: Vec<String>,
    },
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Plan { .. } => "plan",
            Self::Sync { .. } => "sync",
            Self::Backfill { .. } => "backfill",
            Self::Status { .. } => "status",
        }
    }
}
