//! What a server in memory holds: one job's target table and state, and the sessions on it.

use std::collections::BTreeSet;

use lakeferry_model::{Epoch, Holder, Pause, Position, Progress, Standing, TableStanding};

use super::{
    fill::Fill,
    table::{Rows, Table},
};

/// All that a standby would have, and the sessions, which it would not.
#[derive(Clone)]
pub(super) struct State<P> {
    pub(super) table: Option<Table>,
    pub(super) quarantine: Rows,
    /// What the table holds in no cell, as a constraint of a user's would say.
    pub(super) refused: Option<String>,
    pub(super) made: u64,
    pub(super) progress: Option<Progress<P>>,
    pub(super) filled: Option<u64>,
    pub(super) epoch: Epoch,
    pub(super) lease: Option<(Holder, u64)>,
    /// Whether the lease has passed without a sign of life of its holder.
    pub(super) has_expired: bool,
    /// Holders whose session a claim ended.
    pub(super) ended_holders: u64,
    pub(super) fill: Option<Fill<P>>,
    pub(super) paused: Option<Pause>,
    /// Sessions and loaders whose connection works.
    pub(super) connected: BTreeSet<u64>,
    /// Sessions that the server believes alive; a connected one may be missing here, as one is
    /// that was given up but can still send.
    pub(super) alive: BTreeSet<u64>,
    pub(super) sessions: u64,
}

impl<P> Default for State<P> {
    fn default() -> Self {
        Self {
            table: None,
            quarantine: Rows::new(),
            refused: None,
            made: 0,
            progress: None,
            filled: None,
            epoch: Epoch(0),
            lease: None,
            has_expired: false,
            ended_holders: 0,
            fill: None,
            paused: None,
            connected: BTreeSet::new(),
            alive: BTreeSet::new(),
            sessions: 0,
        }
    }
}

impl<P: Position> State<P> {
    pub(super) fn make_table(&mut self, columns: Vec<String>, rows: Rows) -> u64 {
        self.made += 1;
        self.table = Some(Table {
            oid: self.made,
            columns,
            rows,
        });
        self.made
    }

    pub(super) fn table_standing(&self) -> TableStanding {
        match (&self.table, self.filled) {
            (None, _) => TableStanding::Absent,
            (Some(table), Some(oid)) if table.oid == oid => TableStanding::Filled,
            (Some(_), Some(_)) => TableStanding::Replaced,
            (Some(table), None) if table.rows.is_empty() => TableStanding::Empty,
            (Some(_), None) => TableStanding::Foreign,
        }
    }

    pub(super) fn standing(&self) -> Standing<P> {
        let (progress, table) = (self.progress.clone(), self.table_standing());
        let fill = self.fill.as_ref().filter(|_| self.table.is_none());
        Standing {
            progress,
            epoch: self.epoch,
            table,
            unfinished: fill.map(Fill::unfinished),
            quarantined: self.quarantine.len() as u64,
            paused: self.paused.clone(),
        }
    }

    /// A new connection, of a session or a loader.
    pub(super) fn connect(&mut self) -> u64 {
        self.sessions += 1;
        self.connected.insert(self.sessions);
        self.sessions
    }
}
