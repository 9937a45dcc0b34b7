//! How plans, steps and amounts read.

use chrono_tz::Tz;
use lakeferry_engine::{StepKind, Why};
use lakeferry_model::{
    Alteration, BadRowCounts, DeltaVersion, Instant, Reading, Size, Stage, TableStanding,
    UnfinishedFill,
};

use crate::commands::filter_time::instant_wording;

/// `1 row`, `2 rows`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// What became of bad rows: `3 rows into quarantine, 1 out of it`; nothing where there were none.
pub(crate) fn bad_wording(bad: &BadRowCounts) -> Option<String> {
    let BadRowCounts {
        quarantined,
        released,
        nulled,
        replaced,
    } = *bad;
    let mut parts = Vec::new();
    if quarantined > 0 {
        parts.push(format!("{} into quarantine", counted(quarantined, "row")));
    }
    match (released, parts.is_empty()) {
        (0, _) => {}
        (released, false) => parts.push(format!("{released} out of it")),
        (released, true) => parts.push(format!("{} out of quarantine", counted(released, "row"))),
    }
    if nulled > 0 {
        parts.push(format!("{} written as NULL", counted(nulled, "value")));
    }
    if replaced > 0 {
        parts.push(format!("{} replaced", counted(replaced, "value")));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How much there is to read.
pub(crate) fn size_wording(size: &Size) -> String {
    let rows = size
        .rows
        .map(|rows| format!(", {}", counted(rows, "row")))
        .unwrap_or_default();
    format!(
        "{}, {}{rows}",
        counted(size.files, "file"),
        counted(size.bytes, "byte")
    )
}

/// What a step does, or did, in a job of this time zone.
pub(crate) fn step_wording(kind: &StepKind, through: DeltaVersion, zone: Tz) -> String {
    match kind {
        StepKind::Rebuild(stage, why) => rebuild_wording(*stage, *why, through),
        StepKind::Alter(alterations) => alterations_wording(alterations),
        StepKind::Resumed { pieces, rows } => format!(
            "fill the table from version {through} (going on after {}, {}, that were loaded)",
            counted(*pieces, "piece"),
            counted(*rows, "row")
        ),
        StepKind::Adopt => format!("adopt the table, which has the rows of version {through}"),
        StepKind::Retry => format!("try the rows in quarantine again, as of version {through}"),
        StepKind::Advance => format!("move the watermark to version {through}, no row changed"),
        StepKind::Changes(reading) => {
            format!(
                "apply the changes through version {through} {}",
                reading_wording(*reading)
            )
        }
        StepKind::Moved { until } => {
            format!("move the filter to {}", instant_wording(*until, zone))
        }
    }
}

/// How a table is altered.
pub(crate) fn alterations_wording(alterations: &[Alteration]) -> String {
    let told: Vec<String> = alterations.iter().map(alteration_wording).collect();
    format!("alter the table: {}", told.join(", "))
}

fn alteration_wording(alteration: &Alteration) -> String {
    match alteration {
        Alteration::Detach(name) => format!("detach column {name}"),
        Alteration::Clear(name) => format!("set column {name} to NULL"),
        Alteration::Drop(name) => format!("drop column {name}"),
        Alteration::Rename { from, to } => format!("rename column {from} to {to}"),
        Alteration::Widen(field) => format!("widen column {}", field.name()),
        Alteration::Add(field) => format!("add column {}", field.name()),
    }
}

/// How changes are read.
pub(crate) fn reading_wording(reading: Reading) -> &'static str {
    match reading {
        Reading::Feed => "from the change data feed",
        Reading::Files => "from the files that came and went",
    }
}

/// What a rebuild does, and why.
pub(crate) fn rebuild_wording(stage: Stage, why: Why, at: DeltaVersion) -> String {
    let what = match stage {
        Stage::Fill => "fill the table",
        Stage::Refresh | Stage::Changes | Stage::Append | Stage::Adopt | Stage::Retry => {
            "rebuild by difference"
        }
    };
    let why = match why {
        Why::FirstFill => "it was never filled",
        Why::Asked => "as asked",
        Why::Mode => "mode snapshot",
        Why::FingerprintChanged => {
            "filter, columns, types, dedupe_by, deletes or time zone changed"
        }
        Why::SourceReplaced => "the source was replaced",
        Why::PastHorizon => "the changes can no longer be read",
        Why::LargeChanges => "the changes are a large part of the table",
        Why::OtherColumns => "its columns changed while they were read",
        Why::KeysMended => "a key was null or not unique in between",
        Why::UnkeyedUnmatched => "a row with a null key went that quarantine has otherwise",
        Why::FilterMoved => "time changes what the filter lets through",
        Why::Opaque => "a commit does not tell enough of the files that it removed",
    };
    format!("{what} from version {at} ({why})")
}

/// How far a fill came that did not end.
pub(crate) fn unfinished_wording(unfinished: &UnfinishedFill<DeltaVersion>) -> String {
    let UnfinishedFill { plan, loaded, rows } = unfinished;
    format!(
        "the fill of version {}: {loaded} of {}, {}, are loaded",
        plan.watermark.version,
        counted(plan.pieces, "piece"),
        counted(*rows, "row")
    )
}

/// How a target table stands.
pub(crate) fn table_wording(table: TableStanding) -> &'static str {
    match table {
        TableStanding::Absent => "no table",
        TableStanding::Empty => "an empty table",
        TableStanding::Foreign => "a table that no job filled",
        TableStanding::Filled => "filled by this job",
        TableStanding::Replaced => "another table than the one that this job filled",
    }
}

/// A moment, in UTC, to the second.
pub(crate) fn time_wording(instant: Instant) -> String {
    let moment = chrono::DateTime::from_timestamp_micros(instant.0);
    moment.map_or_else(String::new, |moment| {
        moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    })
}

/// A duration, as exact as it is of interest.
pub(crate) fn seconds_wording(seconds: f64) -> String {
    match seconds {
        few if few < 10.0 => format!("{few:.1} s"),
        some if some < 120.0 => format!("{some:.0} s"),
        some if some < 7_200.0 => format!("{:.0} min", some / 60.0),
        many => format!("{:.1} h", many / 3_600.0),
    }
}

/// `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// An amount of bytes, in the unit that makes it short; MB are millions of bytes.
pub(crate) fn bytes_wording(bytes: u64) -> String {
    match bytes {
        0..1_000 => counted(bytes, "byte"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_read_them() {
        let told: Vec<String> = [0, 999, 1_000, 12_345, 1_234_567].map(thousands).into();
        assert_eq!(told, ["0", "999", "1,000", "12,345", "1,234,567"]);
        let told: Vec<String> = [1, 999, 1_500, 2_500_000, 3_000_000_000]
            .map(bytes_wording)
            .into();
        assert_eq!(told, ["1 byte", "999 bytes", "1.5 kB", "2.5 MB", "3.0 GB"]);
        let told: Vec<String> = [0.05, 9.94, 60.0, 600.0, 86_400.0]
            .map(seconds_wording)
            .into();
        assert_eq!(told, ["0.1 s", "9.9 s", "60 s", "10 min", "24.0 h"]);
    }
}
