//! Another time for a process: libfaketime, which systems have as a package.

use std::{path::PathBuf, process::Command};

/// A clock for processes, which stands still. Those of root lose with it the right to read what file
/// modes forbid.
#[derive(Debug)]
pub(crate) struct FakeClock {
    library: PathBuf,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl FakeClock {
    /// Nothing where the library is not installed, and nothing requires it.
    pub(crate) fn find(now: i64) -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten();
        let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|library| library.exists());
        let required = ["CI", "LAKEFERRY_REQUIRE_ALL"];
        if library.is_none() {
            let required = required.iter().any(|name| std::env::var_os(name).is_some());
            assert!(!required, "libfaketime is missing: integration/setup");
            println!("skipped: there is no libfaketime");
        }
        Some(Self {
            library: library?,
            now,
        })
    }

    /// `plain`, with this clock.
    pub(crate) fn around(&self, plain: &Command) -> Command {
        let mut command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--bounding-set", "-dac_override,-dac_read_search"])
                    .arg(plain.get_program());
                command
            }
            false => Command::new(plain.get_program()),
        };
        let now = chrono::DateTime::from_timestamp(self.now, 0).unwrap();
        command
            .args(plain.get_args())
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME", now.format("%Y-%m-%d %H:%M:%S").to_string())
            .env("TZ", "UTC")
            .env("DONT_FAKE_MONOTONIC", "1");
        command
    }
}
