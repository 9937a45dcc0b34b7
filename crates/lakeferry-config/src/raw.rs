//! A configuration as it is written: which settings there are, and the text of each.
//!
//! Nothing here knows what a value means; [`crate::check`] does. Numbers are texts too, so that
//! other ways to declare a job can hand in the same types.

mod columns;

pub(crate) use self::columns::RawColumns;
use crate::{
    field::{Field, Written},
    node::{Content, Entry, Node},
    problem::{Fault, Place, Report},
    section::Section,
};

/// A whole file.
#[derive(Debug)]
pub(crate) struct RawConfig {
    pub(crate) place: Place,
    pub(crate) version: Field<String>,
    pub(crate) deployment: Field<String>,
    pub(crate) daemon: RawDaemon,
    pub(crate) http: RawHttp,
    pub(crate) defaults: RawOptions,
    pub(crate) catalogs: Field<Vec<Named<RawCatalog>>>,
    pub(crate) targets: Field<Vec<Named<RawTarget>>>,
    pub(crate) jobs: Field<Vec<Named<RawJob>>>,
}

/// An entry of a mapping of things with names; `None` if it is not one of those things.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) name: Written<String>,
    pub(crate) value: Option<T>,
}

/// How jobs run unattended.
#[derive(Debug, Default)]
pub(crate) struct RawDaemon {
    pub(crate) max_runs: Field<String>,
    pub(crate) stop_within: Field<String>,
}

/// Where the daemon listens.
#[derive(Debug, Default)]
pub(crate) struct RawHttp {
    pub(crate) listen: Field<String>,
    pub(crate) probes: Field<String>,
    pub(crate) token: Field<RawPassword>,
}

/// Where a catalog's tables are.
#[derive(Debug)]
pub(crate) struct RawCatalog {
    pub(crate) location: Field<String>,
}

/// A database that jobs write to.
#[derive(Debug)]
pub(crate) struct RawTarget {
    pub(crate) url: Field<String>,
    pub(crate) password: Field<RawPassword>,
    pub(crate) max_connections: Field<String>,
    pub(crate) lease: Field<String>,
    pub(crate) close_after: Field<String>,
    pub(crate) control_poll: Field<String>,
}

/// Where a password is.
#[derive(Debug)]
pub(crate) enum RawPassword {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file.
    File(String),
    /// A command that prints it.
    Command(RawCommand),
}

/// A command, as it is written.
#[derive(Debug)]
pub(crate) enum RawCommand {
    /// A program and its arguments.
    Words(Vec<String>),
    /// A line for the shell.
    Line(String),
}

/// A declared pair of source and target.
#[derive(Debug)]
pub(crate) struct RawJob {
    pub(crate) from: Field<String>,
    pub(crate) into: Field<String>,
    pub(crate) types: Field<Vec<(Written<String>, Written<String>)>>,
    pub(crate) options: RawOptions,
}

/// What a job may say, and `defaults` for all jobs.
#[derive(Debug, Default)]
pub(crate) struct RawOptions {
    pub(crate) key: Field<Vec<Written<String>>>,
    pub(crate) dedupe_by: Field<String>,
    pub(crate) mode: Field<String>,
    pub(crate) schedule: Field<String>,
    pub(crate) poll_every: Field<String>,
    pub(crate) max_lag: Field<String>,
    pub(crate) filter: Field<String>,
    pub(crate) timezone: Field<String>,
    pub(crate) filter_every: Field<String>,
    pub(crate) columns: Field<RawColumns>,
    pub(crate) names: Field<String>,
    pub(crate) metadata_columns: Field<Vec<Written<String>>>,
    pub(crate) deletes: Field<String>,
    pub(crate) on_source_replaced: Field<String>,
    pub(crate) on_schema_change: Field<String>,
    pub(crate) drop_columns: Field<String>,
    pub(crate) allow_rewrite: Field<bool>,
    pub(crate) refresh_above: Field<String>,
    pub(crate) collapse_memory: Field<String>,
    pub(crate) allow_empty: Field<bool>,
    pub(crate) max_delete_share: Field<String>,
    pub(crate) on_bad_value: Field<String>,
    pub(crate) on_null_key: Field<String>,
    pub(crate) max_quarantined: Field<String>,
}

/// Every setting there is, by the mapping it stands in.
#[cfg(test)]
pub(crate) const KNOWN: [&[&str]; 9] = [
    &FILE,
    &DAEMON,
    &HTTP,
    &CATALOG,
    &columns::COLUMNS,
    &TARGET,
    &PASSWORD,
    &JOB,
    &OPTIONS,
];

