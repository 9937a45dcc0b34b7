//! A source in memory: a [`History`] behind the port, with steps between all reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::RecordBatch;
use futures_core::Stream;
use futures_util::stream;
use lakeferry_model::{
    AtWatermark, ChangeBatch, Commit, CommitRange, Digest, Failure, FailureClass, Head, Instant,
    Piece, Pieces, Position, Reading, Sign, Size, Source, Survey, Watermark,
};

use crate::{
    Faults, Generation, History, STEP, is_hot,
    row::{Row, cells_of, is_hot_at, micros},
    yield_step,
};

/// A source over a shared history. Clones share history and faults.
#[derive(Clone)]
pub struct MemorySource<P> {
    pub history: Arc<Mutex<History>>,
    pub faults: Arc<Mutex<Faults>>,
    /// Into how many pieces snapshots are cut.
    cut: Arc<AtomicU64>,
    /// Whether the filter looks at time.
    timed: bool,
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
    #[error("the files of version {0} are gone")]
    Vacuumed(u64),
    #[error("commit {0} cannot be read as {1:?}")]
    Unreadable(u64, Reading),
}

impl Failure for SourceError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Injected(_) | Self::Changed(_) | Self::Cleaned(_) | Self::Vacuumed(_) => {
                FailureClass::Transient
            }
            Self::Unreadable(..) => FailureClass::Bug,
        }
    }
    fn hint(&self) -> Option<String> {
        None
    }
    fn is_gone(&self) -> bool {
        matches!(self, Self::Cleaned(_) | Self::Vacuumed(_))
    }
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, SourceError>> + Send>>;

impl<P: Position> MemorySource<P> {
    /// A source that shows `history`.
    pub fn new(history: History) -> Self {
        Self {
            history: Arc::new(Mutex::new(history)),
            faults: Arc::default(),
            cut: Arc::new(AtomicU64::new(3)),
            timed: false,
            position: std::marker::PhantomData,
        }
    }

    /// The same history behind a filter that looks at time.
    pub fn timed(&self) -> Self {
        let timed = true;
        Self {
            timed,
            ..self.clone()
        }
    }

    fn lets_through(&self, row: &Row, now: Instant) -> bool {
        if self.timed {
            is_hot_at(row, now)
        } else {
            is_hot(row)
        }
    }

