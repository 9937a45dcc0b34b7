//! The server itself: handles on its job, what a bystander sees of it, and what one does to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::MutexGuard,
};

use lakeferry_model::{BadRows, Guard, OwnColumns, Pause, Position, Standing};

use super::{
    MemoryServer, MemoryTarget, Values,
    rows::{Keying, Policy},
    state::State,
};
use crate::Fault;

impl<P: Position> MemoryServer<P> {
    /// A handle on the job, as another process has one.
    pub fn target(&self) -> MemoryTarget<P> {
        MemoryTarget {
            server: self.clone(),
            policy: Policy {
                guard: Guard::OFF,
                bad: BadRows::HALT,
                keying: Keying::ById,
                own: OwnColumns::default(),
            },
        }
    }

    /// As [`MemoryServer::target`], of a job with this guard.
    pub fn guarded(&self, guard: Guard) -> MemoryTarget<P> {
        let mut target = self.target();
        target.policy.guard = guard;
        target
    }

    /// As [`MemoryServer::target`], of a job that does this with bad rows.
    pub fn tolerant(&self, bad: BadRows) -> MemoryTarget<P> {
        let mut target = self.target();
        target.policy.bad = bad;
        target
    }

    /// As [`MemoryServer::guarded`], of a job without a key.
    pub fn keyless(&self, guard: Guard) -> MemoryTarget<P> {
        let mut target = self.guarded(guard);
        target.policy.keying = Keying::Nothing;
        target
    }

    /// The keys in quarantine that are not NULL, sorted.
    pub fn quarantined(&self) -> Vec<i64> {
        let state = self.lock();
        let mut keys: Vec<_> = state.quarantine.iter().filter_map(|row| row.0).collect();
        keys.sort_unstable();
        keys
    }

    /// What rows in quarantine that have NULL in their key have in the first column after it, sorted.
    pub fn unkeyed(&self) -> Vec<Option<String>> {
        let state = self.lock();
        let first = |(id, cells): &(Option<i64>, Vec<Option<String>>)| {
            id.is_none().then(|| cells.first().cloned().flatten())
        };
        let mut values: Vec<_> = state.quarantine.iter().filter_map(first).collect();
        values.sort();
        values
    }

    /// The rows that a reader of a keyed table sees; `None` if there is no table.
    pub fn rows(&self) -> Option<BTreeMap<i64, Option<String>>> {
        let keyed = |(id, value)| Some((id?, value));
        Some(self.all_rows()?.into_iter().filter_map(keyed).collect())
    }

    /// What a reader of a keyed table sees in one column; `None` if there is no such column.
    pub fn cells(&self, column: &str) -> Option<BTreeMap<i64, Option<String>>> {
        let state = self.lock();
        let table = state.table.as_ref()?;
        let place = table.columns.iter().position(|name| name == column)?;
        let cell =
            |(id, row): &(Option<i64>, Vec<Option<String>>)| Some(((*id)?, row[place].clone()));
        let live = table.rows.iter().filter(|(_, row)| table.is_live(row));
        Some(live.filter_map(cell).collect())
    }

    /// The keys of rows that are marked as deleted, sorted.
    pub fn deleted(&self) -> Vec<i64> {
        let state = self.lock();
        let dead = state.table.iter().flat_map(|table| {
            let dead = table.rows.iter().filter(|(_, row)| !table.is_live(row));
            dead.filter_map(|(id, _)| *id)
        });
        let mut keys: Vec<i64> = dead.collect();
        keys.sort_unstable();
        keys
    }

    /// All rows that a reader sees, sorted; `None` if there is no table.
    pub fn all_rows(&self) -> Option<Vec<Values>> {
        let state = self.lock();
        let table = state.table.as_ref()?;
        let live = table.rows.iter().filter(|(_, row)| table.is_live(row));
        let mut rows: Vec<Values> = live
            .map(|(id, cells)| (*id, cells.first().cloned().flatten()))
            .collect();
        rows.sort();
        Some(rows)
    }

    /// What the target has, without a step.
    pub fn standing(&self) -> Standing<P> {
        self.lock().standing()
    }

    /// Makes a table under the job's name that the job did not fill.
    pub fn make_table(&self, rows: impl IntoIterator<Item = (i64, Option<String>)>) {
        let rows = rows.into_iter().map(|(id, value)| (Some(id), vec![value]));
        let columns = vec!["value".to_owned()];
        self.lock().make_table(columns, rows.collect());
    }

    /// Lets the table refuse this value from now on, as a constraint of a user's does.
    pub fn refuse(&self, value: &str) {
        self.lock().refused = Some(value.to_owned());
    }

    /// Gives an empty table the columns that a job writes by itself, as its owner does.
    pub fn add_columns(&self, own: OwnColumns) {
        if let Some(table) = &mut self.lock().table {
            let names = own.fields().into_iter().map(|field| field.name().clone());
            table.columns.extend(names);
        }
    }

    /// Puts an equal table in the place of the target, which the job did not fill.
    pub fn replace_table(&self) {
        let mut state = self.lock();
        if let Some(table) = state.table.clone() {
            state.make_table(table.columns, table.rows);
        }
    }

    /// Drops the target table.
    pub fn drop_table(&self) {
        self.lock().table = None;
    }

    /// Drops the table of an unfinished fill.
    pub fn drop_fill(&self) {
        self.lock().fill = None;
    }

    /// Pauses the job, or lifts its pause.
    pub fn pause(&self, pause: Option<Pause>) {
        self.lock().paused = pause;
    }

    /// Breaks all connections.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.connected.clear();
        state.alive.clear();
    }

    /// Lets the server believe that all sessions ended, though they can still send.
    pub fn give_up_sessions(&self) {
        self.lock().alive.clear();
    }

    /// Lets the lease pass, unless its holder gives a sign of life before the next claim.
    pub fn let_lease_pass(&self) {
        self.lock().has_expired = true;
    }

    /// How many holders lost their session to a claim, for they stood still.
    pub fn ended_holders(&self) -> u64 {
        self.lock().ended_holders
    }

    /// A copy of all that is committed, as a standby has it.
    pub fn standby(&self) -> impl Fn() + use<P> {
        let (server, copy) = (self.clone(), self.lock().clone());
        move || {
            let mut state = server.lock();
            let (sessions, ended_holders) = (state.sessions, state.ended_holders);
            *state = State {
                connected: BTreeSet::new(),
                alive: BTreeSet::new(),
                ..copy.clone()
            };
            (state.sessions, state.ended_holders) = (sessions, ended_holders);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state
            .lock()
            .expect("no test panics while it holds the server")
    }

    pub(super) fn fault(&self, operation: &'static str) -> Option<Fault> {
        self.faults
            .lock()
            .expect("no test panics while it holds the faults")
            .take(operation)
    }
}
