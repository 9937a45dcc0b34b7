//! A source in memory: a [`History`] behind the port, with steps between all reads.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use arrow_array::RecordBatch;
use futures_core::Stream;
use futures_util::stream;
use lakeferry_model::{
    AtWatermark, ChangeBatch, Commit, CommitRange, Failure, FailureClass, Head, Position, Reading,
    Sign, Size, Source, Survey, Watermark,
};

use crate::{Faults, Generation, History, batch, columns, is_hot, row::Row, yield_step};

/// A source over a shared history. Clones share history and faults.
#[derive(Clone)]
pub struct MemorySource<P> {
    pub history: Arc<Mutex<History>>,
    pub faults: Arc<Mutex<Faults>>,
    position: std::marker::PhantomData<P>,
}

/// What an in-memory source refuses.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("injected failure of {0}")]
    Injected(&'static str),
    #[error("the source changed while {0} was read")]
    Changed(String),
    #[error("commit {0} is gone from the log")]
    Cleaned(u64),
    #[error("commit {0} cannot be read as {1:?}")]
    Unreadable(u64, Reading),
}

impl Failure for SourceError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Injected(_) | Self::Changed(_) | Self::Cleaned(_) => FailureClass::Transient,
            Self::Unreadable(..) => FailureClass::Bug,
        }
    }
    fn hint(&self) -> Option<String> {
        None
    }
    fn is_gone(&self) -> bool {
        matches!(self, Self::Cleaned(_))
    }
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, SourceError>> + Send>>;

impl<P: Position> MemorySource<P> {
    /// A source that shows `history`.
    pub fn new(history: History) -> Self {
        Self {
            history: Arc::new(Mutex::new(history)),
            faults: Arc::default(),
            position: std::marker::PhantomData,
        }
    }

    /// Commits to the history and gives the new version.
    pub fn with_history<T>(&self, act: impl FnOnce(&mut History) -> T) -> T {
        act(&mut self
            .history
            .lock()
            .expect("no test panics while it holds the history"))
    }

    fn read<T>(
        &self,
        operation: &'static str,
        look: impl FnOnce(&Generation) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut faults = self
            .faults
            .lock()
            .expect("no test panics while it holds the faults");
        if faults.take(operation).is_some() {
            return Err(SourceError::Injected(operation));
        }
        self.with_history(|history| look(history.generation()))
    }

    /// Ends a stream: an error unless the log still shows `end`.
    fn still_there(&self, end: &Watermark<P>) -> Result<(), SourceError> {
        self.read("end of rows", |table| {
            let digest = table.digest(end.version.to_number());
            if table.table_id == end.table_id && digest == end.digest {
                return Ok(());
            }
            Err(SourceError::Changed(format!("version {}", end.version)))
        })
    }
}

impl<P: Position> Source for MemorySource<P> {
    type Position = P;
    type Error = SourceError;
    type Changes = Items<ChangeBatch<P>>;
    type Rows = Items<RecordBatch>;

    async fn head(&self) -> Result<Head<P>, SourceError> {
        yield_step().await;
        self.read("head", |table| {
            let version = table.head();
            Ok(Head {
                table_id: table.table_id.clone(),
                version: P::from_number(version),
                digest: table.digest(version),
                columns: columns(),
                size: size(table.rows(version).len()),
            })
        })
    }

    async fn survey(
        &self,
        watermark: &Watermark<P>,
        head: &Head<P>,
    ) -> Result<Survey<P>, SourceError> {
        yield_step().await;
        self.read("survey", |table| {
            if table.table_id != head.table_id || table.head() < head.version.to_number() {
                return Err(SourceError::Changed("the log".to_owned()));
            }
            let after = watermark.version.to_number();
            let commit = |version| {
                Some(Commit {
                    version: P::from_number(version),
                    digest: table.digest(version)?,
                    content: table.content(version),
                    metadata: false,
                    size: size(table.size(version)),
                })
            };
            let commits = (after + 1..=head.version.to_number()).map(commit);
            Ok(Survey {
                at_watermark: table
                    .digest(after)
                    .map_or(AtWatermark::Gone, AtWatermark::Commit),
                commits: commits.collect::<Option<_>>().unwrap_or_default(),
            })
        })
    }

