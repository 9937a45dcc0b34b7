//! `backfill`: fill a target, or rebuild it by difference.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{
    arguments::Format,
    commands::bring::{Wish, bring},
    exit::Trouble,
    output::Done,
};

/// Rebuilds the target of one job from its source as it is now.
pub(crate) async fn backfill(
    config: Config,
    job: &str,
    accept_deletes: bool,
    format: Format,
) -> Result<Done, Trouble> {
    let wish = Wish {
        request: Request::Backfill,
        accept_deletes,
        format,
    };
    bring(config, &[job.to_owned()], wish).await
}
