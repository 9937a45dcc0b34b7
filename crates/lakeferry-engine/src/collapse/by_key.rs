//! What is known of each key. A key is no copy of its bytes but the place of a row that has it, and is
//! hashed once.

use std::hash::BuildHasher as _;

use arrow_row::Rows;
use foldhash::fast::RandomState;
use hashbrown::hash_table::{Drain, Entry, HashTable};

use super::{At, place};

/// The keys of the batches that are held.
#[derive(Default)]
pub(super) struct HeldKeys {
    batches: Vec<Rows>,
    hasher: RandomState,
}

/// A key, and what is known of it.
pub(super) struct Known<T> {
    hash: u64,
    pub(super) key: At,
    pub(super) of: T,
}

/// What is known, by key.
pub(super) struct ByKey<T>(HashTable<Known<T>>);

impl HeldKeys {
    /// Takes the keys of the next batch, and gives its place.
    pub(super) fn push(&mut self, keys: Rows) -> u32 {
        self.batches.push(keys);
        place(self.batches.len() - 1)
    }

    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// The bytes of a row's key.
    pub(super) fn bytes(&self, at: At) -> &[u8] {
        self.batches[at.batch as usize].row(at.row as usize).data()
    }
}

impl<T> Default for ByKey<T> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<T> ByKey<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes room for so many more keys.
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve(more, |known| known.hash);
    }

    /// Lets `change` see what is known of the key of the row at `at`, and gives what that gives; or
    /// keeps `new` of it.
    pub(super) fn note<R>(
        &mut self,
        keys: &HeldKeys,
        at: At,
        new: T,
        change: impl FnOnce(&mut T, T) -> R,
    ) -> Option<R> {
        let hash = keys.hasher.hash_one(keys.bytes(at));
        let known = Known {
            hash,
            key: at,
            of: new,
        };
        self.merge(keys, known, change)
    }

    /// As [`ByKey::note`], of a key that was hashed already.
    pub(super) fn merge<R>(
        &mut self,
        keys: &HeldKeys,
        new: Known<T>,
        change: impl FnOnce(&mut T, T) -> R,
    ) -> Option<R> {
        let bytes = keys.bytes(new.key);
        let is_same = |known: &Known<T>| known.hash == new.hash && keys.bytes(known.key) == bytes;
        match self.0.entry(new.hash, is_same, |known| known.hash) {
            Entry::Occupied(mut known) => Some(change(&mut known.get_mut().of, new.of)),
            Entry::Vacant(place) => {
                place.insert(new);
                None
            }
        }
    }

    /// All of them, in no order.
    pub(super) fn drain(&mut self) -> Drain<'_, Known<T>> {
        self.0.drain()
    }
}

impl<T> Known<T> {
    /// What else is known of the same key.
    pub(super) fn map<U>(self, other: impl FnOnce(T) -> U) -> Known<U> {
        Known {
            hash: self.hash,
            key: self.key,
            of: other(self.of),
        }
    }
}
