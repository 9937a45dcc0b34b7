//! A loader in memory: a connection of its own, a transaction a piece.

use arrow_array::RecordBatch;
use lakeferry_model::{Epoch, FillPlan, Loader, Position};

use super::{MemoryServer, TargetError, rows::Keying};
use crate::{Fault, yield_step};

/// A loader on a [`MemoryServer`].
pub struct MemoryLoader<P: Position> {
    server: MemoryServer<P>,
    plan: FillPlan<P>,
    keying: Keying,
    /// Of the session that it belongs to.
    lease: (Epoch, u64),
    connection: u64,
    piece: Option<(u64, Vec<RecordBatch>)>,
}

impl<P: Position> MemoryLoader<P> {
    pub(super) fn new(
        server: &MemoryServer<P>,
        (plan, keying): (FillPlan<P>, Keying),
        lease: (Epoch, u64),
    ) -> Self {
        let connection = server.lock().connect();
        Self {
            server: server.clone(),
            plan,
            keying,
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
    fn load(&self, place: u64, rows: Vec<RecordBatch>) -> Result<(), TargetError> {
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
        self.piece = Some((place, Vec::new()));
        Ok(())
    }

    async fn put(&mut self, rows: &RecordBatch) -> Result<(), TargetError> {
        self.step("put piece").await?;
        self.keying.check(rows)?;
        match &mut self.piece {
            Some((_, batches)) => batches.push(rows.clone()),
            None => return Err(TargetError::Misused("no piece was begun")),
        }
        Ok(())
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
