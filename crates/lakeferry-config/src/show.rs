//! Every setting with its value and where it came from: what `validate --show` prints.
//!
//! Values are shown as they were written, after variables were filled in and patterns expanded;
//! what may hold a secret is not.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::{
    PostgresUrl,
    node::{Content, Entry, Node, inner_path},
    problem::Place,
};

/// What a job has where neither it nor `defaults` says, as it would be written. Options that are
/// not here are absent then.
pub(crate) const JOB_DEFAULTS: [(&str, &str); 19] = [
    ("mode", "incremental"),
    ("schedule", "none"),
    ("poll_every", "1s"),
    ("max_lag", "none"),
    ("timezone", "UTC"),
    ("names", "as_is"),
    ("metadata_columns", "[]"),
    ("deletes", "hard"),
    ("on_source_replaced", "halt"),
    ("on_schema_change", "evolve"),
    ("drop_columns", "detach"),
    ("allow_rewrite", "false"),
    ("refresh_above", "cost"),
    ("collapse_memory", "64MiB"),
    ("allow_empty", "false"),
    ("max_delete_share", "20%"),
    ("on_bad_value", "quarantine"),
    ("on_null_key", "halt"),
    ("max_quarantined", "100 or 0.1%"),
];
/// The same for a target.
pub(crate) const TARGET_DEFAULTS: [(&str, &str); 4] = [
    ("max_connections", "auto"),
    ("lease", "30s"),
    ("close_after", "60s"),
    ("control_poll", "60s"),
];
/// The same for the file.
pub(crate) const FILE_DEFAULTS: [(&str, &str); 1] = [("deployment", "default")];

/// The same for the daemon.
pub(crate) const DAEMON_DEFAULTS: [(&str, &str); 2] = [("max_runs", "4"), ("stop_within", "20s")];

/// The same for its HTTP server.
pub(crate) const HTTP_DEFAULTS: [(&str, &str); 2] =
    [("listen", "127.0.0.1:8642"), ("probes", "none")];

/// Stands for what is not shown.
const HIDDEN: &str = "***";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Such as `jobs.customers.mode`.
    pub path: String,
    pub value: Value,
    pub origin: Origin,
}

/// What a setting says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Text(String),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// A file says so.
    File {
        file: PathBuf,
        line: u64,
        /// The environment variables that the value was made with.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
    },
    /// `defaults` in a file says so for all jobs.
    Defaults {
        file: PathBuf,
        line: u64,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
    },
    /// Nobody says otherwise.
    BuiltIn,
}

impl Origin {
    fn of(place: &Place) -> Self {
        let (file, line) = (place.file.to_path_buf(), place.line);
        let variables = place.variables.clone();
        if place.path.starts_with("defaults.") {
            Self::Defaults {
                file,
                line,
                variables,
            }
        } else {
            Self::File {
                file,
                line,
                variables,
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, file, line, variables) = match self {
            Self::BuiltIn => return f.write_str("default"),
            Self::File {
                file,
                line,
                variables,
            } => ("", file, line, variables),
            Self::Defaults {
                file,
                line,
                variables,
            } => ("defaults, ", file, line, variables),
        };
        write!(f, "{title}{}:{line}", file.display())?;
        for variable in variables {
            write!(f, ", ${variable}")?;
        }
        Ok(())
    }
}

/// All settings of a tree in which patterns were expanded. Means something only if the tree turns
/// out to be right.
pub(crate) fn settings(root: &Node) -> Vec<Setting> {
    let mut shown = Vec::new();
    let Content::Map(entries) = &root.content else {
        return shown;
    };
    with_defaults("", &scalars(entries), &FILE_DEFAULTS, &mut shown);
    for (section, defaults) in [
        ("daemon", &DAEMON_DEFAULTS[..]),
        ("http", &HTTP_DEFAULTS[..]),
    ] {
        let entries: Vec<&Entry> = in_section(root, section).collect();
        with_defaults(section, &entries, defaults, &mut shown);
    }
    for entry in in_section(root, "catalogs") {
        let path = inner_path("catalogs", &entry.name);
        with_defaults(&path, &inner(&entry.value), &[], &mut shown);
    }
    for entry in in_section(root, "targets") {
        let path = inner_path("targets", &entry.name);
        with_defaults(&path, &inner(&entry.value), &TARGET_DEFAULTS, &mut shown);
    }
    let defaults: Vec<&Entry> = in_section(root, "defaults").collect();
    for entry in in_section(root, "jobs") {
        let path = inner_path("jobs", &entry.name);
        let own = inner(&entry.value);
        let is_own = |name: &str| own.iter().any(|entry| entry.name == name);
        let inherited = defaults.iter().filter(|entry| !is_own(&entry.name));
        let all: Vec<&Entry> = own.iter().chain(inherited).copied().collect();
        with_defaults(&path, &all, &JOB_DEFAULTS, &mut shown);
    }
    shown
}

fn in_section<'a>(root: &'a Node, name: &str) -> impl Iterator<Item = &'a Entry> {
    root.get(name).map(inner).unwrap_or_default().into_iter()
}