    /// Cuts snapshots into so many pieces from now on.
    pub fn cut_into(&self, pieces: u64) {
        self.cut.store(pieces, Ordering::Relaxed);
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

    /// The rows at `watermark` for which `wanted` is true.
    fn live(
        &self,
        watermark: &Watermark<P>,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<RecordBatch, SourceError> {
        let version = watermark.version.to_number();
        self.read("snapshot", |table| {
            if table.table_id != watermark.table_id || version > table.head() {
                return Err(SourceError::Changed(format!("version {version}")));
            }
            if !table.has_files(version) {
                return Err(SourceError::Vacuumed(version));
            }
            let live = table.rows(version).into_iter();
            let live = live.flat_map(|(row, count)| (0..count.max(0)).map(move |_| row.clone()));
            let wanted = live.filter(|row| wanted(row));
            Ok(table.layout(version).batch(&wanted.collect::<Vec<_>>()))
        })
    }

    /// The rows at `watermark` that pass the filter and are in a part of several.
    fn passing(
        &self,
        watermark: &Watermark<P>,
        part: usize,
        parts: usize,
    ) -> Result<RecordBatch, SourceError> {
        let is_in = part_of(part, parts);
        self.live(watermark, |row| {
            is_in(row) && self.lets_through(row, watermark.instant)
        })
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
    type Pieces = MemoryPieces<P>;

    async fn head(&self) -> Result<Head<P>, SourceError> {
        yield_step().await;
        self.read("head", |table| {
            let version = table.head();
            Ok(Head {
                table_id: table.table_id.clone(),
                version: P::from_number(version),
                digest: table.digest(version),
                columns: table.layout(version).columns(),
                size: size(table.rows(version).len()),
            })
        })
    }

    fn filter_instant(&self, now: Instant) -> Option<Instant> {
        let step = micros(STEP);
        self.timed
            .then(|| Instant(now.0.div_euclid(step).saturating_mul(step)))
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
                    only_adds: table.only_adds(version),
                    metadata: table.layout(version) != table.layout(version - 1),
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
        let versions = match reading {
            Reading::Feed => first + 1..=last,
            Reading::Files => last..=last,
        };
        let parts: Vec<_> = versions
            .flat_map(|version| [(version, Sign::Plus), (version, Sign::Minus)])
            .collect();
        let (source, ends) = (
            self.clone(),
            [range.after().clone(), range.through().clone()],
        );
        let (filter, now) = (self.clone(), range.through().instant);
        let passes = move |row: &Row| filter.lets_through(row, now);
        Ok(in_steps(parts, move |part| match part {
            Some((version, sign)) => source
                .read("changes", |table| {
                    let rows = match reading {
                        Reading::Feed => signed_rows(table, version, sign, reading, &passes),
                        Reading::Files => net_rows(table, first + 1..=last, sign, &passes),
                    };
                    // In the newest columns, whatever they were then.
                    Ok(table.layout(table.head()).batch(&rows?))
                })
                .map(|rows| {
                    let version = P::from_number(version);
                    Some(ChangeBatch {
                        version,
                        sign,
                        rows,
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
        Ok(in_steps(vec![0, 1], move |part| match part {
            Some(part) => source.passing(&watermark, part, 2).map(Some),
            None => source.still_there(&watermark).map(|()| None),
        }))
    }

    async fn rows_of(
        &self,
        watermark: &Watermark<P>,
        keys: &RecordBatch,
    ) -> Result<Self::Rows, SourceError> {
        let (source, watermark) = (self.clone(), watermark.clone());
        let keys: BTreeSet<i64> = cells_of(keys)
            .into_iter()
            .filter_map(|(id, _)| id)
            .collect();
        // Some others stand so near that they are read, too.
        let is_near = move |row: &Row| {
            let id = row.id.unwrap_or_default();
            keys.contains(&id) || keys.contains(&(id + 1))
        };
        Ok(in_steps(vec![0, 1], move |part| match part {
            Some(part) => {
                let is_in = part_of(part, 2);
                let instant = watermark.instant;
                let rows = source.live(&watermark, |row| {
                    is_in(row) && is_near(row) && source.lets_through(row, instant)
                });
                rows.map(Some)
            }
            None => source.still_there(&watermark).map(|()| None),
        }))
    }

    async fn moved(
        &self,
        watermark: &Watermark<P>,
        until: Instant,
    ) -> Result<Self::Changes, SourceError> {
        let (source, watermark) = (self.clone(), watermark.clone());
        Ok(in_steps(
            vec![Sign::Plus, Sign::Minus],
            move |part| match part {
                Some(sign) => {
                    let (from, to) = match sign {
                        Sign::Plus => (watermark.instant, until),
                        Sign::Minus => (until, watermark.instant),
                    };
                    let moved =
                        |row: &Row| !source.lets_through(row, from) && source.lets_through(row, to);
                    let rows = source.live(&watermark, moved)?;
                    let version = watermark.version;
                    Ok(Some(ChangeBatch {
                        version,
                        sign,
                        rows,
                    }))
                }
                None => source.still_there(&watermark).map(|()| None),
            },
        ))
    }

    async fn pieces(&self, watermark: &Watermark<P>) -> Result<MemoryPieces<P>, SourceError> {
        yield_step().await;
        self.read("pieces", |_| Ok(()))?;
        self.still_there(watermark)?;
        let cut = self.cut.load(Ordering::Relaxed);
        let piece = |place: u64| {
            let mut digest = watermark.digest.map_or([0; 32], |digest| digest.0);
            for (index, number) in [cut, place].into_iter().enumerate() {
                digest[16 + 8 * index..][..8].copy_from_slice(&number.to_be_bytes());
            }
            Piece {
                digest: Digest(digest),
                bytes: 10,
                rows: None,
            }
        };
        Ok(MemoryPieces {
            source: self.clone(),
            watermark: watermark.clone(),
            list: (0..cut).map(piece).collect(),
        })
    }
}

/// A snapshot of a [`MemorySource`], cut by the last digits of its keys.
pub struct MemoryPieces<P> {
    source: MemorySource<P>,
    watermark: Watermark<P>,
    list: Vec<Piece>,
}

impl<P: Position> Pieces for MemoryPieces<P> {
    type Error = SourceError;
    type Rows = Items<RecordBatch>;

    fn list(&self) -> &[Piece] {
        &self.list
    }

    async fn read(&self, place: usize) -> Result<Self::Rows, SourceError> {
        let (source, watermark) = (self.source.clone(), self.watermark.clone());
        let cut = self.list.len();
        Ok(in_steps(vec![place], move |part| match part {
            Some(place) => source.passing(&watermark, place, cut).map(Some),
            None => Ok(None),
        }))
    }

    async fn confirm(&self) -> Result<(), SourceError> {
        yield_step().await;
        self.source.still_there(&self.watermark)
    }
}

/// Whether a row is in a part of several.
fn part_of(part: usize, parts: usize) -> impl Fn(&Row) -> bool {
    let [part, parts] = [part, parts].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    move |row| row.id.unwrap_or(0).rem_euclid(parts.max(1)) == part
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
    passes: &impl Fn(&Row) -> bool,
) -> Result<Vec<Row>, SourceError> {
    use lakeferry_model::Content::{Added, Feed, Nothing, Rewritten};
    if version > table.head() {
        return Err(SourceError::Changed(format!("version {version}")));
    }
    if table.digest(version).is_none() {
        return Err(SourceError::Cleaned(version));
    }
    match (table.content(version), reading) {
        (Feed, Reading::Feed) | (Added | Rewritten, Reading::Files) => {}
        (Feed, Reading::Files) if table.only_adds(version) => {}
        (Nothing, _) => return Ok(Vec::new()),
        _ => return Err(SourceError::Unreadable(version, reading)),
    }
    let changes = table.changes(version).filter(|change| change.sign == sign);
    Ok(changes.map(|change| change.row).filter(passes).collect())
}

/// The rows that are there more often, or less often, after `versions` than before.
fn net_rows(
    table: &Generation,
    versions: RangeInclusive<u64>,
    sign: Sign,
    passes: &impl Fn(&Row) -> bool,
) -> Result<Vec<Row>, SourceError> {
    let mut net = BTreeMap::<_, (i64, Row)>::new();
    for version in versions {
        for (step, of) in [(1, Sign::Plus), (-1, Sign::Minus)] {
            for row in signed_rows(table, version, of, Reading::Files, passes)? {
                let extra = table.layout(table.head()).extra_of(&row);
                let synced = (row.id, row.value.clone(), extra);
                net.entry(synced).or_insert((0, row)).0 += step;
            }
        }
    }
    let times = |count: i64| match sign {
        Sign::Plus => count.max(0),
        Sign::Minus => (-count).max(0),
    };
    let rows = net
        .into_values()
        .flat_map(|(count, row)| (0..times(count)).map(move |_| row.clone()));
    Ok(rows.collect())
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
