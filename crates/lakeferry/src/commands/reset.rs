//! `reset`: remove what interrupted runs of a job left behind.

use lakeferry_config::{Config, Job};
use lakeferry_model::Claim;
use lakeferry_postgres::{Removed, Request, RequestKind};
use serde::Serialize;

use crate::{
    commands::{hand_over::Handed, outcome::ByOthers, wording::counted},
    exit::Trouble,
    output::Done,
    wiring,
};

/// What was removed.
#[derive(Debug, Default, Serialize)]
struct Reset {
    job: String,
    /// Who worked on the job and was asked to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_others: Option<String>,
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
        done.push(reset_job(config, job, forgets).await?);
    }
    Ok(Done::new(done.iter().map(told).collect(), &done))
}

async fn reset_job(config: &Config, job: &Job, forgets: bool) -> Result<Reset, Trouble> {
    let kind = match forgets {
        true => RequestKind::Forget,
        false => RequestKind::Reset,
    };
    let request = Request {
        kind,
        accept_deletes: false,
        even_if_paused: true,
    };
    let target = wiring::target(config, job)?;
    loop {
        let reset = Box::pin(target.reset(&wiring::holder(), forgets)).await;
        let holder = match reset.map_err(|error| wiring::target_trouble(job, &error))? {
            Claim::Granted(removed) => return Ok(outcome(job.name.to_string(), &removed)),
            Claim::Held(holder) => holder,
        };
        let handed = Handed::to(&holder, config, job, request).await?;
        if let Some(answer) = handed.followed().await? {
            let by_others = ByOthers::of(&holder, answer);
            return Ok(Reset {
                job: job.name.to_string(),
                by_others: Some(by_others.map_err(|trouble| trouble.about(job))?.holder),
                ..Reset::default()
            });
        }
    }
}

fn outcome(job: String, removed: &Removed) -> Reset {
    let [tables, kept] = [&removed.tables, &removed.kept]
        .map(|tables| tables.iter().map(ToString::to_string).collect());
    Reset {
        job,
        by_others: None,
        pieces: removed.pieces,
        rows: removed.rows,
        tables,
        kept,
        forgot: removed.progress,
    }
}

fn told(reset: &Reset) -> String {
    if let Some(holder) = &reset.by_others {
        return format!("{}: done by {holder}\n", reset.job);
    }
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
