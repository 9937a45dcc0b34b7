//! What holds after every step of the simulation, by the oracle and by what was seen before.

use std::{cmp::Ordering, collections::BTreeSet};

use lakeferry_model::{COMMIT_VERSION, ColumnRole, Progress, TargetColumn};
use lakeferry_testkit::{KEY, oracle::Cells};

use super::World;

impl World {
    /// Promise 1, and the watermark's way.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let standing = self.server.standing();
        let unfinished = standing.unfinished.as_ref();
        let filling = unfinished.map(|fill| (fill.plan.watermark.version, fill.loaded));
        if let (Some(then), Some(now)) = (self.filling, filling)
            && (then.0 != now.0 || then.1 > now.1)
        {
            self.note("fill started anew");
        }
        self.filling = filling;
        let Some(progress) = &standing.progress else {
            self.had.clear();
            return Ok(());
        };
        self.check_columns(progress)?;
        self.note_previous(progress);
        self.note_unkeyed();
        self.check_kept()?;
        let watermark = &progress.watermark;
        let version = watermark.version;
        if let Some(seen) = &self.seen
            && !self.may_leave
            && !self.engines.iter().any(|engine| engine.asked)
            && (seen.table_id != watermark.table_id || seen.version > version)
        {
            return Err(format!(
                "the watermark left its table's history: {seen:?} to {watermark:?}"
            ));
        }
        if let Some(seen) = &self.seen
            && seen.instant > watermark.instant
        {
            return Err("the instant moved back".to_owned());
        }
        self.seen = Some(watermark.clone());
        Ok(())
    }

    fn note_unkeyed(&mut self) {
        let unkeyed = self.server.unkeyed().len();
        match unkeyed.cmp(&std::mem::replace(&mut self.unkeyed, unkeyed)) {
            Ordering::Less => self.note("null key went"),
            Ordering::Equal => {}
            Ordering::Greater => self.note("null key kept aside"),
        }
    }

    /// Where rows stay when they are deleted, none ever goes, and none is there twice; that the live
    /// ones are right is seen column by column.
    fn check_kept(&mut self) -> Result<(), String> {
        let live = self.server.cells(COMMIT_VERSION).unwrap_or_default();
        let deleted = self.server.deleted();
        if self.keeps && !deleted.is_empty() {
            self.note("deleted row kept");
        }
        let before = std::mem::take(&mut self.kept);
        let all: BTreeSet<i64> = live.keys().copied().chain(deleted.clone()).collect();
        if self.keeps && (!before.is_subset(&all) || all.len() != live.len() + deleted.len()) {
            return Err(format!(
                "of {before:?} there are {live:?}, and {deleted:?} as deleted"
            ));
        }
        if !self.keeps && !deleted.is_empty() {
            return Err(format!("{deleted:?} are there as deleted"));
        }
        if self.was_deleted.iter().any(|id| live.contains_key(id)) {
            self.note("deleted row came back");
        }
        (self.kept, self.was_deleted) = (all, deleted);
        Ok(())
    }

    /// Looks at what the target has, to know it if it must stay.
    pub(super) fn note_previous(&mut self, progress: &Progress<u64>) {
        let columns = progress.fingerprint.columns.iter();
        let had = columns.filter_map(|column| {
            let cells = self.server.cells(&column.name)?;
            Some((column.identity.clone(), cells))
        });
        self.had = had.collect();
        let live = self.server.cells(COMMIT_VERSION).unwrap_or_default();
        let quarantined = self.server.quarantined();
        if quarantined.iter().any(|id| live.contains_key(id)) {
            self.note("previous row stayed");
        }
    }

    /// The cells of rows that stay as they were, for their keys are in quarantine. A column that came
    /// since has NULL there.
    fn previous(&self, identity: &str, quarantined: &[i64]) -> Cells {
        let had = |id: &&i64| self.had.values().any(|cells| cells.contains_key(id));
        let stay = quarantined.iter().filter(|_| self.keeps_previous);
        let cell = |id: &i64| self.had.get(identity)?.get(id)?.clone();
        stay.filter(had).map(|id| (*id, cell(id))).collect()
    }

    /// Each synced column has what the source has there at the watermark, unless a rebuild is under
    /// way, before which no rows are to be trusted in columns that came.
    fn check_columns(&self, progress: &Progress<u64>) -> Result<(), String> {
        let Progress {
            watermark,
            fingerprint,
        } = progress;
        let digest = watermark.digest.ok_or("the watermark has no digest")?;
        let (table, version) = (&watermark.table_id, watermark.version);
        let at = (table, version, digest.0);
        let instant = self.is_timed().then_some(watermark.instant);
        let is_value = |column: &TargetColumn| {
            (column.identity.as_str(), column.role) == ("value", ColumnRole::Synced)
        };
        let syncs_value = fingerprint.columns.iter().any(is_value);
        let synced = fingerprint.columns.iter();
        let synced = synced.filter(|column| column.role == ColumnRole::Synced);
        let order: Vec<&str> = synced.map(|column| column.identity.as_str()).collect();
        // The value comes before all others but the key, which is the same.
        let order = self.settles.then_some(&order[1..]);
        for column in &fingerprint.columns {
            let (name, identity) = (&column.name, &column.identity);
            let expected = (self.oracle).expected(at, instant, (identity, syncs_value), order);
            let mut expected =
                expected.ok_or(format!("there never was version {version} of {table}"))?;
            let previous = self.previous(identity, &expected.quarantined);
            expected.cells.extend(previous);
            let cells = self.server.cells(name);
            let quarantined = self.server.quarantined();
            let is_right = match (column.role, &cells) {
                _ if identity == KEY => true,
                (ColumnRole::Own, cells) => cells.is_some(),
                (ColumnRole::LeftOut, _) => true,
                (ColumnRole::Detached, cells) => cells.is_some(),
                // The rows are those of the version all the same, in the table or in quarantine.
                (ColumnRole::Synced, Some(cells)) if fingerprint.rows.is_empty() => {
                    all_keys(cells, &quarantined)
                        == all_keys(&expected.cells, &expected.quarantined)
                }
                (ColumnRole::Synced, Some(cells)) => *cells == expected.cells,
                (ColumnRole::Synced, None) => false,
            };
            let unkeyed = self.server.unkeyed();
            let is_aside = (fingerprint.rows.is_empty() || quarantined == expected.quarantined)
                && unkeyed.len() == expected.unkeyed.len()
                && (!is_value(column) || unkeyed == expected.unkeyed);
            if !is_right || !is_aside {
                return Err(format!(
                    "{column:?} is not version {version} of {table} at {instant:?}:\n{cells:?} and \
                     {quarantined:?} and {unkeyed:?} in quarantine\nbut should be\n{expected:?}"
                ));
            }
        }
        Ok(())
    }
}

fn all_keys(cells: &Cells, quarantined: &[i64]) -> BTreeSet<i64> {
    cells.keys().chain(quarantined).copied().collect()
}
