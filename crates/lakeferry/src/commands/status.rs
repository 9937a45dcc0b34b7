//! `status`: how far each job has come. Writes nothing.

use lakeferry_config::Config;
use lakeferry_model::{Clock as _, ColumnRole, DeltaVersion, Instant, Source, Standing, Target};
use lakeferry_postgres::read_status;
use serde::Serialize;

use crate::{
    commands::{
        filter_time::FilterTime,
        pause::Paused,
        wording::{counted, seconds_wording, table_wording, time_wording, unfinished_wording},
    },
    exit::Trouble,
    output::Done,
    wiring,
};

/// How one job stands.
#[derive(Debug, Serialize)]
struct JobStatus {
    job: String,
    source: String,
    target: String,
    table: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark: Option<u64>,
    head: u64,
    /// Head minus watermark; absent before the first fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_versions: Option<u64>,
    /// The age of the oldest commit that the target does not have; absent before the first fill, and where
    /// that commit was cleaned away.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
    /// Whether that is more than the job's `max_lag`, where it has one and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lag_exceeded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_time: Option<FilterTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    /// Who works on it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// Columns of the target that the source does not have any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached_columns: Vec<String>,
    /// Columns of the source that the target does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns_left_out: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<LastRun>,
    /// A first fill that was begun and has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished_fill: Option<Unfinished>,
    /// Rows of the source that the target cannot hold; with any, the job is degraded.
    quarantined: u64,
}

/// How far a first fill has come.
#[derive(Debug, Serialize)]
struct Unfinished {
    version: u64,
    pieces: u64,
    pieces_loaded: u64,
    rows_loaded: u64,
    #[serde(skip)]
    told: String,
}

/// The newest run that did something.
#[derive(Debug, Serialize)]
struct LastRun {
    finished_at: String,
    kind: String,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Shows the named jobs, or all.
pub(crate) async fn status(config: &Config, names: &[String]) -> Result<Done, Trouble> {
    let mut shown = Vec::new();
    let mut troubles = Vec::new();
    for job in wiring::chosen(config, names)? {
        match look(config, job).await {
            Ok(status) => shown.push(status),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let text = shown.iter().map(told).collect();
    Ok(Done {
        troubles,
        ..Done::new(text, &shown)
    })
}

async fn look(config: &Config, job: &lakeferry_config::Job) -> Result<JobStatus, Trouble> {
    let wired = wiring::job(config, job).await?;
    let trouble = |error| wiring::target_trouble(job, &error);
    let standing = wired.target.inspect().await.map_err(trouble)?;
    let connect = wiring::connect_settings(config, job)?;
    let deployment = config.deployment.to_string();
    let kept = read_status(&connect, wiring::STATE_SCHEMA, &deployment)
        .await
        .map_err(trouble)?;
    let kept = kept
        .into_iter()
        .find(|kept| kept.name == job.name.to_string());
    let (holder, last_run, quarantined) = kept.map_or((None, None, 0), |kept| {
        (kept.holder, kept.last_run, kept.quarantined)
    });
    let head = wired.source.head().await;
    let head = head.map_err(|error| wiring::source_trouble(job, &error))?;
    let unfinished_fill = standing.unfinished.as_ref().map(|fill| Unfinished {
        version: fill.plan.watermark.version.0,
        pieces: fill.plan.pieces,
        pieces_loaded: fill.loaded,
        rows_loaded: fill.rows,
        told: unfinished_wording(fill),
    });
    let watermark = standing.watermark().map(|watermark| watermark.version.0);
    let lag_seconds = match watermark {
        Some(had) if had < head.version.0 => {
            let missing = wired.source.commit_time(DeltaVersion(had + 1)).await;
            let missing = missing.map_err(|error| wiring::source_trouble(job, &error))?;
            let age = |made: Instant| wired.clock.now().0.saturating_sub(made.0).max(0);
            missing.map(|made| age(made) as f64 / 1e6)
        }
        had => had.map(|_| 0.0),
    };
    let max_lag = job.max_lag.map(|max| max.as_secs_f64());
    Ok(JobStatus {
        job: job.name.to_string(),
        source: job.source.to_string(),
        target: job.target.to_string(),
        table: table_wording(standing.table),
        watermark,
        head: head.version.0,
        lag_versions: watermark.map(|watermark| head.version.0.saturating_sub(watermark)),
        lag_seconds,
        max_lag_exceeded: max_lag.zip(lag_seconds).map(|(max, lag)| lag > max),
        filter_time: FilterTime::of(job, &wired, &standing),
        paused: standing.paused.as_ref().map(Paused::of),
        holder: holder.map(|holder| holder.to_string()),
        detached_columns: columns(&standing, ColumnRole::Detached),
        columns_left_out: columns(&standing, ColumnRole::LeftOut)
            .into_iter()
            .filter(|name| head.columns.index_of(name).is_ok())
            .collect(),
        last_run: last_run.map(|run| LastRun {
            finished_at: time_wording(run.finished_at),
            kind: run.kind,
            inserted: run.rows.inserted,
            updated: run.rows.updated,
            deleted: run.rows.deleted,
        }),
        unfinished_fill,
        quarantined,
    })
}

/// The columns that are this to their job.
fn columns(standing: &Standing<DeltaVersion>, role: ColumnRole) -> Vec<String> {
    let columns = standing.progress.iter();
    let columns = columns.flat_map(|progress| &progress.fingerprint.columns);
    let such = columns.filter(|column| column.role == role);
    such.map(|column| column.name.clone()).collect()
}

fn told(status: &JobStatus) -> String {
    let JobStatus {
        job,
        source,
        target,
        table,
        head,
        ..
    } = status;
    let place = match (status.watermark, status.lag_versions) {
        (Some(at), Some(0)) => format!("version {at}, up to date"),
        (Some(at), Some(lag)) => format!("version {at}, {} behind", counted(lag, "version")),
        _ => format!("not filled yet; the source is at version {head}"),
    };
    let mut text = format!("{job}: {place}\n  {source} → {target} ({table})\n");
    if let (Some(true), Some(lag)) = (status.max_lag_exceeded, status.lag_seconds) {
        let lag = seconds_wording(lag);
        text.push_str(&format!(
            "  its max_lag is exceeded: it lacks a commit that is {lag} old\n"
        ));
    }
    if let Some(paused) = &status.paused {
        text.push_str(&format!("  {}\n", paused.told()));
    }
    if let Some(run) = &status.last_run {
        let LastRun {
            finished_at,
            kind,
            inserted,
            updated,
            deleted,
        } = run;
        text.push_str(&format!(
            "  last: {kind} at {finished_at}: {inserted} inserted, {updated} updated, {deleted} deleted\n"
        ));
    }
    if let Some(time) = &status.filter_time {
        text.push_str(&format!("  filter: {}\n", time.told()));
    }
    for (what, columns) in [
        ("detached", &status.detached_columns),
        ("left out", &status.columns_left_out),
    ] {
        if !columns.is_empty() {
            text.push_str(&format!("  {what}: {}\n", columns.join(", ")));
        }
    }
    if let Some(fill) = &status.unfinished_fill {
        text.push_str(&format!("  unfinished: {}\n", fill.told));
    }
    if status.quarantined > 0 {
        text.push_str(&format!(
            "  degraded: {} in quarantine; see lakeferry quarantine list {job}\n",
            counted(status.quarantined, "row")
        ));
    }
    if let Some(holder) = &status.holder {
        text.push_str(&format!("  now: {holder} is working on it\n"));
    }
    text
}
