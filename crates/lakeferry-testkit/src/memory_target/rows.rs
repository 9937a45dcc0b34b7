//! Rows by key: what a table refuses, and what each stage does to it.

use arrow_array::RecordBatch;
use lakeferry_model::{Differences, DifferingKeys, Effect, MOST_EXAMPLES, RowCounts};

use super::{Rows, TargetError};
use crate::rows_of;

/// Refuses what Postgres refuses row by row.
pub(super) fn check(rows: &RecordBatch) -> Result<(), TargetError> {
    for (id, value) in rows_of(rows) {
        let id = id.ok_or(TargetError::NullKey)?;
        if value.is_some_and(|value| value.contains('\0')) {
            return Err(TargetError::BadRow(id));
        }
    }
    Ok(())
}

pub(super) fn keyed<'a>(
    batches: impl Iterator<Item = &'a RecordBatch>,
) -> Result<Rows, TargetError> {
    let mut rows = Rows::new();
    for (id, value) in batches.flat_map(rows_of) {
        let id = id.ok_or(TargetError::NullKey)?;
        if rows.insert(id, value).is_some() {
            return Err(TargetError::DuplicateKey(id));
        }
    }
    Ok(rows)
}

pub(super) fn refresh(rows: &mut Rows, wanted: Rows) -> RowCounts {
    let mut counts = RowCounts::default();
    rows.retain(|id, _| {
        wanted.contains_key(id) || {
            counts.deleted += 1;
            false
        }
    });
    for (id, value) in wanted {
        match rows.insert(id, value.clone()) {
            None => counts.inserted += 1,
            Some(old) if old != value => counts.updated += 1,
            Some(_) => {}
        }
    }
    counts
}

/// How `rows` differ from those that are wanted.
pub(super) fn differences(rows: &Rows, wanted: &Rows) -> Differences {
    let unlike = |id: &&i64| rows.get(id).is_some_and(|row| *row != wanted[*id]);
    Differences {
        missing: told(wanted.keys().filter(|id| !rows.contains_key(id))),
        surplus: told(rows.keys().filter(|id| !wanted.contains_key(id))),
        unlike: told(wanted.keys().filter(unlike)),
    }
}

fn told<'a>(ids: impl Iterator<Item = &'a i64>) -> DifferingKeys {
    let ids: Vec<String> = ids.map(ToString::to_string).collect();
    DifferingKeys {
        count: ids.len() as u64,
        examples: ids.into_iter().take(MOST_EXAMPLES).collect(),
    }
}

pub(super) fn change(
    rows: &mut Rows,
    staged: &[(Effect, RecordBatch)],
) -> Result<RowCounts, TargetError> {
    let mut counts = RowCounts::default();
    let staged: Vec<_> = staged
        .iter()
        .flat_map(|(effect, batch)| rows_of(batch).into_iter().map(move |row| (*effect, row)))
        .collect();
    for order in [Effect::Delete, Effect::Update, Effect::Insert] {
        for (effect, (id, value)) in staged.iter().filter(|(effect, _)| *effect == order) {
            let id = id.ok_or(TargetError::NullKey)?;
            let there = rows.contains_key(&id);
            if there == (*effect == Effect::Insert) {
                return Err(TargetError::Disagrees(format!(
                    "{effect:?} of key {id}: there is {there}"
                )));
            }
            match effect {
                Effect::Delete => {
                    rows.remove(&id);
                    counts.deleted += 1;
                }
                Effect::Insert => {
                    rows.insert(id, value.clone());
                    counts.inserted += 1;
                }
                Effect::Update => {
                    let old = rows.insert(id, value.clone());
                    counts.updated += u64::from(old.as_ref() != Some(value));
                }
            }
        }
    }
    Ok(counts)
}
