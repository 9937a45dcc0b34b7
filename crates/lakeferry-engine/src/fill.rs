//! A first fill: pieces read and loaded by several loaders at once, then the one transaction that
//! gives them their name.
//!
//! One failure stops all loaders. The pieces that were loaded stay, and the next attempt goes on
//! from there; what is loaded twice is nothing.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::Poll,
};

use lakeferry_model::{
    Clock, Digest, Failure, FailureClass, FillPlan, Loaded, Loader, Piece, Pieces, Session, Source,
    Stage, Target, Watermark,
};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument, info_span};

use crate::{
    attempt::{Attempt, next},
    collapse::{CollapseError, greatest::Greatest},
    error::RunError,
    job::Request,
    plan::Why,
    run::{Step, StepKind},
};

impl<S, T, C> Attempt<'_, S, T, C>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    /// Fills the target with the source at `at`, for the reason `why`; without one, goes on with the
    /// fill of that version. No step where it turned out that the fill has to start anew, at a
    /// newer head.
    pub(crate) async fn fill(
        &mut self,
        session: &mut T::Session,
        at: Watermark<S::Position>,
        why: Option<Why>,
    ) -> Result<Option<Step<S::Position>>, RunError> {
        let resumed = why.is_none();
        let pieces = match self.job.source.pieces(&at).await {
            Ok(pieces) => pieces,
            Err(error) => return self.instead(&at, resumed, self.of_source(error)).await,
        };
        let plan = self.fill_plan(&at, pieces.list());
        let going_on = session.standing().unfinished.as_ref();
        if resumed && going_on.is_none_or(|unfinished| unfinished.plan != plan) {
            tracing::info!(version = %at.version, "the source is cut otherwise: filling anew");
            self.fills_anew = true;
            return Ok(None);
        }
        self.begin_loading();
        let loading = self.load(session, &plan, &pieces);
        let (kept, rows_read) = match loading.instrument(info_span!("load")).await {
            Ok(loaded) => loaded,
            Err(unloaded) => return self.instead(&at, resumed, unloaded).await,
        };
        let kind = match why {
            Some(why) => StepKind::Rebuild(Stage::Fill, why),
            None => StepKind::Resumed {
                pieces: kept.pieces.len() as u64,
                rows: kept.rows,
            },
        };
        let step = self.apply(session, &at, kind, rows_read).await?;
        // Once filled, what is left to do is an ordinary sync.
        self.request = Request::Sync;
        Ok(Some(step))
    }

    fn fill_plan(&self, at: &Watermark<S::Position>, pieces: &[Piece]) -> FillPlan<S::Position> {
        let mut digest = Sha256::new();
        for piece in pieces {
            digest.update(piece.digest.0);
        }
        FillPlan {
            watermark: at.clone(),
            fingerprint: self.fingerprint.clone(),
            // Rows of one key may be in several pieces, so that all of them are one.
            pieces: match self.job.policy.dedupe_by {
                None => pieces.len() as u64,
                Some(_) => 1,
            },
            pieces_digest: Digest(digest.finalize().into()),
        }
    }

    /// Loads what the fill of `plan` does not have yet, and says what it had and how many rows were
    /// read.
    async fn load(
        &self,
        session: &mut T::Session,
        plan: &FillPlan<S::Position>,
        pieces: &S::Pieces,
    ) -> Result<(Loaded, u64), Unloaded> {
        let given_up = |error| Unloaded {
            error,
            remedy: Remedy::None,
        };
        let columns = self.columns().map_err(given_up)?.synced();
        let opened = session.fill(plan, &columns).await;
        let loaded = opened.map_err(|error| self.of_session(error))?;
        self.job.meter.had(loaded.rows);
        let places = (0..usize::try_from(plan.pieces).unwrap_or(usize::MAX)).zip(0_u64..);
        let missing: Vec<_> = places
            .filter(|(_, place)| !loaded.pieces.contains(place))
            .collect();
        if let Some(greatest) = self.greatest(&plan.watermark).map_err(given_up)? {
            let rows_read = match missing.is_empty() {
                true => 0,
                false => self.load_greatest(session, pieces, greatest).await?,
            };
            let confirmed = pieces.confirm().await;
            confirmed.map_err(|error| self.of_source(error))?;
            return Ok((loaded, rows_read));
        }
        let work = Work {
            pieces,
            missing: &missing,
            next: AtomicUsize::new(0),
            rows_read: AtomicU64::new(0),
        };
        let mut loaders = Vec::new();
        for _ in 0..session.loaders().min(missing.len()) {
            match session.loader().await {
                Ok(loader) => loaders.push(loader),
                Err(error) if loaders.is_empty() => return Err(self.of_loader(error)),
                Err(error) => {
                    tracing::warn!(%error, "loading with {} loaders", loaders.len());
                    break;
                }
            }
        }
        let loading = loaders
            .into_iter()
            .map(|loader| self.load_some(&work, loader));
        all(loading
            .map(|loader| Box::pin(loader) as Pin<Box<_>>)
            .collect())
        .await?;
        let confirmed = pieces.confirm().await;
        confirmed.map_err(|error| self.of_source(error))?;
        Ok((loaded, work.rows_read.into_inner()))
    }

    /// Loads the greatest row of each key as the one piece of a fill, and says how many rows were read.
    async fn load_greatest(
        &self,
        session: &mut T::Session,
        pieces: &S::Pieces,
        mut greatest: Greatest<S::Position>,
    ) -> Result<u64, Unloaded> {
        let failed = |error: CollapseError| Unloaded {
            error: RunError::collapse(self.job.name(), &error),
            remedy: Remedy::OtherRows,
        };
        let mut rows_read = 0;
        for index in 0..pieces.list().len() {
            let rows = pieces.read(index).await;
            let mut rows = rows.map_err(|error| self.of_source(error))?;
            while let Some(batch) = next(&mut rows).await {
                let batch = batch.map_err(|error| self.of_source(error))?;
                rows_read += batch.num_rows() as u64;
                self.job.meter.add(&batch);
                greatest.push(batch).map_err(failed)?;
            }
        }
        let mut ranked = greatest.finish().map_err(failed)?;
        let loader = session.loader().await;
        let mut loader = loader.map_err(|error| self.of_loader(error))?;
        let begun = loader.begin(0).await;
        begun.map_err(|error| self.of_loader(error))?;
        while let Some(batch) = ranked.next().map_err(failed)? {
            let put = loader.put(&batch).await;
            put.map_err(|error| self.of_loader(error))?;
        }
        let loaded = loader.finish().await;
        loaded.map_err(|error| self.of_loader(error))?;
        Ok(rows_read)
    }

    /// Loads pieces until none is left.
    async fn load_some(
        &self,
        work: &Work<'_, S::Pieces>,
        mut loader: <T::Session as Session>::Loader,
    ) -> Result<(), Unloaded> {
        while let Some(&(index, place)) =
            work.missing.get(work.next.fetch_add(1, Ordering::Relaxed))
        {
            let rows = work.pieces.read(index).await;
            let mut rows = rows.map_err(|error| self.of_source(error))?;
            let begun = loader.begin(place).await;
            begun.map_err(|error| self.of_loader(error))?;
            while let Some(batch) = next(&mut rows).await {
                let batch = batch.map_err(|error| self.of_source(error))?;
                let count = batch.num_rows() as u64;
                work.rows_read.fetch_add(count, Ordering::Relaxed);
                self.job.meter.add(&batch);
                let put = loader.put(&batch).await;
                put.map_err(|error| self.of_loader(error))?;
            }
            let loaded = loader.finish().await;
            loaded.map_err(|error| self.of_loader(error))?;
            tracing::debug!(place, "piece loaded");
        }
        Ok(())
    }

    /// What to do about a fill that cannot be loaded: it starts anew where its version cannot be
    /// had any more and there is a newer one. A version that an earlier attempt chose is given up
    /// as soon as trying again cannot help; what an operator mended may be in a newer one.
    async fn instead(
        &mut self,
        at: &Watermark<S::Position>,
        resumed: bool,
        unloaded: Unloaded,
    ) -> Result<Option<Step<S::Position>>, RunError> {
        let Unloaded { error, remedy } = unloaded;
        let anew = match remedy {
            Remedy::Anew => true,
            Remedy::OtherRows => resumed,
            Remedy::None => false,
        };
        if !anew {
            return Err(error);
        }
        let Ok(head) = self.job.source.head().await else {
            return Err(error);
        };
        if (&head.table_id, head.version) == (&at.table_id, at.version) {
            return Err(error);
        }
        tracing::warn!(%error, version = %at.version, "filling anew at version {}", head.version);
        self.head = head;
        self.surveyed.clear();
        self.fills_anew = true;
        Ok(None)
    }

    fn of_source(&self, error: S::Error) -> Unloaded {
        Unloaded {
            remedy: match error.is_gone() {
                true => Remedy::Anew,
                false => Remedy::of(&error),
            },
            error: RunError::source(self.job.name(), error),
        }
    }

    fn of_loader(&self, error: T::Error) -> Unloaded {
        Unloaded {
            remedy: Remedy::of(&error),
            error: RunError::target(self.job.name(), error),
        }
    }

    /// After an error the session is of no further use.
    fn of_session(&self, error: T::Error) -> Unloaded {
        Unloaded {
            remedy: Remedy::None,
            error: RunError::target(self.job.name(), error),
        }
    }
}

