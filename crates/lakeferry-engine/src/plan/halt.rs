//! Why only an operator can decide, and what they can do.

use super::Why;

/// Why only an operator can decide what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    ForeignTable,
    NothingToAdopt,
    TableGone,
    TableReplaced,
    KeyChanged {
        was: Vec<String>,
    },
    SourceReplaced {
        what: String,
    },
    ColumnsChanged {
        what: Vec<String>,
    },
    /// Rows are only to be added, and the commit at this version did something else.
    NotAdded {
        version: u64,
    },
    /// Rows are only to be added, and this would rebuild them.
    AppendsOnly {
        why: Why,
    },
}

impl Halt {
    /// What is so, said of the job.
    pub fn reason(&self) -> String {
        match self {
            Self::ForeignTable => "its target table has rows that no job filled".to_owned(),
            Self::NothingToAdopt => "there is no table to adopt".to_owned(),
            Self::TableGone => "its target table is gone".to_owned(),
            Self::TableReplaced => "another table has the name of its target table".to_owned(),
            Self::KeyChanged { was } => {
                format!(
                    "its key changed, the target was filled with key ({})",
                    was.join(", ")
                )
            }
            Self::SourceReplaced { what } => {
                format!("its source is not the one that was read before: {what}")
            }
            Self::ColumnsChanged { what } => {
                format!("its columns changed: {}", what.join("; "))
            }
            Self::NotAdded { version } => format!(
                "its mode is append, and version {version} of its source did more than add files: \
                 rows were changed or deleted"
            ),
            Self::AppendsOnly { why } => {
                format!(
                    "its mode is append, which never rebuilds, and {}",
                    why.reason()
                )
            }
        }
    }

    /// What an operator can do about it, for the job of this name.
    pub fn hint(&self, job: &str) -> String {
        match self {
            Self::ForeignTable => format!(
                "if these are the rows of the source, take the table over as it is with: \
                 lakeferry adopt {job}; else choose another table, or empty or drop this one"
            ),
            Self::NothingToAdopt => format!("create and fill it with: lakeferry sync {job}"),
            Self::TableGone => format!("fill it anew with: lakeferry backfill {job}"),
            Self::TableReplaced => format!(
                "if it is a copy of the one that was filled, such as a restored one, take it over \
                 with: lakeferry adopt {job}; else drop or rename it, then fill anew with: \
                 lakeferry backfill {job}"
            ),
            Self::KeyChanged { .. } => format!(
                "set the key back, or drop the target table and fill it anew with: \
                 lakeferry backfill {job}"
            ),
            Self::SourceReplaced { .. } => format!(
                "if that is meant, rebuild the target by difference with: lakeferry backfill \
                 {job} (or set on_source_replaced: refresh)"
            ),
            Self::NotAdded { .. } => format!(
                "bring the target in step once, deletes included, with: lakeferry backfill {job}; \
                 or give the job mode: incremental"
            ),
            Self::AppendsOnly {
                why: Why::FilterMoved,
            } => "write a filter that does not ask for the time, or mode: incremental".to_owned(),
            Self::AppendsOnly { .. } => format!(
                "if that is meant, rebuild the target by difference with: lakeferry backfill {job}"
            ),
            Self::ColumnsChanged { .. } => format!(
                "take this over once with: lakeferry refresh-schema {job}; or always, with \
                 on_schema_change: evolve"
            ),
        }
    }
}

impl Why {
    /// What is so, for a job that halts instead.
    fn reason(self) -> &'static str {
        match self {
            Self::FirstFill | Self::Asked | Self::Mode => "a rebuild was asked for",
            Self::FingerprintChanged => {
                "its filter, columns, types, dedupe_by, deletes or time zone are others than the \
                 target was made with"
            }
            Self::SourceReplaced => "another table stands where its source was",
            Self::PastHorizon => "the commits since the target's version can no longer be read",
            Self::LargeChanges => "the changes are too large",
            Self::Opaque => "a commit does not tell enough of the files that it removed",
            Self::OtherColumns => "its source got other columns while it was read",
            Self::KeysMended => "a key was null or not unique in between",
            Self::UnkeyedUnmatched => "a row with a null key went that is not in quarantine",
            Self::FilterMoved => "its filter depends on the time, which takes rows away",
        }
    }
}
