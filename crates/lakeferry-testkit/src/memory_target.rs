//! A target in memory: one server, any number of sessions, the same refusals as Postgres.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use lakeferry_model::{
    Alteration, Applied, Claim, CommitOutcome, Differences, Effect, Epoch, FillPlan, Fingerprint,
    Guard, Holder, Loaded, OnNullKey, OwnColumns, Position, Progress, Session, Stage, Standing,
    TableStanding, Target, Watermark,
};

pub use self::loader::MemoryLoader;
use self::{
    error::TargetError,
    fill::Fill,
    rows::{Held, Policy, Sifted},
    state::State,
    table::{Marks, Rows, cell_names},
};
use crate::{Fault, Faults, yield_step};

mod error;
mod fill;
mod loader;
mod rows;
mod server;
mod state;
mod table;

/// A key and the first column after it.
pub type Values = (Option<i64>, Option<String>);

/// The server that holds one job's target table and state.
#[derive(Clone)]
pub struct MemoryServer<P> {
    state: Arc<Mutex<State<P>>>,
    pub faults: Arc<Mutex<Faults>>,
}

impl<P> Default for MemoryServer<P> {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            faults: Arc::default(),
        }
    }
}

/// A target on a [`MemoryServer`].
#[derive(Clone)]
pub struct MemoryTarget<P> {
    server: MemoryServer<P>,
    policy: Policy,
}

/// A session on a [`MemoryServer`].
pub struct MemorySession<P: Position> {
    server: MemoryServer<P>,
    policy: Policy,
    session: u64,
    epoch: Epoch,
    standing: Standing<P>,
    staged: Option<Staged<P>>,
    position: PhantomData<P>,
}

/// What a transaction comes to, before it is committed.
enum Prepared<P> {
    Fenced,
    Differs(Differences),
    Unmatched,
    Ready(Box<State<P>>, Applied),
}

enum Staged<P> {
    Fill(FillPlan<P>),
    /// With the names of their cells.
    Rows(Stage, Vec<String>, Sifted),
}

impl<P> MemoryTarget<P> {
    /// The same, of a job that writes these columns by itself.
    pub fn writing(mut self, own: OwnColumns) -> Self {
        self.policy.own = own;
        self
    }

    /// The same, with this guard.
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.policy.guard = guard;
        self
    }
}

impl<P: Position> Target for MemoryTarget<P> {
    type Position = P;
    type Error = TargetError;
    type Session = MemorySession<P>;

    fn encoding(&self) -> &'static str {
        "memory 1"
    }

    async fn inspect(&self) -> Result<Standing<P>, TargetError> {
        yield_step().await;
        if self.server.fault("inspect").is_some() {
            return Err(TargetError::Injected("inspect"));
        }
        Ok(self.server.standing())
    }

    async fn claim(&self, holder: &Holder) -> Result<Claim<MemorySession<P>>, TargetError> {
        yield_step().await;
        if self.server.fault("claim").is_some() {
            return Err(TargetError::Injected("claim"));
        }
        let mut state = self.server.lock();
        if let Some((holder, session)) = state.lease.clone()
            && state.alive.contains(&session)
        {
            if !state.has_expired {
                return Ok(Claim::Held(holder));
            }
            state.connected.remove(&session);
            state.alive.remove(&session);
            state.ended_holders += 1;
        }
        state.has_expired = false;
        let session = state.connect();
        state.epoch.0 += 1;
        let epoch = state.epoch;
        state.lease = Some((holder.clone(), session));
        state.alive.insert(session);
        let standing = state.standing();
        drop(state);
        let server = self.server.clone();
        let position = PhantomData;
        Ok(Claim::Granted(MemorySession {
            server,
            policy: self.policy,
            session,
            epoch,
            standing,
            staged: None,
            position,
        }))
    }
}

impl<P: Position> Drop for MemorySession<P> {
    fn drop(&mut self) {
        let mut state = self.server.lock();
        state.connected.remove(&self.session);
        state.alive.remove(&self.session);
    }
}

impl<P: Position> MemorySession<P> {
    async fn step(&self, operation: &'static str) -> Result<(), TargetError> {
        yield_step().await;
        if self.server.fault(operation).is_some() {
            return Err(TargetError::Injected(operation));
        }
        let mut state = self.server.lock();
        if !state.connected.contains(&self.session) {
            return Err(TargetError::Disconnected);
        }
        let holds = |(_, session): &(Holder, u64)| *session == self.session;
        if state.lease.as_ref().is_some_and(holds) {
            state.has_expired = false;
        }
        Ok(())
    }

