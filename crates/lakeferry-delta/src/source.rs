//! The source of a job whose rows are in a Delta table.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use chrono_tz::Tz;
use lakeferry_model::{
    ChangeBatch, ColumnChoice, CommitRange, DeltaVersion, Head, Instant, Reading, Size, Source,
    Survey, Watermark,
};

use crate::{
    changes,
    check::{self, Check},
    columns,
    error::{Error, Result},
    filter, head,
    location::Location,
    log, moved,
    pieces::{self, DeltaPieces},
    reader::Batches,
    retention::Retention,
    snapshot, survey,
    table::Table,
};

/// What a job reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// A path of the local file system, or a URL.
    pub location: String,
    /// The columns to sync, named as in Spark without regard to case, and what they are called.
    pub columns: ColumnChoice,
    /// A DataFusion predicate over the table's columns, synced or not.
    pub filter: Option<String>,
    /// In which the filter reads dates and times.
    pub timezone: Tz,
    /// How long the steps are in which a filter moves that depends on the time of day; a day is one
    /// of the time zone, and none is longer. A filter that only asks for the date moves with it.
    pub filter_every: Option<Duration>,
}

/// A Delta table, seen through a job's filter and columns.
///
/// Use it within one tokio runtime; it may be cloned and shared.
#[derive(Clone, Debug)]
pub struct DeltaSource(Arc<Table>);

impl DeltaSource {
    /// A source that reads what `settings` say; looks at nothing yet.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the location is neither a path nor a URL of supported storage.
    pub fn new(settings: Settings) -> Result<Self> {
        let location = Location::parse(&settings.location)?;
        Ok(Self(Arc::new(Table::new(location, settings))))
    }

    /// Looks whether the settings fit the table, and what they leave of it. Reads no rows.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for the table, [`Error::Unfit`] for columns and filter.
    pub async fn check(&self) -> Result<Check> {
        check::check(&self.0).await
    }

    /// Whether the commit after the newest that was looked at is there: one small request. Of a log that
    /// was cleaned or replaced it tells nothing; only [`Source::head`] does.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn has_next_commit(&self) -> Result<bool> {
        match self.0.newest() {
            Some(newest) => log::has_commit(&self.0.location, newest.head.version.0 + 1).await,
            None => Ok(true),
        }
    }

    /// When the commit of `version` was made: as it says itself, where the table keeps such times (Delta
    /// protocol, "In-Commit Timestamps"), else when its file was written. Nothing if it is gone.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn commit_time(&self, version: DeltaVersion) -> Result<Option<Instant>> {
        log::commit_time(&self.0.location, version.0).await
    }

    /// The directory in which commits appear as files, where it is one of this machine.
    #[must_use]
    pub fn log_directory(&self) -> Option<PathBuf> {
        let root = self.0.location.url().to_file_path().ok()?;
        Some(root.join("_delta_log"))
    }

    /// How long the table keeps what its newest version no longer has.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub async fn retention(&self) -> Result<Retention> {
        let newest = head::look(&self.0).await?;
        Ok(Retention::of(newest.snapshot.table_properties()))
    }

    /// How much is to be read for what time changes at `watermark` until `until`, at most. Reads no
    /// rows.
    ///
    /// # Errors
    /// As [`Source::moved`].
    pub async fn moved_size(
        &self,
        watermark: &Watermark<DeltaVersion>,
        until: Instant,
    ) -> Result<Size> {
        moved::size(&self.0, watermark, until).await
    }

    /// The columns that a job without a list of its own leaves out, for their type is void.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub async fn left_out(&self) -> Result<Vec<String>> {
        let newest = head::look(&self.0).await?;
        let choice = &self.0.settings.columns;
        Ok(columns::void(&newest.snapshot.schema(), choice))
    }
}

impl Source for DeltaSource {
    type Position = DeltaVersion;
    type Error = Error;
    type Changes = Batches<ChangeBatch<DeltaVersion>>;
    type Rows = Batches<RecordBatch>;
    type Pieces = DeltaPieces;

    async fn head(&self) -> Result<Head<DeltaVersion>> {
        Ok(head::look(&self.0).await?.head)
    }

    fn filter_instant(&self, now: Instant) -> Option<Instant> {
        let settings = &self.0.settings;
        let asks = filter::asks(settings.filter.as_deref()?)?;
        let (zone, every) = (settings.timezone, settings.filter_every);
        Some(filter::cut(asks, now, zone, every))
    }

    async fn survey(
        &self,
        watermark: &Watermark<DeltaVersion>,
        head: &Head<DeltaVersion>,
    ) -> Result<Survey<DeltaVersion>> {
        survey::survey(&self.0, watermark, head).await
    }

    async fn changes(
        &self,
        range: &CommitRange<DeltaVersion>,
        reading: Reading,
    ) -> Result<Self::Changes> {
        changes::changes(self.0.clone(), range, reading).await
    }

    async fn snapshot(&self, watermark: &Watermark<DeltaVersion>) -> Result<Self::Rows> {
        snapshot::rows(self.0.clone(), watermark).await
    }

    async fn rows_of(
        &self,
        watermark: &Watermark<DeltaVersion>,
        keys: &RecordBatch,
    ) -> Result<Self::Rows> {
        snapshot::rows_of(self.0.clone(), watermark, keys).await
    }

    async fn moved(
        &self,
        watermark: &Watermark<DeltaVersion>,
        until: Instant,
    ) -> Result<Self::Changes> {
        moved::rows(self.0.clone(), watermark, until).await
    }

    async fn pieces(&self, watermark: &Watermark<DeltaVersion>) -> Result<DeltaPieces> {
        pieces::cut(self.0.clone(), watermark).await
    }
}
