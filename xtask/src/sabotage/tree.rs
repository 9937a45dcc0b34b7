//! The copy of the checkout in which faults are applied. A file is written only when its content
//! changes, and then always newly dated, so that cargo builds again exactly what changed, also
//! when an earlier run was killed with a fault in place.
//!
//! The copy's crates have a version of their own. Cargo tells crates apart by name, version and
//! place within their workspace: with the same version it would take a sabotaged library for the
//! healthy one of the checkout, whose build directory it shares.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::sabotage::Fault;

const MARK: &str = "+sabotage";

pub(super) struct Tree {
    checkout: PathBuf,
    folder: PathBuf,
}

/// Puts the healthy text back when it is dropped.
#[must_use]
pub(super) struct Applied {
    path: PathBuf,
    healthy: String,
}

impl Tree {
    pub(super) fn at(checkout: &Path, folder: &Path) -> Self {
        Self {
            checkout: checkout.to_path_buf(),
            folder: folder.to_path_buf(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the copy equal to these files of the checkout, but for the version of its crates.
    pub(super) fn copy(&self, files: &BTreeSet<PathBuf>) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.remove_others(&self.folder, files)?;
        for file in files {
            let (from, to) = (self.checkout.join(file), self.folder.join(file));
            let content = fs::read(&from).with_context(|| format!("cannot read {from:?}"))?;
            let content = match file.to_str() {
                Some("Cargo.toml") => mark_manifest(&String::from_utf8(content)?)?.into_bytes(),
                Some("Cargo.lock") => mark_lock(&String::from_utf8(content)?).into_bytes(),
                _ => content,
            };
            if fs::read(&to).is_ok_and(|present| present == content) {
                continue;
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&to, content).with_context(|| format!("cannot write {to:?}"))?;
            fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
        }
        Ok(())
    }

    /// Removes what tests have left in the copy, and what the checkout has no longer.
    fn remove_others(&self, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                self.remove_others(&path, files)?;
                // Fails where something is left, as it should.
                let _ = fs::remove_dir(&path);
            } else if !files.contains(path.strip_prefix(&self.folder)?) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The fault's file with the fault in it.
    ///
    /// # Errors
    /// When the text does not occur exactly once, or the fault changes nothing.
    pub(super) fn sabotaged(&self, fault: &Fault) -> Result<String> {
        let path = self.folder.join(fault.file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", fault.file))?;
        ensure!(fault.find != fault.replace, "it changes nothing");
        match text.matches(fault.find).count() {
            0 => bail!("its text is not in {}", fault.file),
            1 => Ok(text.replace(fault.find, fault.replace)),
            count => bail!("its text is {count} times in {}", fault.file),
        }
    }

    /// Writes the fault's file, until the answer is dropped.
    pub(super) fn put(&self, fault: &Fault, sabotaged: &str) -> Result<Applied> {
        let path = self.folder.join(fault.file);
        let healthy = fs::read_to_string(&path)?;
        let applied = Applied { path, healthy };
        fs::write(&applied.path, sabotaged)?;
        Ok(applied)
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        // Should this fail, the next copy finds the difference.
        let _ = fs::write(&self.path, &self.healthy);
    }
}

/// Marks the version in the workspace's manifest, the first that it names.
fn mark_manifest(text: &str) -> Result<String> {
    let (before, rest) = text
        .split_once("\nversion = \"")
        .context("the workspace's manifest has no version")?;
    let (version, after) = rest.split_once('"').context("the version has no end")?;
    Ok(format!("{before}\nversion = \"{version}{MARK}\"{after}"))
}

/// Marks the version of the packages that have no source: those of the workspace.
fn mark_lock(text: &str) -> String {
    let mark = |block: &str| match block.split_once("\nversion = \"") {
        Some((before, rest))
            if block.starts_with("[[package]]") && !block.contains("\nsource =") =>
        {
            format!(
                "{before}\nversion = \"{}",
                rest.replacen('"', &format!("{MARK}\""), 1)
            )
        }
        _ => block.to_owned(),
    };
    text.split("\n\n")
        .map(mark)
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests;
