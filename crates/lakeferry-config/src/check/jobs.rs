//! Jobs: each by itself, then all against each other.

use std::collections::BTreeMap;

use crate::{
    Job, JobName, Mode, OnSourceReplaced, RefreshAbove, Schedule, SourceLocation, TargetTable,
    check::{
        Surroundings,
        options::{self, Options, same_column},
        targets::{Found, Targets},
    },
    field::{Field, Written},
    identifier,
    postgres_url::Address,
    problem::{Fault, Report},
    raw::{Named, RawJob},
    secret::shown,
    source_location::Catalogs,
};

/// Memory for the collapse of one commit range, where a job does not say.
const DEFAULT_COLLAPSE_MEMORY_BYTES: u64 = 64 << 20;

/// The schema in a target that holds the state of jobs.
const STATE_SCHEMA: &str = "lakeferry";

/// What jobs refer to.
pub(crate) struct Context<'a> {
    pub(crate) surroundings: &'a Surroundings<'a>,
    pub(crate) catalogs: &'a Catalogs,
    pub(crate) targets: &'a Targets,
    pub(crate) defaults: &'a Options,
}

/// The jobs, if all are right.
pub(crate) fn check(
    raw: Field<Vec<Named<RawJob>>>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<BTreeMap<JobName, Job>> {
    let mut tables = BTreeMap::new();
    let mut jobs = Some(BTreeMap::new());
    for Named { name, value } in raw.given()?.value {
        let job = value.and_then(|raw| check_job(&name, raw, context, report));
        let Some((job, database)) = job else {
            jobs = None;
            continue;
        };
        let table = (
            database,
            job.target.schema.clone(),
            job.target.table.clone(),
        );
        if let Some(first) = tables.insert(table, job.name.clone()) {
            let what = format!(
                "job `{}` writes to {}, as job `{first}` does",
                job.name, job.target
            );
            let hint = "give one of them another table; a table has at most one job";
            report.add(&name.place, Fault::new(what, hint));
        }
        if let Some(jobs) = &mut jobs {
            jobs.insert(job.name.clone(), job);
        }
    }
    jobs
}

/// A job and the database it writes to: two targets may lead to one. It is `None` if the job's
/// target is faulty; tables of different faulty targets are not told apart.
fn check_job(
    name: &Written<String>,
    raw: RawJob,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<(Job, Option<Address>)> {
    let job_name = Field::Given(name.clone())
        .check(report, JobName::parse)
        .given();
    let source = check_source(raw.from, name, context, report);
    let target = check_target(raw.into, name, context, report);
    let options = options::check(raw.options, report).over(context.defaults);
    let lost = lost_key_columns(&options);
    if !lost.is_empty() {
        let what = format!("`columns` lacks the key column {}", lost.join(", "));
        report.add(
            &name.place,
            Fault::new(what, "add it to `columns`, or remove `columns`"),
        );
    }
    let key = options.key.required(report, &name.place, || {
        let what = format!("job {} has no `key`", shown(&name.value));
        Fault::new(what, "add `key: [ID]`, the columns that identify a row")
    });
    let (target, database) = target?;
    let job = Job {
        name: job_name?.value,
        source: source?,
        target,
        key: texts(key?.value),
        mode: options.mode.or_default(Mode::Incremental)?,
        schedule: options.schedule.or_default(Schedule::OnCommand)?,
        filter: options.filter.optional()?,
        columns: options.columns.optional()?.map(texts),
        on_source_replaced: options
            .on_source_replaced
            .or_default(OnSourceReplaced::Halt)?,
        refresh_above: options.refresh_above.or_default(RefreshAbove::Cost)?,
        collapse_memory_bytes: options
            .collapse_memory_bytes
            .or_default(DEFAULT_COLLAPSE_MEMORY_BYTES)?,
    };
    Some((job, database))
}

fn check_source(
    from: Field<String>,
    job: &Written<String>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<SourceLocation> {
    let base = context.surroundings.base;
    let source = from.check(report, |text| {
        SourceLocation::parse(&text, base, context.catalogs)
    });
    source
        .required(report, &job.place, || {
            let what = format!("job {} has no `from`", shown(&job.value));
            Fault::new(what, "add `from: PATH` or `from: catalog.schema.table`")
        })?
        .value
}

type TargetAndDatabase = (TargetTable, Option<Address>);

fn check_target(
    into: Field<String>,
    job: &Written<String>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<TargetAndDatabase> {
    let target = into.check(report, |text| parse_target(&text, context.targets));
    target
        .required(report, &job.place, || {
            let what = format!("job {} has no `into`", shown(&job.value));
            Fault::new(what, "add `into: target.schema.table`")
        })?
        .value
}

/// Reads `target.schema.table`; `None` if the target itself could not be read.
fn parse_target(text: &str, targets: &Targets) -> Result<Option<TargetAndDatabase>, Fault> {
    if text.contains('{') {
        let what = format!(
            "the pattern {} is not supported in this version",
            shown(text)
        );
        return Err(Fault::new(what, "declare one job for each table"));
    }
    let parts = identifier::dotted(text)?;
    let Ok([target, schema, table]) = <[_; 3]>::try_from(parts) else {
        let what = format!("{} is not target.schema.table", shown(text));
        return Err(Fault::new(
            what,
            "give all three parts, such as `serving.public.customers`",
        ));
    };
    let found = targets.find(&target.text)?;
    let (schema, table) = (schema.into_identifier()?, table.into_identifier()?);
    if schema == STATE_SCHEMA || schema.starts_with("pg_") || schema == "information_schema" {
        let what = format!("schema {} is not for tables of jobs", shown(&schema));
        return Err(Fault::new(what, "choose another schema, such as `public`"));
    }
    Ok(match found {
        Found::Nowhere => None,
        Found::Faulty(name) => Some((
            TargetTable {
                target: name,
                schema,
                table,
            },
            None,
        )),
        Found::Right(target) => {
            let database = Some(target.url.address().clone());
            Some((
                TargetTable {
                    target: target.name.clone(),
                    schema,
                    table,
                },
                database,
            ))
        }
    })
}

/// The key's columns that `columns` leaves out.
fn lost_key_columns(options: &Options) -> Vec<String> {
    let (Field::Given(key), Field::Given(columns)) = (&options.key, &options.columns) else {
        return Vec::new();
    };
    let is_lost = |name: &&Written<String>| {
        !columns
            .value
            .iter()
            .any(|column| same_column(&column.value, &name.value))
    };
    key.value
        .iter()
        .filter(is_lost)
        .map(|name| shown(&name.value))
        .collect()
}

fn texts(columns: Vec<Written<String>>) -> Vec<String> {
    columns.into_iter().map(|column| column.value).collect()
}
