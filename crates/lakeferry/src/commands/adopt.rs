//! `adopt`: take over a table that has the rows of its source already.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{
    arguments::Format,
    commands::bring::{Wish, bring},
    exit::Trouble,
    output::Done,
};

/// Adopts the target table of one job, if it is what the job would have filled.
pub(crate) async fn adopt(config: Config, job: &str, format: Format) -> Result<Done, Trouble> {
    let wish = Wish {
        request: Request::Adopt,
        accept_deletes: false,
        format,
    };
    bring(config, &[job.to_owned()], wish).await
}
