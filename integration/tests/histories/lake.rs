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
        is_mapped: bool,
        partition: Option<&'static str>,
        state: &State,
    ) -> Result<Self> {
        let writer = match is_mapped {
            true => Writer::Mapped(MappedLake::create(path, 0, state)?),
            false => Writer::Real(Box::new(RealLake::create(path, partition, state).await?)),
        };
        Ok(Self {
            path: path.to_owned(),
            made: 1,
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
            (Operation::Wait(_) | Operation::Sync(_), _) => Ok(()),
            (Operation::Replace(state), writer) => {
                fs::remove_dir_all(&self.path)?;
                self.made += 1;
                match writer {
                    Writer::Real(lake) => {
                        **lake = RealLake::create(&self.path, self.partition, state).await?;
                    }
                    Writer::Mapped(lake) => {
                        *lake = MappedLake::create(&self.path, self.made, state)?;
                    }
                }
                Ok(())
            }
            (Operation::CleanLog(keeps_newest), Writer::Real(lake)) => {
                lake.checkpoint().await?;
                self.forget_commits(*keeps_newest)?;
                self.open_again().await
            }
            (Operation::Rewind(version), Writer::Real(_)) => {
                self.forget_after(*version)?;
                self.made += 1;
                self.open_again().await
            }
            (Operation::CleanLog(keeps_newest), Writer::Mapped(lake)) => {
                lake.checkpoint().await?;
                self.forget_commits(*keeps_newest)
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

    /// Removes the commits before the newest one, or that one as well.
    fn forget_commits(&self, keeps_newest: bool) -> Result<()> {
        let newest = format!("{:020}.json", self.version());
        for entry in fs::read_dir(self.path.join("_delta_log"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_old = name.ends_with(".json") && name < newest;
            if is_old || (name == newest && !keeps_newest) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
