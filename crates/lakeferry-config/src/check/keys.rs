//! What tells the rows of a job apart, and what needs that.

use lakeferry_model::OnBadValue;

use crate::{
    Mode,
    check::{
        columns::{self, Columns},
        options::Options,
    },
    field::{Field, Written},
    problem::{Fault, Report},
    secret::shown,
};

/// Options that are checked together; absent where they are wrong.
pub(super) struct Keyed {
    pub(super) mode: Option<Mode>,
    pub(super) key: Option<Vec<String>>,
    pub(super) dedupe_by: Option<Option<String>>,
    pub(super) keeps_deleted: Option<bool>,
}

pub(super) fn check(options: &Options, job: &Written<String>, report: &mut Report) -> Keyed {
    check_key_is_synced(options, job, report);
    check_rank_is_synced(options, job, report);
    let mode = options.mode.clone().or_default(Mode::Incremental);
    let key = match mode {
        Some(Mode::Snapshot | Mode::Append) => options
            .key
            .clone()
            .optional()
            .map(Option::unwrap_or_default),
        _ => required_key(options.key.clone(), job, report),
    };
    let dedupe_by = options.dedupe_by.clone().optional();
    let keeps_deleted = options.deletes.clone().or_default(false);
    let on_bad_value = options.on_bad_value.clone().optional();
    let appends = mode == Some(Mode::Append);
    let lacks_key = key.as_ref().is_some_and(Vec::is_empty);
    for (is_set, option, in_append, without_key) in [
        (
            matches!(dedupe_by, Some(Some(_))),
            "dedupe_by",
            "remove `dedupe_by`: in that mode rows come as they are; or use `mode: incremental`",
            "add `key: [ID]`, of whose rows one is chosen, or remove `dedupe_by`",
        ),
        (
            keeps_deleted == Some(true),
            "deletes: soft",
            "remove `deletes`: in that mode no row is ever deleted",
            "add `key: [ID]`, by which a deleted row is known, or `deletes: hard`",
        ),
        (
            on_bad_value == Some(Some(OnBadValue::KeepPrevious)),
            "on_bad_value: keep_previous",
            "use `on_bad_value: quarantine`: in that mode no row comes after another one",
            "add `key: [ID]`, by which a previous row is known, or use `on_bad_value: quarantine`",
        ),
    ] {
        let (trouble, hint) = match (is_set, appends, lacks_key) {
            (true, true, _) => ("`mode: append`", in_append),
            (true, false, true) => ("no `key`", without_key),
            _ => continue,
        };
        let what = format!("job {} has `{option}` and {trouble}", shown(&job.value));
        report.add(&job.place, Fault::new(what, hint));
    }
    Keyed {
        mode,
        key: key.map(columns::texts),
        dedupe_by,
        keeps_deleted,
    }
}

/// Changes are by key.
fn required_key(
    key: Field<Vec<Written<String>>>,
    job: &Written<String>,
    report: &mut Report,
) -> Option<Vec<Written<String>>> {
    let key = key.required(report, &job.place, || {
        let what = format!("job {} has no `key`", shown(&job.value));
        let hint = "add `key: [ID]`, the columns that identify a row, or `mode: snapshot`";
        Fault::new(what, hint)
    });
    Some(key?.value)
}

/// Reports a column of `dedupe_by` that `columns` leaves out: the rows of the target are ranked by what
/// is in it.
fn check_rank_is_synced(options: &Options, job: &Written<String>, report: &mut Report) {
    let (Field::Given(by), Field::Given(columns)) = (&options.dedupe_by, &options.columns) else {
        return;
    };
    let hint = "sync that column, too: rows are compared by what is synced of them";
    let what = match (
        columns.value.lacks(&by.value),
        columns.value.excludes(&by.value),
    ) {
        (true, _) => "lacks",
        (_, true) => "excludes",
        _ => return,
    };
    let column = shown(&by.value);
    let what = format!("`columns` {what} column {column} of `dedupe_by`");
    report.add(&job.place, Fault::new(what, hint));
}

/// Reports a column of the key that `columns` leaves out.
fn check_key_is_synced(options: &Options, job: &Written<String>, report: &mut Report) {
    let (Field::Given(key), Field::Given(columns)) = (&options.key, &options.columns) else {
        return;
    };
    let lost = |lacks: fn(&Columns, &str) -> bool| {
        let key = key.value.iter().map(|column| column.value.as_str());
        let lost = key
            .filter(|column| lacks(&columns.value, column))
            .map(shown);
        lost.collect::<Vec<_>>().join(", ")
    };
    for (lost, what, hint) in [
        (
            lost(Columns::lacks),
            "`columns` lacks the key column",
            "add it to `columns`, or remove `columns`",
        ),
        (
            lost(Columns::excludes),
            "`columns` excludes the key column",
            "remove it from `exclude`",
        ),
    ] {
        if !lost.is_empty() {
            report.add(&job.place, Fault::new(format!("{what} {lost}"), hint));
        }
    }
}