    /// The transaction: the fence, then rows and progress, all or nothing.
    fn transaction(&mut self, progress: Progress<P>) -> Result<Prepared<P>, TargetError> {
        let mut state = self.server.lock().clone();
        // Pieces and pauses come and go outside of it.
        let fenced_by = |standing: &Standing<P>| Standing {
            unfinished: None,
            paused: None,
            ..standing.clone()
        };
        if state.epoch != self.epoch || fenced_by(&state.standing()) != fenced_by(&self.standing) {
            return Ok(Prepared::Fenced);
        }
        let applied = match self.staged.take() {
            None => Applied::default(),
            Some(Staged::Fill(plan)) => {
                let (columns, pieces) = self.whole(&state, &plan, &progress)?;
                state.fill = None;
                let own = self.policy.own.fields().into_iter();
                let own = own.map(|field| field.name().clone());
                let all = columns.iter().cloned().chain(own).collect();
                state.filled = Some(state.make_table(all, Rows::new()));
                self.apply_rows(&mut state, Stage::Fill, (&columns, &progress), pieces)?
            }
            Some(Staged::Rows(stage, names, sifted)) => {
                let Some(table) = &mut state.table else {
                    return Err(TargetError::Misused("there is no table to change"));
                };
                state.filled = Some(table.oid);
                if stage == Stage::Adopt {
                    let Policy { keying, own, .. } = self.policy;
                    let rows = table.narrowed(&table.places(&names)?, own);
                    let differences = keying.differences(&rows, &sifted)?;
                    if !differences.is_empty() {
                        return Ok(Prepared::Differs(differences));
                    }
                }
                let is_partial = matches!(stage, Stage::Changes | Stage::Append);
                if is_partial && sifted.settle_unkeyed(&state.quarantine).is_none() {
                    return Ok(Prepared::Unmatched);
                }
                self.apply_rows(&mut state, stage, (&names, &progress), sifted)?
            }
        };
        state.progress = Some(progress);
        Ok(Prepared::Ready(Box::new(state), applied))
    }

    fn apply_rows(
        &self,
        state: &mut State<P>,
        stage: Stage,
        (names, after): (&[String], &Progress<P>),
        mut sifted: Sifted,
    ) -> Result<Applied, TargetError> {
        if let (Some(refused), false) = (&state.refused, stage == Stage::Adopt) {
            sifted.refuse(refused, self.policy.bad.on_bad_value)?;
        }
        let Some(table) = &mut state.table else {
            return Err(TargetError::Misused("there is no table to write"));
        };
        let places = table.places(names)?;
        let Policy { keying, own, .. } = self.policy;
        let mut rows = table.narrowed(&places, own);
        let held = Held {
            policy: self.policy,
            rows: &mut rows,
            quarantine: &mut state.quarantine,
        };
        let (counts, bad) = held.apply(stage, sifted)?;
        let version = after.watermark.version.to_number().to_string();
        table.take(rows, &places, keying, &Marks { own, version })?;
        Ok(Applied { rows: counts, bad })
    }

    /// The rows of the fill of `plan`, all of its pieces. One whose rows are refused is removed:
    /// its version will never do.
    fn whole(
        &self,
        state: &State<P>,
        plan: &FillPlan<P>,
        after: &Progress<P>,
    ) -> Result<(Vec<String>, Sifted), TargetError> {
        let fill = state.fill.as_ref().filter(|fill| fill.plan == *plan);
        let fill = fill.ok_or(TargetError::Fenced)?;
        let Progress {
            watermark,
            fingerprint,
        } = after;
        if (&plan.watermark, &plan.fingerprint) != (watermark, fingerprint) {
            return Err(TargetError::Misused("the fill was planned otherwise"));
        }
        if fill.pieces.len() as u64 != plan.pieces {
            return Err(TargetError::Misused("pieces of the fill are missing"));
        }
        let mut all = Sifted::default();
        for piece in fill.pieces.values() {
            all.extend(piece);
        }
        if let Err(refused) = self.policy.keying.rows(&all) {
            self.server.lock().fill = None;
            return Err(refused);
        }
        Ok((fill.columns.clone(), all))
    }

    /// The transaction of an alteration.
    fn altered(
        &self,
        alterations: &[Alteration],
        fingerprint: &Fingerprint,
    ) -> Result<Prepared<P>, TargetError> {
        let mut state = self.server.lock().clone();
        if state.epoch != self.epoch || state.standing() != self.standing {
            return Ok(Prepared::Fenced);
        }
        let (TableStanding::Filled, Some(table), Some(progress)) = (
            state.table_standing(),
            &mut state.table,
            &mut state.progress,
        ) else {
            return Err(TargetError::Misused("there is no table to alter"));
        };
        for alteration in alterations {
            table.alter(alteration)?;
        }
        progress.fingerprint = fingerprint.clone();
        Ok(Prepared::Ready(Box::new(state), Applied::default()))
    }

