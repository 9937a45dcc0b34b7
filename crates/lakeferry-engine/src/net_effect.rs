//! What signed changes come to: read, and collapsed by themselves, or, where of several rows of a key
//! the greatest counts, by what the source has in the end.

use arrow_array::RecordBatch;
use lakeferry_model::{
    ChangeBatch, Clock, CommitRange, Failure, Position, Reading, Source, Watermark,
};

use crate::{
    attempt::next,
    collapse::{Collapse, CollapseError, NetRows, Overflow, Verdict, touched::Touched},
    columns::Columns,
    error::RunError,
    job::Job,
    plan::Why,
};

/// Reads changes. It has of an attempt all that this takes, so that what comes next can be read while
/// what came before is applied.
pub(crate) struct Reader<'a, S: Source, T, C> {
    pub(crate) job: &'a Job<S, T, C>,
    pub(crate) columns: Columns,
    /// The newest version.
    pub(crate) head: S::Position,
}

/// How changes were read.
enum Gathered<P> {
    /// All of them, and the number of rows.
    All(u64),
    /// As far as they were of use.
    Otherwise(Collapsed<P>),
}

/// What changes come to.
pub(crate) enum Collapsed<P> {
    /// And the number of rows that were read.
    Net(NetRows, u64),
    /// The commit at this version did not fit into memory any more.
    TooLarge(P),
    /// The snapshot has to be read instead.
    Unreadable(Why),
}

