//! A first fill in memory, as far as it came.

use std::collections::BTreeMap;

use lakeferry_model::{FillPlan, Loaded, Position, UnfinishedFill};

use super::rows::Sifted;

/// A fill that was begun, and its pieces.
#[derive(Clone)]
pub(super) struct Fill<P> {
    pub(super) plan: FillPlan<P>,
    /// What the cells of its rows are called.
    pub(super) columns: Vec<String>,
    pub(super) pieces: BTreeMap<u64, Sifted>,
}

impl<P: Position> Fill<P> {
    pub(super) fn loaded(&self) -> Loaded {
        let rows = self.pieces.values().map(|piece| piece.staged.len() as u64);
        Loaded {
            pieces: self.pieces.keys().copied().collect(),
            rows: rows.sum(),
        }
    }

    pub(super) fn unfinished(&self) -> UnfinishedFill<P> {
        let Loaded { pieces, rows } = self.loaded();
        UnfinishedFill {
            plan: self.plan.clone(),
            loaded: pieces.len() as u64,
            rows,
        }
    }
}
