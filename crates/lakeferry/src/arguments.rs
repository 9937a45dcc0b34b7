//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Keeps Postgres tables in step with Delta tables.
#[derive(Debug, Parser)]
#[command(name = "lakeferry", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file; with several, the later goes over the earlier, key by key
    #[arg(
        long,
        global = true,
        env = "LAKEFERRY_CONFIG",
        default_value = "lakeferry.yaml"
    )]
    #[arg(value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// How results and errors are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// How the log is written, to stderr
    #[arg(long, global = true, env = "LAKEFERRY_LOG_FORMAT")]
    #[arg(value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; results go to stdout, errors to stderr
    Text,
    /// For programs: one object with command, ok, result and error to stdout; of the log, one a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented lakeferry.yaml to start from
    Init {
        /// A Delta table that the first job reads; its columns are looked at
        #[arg(long, value_name = "TABLE")]
        from: Option<PathBuf>,
        /// The database to write to, such as postgresql://user@host/database
        #[arg(long, value_name = "URL")]
        into: Option<String>,
        /// Overwrite the file
        #[arg(long)]
        force: bool,
    },
    /// Check the configuration, and that each job's columns, key and filter fit its source
    Validate {
        /// Show every setting with its value and where it came from
        #[arg(long)]
        show: bool,
        /// Look at nothing but the configuration's files
        #[arg(long)]
        offline: bool,
    },
    /// Show what a sync would do; writes nothing
    Plan {
        /// Jobs to look at; all if none is named
        jobs: Vec<String>,
    },
    /// Bring targets to the newest version of their sources
    Sync {
        /// Jobs to sync; all if none is named
        jobs: Vec<String>,
        /// Let the named jobs delete as much as their sources lost, this once
        #[arg(long, requires = "jobs")]
        accept_deletes: bool,
        /// Sync the named jobs also where they are paused, which they stay
        #[arg(long, requires = "jobs")]
        even_if_paused: bool,
    },
    /// Keep jobs from running, whoever runs them, until they are resumed
    ///
    /// A run that is under way goes on to its end.
    Pause {
        /// The jobs
        #[arg(required = true)]
        jobs: Vec<String>,
        /// Why, for whoever asks
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let jobs run again that were paused
    Resume {
        /// The jobs
        #[arg(required = true)]
        jobs: Vec<String>,
    },
    /// Run all jobs as they are scheduled, until a signal
    ///
    /// SIGTERM or Ctrl-C starts no more runs and lets those that are under way end, for as long as
    /// stop_within says; what has not ended then is taken back. A second signal ends it at once.
    Run,
    /// Fill a target, or rebuild it by difference whatever it has
    Backfill {
        /// The job
        job: String,
        /// Let it delete as much as its source lost, this once
        #[arg(long)]
        accept_deletes: bool,
        /// Do it also where the job is paused, which it stays
        #[arg(long)]
        even_if_paused: bool,
    },
    /// Take over a table that has the rows of its source already, without writing one of them
    ///
    /// Every row is compared first. Where all are equal, only the watermark is written; else nothing
    /// is, and the differences are counted. Whoever writes to the table waits meanwhile.
    Adopt {
        /// The job
        job: String,
    },
    /// Bring a target's columns in step with those of its source, once, whatever on_schema_change says
    ///
    /// Adds what is new or was left out, detaches what is gone, renames and widens, then syncs.
    RefreshSchema {
        /// The job
        job: String,
    },
    /// Remove what interrupted runs of a job left behind: what its first fill has loaded, staging
    ///
    /// The target table stays as it is. Whoever works on the job does it after their run.
    Reset {
        /// The job
        job: String,
        /// Forget also what the target has; the next sync then refuses a table with rows, as one
        /// that no job filled
        #[arg(long)]
        forget: bool,
    },
    /// Look after rows that Postgres cannot hold: they are kept aside, and the others go on
    Quarantine {
        #[command(subcommand)]
        action: QuarantineAction,
    },
    /// Show how far each job has come
    Status {
        /// Jobs to show; all if none is named
        jobs: Vec<String>,
    },
    /// Show what was done, newest first
    History {
        /// The job; all if none is named
        job: Option<String>,
        /// How many runs to show of each job
        #[arg(long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// See it work: a throwaway Postgres, a Delta table, and a commit a second that arrives
    Demo(DemoOptions),
}

/// What to do with rows in quarantine. A KEY is as `list` shows it; one of a single column may be
/// given without its brackets.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineAction {
    /// Show their keys, and what is wrong with them
    List {
        /// Jobs to show; all if none is named
        jobs: Vec<String>,
        /// Show also those that were dropped
        #[arg(long)]
        all: bool,
        /// How many rows to show of each target
        #[arg(long, value_name = "N", default_value_t = 100)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show those of one key with all of their values
    Show {
        /// The job
        job: String,
        /// The key; several rows may have it where it is null
        key: String,
    },
    /// Sync the job, then bring in what its target can hold now
    Retry {
        /// The job
        job: String,
    },
    /// Give rows up: they count no more, and their values are forgotten
    ///
    /// When such a row changes in the source, it comes as any other.
    Drop {
        /// The job
        job: String,
        /// The keys of the rows
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        keys: Vec<String>,
        /// All rows of the job
        #[arg(long)]
        all: bool,
    },
}

/// What `lakeferry-demo` is told.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// About how many rows the Delta table has, from 10,000 to 60,000,000 (default 3,000,000)
    #[arg(long)]
    pub(crate) rows: Option<u64>,
    /// Seconds after which the commits end; without it they go on until Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// A server to use instead of a throwaway one, as a URL of one of its databases; gets a
    /// database of its own, which goes at the end
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
}

impl Command {
    /// What it logs unless `LAKEFERRY_LOG` says otherwise: of what runs unattended, the log is all that
    /// anybody sees.
    pub(crate) fn log_filter(&self) -> &'static str {
        match self {
            Self::Run => "lakeferry=info,buoyant_kernel=off,error",
            _ => "lakeferry=warn,buoyant_kernel=off,error",
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Validate { .. } => "validate",
            Self::Plan { .. } => "plan",
            Self::Sync { .. } => "sync",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Run => "run",
            Self::Backfill { .. } => "backfill",
            Self::Adopt { .. } => "adopt",
            Self::RefreshSchema { .. } => "refresh-schema",
            Self::Reset { .. } => "reset",
            Self::Quarantine { .. } => "quarantine",
            Self::Status { .. } => "status",
            Self::History { .. } => "history",
            Self::Completions { .. } => "completions",
            Self::Demo(_) => "demo",
        }
    }
}