impl<S, T, C> Reader<'_, S, T, C>
where
    S: Source,
    T: Sync,
    C: Clock,
{
    /// The net effect of the changes of `range`.
    pub(crate) async fn range(
        &self,
        range: &CommitRange<S::Position>,
        reading: Reading,
        overflow: Overflow,
    ) -> Result<Collapsed<S::Position>, RunError> {
        let changes = self.job.source.changes(range, reading).await;
        let wanted = |version| range.contains(version);
        self.net_effect(changes, (range.through(), overflow), wanted)
            .await
    }

    /// The net effect of `changes`, each of a version that is `wanted`, which lead to `end`.
    pub(crate) async fn net_effect(
        &self,
        changes: Result<S::Changes, S::Error>,
        (end, overflow): (&Watermark<S::Position>, Overflow),
        wanted: impl Fn(S::Position) -> bool,
    ) -> Result<Collapsed<S::Position>, RunError> {
        match &self.job.policy.dedupe_by {
            None => self.collapse(changes, overflow, wanted).await,
            Some(by) => self.settle(changes, (by, end), wanted).await,
        }
    }

    /// By the changes alone.
    async fn collapse(
        &self,
        changes: Result<S::Changes, S::Error>,
        overflow: Overflow,
        wanted: impl Fn(S::Position) -> bool,
    ) -> Result<Collapsed<S::Position>, RunError> {
        let failed = |error: CollapseError| RunError::collapse(self.job.name(), &error);
        let policy = &self.job.policy;
        let limit = policy.collapse_memory_bytes;
        let columns = self.columns.synced();
        let collapse = Collapse::new(columns, &policy.key_columns, limit, overflow);
        let mut collapse = collapse.map_err(failed)?.on_null_key(policy.on_null_key);
        let gathered = self.gather(changes, wanted, |batch| collapse.push(batch));
        let rows_read = match gathered.await? {
            Gathered::All(rows_read) => rows_read,
            Gathered::Otherwise(collapsed) => return Ok(collapsed),
        };
        match collapse.finish() {
            Ok(net) => Ok(Collapsed::Net(net, rows_read)),
            Err(CollapseError::Contradiction) => Ok(Collapsed::Unreadable(Why::KeysMended)),
            Err(error) => Err(failed(error)),
        }
    }

    /// By the rows that their keys have at `end`, of which the greatest by a column counts.
    async fn settle(
        &self,
        changes: Result<S::Changes, S::Error>,
        (by, end): (&str, &Watermark<S::Position>),
        wanted: impl Fn(S::Position) -> bool,
    ) -> Result<Collapsed<S::Position>, RunError> {
        let failed = |error: CollapseError| RunError::collapse(self.job.name(), &error);
        let policy = &self.job.policy;
        let limit = policy.collapse_memory_bytes;
        let touched = Touched::new(self.columns.synced(), &policy.key_columns, by, limit);
        let mut touched = touched.map_err(failed)?.on_null_key(policy.on_null_key);
        let gathered = self.gather(changes, wanted, |batch| touched.push(batch));
        let mut rows_read = match gathered.await? {
            Gathered::All(rows_read) => rows_read,
            Gathered::Otherwise(collapsed) => return Ok(collapsed),
        };
        if let Some(keys) = touched.changed_keys().map_err(failed)? {
            let look = self.look(&mut touched, &keys, end).await?;
            match look {
                Gathered::All(more) => rows_read += more,
                Gathered::Otherwise(collapsed) => return Ok(collapsed),
            }
        }
        match touched.finish() {
            Ok(net) => Ok(Collapsed::Net(net, rows_read)),
            Err(CollapseError::Contradiction) => Ok(Collapsed::Unreadable(Why::KeysMended)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Looks at the rows of `keys` at `end`.
    async fn look(
        &self,
        touched: &mut Touched<S::Position>,
        keys: &RecordBatch,
        end: &Watermark<S::Position>,
    ) -> Result<Gathered<S::Position>, RunError> {
        let mut rows = match self.job.source.rows_of(end, keys).await {
            Ok(rows) => rows,
            Err(error) => return self.unreadable(error),
        };
        let mut rows_read = 0;
        while let Some(batch) = next(&mut rows).await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return self.unreadable(error),
            };
            if batch.schema().fields() != self.columns.all().fields() {
                let why = Why::OtherColumns;
                return Ok(Gathered::Otherwise(Collapsed::Unreadable(why)));
            }
            let batch = self
                .columns
                .of(batch)
                .map_err(|error| self.bug(error.to_string()))?;
            rows_read += batch.num_rows() as u64;
            self.job.meter.add(&batch);
            match touched.look(&batch) {
                Ok(Verdict::More) => {}
                Ok(Verdict::Full) => {
                    return Ok(Gathered::Otherwise(Collapsed::TooLarge(end.version)));
                }
                Err(error) => return Err(RunError::collapse(self.job.name(), &error)),
            }
        }
        Ok(Gathered::All(rows_read))
    }

    /// What is gone is made up for by the snapshot of the head.
    fn unreadable(&self, error: S::Error) -> Result<Gathered<S::Position>, RunError> {
        match error.is_gone() {
            true => Ok(Gathered::Otherwise(Collapsed::Unreadable(Why::PastHorizon))),
            false => Err(RunError::source(self.job.name(), error)),
        }
    }

    /// Pushes `changes`, each of a version that is `wanted`.
    async fn gather(
        &self,
        changes: Result<S::Changes, S::Error>,
        wanted: impl Fn(S::Position) -> bool,
        mut push: impl FnMut(ChangeBatch<S::Position>) -> Result<Verdict, CollapseError>,
    ) -> Result<Gathered<S::Position>, RunError> {
        let otherwise = |why| Ok(Gathered::Otherwise(Collapsed::Unreadable(why)));
        let mut changes = match changes {
            Ok(changes) => changes,
            Err(error) => return self.unreadable(error),
        };
        let mut rows_read = 0;
        while let Some(batch) = next(&mut changes).await {
            let mut batch = match batch {
                Ok(batch) => batch,
                Err(error) => return self.unreadable(error),
            };
            let version = batch.version;
            if !wanted(version) {
                return Err(self.bug(format!("the source gave version {version} out of range")));
            }
            if batch.rows.schema().fields() != self.columns.all().fields() {
                return otherwise(Why::OtherColumns);
            }
            let rows = self.columns.of(batch.rows);
            batch.rows = rows.map_err(|error| self.bug(error.to_string()))?;
            rows_read += batch.rows.num_rows() as u64;
            self.job.meter.add(&batch.rows);
            match push(batch) {
                Ok(Verdict::More) => {}
                Ok(Verdict::Full) => return Ok(Gathered::Otherwise(Collapsed::TooLarge(version))),
                Err(error) if self.may_be_mended(&error, version) => {
                    return otherwise(Why::KeysMended);
                }
                Err(error) => return Err(RunError::collapse(self.job.name(), &error)),
            }
        }
        Ok(Gathered::All(rows_read))
    }

    fn bug(&self, reason: String) -> RunError {
        RunError::bug(self.job.name(), reason)
    }

    fn may_be_mended(&self, error: &CollapseError, version: S::Position) -> bool {
        may_be_mended(error, version, self.head)
    }
}

/// Whether keys that were no good at `version` may be so at the head.
pub(crate) fn may_be_mended<P: Position>(error: &CollapseError, version: P, head: P) -> bool {
    match error {
        CollapseError::Contradiction => true,
        CollapseError::DuplicateKey { .. } | CollapseError::NullKey { .. } => version < head,
        _ => false,
    }
}
