//! `backfill`: fill a target, or rebuild it by difference.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{commands::sync::bring, exit::Trouble, output::Done};

/// Rebuilds the target of one job from its source as it is now.
pub(crate) async fn backfill(
    config: &Config,
    job: &str,
    accept_deletes: bool,
) -> Result<Done, Trouble> {
    bring(config, &[job.to_owned()], Request::Backfill, accept_deletes).await
}
