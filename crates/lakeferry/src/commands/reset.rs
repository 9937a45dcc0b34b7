//! `reset`: remove what interrupted runs of a job left behind.

use lakeferry_config::Config;
use lakeferry_model::Claim;
use lakeferry_postgres::Removed;
use serde::Serialize;

use crate::{
    commands::wording::counted,
    exit::{Code, Trouble},
    output::Done,
    wiring,
};

/// What was removed.
#[derive(Debug, Serialize)]
struct Reset {
    job: String,
    /// Of an unfinished fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<u64>,
    rows: u64,
    tables: Vec<String>,
    /// In use by somebody, left to the next run.
    kept: Vec<String>,
    forgot: bool,
}

/// Removes what is left of earlier runs of one job, and if `forgets`, what is known of its target.
pub(crate) async fn reset(config: &Config, name: &str, forgets: bool) -> Result<Done, Trouble> {
    let jobs = wiring::chosen(config, &[name.to_owned()])?;
    let mut done = Vec::new();
    for job in jobs {
        let target = wiring::target(config, job)?;
        let reset = target.reset(&wiring::holder(), forgets).await;
        match reset.map_err(|error| wiring::target_trouble(job, &error))? {
            Claim::Granted(removed) => done.push(outcome(job.name.to_string(), &removed)),
            Claim::Held(holder) => {
                let reason = format!("{holder} is working on it");
                let trouble = Trouble::new(Code::Failed, reason).about(job);
                return Err(trouble.hint("wait for it to end, or stop it"));
            }
        }
    }
    Ok(Done::new(done.iter().map(told).collect(), &done))
}

fn outcome(job: String, removed: &Removed) -> Reset {
    let [tables, kept] = [&removed.tables, &removed.kept]
        .map(|tables| tables.iter().map(ToString::to_string).collect());
    Reset {
        job,
        pieces: removed.pieces,
        rows: removed.rows,
        tables,
        kept,
        forgot: removed.progress,
    }
}

fn told(reset: &Reset) -> String {
    let mut lines = Vec::new();
    if let Some(pieces) = reset.pieces {
        let (pieces, rows) = (counted(pieces, "piece"), counted(reset.rows, "row"));
        lines.push(format!("removed an unfinished fill: {pieces}, {rows}"));
    }
    let tables = reset.tables.iter();
    lines.extend(tables.map(|table| format!("dropped {table}")));
    let kept = reset.kept.iter();
    lines.extend(kept.map(|table| format!("left {table}, which is in use, to the next run")));
    if reset.forgot {
        lines.push("forgot what its target has; the table is as it was".to_owned());
    }
    if lines.is_empty() {
        return format!("{}: nothing to remove\n", reset.job);
    }
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{}:\n{lines}", reset.job)
}
