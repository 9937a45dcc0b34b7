//! From checked settings to a job that can run: the one place where the parts meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    process,
};

use arrow_schema::{Field, FieldRef, extension::EXTENSION_TYPE_NAME_KEY};
use chrono_tz::Tz;
use lakeferry_config::{
    Config, Listing, Loaded, Mode, Password, RefreshAbove, Schedule, Tables, TargetName,
};
use lakeferry_delta::{Check, DeltaSource, tables_below};
use lakeferry_engine::{DropColumns, Job, Meter, OnSchemaChange, OnSourceReplaced, Policy, Retry};
use lakeferry_model::{
    BadRows, Calendar, ColumnChoice, DeltaVersion, Guard, Holder, Instant, source_name,
};
use lakeferry_postgres::{
    ConnectSettings, Control, PasswordSource, PostgresTarget, Spares, Table, TargetSettings,
};

use crate::{
    arguments::Arguments,
    exit::{Code, Trouble, source_code, target_code},
    share::MOST,
    system_clock::SystemClock,
};

/// Where the state of jobs is kept in every target.
pub(crate) const STATE_SCHEMA: &str = "lakeferry";

/// A job, wired.
pub(crate) type WiredJob = Job<DeltaSource, PostgresTarget<DeltaVersion>, SystemClock>;

/// The share of a table at which reading its changes costs as much as reading all of it: a
/// changed row is read with its old image and looked up by key, an unchanged one only compared.
const COST_SHARE: f64 = 0.5;

/// The times of a schedule on the clock of a zone.
#[derive(Debug)]
pub(crate) struct Cron(pub(crate) lakeferry_config::Cron, pub(crate) Tz);

impl Calendar for Cron {
    fn next_after(&self, after: Instant) -> Option<Instant> {
        self.0.next_after(after, self.1)
    }
}

/// Lists the tables that patterns of the configuration ask for.
struct Lake;

impl Listing for Lake {
    fn tables(&self, root: &Path, levels: usize) -> io::Result<Vec<PathBuf>> {
        tables_below(root, levels)
    }
}

/// Reads the configuration, and looks for the tables that its patterns name.
pub(crate) fn configuration(arguments: &Arguments) -> Result<Loaded, Trouble> {
    read(&arguments.config, Tables::Listed(&Lake))
}

/// Reads the configuration from its files alone.
pub(crate) fn configuration_offline(arguments: &Arguments) -> Result<Loaded, Trouble> {
    read(&arguments.config, Tables::Unknown)
}

/// Reads the configuration again, as [`configuration`] did.
pub(crate) fn read_again(paths: &[PathBuf]) -> Result<Loaded, Trouble> {
    read(paths, Tables::Listed(&Lake))
}

fn read(paths: &[PathBuf], tables: Tables<'_>) -> Result<Loaded, Trouble> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(lakeferry_config::read(paths, &environment, tables)?)
}

/// The jobs that were named, each once, or all of them.
pub(crate) fn chosen<'a>(
    config: &'a Config,
    names: &[String],
) -> Result<Vec<&'a lakeferry_config::Job>, Trouble> {
    for name in names {
        if config.job(name).is_none() {
            let known: Vec<_> = config.jobs.iter().map(|job| job.name.to_string()).collect();
            let reason = format!("there is no job {name}");
            return Err(Trouble::new(Code::Configuration, reason)
                .hint(format!("the jobs are: {}", known.join(", "))));
        }
    }
    let is_chosen = |job: &&lakeferry_config::Job| {
        names.is_empty() || names.iter().any(|name| name == job.name.as_str())
    };
    Ok(config.jobs.iter().filter(is_chosen).collect())
}

/// What tells the rows of a job apart, as its target calls the columns.
pub(crate) struct Ranks {
    key: Vec<String>,
    dedupe_by: Option<String>,
}

/// The source of a job, what its settings mean there, and what tells its rows apart.
pub(crate) async fn source(
    job: &lakeferry_config::Job,
) -> Result<(DeltaSource, Check, Ranks), Trouble> {
    // Absolute, so that messages say where the table was looked for.
    let directory = job.source.directory();
    let location = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let settings = lakeferry_delta::Settings {
        location: location.to_string_lossy().into_owned(),
        columns: job.columns.clone(),
        filter: job.filter.clone(),
        timezone: job.timezone,
        filter_every: job.filter_every.or(match &job.schedule {
            Schedule::Every(interval) => Some(*interval),
            Schedule::OnCommand | Schedule::Cron(_) => None,
        }),
    };
    let trouble = |error| source_trouble(job, &error);
    let source = DeltaSource::new(settings).map_err(trouble)?;
    let check = source.check().await.map_err(trouble)?;
    let ranks = Ranks {
        key: columns_of(job, &check, "key", &job.key)?,
        dedupe_by: columns_of(job, &check, "dedupe_by", job.dedupe_by.as_slice())?.pop(),
    };
    lakeferry_postgres::check_types(&check.head.columns, &ranks.key)
        .map_err(|error| Trouble::of(Code::Configuration, &error).about(job))?;
    let is_own = |column: &&FieldRef| job.own.has(column.name());
    if let Some(column) = check.head.columns.fields().iter().find(is_own) {
        let (source, name) = (source_name(column), column.name());
        let what =
            format!("column {source} of its source is called {name}, as one that it writes itself");
        let hint = "give it another name by rename: in columns:, or exclude it";
        return Err(Trouble::new(Code::Configuration, what)
            .about(job)
            .hint(hint));
    }
    Ok((source, check, ranks))
}

