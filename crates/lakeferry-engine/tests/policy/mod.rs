//! A policy for jobs between memory and memory.

use lakeferry_engine::{DropColumns, OnSchemaChange, OnSourceReplaced, Policy, Retry};
use lakeferry_model::{Holder, JobKey, OnNullKey, OwnColumns};
use lakeferry_testkit::KEY;

/// With memory for some commits.
pub(crate) fn policy() -> Policy {
    Policy {
        key: JobKey {
            deployment: "test".to_owned(),
            name: "behind".to_owned(),
        },
        holder: Holder("test".to_owned()),
        key_columns: vec![KEY.to_owned()],
        filter: Some("hot".to_owned()),
        timezone: "UTC".to_owned(),
        always_refresh: false,
        appends: false,
        dedupe_by: None,
        on_null_key: OnNullKey::Halt,
        lists_columns: false,
        excluded: Vec::new(),
        own: OwnColumns::default(),
        on_schema_change: OnSchemaChange::Evolve,
        drop_columns: DropColumns::Detach,
        on_source_replaced: OnSourceReplaced::Halt,
        refresh_above: f64::INFINITY,
        collapse_memory_bytes: 4_000,
        retry: Retry::default(),
        ignores_pause: false,
    }
}
