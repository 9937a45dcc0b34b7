//! The history of an in-memory table: what its commits did, in the terms of Delta's log.

use std::collections::BTreeMap;

use lakeferry_model::{Content, Digest, Sign, TableId};

use crate::row::{Layout, Row, SignedRow};

/// A history that can be committed to, cleaned, rewound and replaced. One generation is one table;
/// making the table anew starts another with another id.
#[derive(Clone, Debug)]
pub struct History {
    generation: Generation,
    generations: u64,
    salt: u64,
}

/// One table's life.
#[derive(Clone, Debug)]
pub struct Generation {
    pub table_id: TableId,
    commits: Vec<Commit>,
    /// Commits below this version are gone from the log.
    cleaned: u64,
    /// Data files of versions below this one are gone from storage.
    vacuumed: u64,
}

/// A signed row of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedChange {
    pub version: u64,
    pub sign: Sign,
    pub row: Row,
}

#[derive(Clone, Debug)]
struct Commit {
    digest: Digest,
    kind: Kind,
    changes: Vec<SignedRow>,
    /// The columns from this commit on.
    layout: Layout,
}

/// How a commit's changes are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Feed,
    Added,
    Rewritten,
    Opaque,
    Nothing,
}

impl Default for History {
    fn default() -> Self {
        let generation = Generation {
            table_id: id(0),
            commits: Vec::new(),
            cleaned: 0,
            vacuumed: 0,
        };
        let mut history = Self {
            generation,
            generations: 0,
            salt: 0,
        };
        history.commit(Kind::Nothing, Vec::new());
        history
    }
}

fn id(generation: u64) -> TableId {
    TableId(format!("table-{generation}"))
}

impl History {
    /// The table that stands at the source now.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Commits `changes` and gives the new version. The order of changes means nothing.
    pub fn commit(&mut self, kind: Kind, changes: Vec<SignedRow>) -> u64 {
        let layout = self.generation.commits.last();
        let layout = layout.map_or_else(Layout::default, |last| last.layout.clone());
        self.commit_with(kind, changes, layout)
    }

    /// Commits other columns.
    pub fn alter(&mut self, layout: Layout) -> u64 {
        self.commit_with(Kind::Nothing, Vec::new(), layout)
    }

    fn commit_with(&mut self, kind: Kind, changes: Vec<SignedRow>, layout: Layout) -> u64 {
        self.salt += 1;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.salt.to_be_bytes());
        self.generation.commits.push(Commit {
            digest: Digest(digest),
            kind,
            changes,
            layout,
        });
        self.generation.head()
    }

    /// Drops the table and makes it anew with `rows`: another id, versions from 0.
    pub fn replace(&mut self, rows: Vec<Row>) {
        self.generations += 1;
        let table_id = id(self.generations);
        self.generation = Generation {
            table_id,
            commits: Vec::new(),
            cleaned: 0,
            vacuumed: 0,
        };
        self.commit(
            Kind::Added,
            rows.into_iter().map(|row| (Sign::Plus, row)).collect(),
        );
    }

    /// Takes the storage back to `version`, as a restored bucket would.
    pub fn rewind(&mut self, version: u64) {
        let kept = usize::try_from(version).expect("versions fit memory") + 1;
        self.generation.commits.truncate(kept);
        self.generation.vacuumed = self.generation.vacuumed.min(version);
    }

    /// Cleans the log below `version`.
    pub fn clean(&mut self, version: u64) {
        self.generation.cleaned = self.generation.cleaned.max(version);
    }

    /// Removes the data files that only versions below `version` have.
    pub fn vacuum(&mut self, version: u64) {
        self.generation.vacuumed = self.generation.vacuumed.max(version);
    }
}

impl Generation {
    /// The newest version.
    pub fn head(&self) -> u64 {
        self.commits.len() as u64 - 1
    }

    /// The digest of the commit file at `version`; absent if it was cleaned away or never was.
    pub fn digest(&self, version: u64) -> Option<Digest> {
        let commit = self.commits.get(usize::try_from(version).ok()?)?;
        (version >= self.cleaned).then_some(commit.digest)
    }

    /// Whether the rows of `version` can be read as a snapshot.
    pub(crate) fn has_files(&self, version: u64) -> bool {
        version >= self.vacuumed
    }

    /// What the commit at `version` did, as a planner sees it.
    pub(crate) fn content(&self, version: u64) -> Content {
        match self.at(version).kind {
            Kind::Feed => Content::Feed,
            Kind::Added => Content::Added,
            Kind::Rewritten => Content::Rewritten,
            Kind::Opaque => Content::Opaque,
            Kind::Nothing => Content::Nothing,
        }
    }

    /// Whether the commit at `version` added rows and took none away.
    pub fn only_adds(&self, version: u64) -> bool {
        let Commit { kind, changes, .. } = self.at(version);
        let adds = changes.iter().all(|(sign, _)| *sign == Sign::Plus);
        matches!(kind, Kind::Feed | Kind::Added) && adds
    }

    /// The columns at `version`.
    pub fn layout(&self, version: u64) -> &Layout {
        &self.at(version).layout
    }

    /// The number of rows that the commit at `version` wrote.
    pub(crate) fn size(&self, version: u64) -> usize {
        self.at(version).changes.len()
    }

    /// The signed rows of `version`.
    pub fn changes(&self, version: u64) -> impl Iterator<Item = VersionedChange> {
        let changes = self.at(version).changes.iter();
        changes.map(move |(sign, row)| VersionedChange {
            version,
            sign: *sign,
            row: row.clone(),
        })
    }

    /// The rows at `version` as a multiset.
    pub fn rows(&self, version: u64) -> BTreeMap<Row, i64> {
        let mut rows = BTreeMap::new();
        for change in (0..=version).flat_map(|at| self.changes(at)) {
            let count: &mut i64 = rows.entry(change.row).or_default();
            *count += if change.sign == Sign::Plus { 1 } else { -1 };
        }
        rows.retain(|_, count| *count != 0);
        rows
    }

    fn at(&self, version: u64) -> &Commit {
        &self.commits[usize::try_from(version).expect("versions fit memory")]
    }
}