/// The columns that an option names, as the job's target calls them. The job says what they are in the
/// source, where, as in Spark, case does not matter.
fn columns_of(
    job: &lakeferry_config::Job,
    check: &Check,
    option: &str,
    named: &[String],
) -> Result<Vec<String>, Trouble> {
    let columns = check.head.columns.fields();
    let find = |wanted: &String| {
        let wanted_name = wanted.to_lowercase();
        let mut found = columns
            .iter()
            .filter(|column| source_name(column).to_lowercase() == wanted_name);
        let wrong = match (found.next(), found.next()) {
            (Some(column), None) if column.data_type().is_nested() => {
                "has parts (array, map or struct), and rows are told apart by columns without"
            }
            (Some(column), None) if option == "dedupe_by" && has_no_order(column) => {
                "is a variant, which has no order"
            }
            (Some(column), None) => return Ok(column.name().clone()),
            (None, _) => "is not a column of its source",
            (Some(_), Some(_)) => "is more than one column of its source, by case",
        };
        let names: Vec<_> = columns.iter().map(|column| source_name(column)).collect();
        let reason = format!("column {wanted} of its {option} {wrong}");
        Err(Trouble::new(Code::Configuration, reason)
            .about(job)
            .hint(format!("the columns are: {}", names.join(", "))))
    };
    named.iter().map(find).collect()
}

/// Variants come as texts of JSON.
fn has_no_order(column: &Field) -> bool {
    column.metadata().contains_key(EXTENSION_TYPE_NAME_KEY)
}

/// The columns that are left out, so that neither their order nor their case says anything.
fn excluded(columns: &ColumnChoice) -> Vec<String> {
    let names: BTreeSet<_> = (columns.excluded.iter())
        .map(|name| name.to_lowercase())
        .collect();
    names.into_iter().collect()
}

/// The target of a job, for what needs no source.
pub(crate) fn target(
    config: &Config,
    job: &lakeferry_config::Job,
) -> Result<PostgresTarget<DeltaVersion>, Trouble> {
    let settings = target_settings(config, job, job.key.clone())?;
    PostgresTarget::new(settings).map_err(|error| target_trouble(job, &error))
}

/// A job that can run.
pub(crate) async fn job(config: &Config, job: &lakeferry_config::Job) -> Result<WiredJob, Trouble> {
    job_with_spares(config, job, Spares::default(), None).await
}

/// A job that can run, and keeps connections in between; it may have `max_connections` at once, where that
/// is not for its target to say.
pub(crate) async fn job_with_spares(
    config: &Config,
    job: &lakeferry_config::Job,
    spares: Spares,
    max_connections: Option<u32>,
) -> Result<WiredJob, Trouble> {
    let (source, check, ranks) = source(job).await?;
    let mut settings = target_settings(config, job, ranks.key.clone())?;
    settings.max_connections = max_connections.unwrap_or(settings.max_connections);
    let target = PostgresTarget::with_spares(settings, spares);
    let target = target.map_err(|error| target_trouble(job, &error))?;
    let policy = Policy {
        key: config.job_key(job),
        holder: holder(),
        key_columns: ranks.key,
        dedupe_by: ranks.dedupe_by,
        on_null_key: job.on_null_key,
        filter: check.filter,
        timezone: job.timezone.name().to_owned(),
        always_refresh: job.mode == Mode::Snapshot,
        appends: job.mode == Mode::Append,
        lists_columns: job.columns.listed.is_some(),
        excluded: excluded(&job.columns),
        own: job.own,
        on_schema_change: match job.on_schema_change {
            lakeferry_config::OnSchemaChange::Evolve => OnSchemaChange::Evolve,
            lakeferry_config::OnSchemaChange::Halt => OnSchemaChange::Halt,
            lakeferry_config::OnSchemaChange::Ignore => OnSchemaChange::Ignore,
        },
        drop_columns: match job.drop_columns {
            lakeferry_config::DropColumns::Detach => DropColumns::Detach,
            lakeferry_config::DropColumns::Null => DropColumns::Null,
            lakeferry_config::DropColumns::Drop => DropColumns::Drop,
            lakeferry_config::DropColumns::Halt => DropColumns::Halt,
        },
        on_source_replaced: match job.on_source_replaced {
            lakeferry_config::OnSourceReplaced::Halt => OnSourceReplaced::Halt,
            lakeferry_config::OnSourceReplaced::Refresh => OnSourceReplaced::Refresh,
        },
        refresh_above: match job.refresh_above {
            RefreshAbove::Cost => COST_SHARE,
            RefreshAbove::Share(share) => share,
        },
        collapse_memory_bytes: usize::try_from(job.collapse_memory_bytes).unwrap_or(usize::MAX),
        retry: Retry::default(),
        ignores_pause: false,
    };
    Ok(Job {
        source,
        target,
        clock: SystemClock,
        policy,
        meter: Meter::default(),
    })
}

