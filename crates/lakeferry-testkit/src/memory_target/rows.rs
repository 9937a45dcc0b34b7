//! Rows with and without a key: what a table refuses, and what each stage does to it.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use lakeferry_model::{
    BadRowCounts, BadRows, Differences, DifferingKeys, Effect, Guard, MOST_EXAMPLES, OnBadValue,
    OnNullKey, OwnColumns, RowCounts, Stage,
};

use super::{
    TargetError,
    table::{Cells, Rows, Values},
};
use crate::row::cells_of;

type Keyed = BTreeMap<i64, Cells>;

/// What identifies the rows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keying {
    ById,
    Nothing,
}

/// What a job's settings say of its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) guard: Guard,
    pub(super) bad: BadRows,
    pub(super) keying: Keying,
    pub(super) own: OwnColumns,
}

/// What was put, and what of it cannot be held.
#[derive(Clone, Debug, Default)]
pub(super) struct Sifted {
    pub(super) staged: Vec<(Effect, Values)>,
    pub(super) bad: Vec<(Effect, Values)>,
    /// Rows with NULL in their key, in the order in which they were put.
    unkeyed: Vec<(Effect, Values)>,
    nulled: u64,
    replaced: u64,
}

impl Sifted {
    /// Adds rows, after refusing what Postgres refuses row by row.
    pub(super) fn put(
        &mut self,
        keying: Keying,
        policy: BadRows,
        effect: Effect,
        rows: &RecordBatch,
    ) -> Result<(), TargetError> {
        for (id, cells) in cells_of(rows) {
            let row = (effect, (id, cells));
            if keying == Keying::Nothing || id.is_some() {
                self.take(policy.on_bad_value, row, |text| text.contains('\0'))?;
                continue;
            }
            if (policy.on_null_key, effect) == (OnNullKey::Halt, Effect::Insert) {
                return Err(TargetError::NullKey);
            }
            self.unkeyed.push(row);
        }
        Ok(())
    }

    /// Brings rows with NULL in their key into a quarantine, and takes some out of it; not where one is
    /// to go that is not there.
    pub(super) fn settle_unkeyed(&self, quarantine: &Rows) -> Option<Rows> {
        let mut quarantine = quarantine.clone();
        for (effect, row) in &self.unkeyed {
            match effect {
                Effect::Delete => {
                    let place = quarantine.iter().position(|other| other == row)?;
                    quarantine.remove(place);
                }
                Effect::Insert | Effect::Update => quarantine.push(row.clone()),
            }
        }
        Some(quarantine)
    }

    /// Takes out rows that are to be written and have this value in a cell.
    pub(super) fn refuse(&mut self, refused: &str, policy: OnBadValue) -> Result<(), TargetError> {
        for row in std::mem::take(&mut self.staged) {
            self.take(policy, row, |text| text == refused)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        policy: OnBadValue,
        (effect, (id, mut cells)): (Effect, Values),
        is_bad: impl Fn(&str) -> bool,
    ) -> Result<(), TargetError> {
        let is_bad = |cell: &Option<String>| cell.as_deref().is_some_and(&is_bad);
        let bad = cells.iter().filter(|cell| is_bad(cell)).count() as u64;
        match policy {
            // Of what goes, the value does not matter.
            _ if bad == 0 || effect == Effect::Delete => self.staged.push((effect, (id, cells))),
            OnBadValue::Quarantine | OnBadValue::KeepPrevious => {
                self.bad.push((effect, (id, cells)));
            }
            OnBadValue::Replace => {
                for cell in cells.iter_mut().flatten() {
                    *cell = cell.replace('\0', "");
                }
                match cells.iter().any(is_bad) {
                    true => self.bad.push((effect, (id, cells))),
                    false => {
                        self.replaced += bad;
                        self.staged.push((effect, (id, cells)));
                    }
                }
            }
            OnBadValue::Halt => return Err(TargetError::BadRow(id)),
            OnBadValue::Null => {
                self.nulled += bad;
                for cell in cells.iter_mut().filter(|cell| is_bad(cell)) {
                    *cell = None;
                }
                self.staged.push((effect, (id, cells)));
            }
        }
        Ok(())
    }

    pub(super) fn extend(&mut self, more: &Self) {
        self.staged.extend_from_slice(&more.staged);
        self.bad.extend_from_slice(&more.bad);
        self.unkeyed.extend_from_slice(&more.unkeyed);
        self.nulled += more.nulled;
        self.replaced += more.replaced;
    }

    fn rows(&self) -> Rows {
        self.staged.iter().map(|(_, row)| row.clone()).collect()
    }
}

/// A job's rows, those in quarantine, and what may become of them.
pub(super) struct Held<'a> {
    pub(super) policy: Policy,
    pub(super) rows: &'a mut Rows,
    pub(super) quarantine: &'a mut Rows,
}

