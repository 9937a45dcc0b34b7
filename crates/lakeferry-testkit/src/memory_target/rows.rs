//! Rows with and without a key: what a table refuses, and what each stage does to it.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use lakeferry_model::{Differences, DifferingKeys, Effect, Guard, MOST_EXAMPLES, RowCounts, Stage};

use super::{Rows, TargetError, Values};
use crate::rows_of;

type Keyed = BTreeMap<i64, Option<String>>;

/// What identifies the rows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keying {
    ById,
    Nothing,
}

impl Keying {
    /// Refuses what Postgres refuses row by row.
    pub(super) fn check(self, rows: &RecordBatch) -> Result<(), TargetError> {
        for (id, value) in rows_of(rows) {
            if self == Self::ById && id.is_none() {
                return Err(TargetError::NullKey);
            }
            if value.is_some_and(|value| value.contains('\0')) {
                return Err(TargetError::BadRow(id));
            }
        }
        Ok(())
    }

    /// All rows of `batches`, if a table takes them.
    pub(super) fn rows<'a>(
        self,
        batches: impl Iterator<Item = &'a RecordBatch>,
    ) -> Result<Rows, TargetError> {
        let rows: Rows = batches.flat_map(rows_of).collect();
        if self == Self::ById {
            keyed(rows.clone())?;
        }
        Ok(rows)
    }

    /// How `rows` differ from what is staged.
    pub(super) fn differences(
        self,
        rows: &Rows,
        staged: &[(Effect, RecordBatch)],
    ) -> Result<Differences, TargetError> {
        if self == Self::Nothing {
            let what = "rows without a key cannot be held against others";
            return Err(TargetError::Disagrees(what.to_owned()));
        }
        let wanted = self.rows(staged.iter().map(|(_, batch)| batch))?;
        Ok(differences(&keyed(rows.clone())?, &keyed(wanted)?))
    }

    /// Brings what is staged into `rows`, as far as `guard` allows.
    pub(super) fn apply(
        self,
        rows: &mut Rows,
        stage: Stage,
        staged: &[(Effect, RecordBatch)],
        guard: Guard,
    ) -> Result<RowCounts, TargetError> {
        let had = rows.len() as u64;
        let wanted = || self.rows(staged.iter().map(|(_, batch)| batch));
        let (counts, lost) = match (self, stage) {
            (Self::ById, stage) => {
                let mut table = keyed(std::mem::take(rows))?;
                let counts = match stage {
                    Stage::Refresh => refresh(&mut table, keyed(wanted()?)?),
                    _ => change(&mut table, staged)?,
                };
                let table = table.into_iter();
                *rows = table.map(|(id, value)| (Some(id), value)).collect();
                (counts, counts.deleted)
            }
            (Self::Nothing, Stage::Refresh) => {
                let counts = exchange(rows, wanted()?);
                // A row that changed goes and comes.
                (counts, counts.deleted.saturating_sub(counts.inserted))
            }
            (Self::Nothing, _) => return Err(TargetError::Misused("changes are by key")),
        };
        match guard.refusal(lost, counts.inserted, had - lost) {
            Some(refusal) => Err(TargetError::MassDelete(refusal)),
            None => Ok(counts),
        }
    }
}

fn keyed(rows: impl IntoIterator<Item = Values>) -> Result<Keyed, TargetError> {
    let mut table = Keyed::new();
    for (id, value) in rows {
        let id = id.ok_or(TargetError::NullKey)?;
        if table.insert(id, value).is_some() {
            return Err(TargetError::DuplicateKey(id));
        }
    }
    Ok(table)
}

/// Takes away the rows of which there are more than wanted, and adds those of which there are fewer.
fn exchange(rows: &mut Rows, mut wanted: Rows) -> RowCounts {
    let mut counts = RowCounts::default();
    rows.retain(|row| match wanted.iter().position(|other| other == row) {
        Some(place) => {
            wanted.swap_remove(place);
            true
        }
        None => {
            counts.deleted += 1;
            false
        }
    });
    counts.inserted = wanted.len() as u64;
    rows.append(&mut wanted);
    counts
}

fn refresh(rows: &mut Keyed, wanted: Keyed) -> RowCounts {
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
fn differences(rows: &Keyed, wanted: &Keyed) -> Differences {
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

fn change(rows: &mut Keyed, staged: &[(Effect, RecordBatch)]) -> Result<RowCounts, TargetError> {
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