const FILE: [&str; 9] = [
    "version",
    "include",
    "deployment",
    "daemon",
    "http",
    "defaults",
    "catalogs",
    "targets",
    "jobs",
];
const DAEMON: [&str; 2] = ["max_runs", "stop_within"];
const HTTP: [&str; 3] = ["listen", "probes", "token"];
const TARGET: [&str; 6] = [
    "url",
    "password",
    "max_connections",
    "lease",
    "close_after",
    "control_poll",
];
const CATALOG: [&str; 1] = ["location"];
const PASSWORD: [&str; 3] = ["env", "file", "command"];
const JOB: [&str; 4] = ["from", "into", "types", "exclude"];
/// To YAML, `null` without quotes is no value.
const DROP_HINT: &str = "write detach, drop, halt, or \"null\" in quotes";
const BAD_VALUE_HINT: &str =
    "write quarantine, keep_previous, replace, halt, or \"null\" in quotes";
const OPTIONS: [&str; 24] = [
    "key",
    "dedupe_by",
    "mode",
    "schedule",
    "poll_every",
    "max_lag",
    "filter",
    "timezone",
    "filter_every",
    "columns",
    "names",
    "metadata_columns",
    "deletes",
    "on_source_replaced",
    "on_schema_change",
    "drop_columns",
    "allow_rewrite",
    "refresh_above",
    "collapse_memory",
    "allow_empty",
    "max_delete_share",
    "on_bad_value",
    "on_null_key",
    "max_quarantined",
];

impl RawConfig {
    /// The file's settings; problems of its shape go to `report`.
    pub(crate) fn read(root: Node, report: &mut Report) -> Option<Self> {
        let mut file = Section::open(root, "the file", report)?;
        let raw = Self {
            place: file.place().clone(),
            version: file.number("version", report),
            deployment: file.text("deployment", report),
            daemon: file
                .section("daemon", report)
                .map(|daemon| RawDaemon::read(daemon, report))
                .unwrap_or_default(),
            http: file
                .section("http", report)
                .map(|http| RawHttp::read(http, report))
                .unwrap_or_default(),
            defaults: file
                .section("defaults", report)
                .map(|mut defaults| {
                    let options = RawOptions::read(&mut defaults, report);
                    defaults.close(&OPTIONS, report);
                    options
                })
                .unwrap_or_default(),
            catalogs: file.named("catalogs", report, RawCatalog::read),
            targets: file.named("targets", report, RawTarget::read),
            jobs: file.named("jobs", report, RawJob::read),
        };
        file.close(&FILE, report);
        Some(raw)
    }
}

impl RawDaemon {
    fn read(mut daemon: Section, report: &mut Report) -> Self {
        let raw = Self {
            max_runs: daemon.number("max_runs", report),
            stop_within: daemon.text("stop_within", report),
        };
        daemon.close(&DAEMON, report);
        raw
    }
}

impl RawHttp {
    fn read(mut http: Section, report: &mut Report) -> Self {
        let raw = Self {
            listen: http.text("listen", report),
            probes: http.text("probes", report),
            token: RawPassword::read("token", http.take("token"), report),
        };
        http.close(&HTTP, report);
        raw
    }
}

impl RawCatalog {
    fn read(mut catalog: Section, report: &mut Report) -> Self {
        let raw = Self {
            location: catalog.text("location", report),
        };
        catalog.close(&CATALOG, report);
        raw
    }
}

impl RawTarget {
    fn read(mut target: Section, report: &mut Report) -> Self {
        let raw = Self {
            url: target.text("url", report),
            password: RawPassword::read("password", target.take("password"), report),
            max_connections: target.number("max_connections", report),
            lease: target.text("lease", report),
            close_after: target.text("close_after", report),
            control_poll: target.text("control_poll", report),
        };
        target.close(&TARGET, report);
        raw
    }
}

