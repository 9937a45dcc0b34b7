//! From configuration files to checked settings.
//!
//! Texts, environment and what catalogs hold come in, and either settings come out that are
//! complete and free of contradictions, or every problem of all files in one report. The way is
//! `text → node → interpolate → merge → expand → raw → checked`: each step knows only the one
//! before. Nothing but the files themselves is read here.

mod amount;
mod check;
mod connection;
mod error;
mod expand;
mod field;
mod files;
mod identifier;
mod interpolate;
mod merge;
mod name;
mod node;
mod postgres_url;
mod problem;
mod raw;
mod schedule;
mod secret;
mod section;
mod settings;
mod show;
mod source_location;
mod suggest;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use amount::{MaxQuarantined, RefreshAbove};
pub use connection::Connection;
pub use error::Error;
pub use expand::{Listing, Tables};
pub use name::{DeploymentName, JobName, TargetName};
pub use postgres_url::PostgresUrl;
pub use problem::{Problem, Problems};
pub use schedule::{Cron, Schedule};
pub use secret::{Password, PasswordCommand, Secret};
pub use settings::{
    Config, Daemon, DropColumns, Http, Job, Mode, OnSchemaChange, OnSourceReplaced, Target,
    TargetTable,
};
pub use show::{Origin, Setting, Value};
pub use source_location::SourceLocation;

/// Settings, and where each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// Every setting with its value, in the order of the file; those of a job, by job.
    pub shown: Vec<Setting>,
    /// The folders in which its files are, or would be: what changes it, changes them.
    pub folders: BTreeSet<PathBuf>,
}

/// The settings in `yaml_text`, and in the files that it includes.
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
    tables: Tables<'_>,
) -> Result<Loaded, Problems> {
    combine(&[(origin.into(), yaml_text.to_owned())], env, tables)
}

/// The settings in the files at `paths`, each over those before: mappings key by key, anything
/// else replaced.
///
/// # Errors
/// [`Error::Unreadable`] if there is no text to read, [`Error::Wrong`] if it has problems.
pub fn read(
    paths: &[PathBuf],
    env: &BTreeMap<String, String>,
    tables: Tables<'_>,
) -> Result<Loaded, Error> {
    let text = |path: &PathBuf| match fs::read_to_string(path) {
        Ok(text) => Ok((Arc::from(path.as_path()), text)),
        Err(source) => Err(Error::Unreadable {
            what: "configuration file",
            path: path.clone(),
            source,
        }),
    };
    let files = paths.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(combine(&files, env, tables)?)
}

fn combine(
    files: &[(Arc<Path>, String)],
    env: &BTreeMap<String, String>,
    tables: Tables<'_>,
) -> Result<Loaded, Problems> {
    let mut report = problem::Report::default();
    let mut folders = BTreeSet::new();
    let root = files::layers(files, env, &mut folders, &mut report);
    let loaded = root.and_then(|mut root| {
        expand::expand(&mut root, tables, &mut report);
        let shown = show::settings(&root);
        let raw = raw::RawConfig::read(root, &mut report)?;
        let config = check::check(raw, &check::Surroundings { env }, &mut report)?;
        Some(Loaded {
            config,
            shown,
            folders,
        })
    });
    let nowhere = Arc::from(Path::new(""));
    let origin = files.first().map_or(&nowhere, |(file, _)| file);
    report.close(origin, loaded)
}