/// What the loaders of a fill share.
struct Work<'a, S> {
    pieces: &'a S,
    /// The pieces to load, by index and place.
    missing: &'a [(usize, u64)],
    /// The first of `missing` that no loader took yet.
    next: AtomicUsize,
    rows_read: AtomicU64,
}

/// Why a fill was not loaded.
struct Unloaded {
    error: RunError,
    remedy: Remedy,
}

/// Whether a newer version may do where this one does not.
enum Remedy {
    /// This one cannot be read any more.
    Anew,
    /// Trying again with the same rows cannot help.
    OtherRows,
    None,
}

impl Remedy {
    fn of(error: &impl Failure) -> Self {
        match error.class() {
            FailureClass::Transient => Self::None,
            _ => Self::OtherRows,
        }
    }
}

type Loading<'a> = Pin<Box<dyn Future<Output = Result<(), Unloaded>> + Send + 'a>>;

/// Drives all to their end, or to the first failure; the others are then dropped.
async fn all(mut under_way: Vec<Loading<'_>>) -> Result<(), Unloaded> {
    poll_fn(|context| {
        let mut failed = None;
        under_way.retain_mut(|loading| match loading.as_mut().poll(context) {
            _ if failed.is_some() => true,
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(unloaded)) => {
                failed = Some(unloaded);
                false
            }
        });
        match failed {
            Some(unloaded) => Poll::Ready(Err(unloaded)),
            None if under_way.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}
