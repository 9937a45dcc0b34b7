//! What was set aside, brought into the quarantine of the state in the transaction of the other rows.

use std::collections::HashMap;

use lakeferry_model::{BadRowCounts, Position};
use uuid::Uuid;

use super::{
    Aside, Known,
    store::{Again, Store, refuse_too_many},
    unkeyed::Unkeyed,
};
use crate::{
    error::Error,
    link::Link,
    sqlstate::Doing,
    target::{
        apply::Apply,
        state::{StateSchema, bigint},
    },
};

/// What an apply did to the quarantine.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::target) struct Quarantined {
    pub(in crate::target) counts: BadRowCounts,
    /// What is in it now.
    pub(in crate::target) total: u64,
}

/// What an apply knows of the rows in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::target) enum Scope {
    /// All rows of the source were put.
    All,
    /// Those whose key was put, for it changed.
    Changed,
    /// As `Changed`; without a key, rows are put beside those that are there.
    Added,
    /// Those whose key was put, as it was.
    Retried,
}

impl Aside {
    /// Brings the quarantine to what was put, within the transaction of `apply`, once its rows are
    /// written.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if it would hold more than the job allows.
    pub(in crate::target) async fn write<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        scope: Scope,
    ) -> Result<Quarantined, Error> {
        let looked_at: Vec<&Known> = match scope {
            Scope::All => self.known.keys().collect(),
            Scope::Changed | Scope::Added | Scope::Retried => self.touched.iter().collect(),
        };
        let store = Store {
            link: apply.link,
            state: apply.state,
            job_id: apply.hold.job_id,
        };
        let doing = apply.doing();
        store.remove(&self.left(scope, &looked_at), &doing).await?;
        store.lessen(&self.fewer(), &doing).await?;
        let version = bigint(apply.after.0.version)?;
        let again = match scope {
            Scope::Added => Again::Counts,
            Scope::All | Scope::Changed | Scope::Retried => Again::Renews,
        };
        store.insert(&self.rows, version, again, &doing).await?;
        let again = match scope {
            Scope::All => Again::Renews,
            Scope::Changed | Scope::Added | Scope::Retried => Again::Counts,
        };
        let came = &self.unkeyed.came;
        store.insert(came, version, again, &doing).await?;
        if !(self.rows.is_empty() && came.is_empty()) {
            refuse_too_many(apply, self.allows, None).await?;
        }
        Ok(self.quarantined(&looked_at))
    }

    /// What goes of what was `looked_at`, and of rows without a key.
    fn left<'a>(&'a self, scope: Scope, looked_at: &[&'a Known]) -> Vec<&'a [u8]> {
        let (rows, unkeyed) = (&self.rows, &self.unkeyed);
        // What is bad as before was perhaps given up, and stays so unless it changed.
        let is_left = |known: &Known| match scope {
            Scope::Changed | Scope::Added => true,
            Scope::Retried => !rows.contains_key(known),
            Scope::All => !rows.contains_key(known) && !unkeyed.came.contains_key(known),
        };
        let left = looked_at.iter().copied().filter(|known| is_left(known));
        let all_gone = unkeyed.gone.iter();
        let all_gone = all_gone.filter(|(known, gone)| self.in_quarantine(known) == **gone);
        let all = left.chain(all_gone.map(|(known, _)| known));
        all.map(|known| &known[..]).collect()
    }

    /// Rows without a key of which some go, and how many.
    fn fewer(&self) -> Vec<(&[u8], i64)> {
        let gone = self.unkeyed.gone.iter();
        let some = gone.filter(|(known, gone)| self.in_quarantine(known) > **gone);
        some.map(|(known, gone)| (&known[..], *gone)).collect()
    }

    /// What became of the rows `looked_at`, and of those that were put.
    fn quarantined(&self, looked_at: &[&Known]) -> Quarantined {
        let Unkeyed { came, gone, .. } = &self.unkeyed;
        let mut changes: HashMap<&Known, i64> = HashMap::new();
        for known in looked_at {
            *changes.entry(known).or_insert(0) -= self.in_quarantine(known);
        }
        for (known, row) in self.rows.iter().chain(came) {
            *changes.entry(known).or_insert(0) += row.rows;
        }
        for (known, rows) in gone {
            *changes.entry(known).or_insert(0) -= rows;
        }
        let more: i64 = changes.values().filter(|rows| **rows > 0).sum();
        let less: i64 = changes.values().filter(|rows| **rows < 0).sum();
        let total = self.known.values().map(|known| known.rows).sum::<i64>() + more + less;
        Quarantined {
            counts: BadRowCounts {
                quarantined: more.unsigned_abs(),
                released: less.unsigned_abs(),
                ..self.changed
            },
            total: total.unsigned_abs(),
        }
    }

    /// Writes the bad rows of one piece of a fill, which begins with an empty quarantine, within
    /// the transaction of the piece.
    pub(in crate::target) async fn write_piece(
        &self,
        (link, state): (&Link, &StateSchema),
        (job_id, has_key): (Uuid, bool),
        version: i64,
        doing: &Doing,
    ) -> Result<(), Error> {
        let store = Store {
            link,
            state,
            job_id,
        };
        let again = match has_key {
            true => Again::IsRefused,
            false => Again::Counts,
        };
        store.insert(&self.rows, version, again, doing).await?;
        let unkeyed = &self.unkeyed.came;
        store.insert(unkeyed, version, Again::Counts, doing).await
    }
}
