//! What a job may say, and `defaults` for all jobs: each option by itself.

use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};
use lakeferry_model::{COMMIT_VERSION, Naming, OnBadValue, OnNullKey, OwnColumns, SYNCED_AT};

use crate::{
    DropColumns, MaxQuarantined, Mode, OnSchemaChange, OnSourceReplaced, RefreshAbove, Schedule,
    amount::{parse_memory_bytes, parse_share, parse_step, parse_time},
    check::columns::{Columns, check_list},
    field::{Field, Written},
    identifier::check_name,
    problem::{Fault, Report},
    raw::RawOptions,
    secret::shown,
    suggest,
};

/// The most columns that a key can have (`INDEX_MAX_KEYS` of Postgres).
const KEY_COLUMNS: usize = 32;

/// Options of a job that are checked one by one but may still be absent.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) key: Field<Vec<Written<String>>>,
    pub(crate) dedupe_by: Field<String>,
    pub(crate) mode: Field<Mode>,
    pub(crate) schedule: Field<Schedule>,
    pub(crate) poll_every: Field<Duration>,
    pub(crate) max_lag: Field<Option<Duration>>,
    pub(crate) filter: Field<String>,
    pub(crate) timezone: Field<Tz>,
    pub(crate) filter_every: Field<Duration>,
    pub(crate) columns: Field<Columns>,
    pub(crate) names: Field<Naming>,
    pub(crate) metadata_columns: Field<OwnColumns>,
    /// Whether deleted rows stay.
    pub(crate) deletes: Field<bool>,
    pub(crate) on_source_replaced: Field<OnSourceReplaced>,
    pub(crate) on_schema_change: Field<OnSchemaChange>,
    pub(crate) drop_columns: Field<DropColumns>,
    pub(crate) allow_rewrite: Field<bool>,
    pub(crate) refresh_above: Field<RefreshAbove>,
    pub(crate) collapse_memory_bytes: Field<u64>,
    pub(crate) allow_empty: Field<bool>,
    pub(crate) max_delete_share: Field<f64>,
    pub(crate) on_bad_value: Field<OnBadValue>,
    pub(crate) on_null_key: Field<OnNullKey>,
    pub(crate) max_quarantined: Field<MaxQuarantined>,
}

impl Options {
    /// These, and those of `defaults` where these are absent.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        Self {
            key: self.key.or(&defaults.key),
            dedupe_by: self.dedupe_by.or(&defaults.dedupe_by),
            mode: self.mode.or(&defaults.mode),
            schedule: self.schedule.or(&defaults.schedule),
            poll_every: self.poll_every.or(&defaults.poll_every),
            max_lag: self.max_lag.or(&defaults.max_lag),
            filter: self.filter.or(&defaults.filter),
            timezone: self.timezone.or(&defaults.timezone),
            filter_every: self.filter_every.or(&defaults.filter_every),
            columns: self.columns.or(&defaults.columns),
            names: self.names.or(&defaults.names),
            metadata_columns: self.metadata_columns.or(&defaults.metadata_columns),
            deletes: self.deletes.or(&defaults.deletes),
            on_source_replaced: self.on_source_replaced.or(&defaults.on_source_replaced),
            on_schema_change: self.on_schema_change.or(&defaults.on_schema_change),
            drop_columns: self.drop_columns.or(&defaults.drop_columns),
            allow_rewrite: self.allow_rewrite.or(&defaults.allow_rewrite),
            refresh_above: self.refresh_above.or(&defaults.refresh_above),
            collapse_memory_bytes: self
                .collapse_memory_bytes
                .or(&defaults.collapse_memory_bytes),
            allow_empty: self.allow_empty.or(&defaults.allow_empty),
            max_delete_share: self.max_delete_share.or(&defaults.max_delete_share),
            on_bad_value: self.on_bad_value.or(&defaults.on_bad_value),
            on_null_key: self.on_null_key.or(&defaults.on_null_key),
            max_quarantined: self.max_quarantined.or(&defaults.max_quarantined),
        }
    }
}

