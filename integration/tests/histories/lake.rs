//! The table of a history, under one of two writers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    ledger::{Ledger, State},
    mapped::MappedLake,
    operation::Operation,
    real::RealLake,
};

/// A directory for one table, and its writer.
pub(crate) struct Lake {
    path: PathBuf,
    made: u64,
    files_at_once: usize,
    partition: Option<&'static str>,
    writer: Writer,
}

enum Writer {
    /// deltalake, and all that it does.
    Real(Box<RealLake>),
    /// Column mapping and deletion vectors, which it does not write.
    Mapped(MappedLake),
}

impl Lake {
    pub(crate) async fn create(
        path: &Path,
        (is_mapped, files_at_once): (bool, usize),
        partition: Option<&'static str>,
        state: &State,
    ) -> Result<Self> {
        let writer = match is_mapped {
            true => Writer::Mapped(MappedLake::create(path, (0, files_at_once), state)?),
            false => Writer::Real(Box::new(RealLake::create(path, partition, state).await?)),
        };
        Ok(Self {
            path: path.to_owned(),
            made: 1,
            files_at_once,
            partition,
            writer,
        })
    }

    /// How many tables there were.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// The newest version.
    pub(crate) fn version(&self) -> usize {
        let version = match &self.writer {
            Writer::Real(lake) => lake.version(),
            Writer::Mapped(lake) => lake.version(),
        };
        usize::try_from(version).expect("histories are short")
    }

    /// Does to the table what was done to the ledger, or will be.
    pub(crate) async fn perform(&mut self, operation: &Operation, ledger: &Ledger) -> Result<()> {
        match (operation, &mut self.writer) {
            (Operation::Wait(_) | Operation::Want(_) | Operation::Sync(_), _) => Ok(()),
            (Operation::Replace(state), writer) => {
                fs::remove_dir_all(&self.path)?;
                self.made += 1;
                match writer {
                    Writer::Real(lake) => {
                        **lake = RealLake::create(&self.path, self.partition, state).await?;
                    }
                    Writer::Mapped(lake) => {
                        let of = (self.made, self.files_at_once);
                        *lake = MappedLake::create(&self.path, of, state)?;
                    }
                }
                Ok(())
            }
            (Operation::CleanLog(kept), Writer::Real(lake)) => {
                lake.checkpoint().await?;
                self.forget_commits(*kept)?;
                self.open_again().await
            }
            (Operation::Rewind(version), Writer::Real(_)) => {
                self.forget_after(*version)?;
                self.made += 1;
                self.open_again().await
            }
            (Operation::CleanLog(kept), Writer::Mapped(lake)) => {
                lake.checkpoint().await?;
                self.forget_commits(*kept)
            }
            (_, Writer::Real(lake)) => lake.perform(operation, ledger.now()).await,
            (_, Writer::Mapped(lake)) => lake.perform(operation, ledger.now()),
        }
    }

    /// The writer remembers files of the log that are gone.
    async fn open_again(&mut self) -> Result<()> {
        self.writer = Writer::Real(Box::new(RealLake::open(&self.path).await?));
        Ok(())
    }

    /// Removes all of the log that came after a version, which a hint might point to as well.
    fn forget_after(&self, version: usize) -> Result<()> {
        for entry in fs::read_dir(self.path.join("_delta_log"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = name
                .get(..20)
                .and_then(|number| number.parse::<usize>().ok());
            if name == "_last_checkpoint" || of.is_some_and(|of| of > version) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes all commits but the newest ones.
    fn forget_commits(&self, kept: usize) -> Result<()> {
        let first = format!("{:020}.json", (self.version() + 1).saturating_sub(kept));
        for entry in fs::read_dir(self.path.join("_delta_log"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") && name < first {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
