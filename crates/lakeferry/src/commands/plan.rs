//! `plan`: what a sync would do. Reads source and target, writes nothing.

use lakeferry_config::Config;
use lakeferry_engine::{Plan, Preview, Request, StepKind, preview};
use lakeferry_model::{CommitRange, DeltaVersion, Size, Stage};
use lakeferry_postgres::{ddl_for, ddl_of};
use serde::Serialize;

use self::warnings::{Warning, warnings};
use crate::{
    commands::{
        filter_time::{FilterTime, instant_wording},
        wording::{
            alterations_wording, reading_wording, rebuild_wording, size_wording, step_wording,
            table_wording, unfinished_wording,
        },
    },
    exit::Trouble,
    output::Done,
    wiring::{self, WiredJob},
};

mod warnings;

/// What a sync of one job would do.
#[derive(Debug, Serialize)]
struct Planned {
    job: String,
    source: String,
    target: String,
    head: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark: Option<u64>,
    table: &'static str,
    would: String,
    /// What to do about a halt.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// What the first step reads.
    files: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ddl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_time: Option<FilterTime>,
    /// Before a first fill.
    warnings: Vec<Warning>,
}

/// Looks at the named jobs, or all.
pub(crate) async fn plan(config: &Config, names: &[String]) -> Result<Done, Trouble> {
    let mut planned = Vec::new();
    let mut troubles = Vec::new();
    for job in wiring::chosen(config, names)? {
        match look(config, job).await {
            Ok(plan) => planned.push(plan),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let text = planned.iter().map(told).collect();
    Ok(Done {
        troubles,
        ..Done::new(text, &planned)
    })
}

async fn look(config: &Config, job: &lakeferry_config::Job) -> Result<Planned, Trouble> {
    let wired = wiring::job(config, job).await?;
    let preview = Box::pin(preview(&wired, Request::Sync)).await;
    let preview = preview.map_err(|error| Trouble::from(error).about(job))?;
    let (would, size) = would(job, &wired, &preview).await?;
    let hint = match &preview.plan {
        Plan::Halt(halt) => Some(halt.hint(&job.name.to_string())),
        _ => None,
    };
    let warnings = warnings(job, &wired, &preview, size.bytes).await?;
    Ok(Planned {
        job: job.name.to_string(),
        source: job.source.to_string(),
        target: job.target.to_string(),
        head: preview.head.version.0,
        watermark: preview
            .standing
            .watermark()
            .map(|watermark| watermark.version.0),
        table: table_wording(preview.standing.table),
        would,
        hint,
        files: size.files,
        bytes: size.bytes,
        rows: size.rows,
        filter_time: FilterTime::of(job, &wired, &preview.standing),
        ddl: ddl(config, job, wired.policy.key_columns, &preview)?,
        warnings,
    })
}

/// What the first step would be, and how much it would read.
async fn would(
    job: &lakeferry_config::Job,
    wired: &WiredJob,
    preview: &Preview<DeltaVersion>,
) -> Result<(String, Size), Trouble> {
    let step = |kind, through| step_wording(kind, through, job.timezone);
    Ok(match &preview.plan {
        Plan::UpToDate => ("nothing: it is up to date".to_owned(), Size::default()),
        Plan::Broken(broken) => (format!("fail: {broken}"), Size::default()),
        Plan::Halt(halt) => (format!("halt: {}", halt.reason()), Size::default()),
        Plan::Alter {
            alterations,
            fingerprint,
        } => {
            let altered = alterations_wording(alterations);
            // No rows have such a fingerprint.
            match fingerprint.rows.is_empty() {
                true => (
                    format!("{altered}, then rebuild by difference"),
                    preview.head.size,
                ),
                false => (altered, Size::default()),
            }
        }
        Plan::Rebuild { at, stage, why } => {
            (rebuild_wording(*stage, *why, at.version), preview.head.size)
        }
        Plan::Resume { unfinished } => {
            let (pieces, loaded) = (unfinished.plan.pieces.max(1), unfinished.loaded);
            let missing = |all: u64| all * (pieces - loaded.min(pieces)) / pieces;
            let size = Size {
                files: missing(preview.head.size.files),
                bytes: missing(preview.head.size.bytes),
                rows: None,
            };
            let would = format!("go on with {}", unfinished_wording(unfinished));
            (would, size)
        }
        Plan::Adopt { at } => {
            let would = step(&StepKind::Adopt, at.version);
            (would, preview.head.size)
        }
        Plan::Retry { at } => {
            let would = step(&StepKind::Retry, at.version);
            (would, preview.head.size)
        }
        Plan::Advance { range } => {
            let would = step(&StepKind::Advance, range.through().version);
            (would, Size::default())
        }
        Plan::Changes { range, reading } => {
            let size = size_of_commits(preview, range);
            let (after, through) = (range.after().version, range.through().version);
            let how = reading_wording(*reading);
            let changes = format!("the changes after version {after} through {through} {how}");
            (format!("apply {changes}{}", others_of_keys(job)), size)
        }
        Plan::Move { at, until } => {
            let size = wired.source.moved_size(at, *until).await;
            let size = size.map_err(|error| wiring::source_trouble(job, &error))?;
            let from = instant_wording(at.instant, job.timezone);
            let moves = step(&StepKind::Moved { until: *until }, at.version);
            let others = others_of_keys(job);
            let would = format!("{moves}, from {from}: it depends on time{others}");
            (would, size)
        }
    })
}

/// What is read besides changes, how much of it shows only then.
fn others_of_keys(job: &lakeferry_config::Job) -> String {
    match &job.dedupe_by {
        Some(by) => format!(", and what else has their keys, to choose by {by}"),
        None => String::new(),
    }
}

/// What the changes of a range have to be read from.
fn size_of_commits(preview: &Preview<DeltaVersion>, range: &CommitRange<DeltaVersion>) -> Size {
    let commits = preview.commits.iter();
    let commits = commits.filter(|commit| range.contains(commit.version));
    let nothing = Size {
        rows: Some(0),
        ..Size::default()
    };
    commits.fold(nothing, |sum, commit| Size {
        files: sum.files + commit.size.files,
        bytes: sum.bytes + commit.size.bytes,
        rows: sum.rows.zip(commit.size.rows).map(|(sum, rows)| sum + rows),
    })
}

fn ddl(
    config: &Config,
    job: &lakeferry_config::Job,
    key: Vec<String>,
    preview: &Preview<DeltaVersion>,
) -> Result<Option<String>, Trouble> {
    let settings = wiring::target_settings(config, job, key)?;
    let ddl = match &preview.plan {
        Plan::Rebuild {
            stage: Stage::Fill, ..
        } => ddl_for(&settings, &preview.head.columns),
        Plan::Alter { alterations, .. } => ddl_of(&settings, alterations),
        _ => return Ok(None),
    };
    ddl.map(Some)
        .map_err(|error| wiring::target_trouble(job, &error))
}

fn told(plan: &Planned) -> String {
    let size = Size {
        files: plan.files,
        bytes: plan.bytes,
        rows: plan.rows,
    };
    let has = plan
        .watermark
        .map_or_else(String::new, |at| format!(", at version {at}"));
    let mut text = format!(
        "{}: {} → {}\n  source: at version {}\n  target: {}{has}\n  would: {}\n",
        plan.job, plan.source, plan.target, plan.head, plan.table, plan.would
    );
    if let Some(time) = &plan.filter_time {
        text.push_str(&format!("  filter: {}\n", time.told()));
    }
    if let Some(hint) = &plan.hint {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    if size.files > 0 {
        text.push_str(&format!("  reads: {}\n", size_wording(&size)));
    }
    for Warning { reason, hint } in &plan.warnings {
        text.push_str(&format!("  warning: {reason}\n    hint: {hint}\n"));
    }
    for line in plan.ddl.iter().flat_map(|ddl| ddl.lines()) {
        text.push_str(&format!("  | {line}\n"));
    }
    text
}
