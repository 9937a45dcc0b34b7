//! The table behind a source: its versions as the kernel loads them, and what is known of the
//! newest one.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use delta_kernel::{
    Snapshot, SnapshotRef,
    table_features::{Operation, TableFeature},
};
use lakeferry_model::{DeltaVersion, Head, TableId, Watermark};
use object_store::ObjectMeta;
use serde::de::IgnoredAny;
use tokio::runtime::Handle;

use crate::{
    engine::{blocking, engine_over},
    error::{Error, Kind, Result, cause, failed, kind_of},
    location::Location,
    log,
    parquet::WithParquet,
    source::Settings,
};

/// How many commits are looked through for the one that is broken.
const COMMITS_SEARCHED: usize = 1_000;

/// One job's view of one table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) location: Location,
    pub(crate) settings: Settings,
    engine: OnceLock<AnyEngine>,
    newest: Mutex<Option<Newest>>,
}

/// The newest version as of the last look, to be shown again while the log stands still.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) head: Head<DeltaVersion>,
    pub(crate) snapshot: SnapshotRef,
    /// The commit file, as a LIST showed it; absent if only a log checkpoint is left of it.
    pub(crate) file: Option<ObjectMeta>,
}

#[derive(Clone)]
struct AnyEngine(Arc<WithParquet>);

impl std::fmt::Debug for AnyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Table {
    pub(crate) fn new(location: Location, settings: Settings) -> Self {
        Self {
            location,
            settings,
            engine: OnceLock::new(),
            newest: Mutex::new(None),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.location.name()
    }

    /// The engine, bound to the runtime that first asked for it.
    pub(crate) fn engine(&self) -> Arc<WithParquet> {
        let store = self.location.store();
        let engine = self
            .engine
            .get_or_init(|| AnyEngine(engine_over(store.clone(), Handle::current())));
        engine.0.clone()
    }

    pub(crate) fn newest(&self) -> Option<Newest> {
        self.newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn remember(&self, newest: Option<Newest>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    /// The table at `version`, or at its newest.
    ///
    /// # Errors
    /// `Unreadable` where there is no table or one that asks for unsupported features; `Lost`
    /// where the log no longer leads to `version`.
    pub(crate) async fn load(&self, version: Option<DeltaVersion>) -> Result<SnapshotRef> {
        if let Some(newest) = self.newest()
            && version == Some(newest.head.version)
        {
            return Ok(newest.snapshot);
        }
        let (engine, url) = (self.engine(), self.location.url().clone());
        let built = blocking(self.name(), move || {
            let builder = Snapshot::builder_for(url);
            let builder = match version {
                Some(DeltaVersion(version)) => builder.at_version(version),
                None => builder,
            };
            Ok(builder.build(engine.as_ref()))
        });
        let snapshot = match built.await? {
            Ok(snapshot) => snapshot,
            Err(error) => return Err(self.why_not_loaded(version, error).await),
        };
        self.is_readable(&snapshot)?;
        Ok(snapshot)
    }

    /// The table at `version`, from what `known` read of it: only what came since is read.
    pub(crate) async fn load_from(&self, known: SnapshotRef, version: u64) -> Result<SnapshotRef> {
        let engine = self.engine();
        let built = blocking(self.name(), move || {
            let builder = Snapshot::builder_from(known).at_version(version);
            Ok(builder.build(engine.as_ref()))
        });
        let snapshot = built
            .await?
            .map_err(|error| failed(self.name(), "read its log", error))?;
        self.is_readable(&snapshot)?;
        Ok(snapshot)
    }

    fn is_readable(&self, snapshot: &Snapshot) -> Result<()> {
        let configuration = snapshot.table_configuration();
        configuration
            .ensure_operation_supported(Operation::Scan)
            .map_err(|error| failed(self.name(), "read it", error))
    }

    async fn why_not_loaded(
        &self,
        version: Option<DeltaVersion>,
        error: delta_kernel::Error,
    ) -> Error {
        if matches!(
            kind_of(&error),
            Kind::Refused | Kind::Storage | Kind::Unsupported
        ) {
            return failed(self.name(), "read its log", error);
        }
        let listing = match log::list(&self.location, 0).await {
            Ok(listing) => listing,
            Err(error) => return error,
        };
        if listing.commits.is_empty() && listing.checkpoints.is_empty() {
            return self.location.why_no_log();
        }
        match version {
            Some(DeltaVersion(version)) if !listing.leads_to(version) => Error::Lost {
                table: self.name().to_owned(),
                what: format!("its log was cleaned past version {version}"),
                source: Some(cause(error)),
            },
            _ => match self.broken_commit(&listing).await {
                Some(broken) => failed(self.name(), &format!("read {broken}"), error),
                None => failed(self.name(), "read its log", error),
            },
        }
    }

    /// The newest commit that is not JSON, with the line; only the newest are looked at, for those
    /// before a checkpoint are not read.
    async fn broken_commit(&self, listing: &log::Listing) -> Option<String> {
        for &version in listing.commits.keys().rev().take(COMMITS_SEARCHED) {
            let (mut number, mut broken) = (0, None);
            let read = log::read_commit(&self.location, version, |line| {
                number += 1;
                let is_json = serde_json::from_slice::<IgnoredAny>(line).is_ok();
                if !is_json && !line.trim_ascii().is_empty() {
                    broken.get_or_insert(number);
                }
                Ok(())
            });
            if read.await.is_ok()
                && let Some(line) = broken
            {
                return Some(format!("commit {version} of its log, line {line}"));
            }
        }
        None
    }

    /// Passes `read` on. After a failure nothing that was remembered is trusted: the log files that
    /// a snapshot names may have been cleaned away under it.
    pub(crate) fn trusting<T>(&self, read: Result<T>) -> Result<T> {
        if read.is_err() {
            self.remember(None);
        }
        read
    }

    /// Checks that the log still has what `watermark` says.
    ///
    /// # Errors
    /// `Moved` if its commit is gone or another one.
    pub(crate) async fn verify(&self, watermark: &Watermark<DeltaVersion>) -> Result<()> {
        let Some(digest) = watermark.digest else {
            return Ok(());
        };
        let version = watermark.version;
        let what = match log::digest_of(&self.location, version.0).await? {
            Some(found) if found == digest => return Ok(()),
            Some(_) => format!("commit {version} was replaced by another one"),
            None => format!("commit {version} vanished from its log"),
        };
        Err(Error::Moved {
            table: self.name().to_owned(),
            what,
        })
    }

    /// Checks that `snapshot` is of the table that `watermark` is of.
    pub(crate) fn same(
        &self,
        watermark: &Watermark<DeltaVersion>,
        snapshot: &Snapshot,
    ) -> Result<()> {
        if id_of(snapshot) == watermark.table_id {
            return Ok(());
        }
        Err(Error::Moved {
            table: self.name().to_owned(),
            what: "it was replaced by another table".to_owned(),
        })
    }
}

/// The table's id at `snapshot`.
pub(crate) fn id_of(snapshot: &Snapshot) -> TableId {
    TableId(snapshot.table_configuration().metadata().id().to_owned())
}

/// Whether writers record a change data feed as of `snapshot`.
pub(crate) fn has_feed(snapshot: &Snapshot) -> bool {
    snapshot
        .table_configuration()
        .is_feature_enabled(&TableFeature::ChangeDataFeed)
}

/// Whether the table has partition columns.
pub(crate) fn is_partitioned(snapshot: &Snapshot) -> bool {
    !snapshot
        .table_configuration()
        .logical_partition_columns()
        .is_empty()
}
