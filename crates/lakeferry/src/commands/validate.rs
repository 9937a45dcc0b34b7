//! `validate`: the configuration, and what only the sources can tell of it.

use lakeferry_config::{Loaded, Setting};
use serde_json::{Value, json};

use crate::{arguments::Arguments, exit::Trouble, output::Done, wiring};

/// Checks the configuration and, unless `offline`, every job's source; writes nothing and asks no
/// target.
pub(crate) async fn validate(
    arguments: &Arguments,
    show: bool,
    offline: bool,
) -> Result<Done, Trouble> {
    let Loaded { config, shown, .. } = match offline {
        true => wiring::configuration_offline(arguments)?,
        false => wiring::configuration(arguments)?,
    };
    let mut valid = Vec::new();
    let mut troubles = Vec::new();
    for job in &config.jobs {
        let source = match offline {
            true => Ok(()),
            false => wiring::source(job).await.map(|_| ()),
        };
        match source {
            Ok(()) => valid.push(job.name.to_string()),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let mut text = if show { table(&shown) } else { String::new() };
    if troubles.is_empty() {
        text.push_str(&verdict(&valid, offline));
    }
    let mut result = json!({ "valid": valid, "problems": troubles });
    if show {
        result["settings"] = serde_json::to_value(&shown).unwrap_or(Value::Null);
    }
    let done = Done::new(text, &result);
    Ok(Done { troubles, ..done })
}

fn verdict(valid: &[String], offline: bool) -> String {
    let valid = valid.join(", ");
    match offline {
        true => format!("the files are valid; no source was looked at. Jobs: {valid}\n"),
        false => format!("the configuration is valid, and so are its jobs: {valid}\n"),
    }
}

/// One setting a line, values and origins in columns.
fn table(shown: &[Setting]) -> String {
    let lines: Vec<(String, String)> = shown
        .iter()
        .map(|setting| {
            let line = format!("{}: {}", setting.path, setting.value);
            (line, setting.origin.to_string())
        })
        .collect();
    let width = |line: &str| line.chars().count();
    // Long lines do not push the origins of all others away.
    let column = lines
        .iter()
        .map(|(line, _)| width(line))
        .filter(|width| *width <= 60);
    let column = column.max().unwrap_or(0);
    let told = lines.iter().map(|(line, origin)| {
        let gap = " ".repeat(column.saturating_sub(width(line)));
        format!("{line}{gap}  # {origin}\n")
    });
    told.collect::<String>() + "\n"
}