/// A failure of a job's source outside of a run.
pub(crate) fn source_trouble(
    job: &lakeferry_config::Job,
    error: &lakeferry_delta::Error,
) -> Trouble {
    Trouble::of(source_code(error), error).about(job)
}

/// How and where a job writes.
pub(crate) fn target_settings(
    config: &Config,
    job: &lakeferry_config::Job,
    key: Vec<String>,
) -> Result<TargetSettings, Trouble> {
    let server = server(config, job)?;
    Ok(TargetSettings {
        connect: connect_settings(config, job)?,
        state_schema: STATE_SCHEMA.to_owned(),
        job: config.job_key(job),
        table: Table {
            schema: job.target.schema.clone(),
            name: job.target.table.clone(),
        },
        key,
        comment: None,
        lease: server.lease,
        guard: Guard {
            max_delete_share: job.max_delete_share,
            allow_empty: job.allow_empty,
        },
        allow_rewrite: job.allow_rewrite,
        bad_rows: BadRows {
            on_bad_value: job.on_bad_value,
            on_null_key: job.on_null_key,
            max_rows: job.max_quarantined.rows,
            max_share: job.max_quarantined.share,
        },
        own: job.own,
        max_connections: server.max_connections.unwrap_or(MOST),
    })
}

fn server<'a>(
    config: &'a Config,
    job: &lakeferry_config::Job,
) -> Result<&'a lakeferry_config::Target, Trouble> {
    config
        .target_of(job)
        .ok_or_else(|| Trouble::new(Code::Configuration, "it has no target").about(job))
}

/// How a job reaches its server; the password is read at each connect.
pub(crate) fn connect_settings(
    config: &Config,
    job: &lakeferry_config::Job,
) -> Result<ConnectSettings, Trouble> {
    let target = server(config, job)?;
    let connection = &target.connection;
    let connect = ConnectSettings::new(connection.parameters(), connection.home());
    let connect = connect.map_err(|error| target_trouble(job, &error))?;
    Ok(match &target.password {
        Some(password) => connect.password(password_source(&target.name, password)),
        None => connect,
    })
}

fn password_source(target: &TargetName, password: &Password) -> PasswordSource {
    let (target, password) = (target.clone(), password.clone());
    PasswordSource::new(move || match password.read() {
        Ok(secret) => Ok(secret.expose().to_owned()),
        Err(error) => {
            let what = format!("the password of target {target} was not read");
            Err(lakeferry_postgres::Error::no_password(what, error))
        }
    })
}

/// How many connections the server of a job leaves.
pub(crate) async fn free_connections(
    config: &Config,
    job: &lakeferry_config::Job,
    spares: &Spares,
) -> Result<u32, Trouble> {
    let connect = connect_settings(config, job)?;
    let free = lakeferry_postgres::free_connections(&connect, spares).await;
    free.map_err(|error| target_trouble(job, &error))
}

/// Pauses and requests of the deployment's jobs, where `job` keeps its own.
pub(crate) fn control(
    config: &Config,
    job: &lakeferry_config::Job,
    spares: Spares,
) -> Result<Control, Trouble> {
    let connect = connect_settings(config, job)?;
    let control = Control::new(connect, spares, STATE_SCHEMA, config.deployment.as_str());
    control.map_err(|error| target_trouble(job, &error))
}

/// The job, with its guards off where that was said.
pub(crate) fn allowed(job: &lakeferry_config::Job, accept_deletes: bool) -> lakeferry_config::Job {
    let mut job = job.clone();
    if accept_deletes {
        (job.allow_empty, job.max_delete_share) = (true, 1.0);
    }
    job
}

/// A failure of a job's target outside of a run.
pub(crate) fn target_trouble(
    job: &lakeferry_config::Job,
    error: &lakeferry_postgres::Error,
) -> Trouble {
    Trouble::of(target_code(error), error).about(job)
}

/// This process, in words an operator can find it by.
pub(crate) fn holder() -> Holder {
    Holder(format!("process {} on {}", process::id(), host()))
}

/// Who uses this process, in words others know them by.
pub(crate) fn operator() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    format!("{} on {}", user.as_deref().unwrap_or("somebody"), host())
}

fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}
