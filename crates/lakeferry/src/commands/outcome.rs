//! What became of a job that was brought forward: in words, and for programs.

use lakeferry_engine::{Report, Request, Step, StepKind};
use lakeferry_model::{BadRowCounts, DeltaVersion, Holder, RowCounts};
use lakeferry_postgres::Answer;
use serde::Serialize;

use crate::{
    commands::{
        pause::Paused,
        wording::{bad_wording, counted, step_wording},
    },
    exit::{Code, Trouble},
};

/// What became of one job.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    job: String,
    /// What others did who worked on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_others: Option<ByOthers>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Paused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<u64>,
    steps: Vec<StepDone>,
    /// Reason and causes, in one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What somebody else did, as they were asked to.
#[derive(Debug, Serialize)]
pub(crate) struct ByOthers {
    pub(crate) holder: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

impl ByOthers {
    /// # Errors
    /// If they did not do it.
    pub(crate) fn of(holder: &Holder, answer: Answer) -> Result<Self, Trouble> {
        if let Some(error) = answer.error {
            let hint = format!("it was asked of {holder}, whose log may say more");
            return Err(Trouble::new(Code::Failed, error).hint(hint));
        }
        let RowCounts {
            inserted,
            updated,
            deleted,
        } = answer.rows;
        Ok(Self {
            holder: holder.to_string(),
            version: answer.version,
            inserted,
            updated,
            deleted,
        })
    }

    pub(crate) fn told(&self, job: &lakeferry_config::Job) -> String {
        let Self {
            holder,
            inserted,
            updated,
            deleted,
            ..
        } = self;
        let version = self
            .version
            .map(|version| format!(", at version {version}"));
        let version = version.unwrap_or_default();
        format!(
            "{}: done by {holder}{version}: {inserted} inserted, {updated} updated, {deleted} deleted\n",
            job.name
        )
    }
}

#[derive(Debug, Serialize)]
struct StepDone {
    kind: String,
    through: u64,
    rows_read: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
    quarantined: u64,
    released: u64,
    nulled: u64,
    replaced: u64,
}

/// What was done, in words.
pub(crate) fn told(
    job: &lakeferry_config::Job,
    report: &Report<DeltaVersion>,
    request: Request,
) -> String {
    let name = &job.name;
    let through = report
        .through
        .map_or_else(|| "?".to_owned(), |through| through.to_string());
    if report.steps.is_empty() && report.from == report.through {
        return match request {
            Request::Adopt => format!(
                "{name}: nothing to adopt, its job filled the table, which is at version {through}\n"
            ),
            Request::Retry => {
                format!("{name}: nothing in quarantine, and up to date at version {through}\n")
            }
            Request::Sync | Request::Backfill | Request::RefreshSchema => {
                format!("{name}: up to date at version {through}\n")
            }
        };
    }
    let (mut total, mut bad) = (RowCounts::default(), BadRowCounts::default());
    let mut lines = String::new();
    for step in &report.steps {
        total += step.rows;
        bad += step.bad;
        let what = step_wording(&step.kind, step.through, job.timezone);
        lines.push_str(&format!("  {what}: {}\n", rows_told(step)));
    }
    let place = match report.from {
        None => format!("new → version {through}"),
        Some(from) if report.through == Some(from) => format!("at version {through}"),
        Some(from) => format!("version {from} → version {through}"),
    };
    let RowCounts {
        inserted,
        updated,
        deleted,
    } = total;
    if let Some(bad) = bad_wording(&bad) {
        let see = format!("see lakeferry quarantine list {name}");
        lines.push_str(&format!("  bad rows: {bad} ({see})\n"));
    }
    format!("{name}: {place}: {inserted} inserted, {updated} updated, {deleted} deleted\n{lines}")
}

fn rows_told(step: &Step<DeltaVersion>) -> String {
    let RowCounts {
        inserted,
        updated,
        deleted,
    } = step.rows;
    match step.kind {
        // A key of which one row goes and another comes.
        StepKind::Moved { .. } if updated > 0 => format!(
            "{} came, {deleted} went, {updated} changed",
            counted(inserted, "row")
        ),
        StepKind::Moved { .. } => format!("{} came, {deleted} went", counted(inserted, "row")),
        _ => format!("{} read", counted(step.rows_read, "row")),
    }
}

/// What was done, and the trouble that ended it.
pub(crate) fn outcome(
    job: &lakeferry_config::Job,
    report: &Report<DeltaVersion>,
    trouble: Option<&Trouble>,
) -> Outcome {
    let steps = report.steps.iter().map(|step| StepDone {
        kind: step_wording(&step.kind, step.through, job.timezone),
        through: step.through.0,
        rows_read: step.rows_read,
        inserted: step.rows.inserted,
        updated: step.rows.updated,
        deleted: step.rows.deleted,
        quarantined: step.bad.quarantined,
        released: step.bad.released,
        nulled: step.bad.nulled,
        replaced: step.bad.replaced,
    });
    Outcome {
        job: job.name.to_string(),
        by_others: None,
        paused: None,
        from: report.from.map(|from| from.0),
        through: report.through.map(|through| through.0),
        steps: steps.collect(),
        error: trouble.map(Trouble::in_one_line),
    }
}
