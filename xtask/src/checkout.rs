//! The checkout that a chore works on: where it lies, which files it has, what its crates are.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::stage;

pub(crate) struct Checkout {
    root: PathBuf,
    metadata: Metadata,
}

/// What `cargo metadata` says of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `None`: may be published anywhere; empty: nowhere.
    pub(crate) publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's own name, whatever it is called here.
    pub(crate) name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Checkout {
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .context("xtask lies in no workspace")?
            .to_path_buf();
        let text = output(
            stage::cargo()
                .current_dir(&root)
                .args(["metadata", "--no-deps"])
                .args(["--format-version", "1", "--locked"]),
        )?;
        let metadata = serde_json::from_str(&text).context("cannot read cargo metadata")?;
        Ok(Self { root, metadata })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.metadata.target_directory
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The files that are tracked, or new and not ignored, relative to the root.
    pub(crate) fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let list = output(Command::new("git").current_dir(&self.root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let files = list
            .split('\0')
            .filter(|file| !file.is_empty())
            .map(PathBuf::from);
        // A tracked file may be deleted in the working tree.
        Ok(files
            .filter(|file| self.root.join(file).is_file())
            .collect())
    }
}

pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        stderr.trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
