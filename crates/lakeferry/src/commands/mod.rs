//! The commands: each wires what it needs, asks, and says what came of it.

mod backfill;
mod plan;
mod status;
mod sync;
mod validate;
mod wording;

use crate::{
    arguments::{Arguments, Command},
    exit::Trouble,
    output::Done,
    wiring,
};

/// Does what was asked for.
pub(crate) async fn execute(arguments: &Arguments) -> Result<Done, Trouble> {
    let config = wiring::configuration(arguments)?;
    match &arguments.command {
        Command::Validate => validate::validate(&config).await,
        Command::Plan { jobs } => plan::plan(&config, jobs).await,
        Command::Sync { jobs } => sync::sync(&config, jobs).await,
        Command::Backfill { job } => backfill::backfill(&config, job).await,
        Command::Status { jobs } => status::status(&config, jobs).await,
    }
}
