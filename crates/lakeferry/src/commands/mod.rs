//! The commands: each wires what it needs, asks, and says what came of it.

mod bring;
mod completions;
mod demo;
mod filter_time;
mod hand_over;
pub(crate) mod history;
mod init;
mod outcome;
mod pause;
mod plan;
mod quarantine;
mod reset;
mod run;
mod status;
mod validate;
pub(crate) mod wording;

use std::slice;

use lakeferry_engine::Request;

use self::bring::Wish;
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
            even_if_paused,
        } => {
            let wish = Wish {
                accept_deletes: *accept_deletes,
                even_if_paused: *even_if_paused,
                ..Wish::to(Request::Sync, arguments.output)
            };
            bring::bring(configuration()?, jobs, wish).await
        }
        Command::Pause { jobs, reason } => {
            pause::pause(&configuration()?, jobs, reason.as_deref()).await
        }
        Command::Resume { jobs } => pause::resume(&configuration()?, jobs).await,
        Command::Run => run::run(wiring::configuration(arguments)?, &arguments.config).await,
        Command::Backfill {
            job,
            accept_deletes,
            even_if_paused,
        } => {
            let wish = Wish {
                accept_deletes: *accept_deletes,
                even_if_paused: *even_if_paused,
                ..Wish::to(Request::Backfill, arguments.output)
            };
            bring::bring(configuration()?, slice::from_ref(job), wish).await
        }
        Command::Adopt { job } => {
            let wish = Wish::to(Request::Adopt, arguments.output);
            bring::bring(configuration()?, slice::from_ref(job), wish).await
        }
        Command::RefreshSchema { job } => {
            let wish = Wish::to(Request::RefreshSchema, arguments.output);
            bring::bring(configuration()?, slice::from_ref(job), wish).await
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