    async fn changes(
        &self,
        range: &CommitRange<P>,
        reading: Reading,
    ) -> Result<Self::Changes, SourceError> {
        let (first, last) = (
            range.after().version.to_number(),
            range.through().version.to_number(),
        );
        // Post-images come before pre-images: the order inside a version means nothing.
        let parts: Vec<_> = (first + 1..=last)
            .flat_map(|version| [(version, Sign::Plus), (version, Sign::Minus)])
            .collect();
        let (source, ends) = (
            self.clone(),
            [range.after().clone(), range.through().clone()],
        );
        Ok(in_steps(parts, move |part| match part {
            Some((version, sign)) => source
                .read("changes", |table| {
                    signed_rows(table, version, sign, reading)
                })
                .map(|rows| {
                    let version = P::from_number(version);
                    Some(ChangeBatch {
                        version,
                        sign,
                        rows: batch(&rows),
                    })
                }),
            None => ends
                .iter()
                .try_for_each(|end| source.still_there(end))
                .map(|()| None),
        }))
    }

    async fn snapshot(&self, watermark: &Watermark<P>) -> Result<Self::Rows, SourceError> {
        let (source, watermark) = (self.clone(), watermark.clone());
        let version = watermark.version.to_number();
        let parts = vec![false, true];
        Ok(in_steps(parts, move |part| match part {
            Some(odd) => source.read("snapshot", |table| {
                if version > table.head() {
                    return Err(SourceError::Changed(format!("version {version}")));
                }
                let live = table.rows(version).into_iter();
                let live =
                    live.flat_map(|(row, count)| (0..count.max(0)).map(move |_| row.clone()));
                let half =
                    live.filter(|row| is_hot(row) && row.id.is_some_and(|id| id % 2 != 0) == odd);
                Ok(Some(batch(&half.collect::<Vec<_>>())))
            }),
            None => source.still_there(&watermark).map(|()| None),
        }))
    }
}

fn size(rows: usize) -> Size {
    let rows = rows as u64;
    Size {
        files: 1,
        bytes: rows * 10,
        rows: Some(rows),
    }
}

fn signed_rows(
    table: &Generation,
    version: u64,
    sign: Sign,
    reading: Reading,
) -> Result<Vec<Row>, SourceError> {
    use lakeferry_model::Content::{Added, Feed, Nothing};
    if version > table.head() {
        return Err(SourceError::Changed(format!("version {version}")));
    }
    if table.digest(version).is_none() {
        return Err(SourceError::Cleaned(version));
    }
    match (table.content(version), reading) {
        (Feed, Reading::Feed) | (Added, Reading::Added) => {}
        (Nothing, _) => return Ok(Vec::new()),
        _ => return Err(SourceError::Unreadable(version, reading)),
    }
    let changes = table.changes(version).filter(|change| change.sign == sign);
    Ok(changes.map(|change| change.row).filter(is_hot).collect())
}

/// One step and one item a part, then a step for the end, which gives no item but may fail.
fn in_steps<Part: Send + 'static, T: Send + 'static>(
    parts: Vec<Part>,
    mut read: impl FnMut(Option<Part>) -> Result<Option<T>, SourceError> + Send + 'static,
) -> Items<T> {
    let mut parts = parts.into_iter();
    let mut ended = false;
    let mut next = move || {
        if ended {
            return None;
        }
        let item = read(parts.next()).transpose();
        ended = !matches!(item, Some(Ok(_)));
        item
    };
    Box::pin(stream::unfold((), move |()| {
        let item = next();
        async move {
            yield_step().await;
            item.map(|item| (item, ()))
        }
    }))
}
