//! What a source's log says about the commits since a watermark, before a row is read.

use crate::{Size, watermark::Digest};

/// What the log says about the commits since a watermark. The planner decides on this and on
/// nothing else.
#[derive(Clone, Debug)]
pub struct Survey<P> {
    /// What stands at the watermark's version now.
    pub at_watermark: AtWatermark,
    /// The commits of `(watermark, head]`, ascending and without a gap; empty if any of them can
    /// no longer be read.
    pub commits: Vec<Commit<P>>,
}

/// What stands at a watermark's version in the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtWatermark {
    /// A commit file with this digest.
    Commit(Digest),
    /// No commit file any more: the log was cleaned past it.
    Gone,
}

/// One commit of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit<P> {
    pub version: P,
    pub digest: Digest,
    pub content: Content,
    /// Whether it added files and removed none: then their rows are all that it changed, whatever
    /// else records its changes.
    pub only_adds: bool,
    /// Whether this commit carries new metadata (schema or properties) or a new protocol.
    pub metadata: bool,
    /// What there is to read for its changes.
    pub size: Size,
}

/// What a commit did to the rows, and so how its changes can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: OPTIMIZE, VACUUM, properties; only `dataChange = false`.
    Nothing,
    /// Its changes are recorded in the change data feed.
    Feed,
    /// It added files and removed none: their rows are its changes.
    Added,
    /// It removed or rewrote files and recorded no feed: what differs between the files that went
    /// and those that came are its changes.
    Rewritten,
    /// It removed files and does not tell enough of them: its changes cannot be read.
    Opaque,
}

/// How the changes of a commit range are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Through the change data feed.
    Feed,
    /// As the difference between the files that went and those that came, net over the range.
    Files,
}
