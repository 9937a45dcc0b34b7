//! `sync`: bring targets to the newest version of their sources.

use lakeferry_config::Config;
use lakeferry_engine::{Report, Request, drive};
use lakeferry_model::{DeltaVersion, RowCounts};
use serde::Serialize;

use crate::{
    commands::wording::{counted, step_wording},
    exit::Trouble,
    output::Done,
    wiring,
};

/// Syncs the named jobs, or all.
pub(crate) async fn sync(
    config: &Config,
    names: &[String],
    accept_deletes: bool,
) -> Result<Done, Trouble> {
    bring(config, names, Request::Sync, accept_deletes).await
}

/// What became of one job.
#[derive(Debug, Serialize)]
struct Outcome {
    job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<u64>,
    steps: Vec<StepDone>,
    /// Reason and causes, in one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct StepDone {
    kind: String,
    through: u64,
    rows_read: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Brings jobs forward, one after the other; one job's trouble does not stop the next.
pub(crate) async fn bring(
    config: &Config,
    names: &[String],
    request: Request,
    accept_deletes: bool,
) -> Result<Done, Trouble> {
    let mut text = String::new();
    let mut outcomes = Vec::new();
    let mut troubles = Vec::new();
    for job in wiring::chosen(config, names)? {
        let mut report = Report::default();
        let mut job = job.clone();
        if accept_deletes {
            (job.allow_empty, job.max_delete_share) = (true, 1.0);
        }
        let result = bring_one(config, &job, request, &mut report).await;
        if result.is_ok() || !report.steps.is_empty() {
            text.push_str(&told(&job, &report));
        }
        outcomes.push(outcome(&job, &report, result.as_ref().err()));
        troubles.extend(result.err());
    }
    let done = Done::new(text, &outcomes);
    Ok(Done { troubles, ..done })
}

async fn bring_one(
    config: &Config,
    job: &lakeferry_config::Job,
    request: Request,
    report: &mut Report<DeltaVersion>,
) -> Result<(), Trouble> {
    let wired = wiring::job(config, job).await?;
    let done = Box::pin(drive(&wired, request, report)).await;
    done.map_err(|error| Trouble::from(error).about(job))
}

fn told(job: &lakeferry_config::Job, report: &Report<DeltaVersion>) -> String {
    let name = &job.name;
    let through = report
        .through
        .map_or_else(|| "?".to_owned(), |through| through.to_string());
    if report.steps.is_empty() && report.from == report.through {
        return format!("{name}: up to date at version {through}\n");
    }
    let mut total = RowCounts::default();
    let mut lines = String::new();
    for step in &report.steps {
        total += step.rows;
        let read = counted(step.rows_read, "row");
        lines.push_str(&format!(
            "  {}: {read} read\n",
            step_wording(step.kind, step.through)
        ));
    }
    let from = report
        .from
        .map_or_else(|| "new".to_owned(), |from| format!("version {from}"));
    let RowCounts {
        inserted,
        updated,
        deleted,
    } = total;
    format!(
        "{name}: {from} → version {through}: {inserted} inserted, {updated} updated, \
         {deleted} deleted\n{lines}"
    )
}

fn outcome(
    job: &lakeferry_config::Job,
    report: &Report<DeltaVersion>,
    trouble: Option<&Trouble>,
) -> Outcome {
    let steps = report.steps.iter().map(|step| StepDone {
        kind: step_wording(step.kind, step.through),
        through: step.through.0,
        rows_read: step.rows_read,
        inserted: step.rows.inserted,
        updated: step.rows.updated,
        deleted: step.rows.deleted,
    });
    Outcome {
        job: job.name.to_string(),
        from: report.from.map(|from| from.0),
        through: report.through.map(|through| through.0),
        steps: steps.collect(),
        error: trouble.map(Trouble::in_one_line),
    }
}
