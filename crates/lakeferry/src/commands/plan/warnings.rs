//! What a first fill leaves out, or what makes it dearer than it looks, told before it starts.

use std::time::Duration;

use lakeferry_delta::Retention;
use lakeferry_engine::{Plan, Preview, Why};
use lakeferry_model::{DeltaVersion, Failure, Stage};
use serde::Serialize;

use crate::{
    commands::wording::{bytes_wording, seconds_wording},
    exit::Trouble,
    wiring::{self, WiredJob},
};

/// Bytes as stored that a fill brings in a second, at the least: on two cores beside other work it
/// was several times as many.
const FILL_BYTES_PER_SECOND: u64 = 5_000_000;

/// What takes less is done before anybody cleans up.
const SHORT: Duration = Duration::from_secs(60);

/// What to know before a first fill.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    /// What is so.
    pub(super) reason: String,
    /// What to do about it.
    pub(super) hint: String,
}

/// What to know before the first step of `preview`; nothing unless it is a first fill.
pub(super) async fn warnings(
    job: &lakeferry_config::Job,
    wired: &WiredJob,
    preview: &Preview<DeltaVersion>,
    bytes: u64,
) -> Result<Vec<Warning>, Trouble> {
    let (makes_table, fills) = match &preview.plan {
        Plan::Resume { .. } => (true, true),
        Plan::Rebuild { stage, why, .. } => (*stage == Stage::Fill, *why == Why::FirstFill),
        _ => (false, false),
    };
    let mut warnings = Vec::new();
    if makes_table {
        let names = wired.target.publications_for_all_tables().await;
        let names = names.map_err(|error| wiring::target_trouble(job, &error))?;
        warnings.extend(names.iter().map(|name| published(name)));
        let missing = wired.target.missing_types(&preview.head.columns).await;
        let missing = missing.map_err(|error| wiring::target_trouble(job, &error))?;
        warnings.extend(missing.map(|missing| Warning {
            reason: missing.to_string(),
            hint: missing.hint().unwrap_or_default(),
        }));
    }
    if makes_table || fills {
        let retention = wired.source.retention().await;
        let retention = retention.map_err(|error| wiring::source_trouble(job, &error))?;
        warnings.extend(near_retention(bytes, retention));
        let left_out = wired.source.left_out().await;
        let left_out = left_out.map_err(|error| wiring::source_trouble(job, &error))?;
        warnings.extend(left_out.iter().map(|column| void(column)));
    }
    Ok(warnings)
}

fn published(name: &str) -> Warning {
    Warning {
        reason: format!(
            "publication {name:?} is FOR ALL TABLES: every row of the fill goes through logical \
             replication, under a table name that is there for the fill alone"
        ),
        hint: "let the publication name its tables until the table is filled, or create the table \
            empty first, for subscribers too: then it is filled as it stands"
            .to_owned(),
    }
}

fn void(column: &str) -> Warning {
    Warning {
        reason: format!("column {column} is of type void: it holds nothing, and is not synced"),
        hint: "give it a type at the source before it gets values".to_owned(),
    }
}

/// A fill may be that of a version that is cleaned away before its end, if it may take more than
/// half of the time that this is kept.
fn near_retention(bytes: u64, retention: Retention) -> Option<Warning> {
    let estimate = Duration::from_secs(bytes / FILL_BYTES_PER_SECOND);
    let Retention { files, log } = retention;
    let (kept, property) = match files <= log {
        true => (files, "delta.deletedFileRetentionDuration"),
        false => (log, "delta.logRetentionDuration"),
    };
    if estimate < SHORT || estimate <= kept / 2 {
        return None;
    }
    let [takes, keeps] = [estimate, kept].map(|time| seconds_wording(time.as_secs_f64()));
    Some(Warning {
        reason: format!(
            "the fill reads {}, which may take {takes} (at {} a second), and the source keeps what \
             it reads for {keeps} after it is replaced ({property})",
            bytes_wording(bytes),
            bytes_wording(FILL_BYTES_PER_SECOND),
        ),
        hint: format!(
            "give the source a longer {property} until the table is filled, or narrow the job by \
             filter: and columns:"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const GIGABYTE: u64 = 1_000_000_000;

    #[test]
    fn a_fill_that_may_outlast_its_source_is_warned_of() {
        let days = |files, log| Retention {
            files: HOUR * 24 * files,
            log: HOUR * 24 * log,
        };
        let hours = |files, log| Retention {
            files: HOUR * files,
            log: HOUR * log,
        };
        for (gigabytes, retention, expected) in [
            (0, days(7, 30), None),
            (1_000, days(7, 30), None),
            (
                1_600,
                days(7, 30),
                Some("delta.deletedFileRetentionDuration"),
            ),
            (1_600, days(30, 7), Some("delta.logRetentionDuration")),
            (8, hours(1, 24), None),
            (
                10,
                hours(1, 24),
                Some("may take 33 min (at 5.0 MB a second)"),
            ),
            // A minute is nothing, even where nothing is kept.
            (0, hours(0, 0), None),
            (1, hours(0, 0), Some("keeps what it reads for 0.0 s")),
        ] {
            let warning = near_retention(gigabytes * GIGABYTE, retention);
            let said = warning.map(|warning| warning.reason);
            let fits = match expected {
                None => said.is_none(),
                Some(part) => said.as_ref().is_some_and(|said| said.contains(part)),
            };
            assert!(fits, "{gigabytes} GB, {retention:?}: {said:?}");
        }
    }
}
