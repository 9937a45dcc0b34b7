//! A first fill: a snapshot cut into pieces that are read and loaded one by one, so that several
//! are under way at once and an interrupted fill goes on where it stopped.

use std::collections::BTreeSet;

use crate::{Fingerprint, Watermark, watermark::Digest};

/// A part of a snapshot that can be read on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of all that says which rows these are: files, parts of files, deletion vectors. The same
    /// piece of the same version always has the same one.
    pub digest: Digest,
    /// As stored.
    pub bytes: u64,
    /// Before any filter, about so many; absent where the writer left no statistics.
    pub rows: Option<u64>,
}

/// What a first fill loads, settled before its first row. A fill is resumed only as far as all of
/// it still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillPlan<P> {
    /// What the target has once it is filled.
    pub watermark: Watermark<P>,
    pub fingerprint: Fingerprint,
    /// How many pieces the snapshot has; they are known by their place in its list, from zero.
    pub pieces: u64,
    /// Of the ordered list of pieces.
    pub pieces_digest: Digest,
}

/// A first fill that was begun and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedFill<P> {
    pub plan: FillPlan<P>,
    /// How many pieces are loaded.
    pub loaded: u64,
    /// The rows of these.
    pub rows: u64,
}

/// What an open fill has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The places of the pieces that are loaded.
    pub pieces: BTreeSet<u64>,
    /// The rows of these.
    pub rows: u64,
}
