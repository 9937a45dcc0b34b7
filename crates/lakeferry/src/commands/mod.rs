//! The commands: each wires what it needs, asks, and says what came of it.

mod adopt;
mod backfill;
mod bring;
mod completions;
mod demo;
mod filter_time;
pub(crate) mod history;
mod init;
mod outcome;
mod plan;
mod quarantine;
mod refresh_schema;
mod reset;
mod run;
mod status;
mod sync;
mod validate;
pub(crate) mod wording;

use crate::{
    arguments::{Arguments, Command},
    exit::Trouble,
    output::Done,
    wiring,
};

/// Does what was asked for.
pub(crate) async fn execute(arguments: &Arguments) -> Result<Done, Trouble> {
    let configuration = || wiring::configuration(arguments).map(|loaded| loaded.config);
    match &arguments.command {
        Command::Init { from, into, force } => {
            init::init(arguments, from.as_deref(), into.as_deref(), *force).await
        }
        Command::Completions { shell } => Ok(completions::completions(*shell)),
        Command::Validate { show, offline } => validate::validate(arguments, *show, *offline).await,
        Command::Plan { jobs } => plan::plan(&configuration()?, jobs).await,
        Command::Sync {
            jobs,
            accept_deletes,
        } => sync::sync(configuration()?, jobs, *accept_deletes, arguments.output).await,
        Command::Run => run::run(configuration()?).await,
        Command::Backfill {
            job,
            accept_deletes,
        } => backfill::backfill(configuration()?, job, *accept_deletes, arguments.output).await,
        Command::Adopt { job } => adopt::adopt(configuration()?, job, arguments.output).await,
        Command::RefreshSchema { job } => {
            refresh_schema::refresh_schema(configuration()?, job, arguments.output).await
        }
        Command::Reset { job, forget } => reset::reset(&configuration()?, job, *forget).await,
        Command::Quarantine { action } => {
            quarantine::quarantine(configuration()?, action, arguments.output).await
        }
        Command::Status { jobs } => status::status(&configuration()?, jobs).await,
        Command::History { job, limit } => {
            history::history(&configuration()?, job.as_ref(), *limit).await
        }
        // It brings its own configuration.
        Command::Demo(options) => demo::demo(options, arguments.output),
    }
}