impl RawPassword {
    /// Reads the setting `name`. Its value is never repeated in a message, for it may be the secret itself.
    fn read(name: &str, node: Option<Node>, report: &mut Report) -> Field<Self> {
        const HINT: &str =
            "write `{ env: NAME }`, `{ file: PATH }` or `{ command: [PROGRAM, ARGUMENT] }`";
        let Some(node) = node else {
            return Field::Absent;
        };
        let place = node.place.clone();
        if !says_where(&node.content) {
            let what = format!("`{name}` does not say where the {name} is");
            report.add(&place, Fault::new(what, HINT));
            return Field::Faulty;
        }
        let Some(mut section) = Section::open(node, &format!("`{name}`"), report) else {
            return Field::Faulty;
        };
        let ways = [
            map(section.text("env", report), Self::Env),
            map(section.text("file", report), Self::File),
            map(RawCommand::read(&mut section, report), Self::Command),
        ];
        let nothing_else = section.close(&PASSWORD, report);
        let mut said: Vec<_> = ways
            .into_iter()
            .filter(|way| !matches!(way, Field::Absent))
            .collect();
        match (said.pop(), said.is_empty()) {
            (Some(Field::Given(way)), true) => Field::Given(Written {
                value: way.value,
                place,
            }),
            (Some(_), false) => {
                let what = format!("`{name}` names more than one of `env`, `file` and `command`");
                report.add(&place, Fault::new(what, "keep one of them"));
                Field::Faulty
            }
            (None, _) if nothing_else => {
                report.add(&place, Fault::new(format!("`{name}` is empty"), HINT));
                Field::Faulty
            }
            _ => Field::Faulty,
        }
    }
}

impl RawCommand {
    fn read(section: &mut Section, report: &mut Report) -> Field<Self> {
        if section.is_list("command") {
            let words = section.texts("command", report);
            return words.check(report, |words| {
                let words: Vec<_> = words.into_iter().map(|word| word.value).collect();
                if words.is_empty() {
                    let what = "`command` names no program";
                    return Err(Fault::new(what, "write `command: [PROGRAM, ARGUMENT]`"));
                }
                Ok(Self::Words(words))
            });
        }
        map(section.text("command", report), Self::Line)
    }
}

fn map<T, U>(field: Field<T>, wrap: impl FnOnce(T) -> U) -> Field<U> {
    match field {
        Field::Absent => Field::Absent,
        Field::Faulty => Field::Faulty,
        Field::Given(Written { value, place }) => Field::Given(Written {
            value: wrap(value),
            place,
        }),
    }
}

/// Whether this is a mapping from ways to places. `{ hunter2 }` is not: its key is the password.
fn says_where(content: &Content) -> bool {
    let Content::Map(entries) = content else {
        return false;
    };
    let has_value = |entry: &Entry| !matches!(entry.value.content, Content::Nothing);
    entries
        .iter()
        .all(|entry| has_value(entry) || PASSWORD.contains(&entry.name.as_str()))
}

impl RawJob {
    fn read(mut job: Section, report: &mut Report) -> Self {
        let raw = Self {
            from: job.text("from", report),
            into: job.text("into", report),
            types: job.pairs("types", report),
            options: RawOptions::read(&mut job, report),
        };
        // A pattern's was taken out when its tables were found.
        if let Some(exclude) = job.take("exclude") {
            let what = "`exclude` is for patterns, and `from` names one table";
            let hint = "remove it, or write `from` like `prod.silver.*`";
            report.add(&exclude.place, Fault::new(what, hint));
        }
        job.close(&[&JOB[..], &OPTIONS].concat(), report);
        raw
    }
}

impl RawOptions {
    fn read(options: &mut Section, report: &mut Report) -> Self {
        Self {
            key: options.texts("key", report),
            dedupe_by: options.text("dedupe_by", report),
            mode: options.text("mode", report),
            schedule: options.text("schedule", report),
            poll_every: options.text("poll_every", report),
            max_lag: options.text("max_lag", report),
            filter: options.text("filter", report),
            timezone: options.text("timezone", report),
            filter_every: options.text("filter_every", report),
            columns: RawColumns::read(options, report),
            names: options.text("names", report),
            metadata_columns: options.texts("metadata_columns", report),
            deletes: options.text("deletes", report),
            on_source_replaced: options.text("on_source_replaced", report),
            on_schema_change: options.text("on_schema_change", report),
            drop_columns: options.word("drop_columns", DROP_HINT, report),
            allow_rewrite: options.truth("allow_rewrite", report),
            refresh_above: options.number("refresh_above", report),
            collapse_memory: options.number("collapse_memory", report),
            allow_empty: options.truth("allow_empty", report),
            max_delete_share: options.number("max_delete_share", report),
            on_bad_value: options.word("on_bad_value", BAD_VALUE_HINT, report),
            on_null_key: options.text("on_null_key", report),
            max_quarantined: options.number("max_quarantined", report),
        }
    }
}
