//! Jobs: each by itself, then all against each other.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use chrono_tz::Tz;
use lakeferry_model::{Naming, OnBadValue, OnNullKey, OwnColumns};

use crate::{
    DropColumns, Job, JobName, MaxQuarantined, OnSchemaChange, OnSourceReplaced, RefreshAbove,
    Schedule, SourceLocation, TargetName, TargetTable,
    check::{
        columns::{self, Columns},
        keys,
        options::{self, Options},
        targets::{Found, Targets},
    },
    connection::Address,
    field::{Field, Written},
    identifier,
    problem::{Fault, Report},
    raw::{Named, RawJob},
    secret::shown,
    source_location::Catalogs,
};

/// Memory for the collapse of one commit range, where a job does not say.
const DEFAULT_COLLAPSE_MEMORY_BYTES: u64 = 64 << 20;

/// The share of a target's rows that one run may delete, where a job does not say.
const DEFAULT_MAX_DELETE_SHARE: f64 = 0.2;

/// How often a source is asked for its next commit, where a job does not say.
const DEFAULT_POLL_EVERY: Duration = Duration::from_secs(1);

/// The schema in a target that holds the state of jobs.
const STATE_SCHEMA: &str = "lakeferry";

/// A table, and the database it is in.
struct Destination {
    database: Database,
    table: TargetTable,
}

/// A database, so that two targets that lead to one are known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Database {
    At(Address),
    /// Of a target whose address is not known, for it is faulty.
    Of(TargetName),
}

/// The first job that writes to each table: by database, schema and table.
type Writers = BTreeMap<(Database, String, String), String>;

/// What jobs refer to.
pub(crate) struct Context<'a> {
    pub(crate) catalogs: &'a Catalogs,
    pub(crate) targets: &'a Targets,
    pub(crate) defaults: &'a Options,
}

/// The jobs in the order of the file, if all are right.
pub(crate) fn check(
    raw: Field<Vec<Named<RawJob>>>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Vec<Job>> {
    let mut writers = BTreeMap::new();
    // All are checked before any is given up.
    let jobs: Vec<Option<Job>> = raw
        .given()?
        .value
        .into_iter()
        .map(|Named { name, value }| check_job(&name, value?, context, &mut writers, report))
        .collect();
    jobs.into_iter().collect()
}

fn check_job(
    name: &Written<String>,
    raw: RawJob,
    context: &Context<'_>,
    writers: &mut Writers,
    report: &mut Report,
) -> Option<Job> {
    let job_name = Field::Given(name.clone())
        .check(report, JobName::parse)
        .given();
    let source = check_source(raw.from, name, context, report);
    let destination = check_destination(raw.into, name, context, report);
    if let Some(destination) = &destination {
        check_alone(name, destination, writers, report);
    }
    let options = options::check(raw.options, report).over(context.defaults);
    let keyed = keys::check(&options, name, report);
    let types = columns::check_types(raw.types, &options.columns, report);
    Some(Job {
        name: job_name?.value,
        source: source?,
        target: destination?.table,
        key: keyed.key?,
        dedupe_by: keyed.dedupe_by?,
        mode: keyed.mode?,
        schedule: options.schedule.or_default(Schedule::OnCommand)?,
        poll_every: options.poll_every.or_default(DEFAULT_POLL_EVERY)?,
        max_lag: options.max_lag.or_default(None)?,
        filter: options.filter.optional()?,
        timezone: options.timezone.or_default(Tz::UTC)?,
        filter_every: options.filter_every.optional()?,
        columns: (options.columns.or_default(Columns::default())?)
            .named(options.names.or_default(Naming::default())?, types?),
        own: OwnColumns {
            deleted_at: keyed.keeps_deleted?,
            ..options.metadata_columns.or_default(OwnColumns::default())?
        },
        on_source_replaced: options
            .on_source_replaced
            .or_default(OnSourceReplaced::Halt)?,
        on_schema_change: options
            .on_schema_change
            .or_default(OnSchemaChange::Evolve)?,
        drop_columns: options.drop_columns.or_default(DropColumns::Detach)?,
        allow_rewrite: options.allow_rewrite.or_default(false)?,
        refresh_above: options.refresh_above.or_default(RefreshAbove::Cost)?,
        collapse_memory_bytes: options
            .collapse_memory_bytes
            .or_default(DEFAULT_COLLAPSE_MEMORY_BYTES)?,
        allow_empty: options.allow_empty.or_default(false)?,
        max_delete_share: options
            .max_delete_share
            .or_default(DEFAULT_MAX_DELETE_SHARE)?,
        on_bad_value: options.on_bad_value.or_default(OnBadValue::Quarantine)?,
        on_null_key: options.on_null_key.or_default(OnNullKey::Halt)?,
        max_quarantined: options
            .max_quarantined
            .or_default(MaxQuarantined::default())?,
    })
}

/// Reports a job that writes to a table that an earlier job writes to.
fn check_alone(
    name: &Written<String>,
    destination: &Destination,
    writers: &mut Writers,
    report: &mut Report,
) {
    let Destination { database, table } = destination;
    let place = (database.clone(), table.schema.clone(), table.table.clone());
    match writers.entry(place) {
        Entry::Vacant(vacant) => {
            vacant.insert(name.value.clone());
        }
        Entry::Occupied(first) => {
            let (job, first) = (shown(&name.value), shown(first.get()));
            let what = format!("job {job} writes to {table}, as job {first} does");
            let hint = "give one of them another table; a table has at most one job";
            report.add(&name.place, Fault::new(what, hint));
        }
    }
}

fn check_source(
    from: Field<String>,
    job: &Written<String>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<SourceLocation> {
    let source = from.check_at(report, |text, place| {
        SourceLocation::parse(&text, place.directory(), context.catalogs)
    });
    source
        .required(report, &job.place, || {
            let what = format!("job {} has no `from`", shown(&job.value));
            Fault::new(what, "add `from: PATH` or `from: catalog.schema.table`")
        })?
        .value
}

fn check_destination(
    into: Field<String>,
    job: &Written<String>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Destination> {
    let destination = into.check(report, |text| parse_destination(&text, context.targets));
    let destination = destination.required(report, &job.place, || {
        let what = format!("job {} has no `into`", shown(&job.value));
        Fault::new(what, "add `into: target.schema.table`")
    });
    destination?.value
}

/// Reads `target.schema.table`; `None` if the target itself could not be read.
fn parse_destination(text: &str, targets: &Targets) -> Result<Option<Destination>, Fault> {
    if text.contains('{') {
        let what = format!(
            "{} has a place for a name, and `from` is no pattern",
            shown(text)
        );
        let hint = "write the table's name, or `from` like `prod.silver.*`";
        return Err(Fault::new(what, hint));
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
    let (target, database) = match found {
        Found::Right(target) => (
            target.name.clone(),
            Database::At(target.connection.address().clone()),
        ),
        Found::Faulty(name) => (name.clone(), Database::Of(name)),
        Found::Nowhere => return Ok(None),
    };
    Ok(Some(Destination {
        database,
        table: TargetTable {
            target,
            schema,
            table,
        },
    }))
}