fn inner(node: &Node) -> Vec<&Entry> {
    match &node.content {
        Content::Map(entries) => entries.iter().collect(),
        _ => Vec::new(),
    }
}

fn scalars(entries: &[Entry]) -> Vec<&Entry> {
    let is_scalar = |entry: &&Entry| !matches!(entry.value.content, Content::Map(_));
    entries.iter().filter(is_scalar).collect()
}

/// Adds `entries`, and those of `defaults` that are not among them.
fn with_defaults(
    path: &str,
    entries: &[&Entry],
    defaults: &[(&str, &str)],
    shown: &mut Vec<Setting>,
) {
    for entry in entries {
        add(inner_path(path, &entry.name), entry, shown);
    }
    let missing = defaults
        .iter()
        .filter(|(name, _)| !entries.iter().any(|entry| entry.name == *name));
    shown.extend(missing.map(|(name, value)| Setting {
        path: inner_path(path, name),
        value: Value::Text((*value).to_owned()),
        origin: Origin::BuiltIn,
    }));
}

fn add(path: String, entry: &Entry, shown: &mut Vec<Setting>) {
    let node = &entry.value;
    let value = match &node.content {
        Content::Map(entries) => {
            if let Some(secret) = secret(entries) {
                Value::Text(secret)
            } else {
                for entry in entries {
                    add(inner_path(&path, &entry.name), entry, shown);
                }
                return;
            }
        }
        Content::List(items) => Value::List(items.iter().map(scalar).collect()),
        Content::Text(text) if entry.name == "url" => {
            let url = PostgresUrl::parse(text);
            Value::Text(url.map_or_else(|_| HIDDEN.to_owned(), |url| url.to_string()))
        }
        _ => Value::Text(scalar(node)),
    };
    shown.push(Setting {
        path,
        value,
        origin: Origin::of(&node.place),
    });
}

/// Where a secret is, never what it is: `{ env: NAME }`.
fn secret(entries: &[Entry]) -> Option<String> {
    let [entry] = entries else {
        return None;
    };
    match (entry.name.as_str(), &entry.value.content) {
        ("env" | "file", Content::Text(place)) => Some(format!("{{ {}: {place} }}", entry.name)),
        ("command", _) => Some(format!("{{ command: {HIDDEN} }}")),
        _ => None,
    }
}

fn scalar(node: &Node) -> String {
    match &node.content {
        Content::Text(text) | Content::Number(text) => text.clone(),
        Content::Truth(value) => value.to_string(),
        Content::Faulty | Content::Nothing => String::new(),
        Content::List(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            format!("[{}]", items.join(", "))
        }
        Content::Map(_) => HIDDEN.to_owned(),
    }
}
