//! The Postgres versions that tests run on, and which of them this machine can run.

use std::fmt;

use crate::binaries::Binaries;

/// A major version of Postgres that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V15,
    V18,
}

impl Version {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// The number as `server_version_num / 10000` gives it.
    #[must_use]
    pub fn major(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V18 => 18,
        }
    }

    /// The environment variable that names the folder of this version's binaries.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::V15 => "LAKEFERRY_PG15_BIN",
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
    let required = is_set("CI") || is_set("LAKEFERRY_REQUIRE_ALL");
    let mut found = Vec::new();
    for version in Version::ALL {
        match Binaries::find(version) {
            Ok(_) => found.push(version),
            // Who names a folder means it.
            Err(error) if required || is_set(version.variable()) => panic!("{error:#}"),
            Err(error) => report_skipped(version, &format!("{error:#}")),
        }
    }
    assert!(
        !found.is_empty(),
        "no postgres is installed; run integration/setup"
    );
    found
}

fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped server must be seen in the output of the test"
)]
fn report_skipped(version: Version, reason: &str) {
    eprintln!("skipped postgres {version}: {reason}");
}
