//! From a configuration file to checked settings.
//!
//! [`load`] is pure: text, environment and the file's path come in, and either settings come out
//! that are complete and free of contradictions, or every problem of the file in one report.
//! The way is `text → node → raw → checked`: each step knows only the one before.

mod amount;
mod check;
mod error;
mod field;
mod identifier;
mod name;
mod node;
mod postgres_url;
mod problem;
mod raw;
mod schedule;
mod secret;
mod section;
mod settings;
mod source_location;
mod suggest;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, path::Path};

pub use amount::RefreshAbove;
pub use error::Error;
pub use name::{DeploymentName, JobName, TargetName};
pub use postgres_url::PostgresUrl;
pub use problem::{Problem, Problems};
pub use schedule::Schedule;
pub use secret::{Password, Secret};
pub use settings::{Config, Job, Mode, OnSourceReplaced, Target, TargetTable};
pub use source_location::SourceLocation;

/// The settings in `yaml_text`.
///
/// `origin` is the file that the text is from: problems name it, and relative paths start from
/// its directory. `env` are the environment variables that the file may refer to.
///
/// # Errors
/// Every problem of the file; a text that is not YAML has one.
pub fn load(
    yaml_text: &str,
    origin: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Config, Problems> {
    let base = origin.parent().unwrap_or(Path::new(""));
    let surroundings = check::Surroundings { base, env };
    let mut report = problem::Report::default();
    let config = node::parse(yaml_text, &mut report)
        .and_then(|root| raw::RawConfig::read(root, &mut report))
        .and_then(|raw| check::check(raw, &surroundings, &mut report));
    report.close(origin, config)
}

/// The settings in the file at `path`, as [`load`] gives them.
///
/// # Errors
/// [`Error::Unreadable`] if there is no text to read, [`Error::Wrong`] if it has problems.
pub fn read(path: &Path, env: &BTreeMap<String, String>) -> Result<Config, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
        what: "configuration file",
        path: path.to_owned(),
        source,
    })?;
    Ok(load(&text, path, env)?)
}
