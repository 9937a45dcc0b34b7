//! The Postgres versions that there are, which of them tests run on, and which this machine can
//! run.

use std::fmt;

use anyhow::{Context, Result};

use crate::binaries::Binaries;

/// A major version of Postgres that Lakeferry supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V13,
    V14,
    V15,
    V16,
    V17,
    V18,
}

impl Version {
    /// All versions that tests run on, the oldest first.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// All versions that are supported, the newest first.
    const NEWEST_FIRST: [Self; 6] = [
        Self::V18,
        Self::V17,
        Self::V16,
        Self::V15,
        Self::V14,
        Self::V13,
    ];

    /// The newest version that is installed here: for what any version will do.
    ///
    /// # Errors
    /// When there is none.
    pub fn newest() -> Result<Self> {
        let is_here = |version: &Self| Binaries::find(*version).is_ok();
        let newest = Self::NEWEST_FIRST.into_iter().find(is_here);
        newest.context("no postgres from 13 to 18 is installed")
    }

    /// The number as `server_version_num / 10000` gives it.
    #[must_use]
    pub fn major(self) -> u32 {
        match self {
            Self::V13 => 13,
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// The environment variable that names the folder of this version's binaries.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::V13 => "LAKEFERRY_PG13_BIN",
            Self::V14 => "LAKEFERRY_PG14_BIN",
            Self::V15 => "LAKEFERRY_PG15_BIN",
            Self::V16 => "LAKEFERRY_PG16_BIN",
            Self::V17 => "LAKEFERRY_PG17_BIN",
            Self::V18 => "LAKEFERRY_PG18_BIN",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major())
    }
}

/// The versions that a test has to pass on: all of them where `CI` or `LAKEFERRY_REQUIRE_ALL` is
/// set, else those that are installed. An absent one is reported on stderr as skipped.
///
/// # Panics
/// When none is installed, or one that is required is not; the message says what to do.
#[must_use]
pub fn servers() -> Vec<Version> {
    installed(Binaries::find)
}

/// As [`servers`], those that can be set to speak TLS.
///
/// # Panics
/// As [`servers`].
#[must_use]
pub fn servers_with_tls() -> Vec<Version> {
    installed(Binaries::find_with_tls)
}

fn installed(find: impl Fn(Version) -> Result<Binaries>) -> Vec<Version> {
    let mut found = Vec::new();
    for version in Version::ALL {
        match find(version) {
            Ok(_) => found.push(version),
            // Who names a folder means it.
            Err(error) if must_have_all() || is_set(version.variable()) => panic!("{error:#}"),
            Err(error) => report_skipped(&format!("postgres {version}"), &format!("{error:#}")),
        }
    }
    assert!(
        !found.is_empty(),
        "no postgres is installed; run integration/setup"
    );
    found
}

/// Whether what is missing fails a test rather than being skipped.
pub(crate) fn must_have_all() -> bool {
    is_set("CI") || is_set("LAKEFERRY_REQUIRE_ALL")
}

fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped server must be seen in the output of the test"
)]
pub(crate) fn report_skipped(what: &str, reason: &str) {
    eprintln!("skipped {what}: {reason}");
}
