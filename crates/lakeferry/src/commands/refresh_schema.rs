//! `refresh-schema`: bring a target's columns in step with its source's, whatever its job says.

use lakeferry_config::Config;
use lakeferry_engine::Request;

use crate::{
    arguments::Format,
    commands::bring::{Wish, bring},
    exit::Trouble,
    output::Done,
};

/// Brings the columns of one job's target in step, then its rows.
pub(crate) async fn refresh_schema(
    config: Config,
    job: &str,
    format: Format,
) -> Result<Done, Trouble> {
    let wish = Wish {
        request: Request::RefreshSchema,
        accept_deletes: false,
        format,
    };
    bring(config, &[job.to_owned()], wish).await
}
