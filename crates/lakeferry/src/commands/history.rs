//! `history`: what was done, newest first. Writes nothing.

use lakeferry_config::{Config, Job, TargetName};
use lakeferry_model::RowCounts;
use lakeferry_postgres::{Run, read_history};
use serde::Serialize;

use crate::{
    commands::wording::{bad_wording, counted, seconds_wording, time_wording},
    exit::Trouble,
    output::Done,
    wiring,
};

/// One run of one job.
#[derive(Debug, Serialize)]
pub(crate) struct Past {
    job: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    through: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
    quarantined: u64,
    released: u64,
    nulled: u64,
    replaced: u64,
    #[serde(skip)]
    bad: Option<String>,
    started_at: String,
    finished_at: String,
    seconds: f64,
}

/// Shows the newest `limit` runs of one job, or of each.
pub(crate) async fn history(
    config: &Config,
    job: Option<&String>,
    limit: u32,
) -> Result<Done, Trouble> {
    let names: Vec<String> = job.into_iter().cloned().collect();
    let jobs = wiring::chosen(config, &names)?;
    let mut runs = Vec::new();
    let mut troubles = Vec::new();
    for target in config.targets.keys() {
        let here: Vec<&Job> = jobs
            .iter()
            .filter(|job| job.target.target == *target)
            .copied()
            .collect();
        match of_target(config, target, &here, limit).await {
            Ok(found) => runs.extend(found),
            Err(trouble) => troubles.push(trouble),
        }
    }
    runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.finished_at));
    let past: Vec<Past> = runs.into_iter().map(|(job, run)| past(job, run)).collect();
    let text = match past.is_empty() {
        true if troubles.is_empty() => "nothing was done yet\n".to_owned(),
        _ => past.iter().map(told).collect(),
    };
    Ok(Done {
        troubles,
        ..Done::new(text, &past)
    })
}

/// The newest `limit` runs of a job.
pub(crate) async fn of_job(config: &Config, job: &Job, limit: u32) -> Result<Vec<Past>, Trouble> {
    let runs = of_target(config, &job.target.target, &[job], limit).await?;
    Ok(runs.into_iter().map(|(job, run)| past(job, run)).collect())
}

async fn of_target(
    config: &Config,
    target: &TargetName,
    jobs: &[&Job],
    limit: u32,
) -> Result<Vec<(String, Run)>, Trouble> {
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    tracing::debug!(%target, "reading the runs");
    let connect = wiring::connect_settings(config, first)?;
    let deployment = config.deployment.to_string();
    let names: Vec<String> = jobs.iter().map(|job| job.name.to_string()).collect();
    let runs = read_history(&connect, wiring::STATE_SCHEMA, &deployment, &names, limit).await;
    runs.map_err(|error| wiring::target_trouble(first, &error))
}

fn past(job: String, run: Run) -> Past {
    let RowCounts {
        inserted,
        updated,
        deleted,
    } = run.rows;
    let micros = run.finished_at.0.saturating_sub(run.started_at.0);
    Past {
        job,
        kind: run.kind,
        from: run.from_version,
        through: run.through_version,
        inserted,
        updated,
        deleted,
        quarantined: run.bad.quarantined,
        released: run.bad.released,
        nulled: run.bad.nulled,
        replaced: run.bad.replaced,
        bad: bad_wording(&run.bad),
        started_at: time_wording(run.started_at),
        finished_at: time_wording(run.finished_at),
        seconds: micros as f64 / 1e6,
    }
}

fn told(past: &Past) -> String {
    let from = past
        .from
        .map_or_else(|| "new".to_owned(), |from| format!("version {from}"));
    format!(
        "{} {}: {}, {from} → version {}: {} inserted, {} updated, {} deleted{}; {}\n",
        past.finished_at,
        past.job,
        past.kind,
        past.through,
        counted(past.inserted, "row"),
        past.updated,
        past.deleted,
        past.bad
            .as_ref()
            .map(|bad| format!(", {bad}"))
            .unwrap_or_default(),
        seconds_wording(past.seconds),
    )
}
