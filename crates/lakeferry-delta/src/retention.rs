//! How long a table keeps what its newest version no longer has.

use std::time::Duration;

use delta_kernel::table_properties::TableProperties;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What bounds how long an older version can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a VACUUM leaves data files that were removed: `delta.deletedFileRetentionDuration`.
    pub files: Duration,
    /// How long the log keeps commits: `delta.logRetentionDuration`.
    pub log: Duration,
}

impl Retention {
    /// Where a table does not say: a week and 30 days, as Delta's writers have it.
    pub(crate) fn of(properties: &TableProperties) -> Self {
        let TableProperties {
            deleted_file_retention_duration: files,
            log_retention_duration: log,
            ..
        } = properties;
        Self {
            files: files.unwrap_or(DAY * 7),
            log: log.unwrap_or(DAY * 30),
        }
    }
}