pub(crate) fn check(raw: RawOptions, report: &mut Report) -> Options {
    Options {
        key: check_list(raw.key, KEY_COLUMNS, "key", report),
        dedupe_by: raw
            .dedupe_by
            .check(report, |name| check_name(&name).map(|()| name)),
        mode: raw.mode.check(report, |text| check_mode(&text)),
        schedule: raw.schedule.check(report, |text| Schedule::parse(&text)),
        poll_every: raw.poll_every.check(report, |text| parse_time(&text)),
        max_lag: raw.max_lag.check(report, |text| check_max_lag(&text)),
        filter: raw.filter.check(report, check_filter),
        timezone: raw.timezone.check(report, |text| check_timezone(&text)),
        filter_every: raw.filter_every.check(report, |text| parse_step(&text)),
        columns: Columns::check(raw.columns, report),
        names: raw.names.check(report, |text| check_naming(&text)),
        metadata_columns: raw
            .metadata_columns
            .check(report, |names| check_metadata(&names)),
        deletes: raw.deletes.check(report, |text| check_deletes(&text)),
        on_source_replaced: raw.on_source_replaced.check(report, |text| {
            let known = [
                ("halt", OnSourceReplaced::Halt),
                ("refresh", OnSourceReplaced::Refresh),
            ];
            choice("on_source_replaced", &text, &known)
        }),
        on_schema_change: raw.on_schema_change.check(report, |text| {
            let known = [
                ("evolve", OnSchemaChange::Evolve),
                ("halt", OnSchemaChange::Halt),
                ("ignore", OnSchemaChange::Ignore),
            ];
            choice("on_schema_change", &text, &known)
        }),
        drop_columns: raw.drop_columns.check(report, |text| check_drop(&text)),
        allow_rewrite: raw.allow_rewrite,
        refresh_above: raw
            .refresh_above
            .check(report, |text| RefreshAbove::parse(&text)),
        collapse_memory_bytes: raw
            .collapse_memory
            .check(report, |text| parse_memory_bytes(&text)),
        allow_empty: raw.allow_empty,
        max_delete_share: raw.max_delete_share.check(report, |text| {
            const HINT: &str = "write a number from 0 to 1, or a percentage such as 20%";
            parse_share(&text).ok_or_else(|| {
                Fault::new(format!("{} is not a share of a table", shown(&text)), HINT)
            })
        }),
        on_bad_value: raw.on_bad_value.check(report, |text| {
            let known = [
                ("quarantine", OnBadValue::Quarantine),
                ("keep_previous", OnBadValue::KeepPrevious),
                ("replace", OnBadValue::Replace),
                ("null", OnBadValue::Null),
                ("halt", OnBadValue::Halt),
            ];
            choice("on_bad_value", &text, &known)
        }),
        on_null_key: raw.on_null_key.check(report, |text| check_null_key(&text)),
        max_quarantined: raw
            .max_quarantined
            .check(report, |text| MaxQuarantined::parse(&text)),
    }
}

/// One of the words `known`, in upper or lower case.
fn choice<T: Copy>(option: &str, text: &str, known: &[(&str, T)]) -> Result<T, Fault> {
    if let Some((_, value)) = known
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
    {
        return Ok(*value);
    }
    let words = known.iter().map(|(word, _)| *word);
    let what = format!("unknown {option} {}", shown(text));
    Err(Fault::new(what, suggest::hint(text, words, "write one of")))
}

fn check_drop(text: &str) -> Result<DropColumns, Fault> {
    let known = [
        ("detach", DropColumns::Detach),
        ("null", DropColumns::Null),
        ("drop", DropColumns::Drop),
        ("halt", DropColumns::Halt),
    ];
    choice("drop_columns", text, &known)
}

fn check_null_key(text: &str) -> Result<OnNullKey, Fault> {
    let known = [
        ("halt", OnNullKey::Halt),
        ("quarantine", OnNullKey::Quarantine),
    ];
    choice("on_null_key", text, &known)
}

fn check_naming(text: &str) -> Result<Naming, Fault> {
    let known = [
        ("as_is", Naming::AsIs),
        ("lower", Naming::Lower),
        ("snake", Naming::Snake),
    ];
    choice("names", text, &known)
}

/// Whether deleted rows stay.
fn check_deletes(text: &str) -> Result<bool, Fault> {
    choice("deletes", text, &[("hard", false), ("soft", true)])
}

fn check_metadata(names: &[Written<String>]) -> Result<OwnColumns, Fault> {
    let mut own = OwnColumns::default();
    for name in names {
        match name.value.as_str() {
            COMMIT_VERSION => own.commit_version = true,
            SYNCED_AT => own.synced_at = true,
            other => {
                let known = [COMMIT_VERSION, SYNCED_AT];
                let hint = suggest::hint(other, known, "write some of");
                let what = format!("{} is no metadata column", shown(other));
                return Err(Fault::new(what, hint));
            }
        }
    }
    Ok(own)
}

fn check_mode(text: &str) -> Result<Mode, Fault> {
    let known = [
        ("snapshot", Mode::Snapshot),
        ("incremental", Mode::Incremental),
        ("continuous", Mode::Continuous),
        ("append", Mode::Append),
    ];
    choice("mode", text, &known)
}

fn check_filter(text: String) -> Result<String, Fault> {
    let filter = text.trim();
    if filter.is_empty() {
        return Err(Fault::new(
            "the filter is empty",
            "write a predicate, or remove it",
        ));
    }
    if filter.contains('\0') {
        return Err(Fault::new("the filter holds a NUL character", "remove it"));
    }
    Ok(filter.to_owned())
}

/// Reads a time, or `none`.
fn check_max_lag(text: &str) -> Result<Option<Duration>, Fault> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    parse_step(text).map(Some)
}

fn check_timezone(text: &str) -> Result<Tz, Fault> {
    text.trim().parse().map_err(|_| {
        let known = TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match suggest::nearest(text, known) {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => "write a name of the IANA, such as UTC or Europe/Berlin".to_owned(),
        };
        Fault::new(format!("unknown time zone {}", shown(text)), hint)
    })
}