impl Held<'_> {
    /// Brings what was put into the table.
    pub(super) fn apply(
        mut self,
        stage: Stage,
        mut sifted: Sifted,
    ) -> Result<(RowCounts, BadRowCounts), TargetError> {
        let (nulled, replaced) = (sifted.nulled, sifted.replaced);
        let before = self.quarantine.clone();
        match stage {
            Stage::Changes => self.settle_changes(&mut sifted),
            Stage::Append if self.policy.keying == Keying::ById => {
                self.settle_changes(&mut sifted);
            }
            Stage::Append => {}
            Stage::Retry => self.settle_retry(&mut sifted),
            Stage::Fill | Stage::Refresh | Stage::Adopt => self.quarantine.clear(),
        }
        if stage == Stage::Refresh {
            self.stage_previous(&mut sifted);
        }
        if stage != Stage::Retry {
            let settled = sifted.settle_unkeyed(self.quarantine);
            *self.quarantine = settled.ok_or(TargetError::Misused("what goes is not there"))?;
        }
        self.quarantine
            .extend(sifted.bad.iter().map(|(_, row)| row.clone()));
        let rows = match stage {
            Stage::Adopt => RowCounts::default(),
            _ => self.write(stage, &sifted)?,
        };
        let quarantined = self.quarantine.len() as u64;
        let all = self.rows.len() as u64;
        if let Some(too_many) = self.policy.bad.refusal(quarantined, all + quarantined) {
            return Err(TargetError::TooManyBad(too_many));
        }
        let bad = BadRowCounts {
            quarantined: self.more(self.quarantine, &before),
            released: self.more(&before, self.quarantine),
            nulled,
            replaced,
        };
        Ok((rows, bad))
    }

    /// How many rows `one` has that `other` has not; those with a key are known by it.
    fn more(&self, one: &Rows, other: &Rows) -> u64 {
        let is_by_key = self.policy.keying == Keying::ById;
        let known_by = |(id, cells): &Values| match id {
            Some(_) if is_by_key => (*id, Cells::new()),
            _ => (*id, cells.clone()),
        };
        let mut counts = BTreeMap::new();
        for (rows, step) in [(one, 1), (other, -1)] {
            for row in rows {
                *counts.entry(known_by(row)).or_insert(0_i64) += step;
            }
        }
        counts
            .values()
            .map(|count| count.max(&0).unsigned_abs())
            .sum()
    }

    fn held(&self) -> BTreeSet<Option<i64>> {
        self.rows.iter().map(|(id, _)| *id).collect()
    }

    /// Where the target has no row of a key in quarantine, one comes where it would be updated, and
    /// there is none to delete. The row of a key that comes into quarantine goes, unless it is to
    /// stay.
    fn settle_changes(&mut self, sifted: &mut Sifted) {
        let held = self.held();
        let known = self.quarantine.iter().map(|(id, _)| *id);
        let absent: BTreeSet<_> = known.filter(|id| !held.contains(id)).collect();
        let all = sifted.staged.iter().chain(&sifted.bad);
        let touched: BTreeSet<_> = all.map(|(_, (id, _))| *id).collect();
        self.quarantine.retain(|(id, _)| !touched.contains(id));
        sifted.staged.retain_mut(|(effect, (id, _))| {
            let is_absent = absent.contains(id);
            if is_absent && *effect == Effect::Update {
                *effect = Effect::Insert;
            }
            !(is_absent && *effect == Effect::Delete)
        });
        for (effect, row) in &sifted.bad {
            let is_there = *effect == Effect::Update && !absent.contains(&row.0);
            if is_there && !self.policy.bad.keeps_previous() {
                sifted.staged.push((Effect::Delete, row.clone()));
            }
        }
    }

    /// A rebuild leaves rows as they are whose keys come with a bad one, if they are to stay.
    fn stage_previous(&self, sifted: &mut Sifted) {
        if !self.policy.bad.keeps_previous() {
            return;
        }
        let bad: BTreeSet<_> = sifted.bad.iter().map(|(_, (id, _))| *id).collect();
        let stay = self.rows.iter().filter(|(id, _)| bad.contains(id));
        sifted
            .staged
            .extend(stay.map(|row| (Effect::Insert, row.clone())));
    }

    /// Only rows in quarantine count.
    fn settle_retry(&mut self, sifted: &mut Sifted) {
        let known: BTreeSet<_> = self.quarantine.iter().map(|(id, _)| *id).collect();
        let is_known = |(_, (id, _)): &(Effect, Values)| known.contains(id);
        sifted.staged.retain(is_known);
        sifted.bad.retain(is_known);
        let all = sifted.staged.iter().chain(&sifted.bad);
        let touched: BTreeSet<_> = all.map(|(_, (id, _))| *id).collect();
        self.quarantine.retain(|(id, _)| !touched.contains(id));
        let held = self.held();
        for (effect, (id, _)) in &mut sifted.staged {
            if held.contains(id) {
                *effect = Effect::Update;
            }
        }
        for (_, row) in &sifted.bad {
            if held.contains(&row.0) && !self.policy.bad.keeps_previous() {
                sifted.staged.push((Effect::Delete, row.clone()));
            }
        }
    }

    fn write(&mut self, stage: Stage, sifted: &Sifted) -> Result<RowCounts, TargetError> {
        let had = self.rows.len() as u64;
        let (counts, lost) = match (self.policy.keying, stage) {
            (keying, Stage::Fill) => {
                *self.rows = keying.rows(sifted)?;
                let inserted = self.rows.len() as u64;
                let counts = RowCounts {
                    inserted,
                    ..RowCounts::default()
                };
                (counts, 0)
            }
            (Keying::ById, stage) => {
                let mut table = keyed(std::mem::take(self.rows))?;
                let counts = match stage {
                    Stage::Refresh => refresh(&mut table, keyed(sifted.rows())?),
                    _ => change(&mut table, &sifted.staged)?,
                };
                let table = table.into_iter();
                *self.rows = table.map(|(id, value)| (Some(id), value)).collect();
                (counts, counts.deleted)
            }
            (Keying::Nothing, Stage::Refresh) => {
                let counts = exchange(self.rows, sifted.rows());
                // A row that changed goes and comes.
                (counts, counts.deleted.saturating_sub(counts.inserted))
            }
            (Keying::Nothing, Stage::Append) => {
                self.rows.extend(sifted.rows());
                let inserted = sifted.staged.len() as u64;
                let counts = RowCounts {
                    inserted,
                    ..RowCounts::default()
                };
                (counts, 0)
            }
            (Keying::Nothing, _) => return Err(TargetError::Misused("changes are by key")),
        };
        match self.policy.guard.refusal(lost, counts.inserted, had - lost) {
            Some(refusal) => Err(TargetError::MassDelete(refusal)),
            None => Ok(counts),
        }
    }
}

impl Keying {
    /// All rows that can be held, if a table takes them.
    pub(super) fn rows(self, sifted: &Sifted) -> Result<Rows, TargetError> {
        let rows = sifted.rows();
        if self == Self::ById {
            keyed(rows.clone())?;
        }
        Ok(rows)
    }

    /// How `rows` differ from what is staged.
    pub(super) fn differences(
        self,
        rows: &Rows,
        sifted: &Sifted,
    ) -> Result<Differences, TargetError> {
        if self == Self::Nothing {
            let what = "rows without a key cannot be held against others";
            return Err(TargetError::Disagrees(what.to_owned()));
        }
        let wanted = self.rows(sifted)?;
        Ok(differences(&keyed(rows.clone())?, &keyed(wanted)?))
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

fn change(rows: &mut Keyed, staged: &[(Effect, Values)]) -> Result<RowCounts, TargetError> {
    let mut counts = RowCounts::default();
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
