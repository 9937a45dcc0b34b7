//! A loader in memory: a connection of its own, a transaction a piece.

use arrow_array::RecordBatch;
use lakeferry_model::{Effect, Epoch, FillPlan, Loader, Position};

use super::{
    MemoryServer, TargetError,
    rows::{Policy, Sifted},
};
use crate::{Fault, yield_step};

/// A loader on a [`MemoryServer`].
pub struct MemoryLoader<P: Position> {
    server: MemoryServer<P>,
    plan: FillPlan<P>,
    policy: Policy,
    /// Of the session that it belongs to.
    lease: (Epoch, u64),
    connection: u64,
    piece: Option<(u64, Sifted)>,
}

impl<P: Position> MemoryLoader<P> {
    pub(super) fn new(
        server: &MemoryServer<P>,
        (plan, policy): (FillPlan<P>, Policy),
        lease: (Epoch, u64),
    ) -> Self {
        let connection = server.lock().connect();
        Self {
            server: server.clone(),
            plan,
            policy,
            lease,
            connection,
            piece: None,
        }
    }

    async fn step(&self, operation: &'static str) -> Result<(), TargetError> {
        yield_step().await;
        if self.server.fault(operation).is_some() {
            return Err(TargetError::Injected(operation));
        }
        if !self.server.lock().connected.contains(&self.connection) {
            return Err(TargetError::Disconnected);
        }
        Ok(())
    }

    /// The transaction: the check of the lease, then the piece.
    fn load(&self, place: u64, rows: Sifted) -> Result<(), TargetError> {
        let mut state = self.server.lock();
        let (epoch, session) = self.lease;
        let leased = state
            .lease
            .as_ref()
            .is_some_and(|(_, holder)| *holder == session);
        if state.epoch != epoch || !leased {
            return Err(TargetError::Fenced);
        }
        let fill = state.fill.as_mut().filter(|fill| fill.plan == self.plan);
        let fill = fill.ok_or(TargetError::Fenced)?;
        if fill.pieces.insert(place, rows).is_some() {
            return Err(TargetError::Misused("the piece is loaded already"));
        }
        Ok(())
    }
}

impl<P: Position> Loader for MemoryLoader<P> {
    type Error = TargetError;

    async fn begin(&mut self, place: u64) -> Result<(), TargetError> {
        // Loaders that are polled together come apart.
        for _ in 0..=place % 3 {
            self.step("begin piece").await?;
        }
        if place >= self.plan.pieces {
            return Err(TargetError::Misused("the plan has no such piece"));
        }
        self.piece = Some((place, Sifted::default()));
        Ok(())
    }

    async fn put(&mut self, rows: &RecordBatch) -> Result<(), TargetError> {
        self.step("put piece").await?;
        let Some((_, piece)) = &mut self.piece else {
            return Err(TargetError::Misused("no piece was begun"));
        };
        let Policy { keying, bad, .. } = self.policy;
        piece.put(keying, bad, Effect::Insert, rows)
    }

    async fn finish(&mut self) -> Result<(), TargetError> {
        self.step("finish piece").await?;
        let Some((place, rows)) = self.piece.take() else {
            return Err(TargetError::Misused("no piece was begun"));
        };
        let fault = self.server.fault("commit piece");
        if fault != Some(Fault::LoseRequest) {
            self.load(place, rows)?;
        }
        if fault.is_some() {
            self.server.lock().connected.remove(&self.connection);
            return Err(TargetError::Disconnected);
        }
        yield_step().await;
        Ok(())
    }
}

impl<P: Position> Drop for MemoryLoader<P> {
    fn drop(&mut self) {
        self.server.lock().connected.remove(&self.connection);
    }
}
