//! A table as it was, version by version: its files are there, its log is published up to a version.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tempfile::TempDir;

const LOG: &str = "_delta_log";
/// Of a version in the name of a log file.
const DIGITS: usize = 20;

/// A table in a folder of its own, made of links to the one in the corpus.
pub(crate) struct History {
    table: PathBuf,
    folder: TempDir,
}

impl History {
    /// The table without any version.
    pub(crate) fn of(table: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for entry in fs::read_dir(table)? {
            let entry = entry?;
            if entry.file_name() != LOG {
                symlink(entry.path(), folder.path().join(entry.file_name()))?;
            }
        }
        fs::create_dir(folder.path().join(LOG))?;
        Ok(Self {
            table: table.to_owned(),
            folder,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the log lead to `version`. What says where the newest checkpoint is does not come, for
    /// it is of the end of the history.
    pub(crate) fn publish(&self, version: u64) -> Result<()> {
        for entry in fs::read_dir(self.table.join(LOG))? {
            let entry = entry?;
            let link = self.folder.path().join(LOG).join(entry.file_name());
            let is_there = link.symlink_metadata().is_ok();
            if !is_there && leads_to(&entry.file_name()).is_some_and(|newest| newest <= version) {
                symlink(entry.path(), link)?;
            }
        }
        Ok(())
    }
}

/// The newest version that a log file tells of; zero for folders of files that others name. Nothing
/// for what tells of the end of the log.
fn leads_to(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    if name == "_sidecars" {
        return Some(0);
    }
    let parts = name.split('.').take(2);
    let versions = parts.filter(|part| part.len() == DIGITS);
    versions.map_while(|part| part.parse().ok()).max()
}
