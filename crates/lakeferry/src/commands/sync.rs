//! `sync`: bring targets to the newest version of their sources.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{
    arguments::Format,
    commands::bring::{Wish, bring},
    exit::Trouble,
    output::Done,
};

/// Syncs the named jobs, or all.
pub(crate) async fn sync(
    config: Config,
    names: &[String],
    accept_deletes: bool,
    format: Format,
) -> Result<Done, Trouble> {
    let wish = Wish {
        request: Request::Sync,
        accept_deletes,
        format,
    };
    bring(config, names, wish).await
}
