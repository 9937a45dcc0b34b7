//! The watermark: what a target has, and the commit ranges that lead from one to the next.

use std::fmt;

use crate::Position;

/// The identity of a source table, stable for its life (Delta protocol, metadata action: `id`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub String);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of the file that committed a version. Two histories that share table id and version
/// but not the past differ here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

/// What a target has: its rows are the source at `version` of table `table_id`, the filter
/// evaluated at `instant`.
///
/// All parts are compared when a target is asked to move: a version alone would let a table that
/// was dropped and made again, or a log that was rewound, pass for the one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark<P> {
    pub table_id: TableId,
    pub version: P,
    /// Absent where the commit file was already cleaned away when the version was read (only a
    /// log checkpoint was left of it).
    pub digest: Option<Digest>,
    pub instant: Instant,
}

/// The commits after one watermark, through another: `(after, through]`.
///
/// Ranges chain: a target takes a range only if `after` is exactly its own watermark. Both ends
/// are of one table and one instant, for an apply moves the version or the instant, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRange<P> {
    after: Watermark<P>,
    through: Watermark<P>,
}

/// The two ends do not make a range.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("no commit range leads from version {after} to version {through}: {why}")]
pub struct NotAfter {
    after: String,
    through: String,
    why: &'static str,
}

impl<P: Position> CommitRange<P> {
    /// The commits after `after`, through `through`.
    ///
    /// # Errors
    /// [`NotAfter`] if the range is empty or runs back, or its ends differ in table or instant.
    pub fn new(after: Watermark<P>, through: Watermark<P>) -> Result<Self, NotAfter> {
        let why = if after.table_id != through.table_id {
            "its ends are of different tables"
        } else if after.instant != through.instant {
            "its ends are of different instants"
        } else if through.version <= after.version {
            "it would be empty or run back"
        } else {
            return Ok(Self { after, through });
        };
        let (after, through) = (after.version.to_string(), through.version.to_string());
        Err(NotAfter {
            after,
            through,
            why,
        })
    }

    /// The watermark that a target must have to take this range; its version is not in it.
    pub fn after(&self) -> &Watermark<P> {
        &self.after
    }

    /// The watermark that a target has afterwards; its version is in the range.
    pub fn through(&self) -> &Watermark<P> {
        &self.through
    }

    /// Whether the commit at `version` belongs to the range.
    pub fn contains(&self, version: P) -> bool {
        self.after.version < version && version <= self.through.version
    }
}
