//! `quarantine`: rows that Postgres cannot hold, or that have no key.

use lakeferry_config::{Config, Job, TargetName};
use lakeferry_engine::Request;
use lakeferry_postgres::{
    ConnectSettings, QuarantinedRow, Wanted, drop_quarantined, read_quarantine,
};
use serde::Serialize;

use crate::{
    arguments::{Format, QuarantineAction},
    commands::{
        bring::{Wish, bring},
        wording::{counted, time_wording},
    },
    exit::{Code, Trouble},
    output::Done,
    wiring,
};

/// Rows of one key, of which there are several only where it is NULL.
const MOST_SHOWN: u32 = 1_000;

/// A row in quarantine.
#[derive(Debug, Serialize)]
struct Kept {
    job: String,
    /// The values of the key columns as a JSON array, or the whole row: as a text, for numbers in
    /// it may have more digits than a reader of JSON keeps.
    key: String,
    rows: u64,
    /// Absent where the server refused the row and did not say for which.
    column: Option<String>,
    reason: String,
    version: u64,
    found_at: String,
    dropped: bool,
    /// Whether the target keeps the row that the key had before.
    has_previous: bool,
    /// The row as a JSON object, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<String>,
}

/// Does with rows in quarantine what was asked for.
pub(crate) async fn quarantine(
    config: Config,
    action: &QuarantineAction,
    format: Format,
) -> Result<Done, Trouble> {
    match action {
        QuarantineAction::List { jobs, all, limit } => list(&config, jobs, *all, *limit).await,
        QuarantineAction::Show { job, key } => show(&config, job, key).await,
        QuarantineAction::Drop { job, keys, all } => drop(&config, job, keys, *all).await,
        QuarantineAction::Retry { job } => {
            let wish = Wish::to(Request::Retry, format);
            bring(config, std::slice::from_ref(job), wish).await
        }
    }
}

async fn list(config: &Config, names: &[String], all: bool, limit: u32) -> Result<Done, Trouble> {
    let jobs = wiring::chosen(config, names)?;
    let (mut kept, mut troubles) = (Vec::new(), Vec::new());
    for target in config.targets.keys() {
        match of_target(config, target, &jobs, all, limit).await {
            Ok(rows) => kept.extend(rows.into_iter().map(|row| told(row, false))),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let text = match kept.is_empty() {
        true if troubles.is_empty() => "nothing is in quarantine\n".to_owned(),
        _ => kept.iter().map(line).collect(),
    };
    Ok(Done {
        troubles,
        ..Done::new(text, &kept)
    })
}

async fn of_target(
    config: &Config,
    target: &TargetName,
    jobs: &[&Job],
    all: bool,
    limit: u32,
) -> Result<Vec<QuarantinedRow>, Trouble> {
    let here = jobs.iter().filter(|job| job.target.target == *target);
    let here: Vec<&Job> = here.copied().collect();
    let Some(first) = here.first() else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = here.iter().map(|job| job.name.to_string()).collect();
    let deployment = config.deployment.to_string();
    let wanted = Wanted {
        deployment: &deployment,
        jobs: &names,
        keys: None,
    };
    let connect = wiring::connect_settings(config, first)?;
    let rows = read_quarantine(&connect, wiring::STATE_SCHEMA, wanted, all, limit).await;
    rows.map_err(|error| wiring::target_trouble(first, &error))
}

/// The job of this name, and how its server is reached.
fn one<'a>(config: &'a Config, name: &String) -> Result<(&'a Job, ConnectSettings), Trouble> {
    let [job] = wiring::chosen(config, std::slice::from_ref(name))?[..] else {
        return Err(Trouble::new(Code::Configuration, "name one job"));
    };
    Ok((job, wiring::connect_settings(config, job)?))
}

async fn show(config: &Config, name: &String, key: &String) -> Result<Done, Trouble> {
    let (job, connect) = one(config, name)?;
    let deployment = config.deployment.to_string();
    let wanted = Wanted {
        deployment: &deployment,
        jobs: std::slice::from_ref(name),
        keys: Some(std::slice::from_ref(key)),
    };
    let rows = read_quarantine(&connect, wiring::STATE_SCHEMA, wanted, true, MOST_SHOWN).await;
    let rows = rows.map_err(|error| wiring::target_trouble(job, &error))?;
    if rows.is_empty() {
        return Err(not_there(job, key));
    }
    let kept: Vec<Kept> = rows.into_iter().map(|row| told(row, true)).collect();
    let shown = |kept: &Kept| {
        let values = kept.row.as_deref().unwrap_or("its values were not kept");
        format!("{}  {values}\n", line(kept))
    };
    Ok(Done::new(kept.iter().map(shown).collect(), &kept))
}

async fn drop(config: &Config, name: &String, keys: &[String], all: bool) -> Result<Done, Trouble> {
    let (job, connect) = one(config, name)?;
    let deployment = config.deployment.to_string();
    let wanted = Wanted {
        deployment: &deployment,
        jobs: std::slice::from_ref(name),
        keys: (!all).then_some(keys),
    };
    let dropped = drop_quarantined(&connect, wiring::STATE_SCHEMA, wanted).await;
    let dropped = dropped.map_err(|error| wiring::target_trouble(job, &error))?;
    if dropped == 0 && !all {
        return Err(not_there(job, &keys.join(", ")));
    }
    let text = format!("{name}: {} dropped\n", counted(dropped, "row"));
    let result = serde_json::json!({ "job": name, "dropped": dropped });
    Ok(Done::new(text, &result))
}

fn not_there(job: &Job, key: &str) -> Trouble {
    let reason = format!("no row with the key {key} is in quarantine");
    Trouble::new(Code::Failed, reason)
        .about(job)
        .hint(format!("see lakeferry quarantine list {}", job.name))
}

/// With its values where these are wanted.
fn told(row: QuarantinedRow, with_values: bool) -> Kept {
    Kept {
        job: row.job,
        key: row.key,
        rows: row.rows,
        column: row.column,
        reason: row.reason,
        version: row.version,
        found_at: time_wording(row.found_at),
        dropped: row.is_dropped,
        has_previous: row.has_previous,
        row: row.payload.filter(|_| with_values),
    }
}

fn line(kept: &Kept) -> String {
    let Kept {
        job,
        key,
        rows,
        column,
        reason,
        version,
        found_at,
        ..
    } = kept;
    let dropped = if kept.dropped { " (dropped)" } else { "" };
    let stands = match kept.has_previous {
        true => "; the previous row stays",
        false => "",
    };
    let holds = match column {
        Some(column) => format!("column {column} holds {reason}"),
        None => reason.clone(),
    };
    let times = match rows {
        2.. => format!(", {rows} times"),
        _ => String::new(),
    };
    format!("{job} {key}: {holds}{times}; version {version}, {found_at}{stands}{dropped}\n")
}
