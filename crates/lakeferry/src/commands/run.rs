//! `run`: all jobs as they are scheduled, until a signal.

use std::path::PathBuf;

use lakeferry_config::Loaded;
use serde::Serialize;

use crate::{
    daemon::{Daemon, Files},
    exit::Trouble,
    interrupt::Interrupt,
    output::Done,
};

/// How it ended.
#[derive(Debug, Serialize)]
struct Stopped {
    /// Jobs whose runs had not ended in time.
    taken_back: Vec<String>,
}

/// Runs until an end is asked for. That is no failure, also where runs were taken back: every target is
/// a version of its source.
pub(crate) async fn run(loaded: Loaded, paths: &[PathBuf]) -> Result<Done, Trouble> {
    let interrupt = Interrupt::listen().map_err(Trouble::environment)?;
    let files = Files::new(paths.to_vec(), &loaded.folders).map_err(Trouble::environment)?;
    let taken_back = Daemon::new(loaded.config).run(interrupt, files).await?;
    let text = match taken_back.as_slice() {
        [] => "stopped; no run was under way".to_owned(),
        jobs => format!(
            "stopped; taken back, to go on from where they were: {}",
            jobs.join(", ")
        ),
    };
    Ok(Done::new(text, &Stopped { taken_back }))
}