    /// The end of a transaction that meets `fault`.
    async fn commit(
        &mut self,
        prepared: Prepared<P>,
        fault: Option<Fault>,
    ) -> Result<CommitOutcome, TargetError> {
        let (state, applied) = match prepared {
            Prepared::Fenced => return Ok(CommitOutcome::Fenced),
            Prepared::Differs(differences) => return Ok(CommitOutcome::Differs(differences)),
            Prepared::Unmatched => return Ok(CommitOutcome::Unmatched),
            Prepared::Ready(state, applied) => (state, applied),
        };
        if fault != Some(Fault::LoseRequest) {
            self.standing = state.standing();
            *self.server.lock() = *state;
        }
        if fault.is_some() {
            self.server.lock().connected.remove(&self.session);
            return Ok(CommitOutcome::Unknown(applied));
        }
        yield_step().await;
        Ok(CommitOutcome::Applied(applied))
    }
}

impl<P: Position> Session for MemorySession<P> {
    type Position = P;
    type Error = TargetError;
    type Loader = MemoryLoader<P>;

    fn standing(&self) -> &Standing<P> {
        &self.standing
    }

    async fn stage(&mut self, stage: Stage, columns: &SchemaRef) -> Result<(), TargetError> {
        self.step("stage").await?;
        let names = cell_names(columns)?;
        match &self.server.lock().table {
            Some(table) if stage != Stage::Fill => {
                table.places(&names)?;
                for field in self.policy.own.fields() {
                    table.places(std::slice::from_ref(field.name()))?;
                }
            }
            _ => return Err(TargetError::Misused("what is staged changes a table")),
        }
        if stage == Stage::Adopt && self.standing.table == TableStanding::Filled {
            return Err(TargetError::Misused("the table is the job's already"));
        }
        self.server.lock().fill = None;
        self.staged = Some(Staged::Rows(stage, names, Sifted::default()));
        Ok(())
    }

    async fn fill(
        &mut self,
        plan: &FillPlan<P>,
        columns: &SchemaRef,
    ) -> Result<Loaded, TargetError> {
        self.step("fill").await?;
        let columns = cell_names(columns)?;
        let mut state = self.server.lock();
        if state.table.is_some() {
            return Err(TargetError::Misused("a fill makes the table"));
        }
        if state.epoch != self.epoch {
            return Err(TargetError::Fenced);
        }
        let read = self.standing.unfinished.as_ref();
        let same = read.is_some_and(|unfinished| unfinished.plan == *plan);
        let fill = state.fill.take().filter(|fill| same && fill.plan == *plan);
        let fill = fill.unwrap_or_else(|| Fill {
            plan: plan.clone(),
            columns,
            pieces: BTreeMap::new(),
        });
        let loaded = fill.loaded();
        state.fill = Some(fill);
        drop(state);
        self.staged = Some(Staged::Fill(plan.clone()));
        Ok(loaded)
    }

    fn loaders(&self) -> usize {
        2
    }

    async fn loader(&mut self) -> Result<MemoryLoader<P>, TargetError> {
        self.step("loader").await?;
        match &self.staged {
            Some(Staged::Fill(plan)) => Ok(MemoryLoader::new(
                &self.server,
                (plan.clone(), self.policy),
                (self.epoch, self.session),
            )),
            _ => Err(TargetError::Misused("no fill is open")),
        }
    }

    async fn put(&mut self, effect: Effect, rows: &RecordBatch) -> Result<(), TargetError> {
        self.step("put").await?;
        let Some(Staged::Rows(stage, _, sifted)) = &mut self.staged else {
            return Err(TargetError::Misused("no stage is open"));
        };
        if *stage != Stage::Changes && effect != Effect::Insert {
            return Err(TargetError::Misused("all but changes take inserts only"));
        }
        let Policy {
            keying, mut bad, ..
        } = self.policy;
        if *stage == Stage::Retry {
            // They stay where they are, whatever the job would do with new ones.
            bad.on_null_key = OnNullKey::Quarantine;
        }
        sifted.put(keying, bad, effect, rows)
    }

    async fn apply(
        &mut self,
        watermark: &Watermark<P>,
        fingerprint: &Fingerprint,
    ) -> Result<CommitOutcome, TargetError> {
        self.step("apply").await?;
        let fault = self.server.fault("commit");
        let (watermark, fingerprint) = (watermark.clone(), fingerprint.clone());
        let progress = Progress {
            watermark,
            fingerprint,
        };
        let prepared = self.transaction(progress)?;
        self.commit(prepared, fault).await
    }

    async fn alter(
        &mut self,
        alterations: &[Alteration],
        fingerprint: &Fingerprint,
    ) -> Result<CommitOutcome, TargetError> {
        self.step("alter").await?;
        let fault = self.server.fault("commit");
        if self.staged.is_some() {
            return Err(TargetError::Misused("rows are staged"));
        }
        let prepared = self.altered(alterations, fingerprint)?;
        self.commit(prepared, fault).await
    }

    async fn release(self) -> Result<(), TargetError> {
        self.step("release").await?;
        let mut state = self.server.lock();
        if state
            .lease
            .as_ref()
            .is_some_and(|(_, session)| *session == self.session)
        {
            state.lease = None;
        }
        Ok(())
    }
}
