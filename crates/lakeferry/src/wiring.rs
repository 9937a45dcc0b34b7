//! From checked settings to a job that can run: the one place where the parts meet.

use std::{collections::BTreeMap, process};

use lakeferry_config::{Config, Mode, RefreshAbove};
use lakeferry_delta::{Check, DeltaSource};
use lakeferry_engine::{Job, OnSourceReplaced, Policy, Retry};
use lakeferry_model::{DeltaVersion, Holder};
use lakeferry_postgres::{ConnectSettings, PostgresTarget, Table, TargetSettings};

use crate::{
    arguments::Arguments,
    exit::{Code, Trouble, source_code, target_code},
    system_clock::SystemClock,
};

/// A job, wired.
pub(crate) type WiredJob = Job<DeltaSource, PostgresTarget<DeltaVersion>, SystemClock>;

/// The share of a table at which reading its changes costs as much as reading all of it: a
/// changed row is read with its old image and looked up by key, an unchanged one only compared.
const COST_SHARE: f64 = 0.5;

/// Reads the configuration.
pub(crate) fn configuration(arguments: &Arguments) -> Result<Config, Trouble> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(lakeferry_config::read(&arguments.config, &environment)?)
}

/// The jobs that were named, or all of them.
pub(crate) fn chosen<'a>(
    config: &'a Config,
    names: &[String],
) -> Result<Vec<&'a lakeferry_config::Job>, Trouble> {
    if names.is_empty() {
        return Ok(config.jobs.values().collect());
    }
    let find = |name: &String| {
        config.jobs.get(name.as_str()).ok_or_else(|| {
            let known: Vec<_> = config.jobs.keys().map(ToString::to_string).collect();
            Trouble::new(Code::Configuration, format!("there is no job {name}"))
                .hint(format!("the jobs are: {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// The source of a job, and what its settings mean there.
pub(crate) async fn source(
    job: &lakeferry_config::Job,
) -> Result<(DeltaSource, Check), Trouble> {
    let settings = lakeferry_delta::Settings {
        location: job.source.directory().to_string_lossy().into_owned(),
        columns: job.columns.clone(),
        filter: job.filter.clone(),
        key: job.key.clone(),
    };
    let name = &job.name;
    let trouble = |error: lakeferry_delta::Error| {
        let mut trouble = Trouble::of(source_code(&error), &error);
        trouble.reason = format!("job {name}: {}", trouble.reason);
        trouble
    };
    let source = DeltaSource::open(settings).map_err(trouble)?;
    let check = source.check().await.map_err(trouble)?;
    Ok((source, check))
}

/// A job that can run.
pub(crate) async fn job(
    config: &Config,
    job: &lakeferry_config::Job,
) -> Result<WiredJob, Trouble> {
    let (source, check) = source(job).await?;
    let target = target(config, job, &check)?;
    let policy = Policy {
        key: config.job_key(job),
        holder: holder(),
        key_columns: check.key,
        filter: check.filter,
        always_refresh: job.mode == Mode::Snapshot,
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
    };
    Ok(Job { source, target, clock: SystemClock, policy })
}

fn target(
    config: &Config,
    job: &lakeferry_config::Job,
    check: &Check,
) -> Result<PostgresTarget<DeltaVersion>, Trouble> {
    let name = &job.name;
    let Some(server) = config.target_of(job) else {
        return Err(Trouble::new(Code::Configuration, format!("job {name}: it has no target")));
    };
    let trouble = |error: lakeferry_postgres::Error| {
        let mut trouble = Trouble::of(target_code(&error), &error);
        trouble.reason = format!("job {name}: {}", trouble.reason);
        trouble
    };
    let mut connect = ConnectSettings::parse(server.url.expose()).map_err(trouble)?;
    if let Some(password) = server.read_password()? {
        connect = connect.password(password.expose());
    }
    let settings = TargetSettings {
        connect,
        state_schema: "lakeferry".to_owned(),
        job: config.job_key(job),
        table: Table { schema: job.target.schema.clone(), name: job.target.table.clone() },
        key: check.key.clone(),
        comment: None,
    };
    PostgresTarget::new(settings).map_err(trouble)
}

/// This process, in words an operator can find it by.
fn holder() -> Holder {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Holder(format!("process {} on {}", process::id(), host.trim()))
}
