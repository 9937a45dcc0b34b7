//! `validate`: the configuration, and what only the sources can tell of it.

use lakeferry_config::Config;
use serde_json::json;

use crate::{exit::Trouble, output::Done, wiring};

/// Looks at every job's source; writes nothing and asks no target.
pub(crate) async fn validate(config: &Config) -> Result<Done, Trouble> {
    let mut valid = Vec::new();
    let mut troubles = Vec::new();
    for job in config.jobs.values() {
        match wiring::source(job).await {
            Ok(_) => valid.push(job.name.to_string()),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let text = if troubles.is_empty() {
        format!(
            "the configuration is valid, and so are its jobs: {}",
            valid.join(", ")
        )
    } else {
        String::new()
    };
    let done = Done::new(text, &json!({ "valid": valid, "problems": troubles }));
    Ok(Done { troubles, ..done })
}
