//! `backfill`: fill a target, or rebuild it by difference.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{commands::sync::bring, exit::Trouble, output::Done, wiring};

/// Rebuilds the target of one job from its source as it is now.
pub(crate) async fn backfill(config: &Config, job: &str) -> Result<Done, Trouble> {
    let jobs = wiring::chosen(config, &[job.to_owned()])?;
    bring(config, &jobs, Request::Backfill).await
}
