//! `run`: all jobs as they are scheduled, until a signal.

use lakeferry_config::Config;
use serde::Serialize;

use crate::{daemon::Daemon, exit::Trouble, interrupt::Interrupt, output::Done};

/// How it ended.
#[derive(Debug, Serialize)]
struct Stopped {
    /// Jobs whose runs had not ended in time.
    taken_back: Vec<String>,
}

/// Runs until an end is asked for. That is no failure, also where runs were taken back: every target is
/// a version of its source.
pub(crate) async fn run(config: Config) -> Result<Done, Trouble> {
    let interrupt = Interrupt::listen().map_err(Trouble::environment)?;
    let taken_back = Daemon::new(config).run(interrupt).await?;
    let text = match taken_back.as_slice() {
        [] => "stopped; no run was under way".to_owned(),
        jobs => format!(
            "stopped; taken back, to go on from where they were: {}",
            jobs.join(", ")
        ),
    };
    Ok(Done::new(text, &Stopped { taken_back }))
}
