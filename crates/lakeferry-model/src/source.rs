//! The port to what is read.

use std::future::Future;

use arrow_array::RecordBatch;
use futures_core::Stream;

use crate::{
    ChangeBatch, CommitRange, Failure, Head, Instant, Piece, Position, Reading, Survey, Watermark,
};

/// The source of one job: a table with a history, seen through the job's filter and columns.
///
/// A source answers from the world as it is and keeps nothing between calls but caches. It never
/// says "nothing there" on the strength of a failed read: what it cannot read is an error that
/// names the object.
pub trait Source: Send + Sync {
    type Position: Position;
    type Error: Failure;
    type Changes: Stream<Item = Result<ChangeBatch<Self::Position>, Self::Error>> + Send + Unpin;
    type Rows: Stream<Item = Result<RecordBatch, Self::Error>> + Send + Unpin;
    type Pieces: Pieces<Error = Self::Error, Rows = Self::Rows>;

    /// The newest version. At least one LIST stands behind the answer.
    fn head(&self) -> impl Future<Output = Result<Head<Self::Position>, Self::Error>> + Send;

    /// The instant at which the filter is to be evaluated when it is `now`; absent where the filter
    /// does not depend on time, so that one instant is as good as another.
    ///
    /// It is not after `now`, and stays the same for a while: rows that come and go by time alone
    /// do so in steps.
    fn filter_instant(&self, now: Instant) -> Option<Instant>;

    /// What the log says about the commits of `(watermark, head]`. Reads no rows; the commit at
    /// the watermark is read again and digested.
    ///
    /// The caller has compared table id and version: `watermark` is of `head`'s table and not
    /// above it.
    fn survey(
        &self,
        watermark: &Watermark<Self::Position>,
        head: &Head<Self::Position>,
    ) -> impl Future<Output = Result<Survey<Self::Position>, Self::Error>> + Send;

    /// The changes of `range`, versions ascending, every row in one batch and no row twice; the
    /// filter is evaluated at the range's instant.
    ///
    /// Through [`Reading::Feed`] each change has the version of its commit. Through
    /// [`Reading::Files`] all have the version of the range's end, and rows that are equal in the
    /// job's columns have cancelled: what is given are the rows that the end has more, and those
    /// that it has fewer, as multisets.
    ///
    /// Rows are in the columns of the newest head that the source gave, whatever these were at the
    /// range: what came later is NULL.
    ///
    /// Streams: memory is bounded by a few batches, whatever the range. The stream ends without
    /// an error only if the log still had the digests of both ends of `range` after the last row
    /// was read.
    fn changes(
        &self,
        range: &CommitRange<Self::Position>,
        reading: Reading,
    ) -> impl Future<Output = Result<Self::Changes, Self::Error>> + Send;

    /// All rows at `watermark.version` for which the filter is TRUE at `watermark.instant`, in
    /// the job's columns, in any order.
    ///
    /// Streams, and ends without an error only if the log still had the watermark's digest after
    /// the last row was read.
    fn snapshot(
        &self,
        watermark: &Watermark<Self::Position>,
    ) -> impl Future<Output = Result<Self::Rows, Self::Error>> + Send;

    /// The rows of [`Source::snapshot`] that have one of `keys`, and perhaps others: what cannot hold
    /// any of them, as far as can be told without reading it, is not read. `keys` has the columns of
    /// the job's key, none of them null, a key more than once perhaps.
    fn rows_of(
        &self,
        watermark: &Watermark<Self::Position>,
        keys: &RecordBatch,
    ) -> impl Future<Output = Result<Self::Rows, Self::Error>> + Send;

    /// What time alone changes: of the rows at `watermark.version`, those for which the filter is TRUE
    /// at the watermark's instant and not at `until` (−), and those for which it is the other way
    /// round (+). All have the watermark's version; `until` is after its instant.
    ///
    /// What cannot hold such rows, as far as can be told without reading it, is not read. Streams,
    /// and ends as [`Source::snapshot`] does.
    fn moved(
        &self,
        watermark: &Watermark<Self::Position>,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Changes, Self::Error>> + Send;

    /// The rows of [`Source::snapshot`], cut into pieces. What the filter excludes may be left out
    /// of the list; as long as the log and its files are as they are, the list is the same.
    fn pieces(
        &self,
        watermark: &Watermark<Self::Position>,
    ) -> impl Future<Output = Result<Self::Pieces, Self::Error>> + Send;
}

/// A snapshot, cut into pieces.
pub trait Pieces: Send + Sync {
    type Error: Failure;
    type Rows: Stream<Item = Result<RecordBatch, Self::Error>> + Send + Unpin;

    /// All pieces, in an order that stays.
    fn list(&self) -> &[Piece];

    /// The rows of the piece at `place` of the list, as [`Source::snapshot`] gives them. The stream
    /// ends without an error only if the piece was read whole. Several may be read at once; they
    /// share what memory there is for reading.
    ///
    /// An error [is gone](Failure::is_gone) where the rows are no longer in storage and the table
    /// has moved on.
    fn read(&self, place: usize) -> impl Future<Output = Result<Self::Rows, Self::Error>> + Send;

    /// Whether the log still has the digest of the watermark that was cut: to be asked after the
    /// last row was read.
    ///
    /// # Errors
    /// Also if it has not: what was read is not to be trusted.
    fn confirm(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
