//! From what is written to what is meant: raw settings to checked ones, with every problem.
//!
//! Each check reports what it finds and lets the others go on; one mistake makes one problem.

mod catalogs;
mod columns;
mod daemon;
mod jobs;
mod keys;
mod options;
mod targets;

use std::collections::BTreeMap;

use crate::{
    Config, DeploymentName,
    field::Field,
    problem::{Fault, Report},
    raw::{Named, RawConfig},
    secret::shown,
};

/// What a file means besides its own text.
pub(crate) struct Surroundings<'a> {
    /// The environment variables.
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// The version of the format that this program reads.
const VERSION: &str = "1";

/// The settings that `raw` means; `None` if any is wrong, and `report` says why.
pub(crate) fn check(
    raw: RawConfig,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Config> {
    let version = raw.version.check(report, check_version);
    version.required(report, &raw.place, || {
        Fault::new(
            "the file does not say its version",
            "start it with `version: 1`",
        )
    });
    let deployment = raw.deployment.check(report, DeploymentName::parse);
    let deployment = deployment.or_default(DeploymentName::default());
    let daemon = daemon::check(raw.daemon, report);
    let http = daemon::check_http(raw.http, surroundings, report);
    let catalogs = catalogs::check(raw.catalogs, report);
    if declares_nothing(&raw.targets) {
        let hint = "declare one: `targets: { NAME: { url: \"postgresql://user@host/database\" } }`";
        report.add(&raw.place, Fault::new("no targets are declared", hint));
    }
    let targets = targets::check(raw.targets, surroundings, report);
    let defaults = options::check(raw.defaults, report);
    if declares_nothing(&raw.jobs) {
        let hint =
            "declare one: `jobs: { NAME: { from: PATH, into: target.schema.table, key: [ID] } }`";
        report.add(&raw.place, Fault::new("no jobs are declared", hint));
    }
    let context = jobs::Context {
        catalogs: &catalogs,
        targets: &targets,
        defaults: &defaults,
    };
    let jobs = jobs::check(raw.jobs, &context, report);
    Some(Config {
        deployment: deployment?,
        daemon: daemon?,
        http: http?,
        targets: targets.complete()?,
        jobs: jobs?,
    })
}

fn declares_nothing<T>(things: &Field<Vec<Named<T>>>) -> bool {
    match things {
        Field::Absent => true,
        Field::Faulty => false,
        Field::Given(things) => things.value.is_empty(),
    }
}

pub(crate) fn check_version(version: String) -> Result<(), Fault> {
    if version == VERSION {
        return Ok(());
    }
    let what = format!("version {} is not supported", shown(&version));
    Err(Fault::new(
        what,
        format!("write `version: {VERSION}`, or use a program that reads it"),
    ))
}
