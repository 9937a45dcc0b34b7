//! A table with column mapping whose columns come, go, and get other names and types, and whose rows
//! go by deletion vectors, as no writer at hand does it: files by the Parquet writer, its log by the
//! protocol's letter.
//!
//! It remembers what it wrote to each file, so it also knows what a reader has to see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use self::{
    columns::{Column, Row},
    files::DataFile,
};
use crate::DeltaTable;

mod changing;
mod columns;
mod files;
mod writing;

/// The key of every such table, of type `long`.
const KEY: &str = "id";

/// The values of a row besides its key, by the names of their columns; all others are NULL.
pub type Cells<'a> = &'a [(&'a str, &'a str)];

/// The values of a row by the names of their columns, the key's among them; all others are NULL.
/// Times are in microseconds since 1970.
pub type Named = BTreeMap<String, String>;

/// What a commit does to a row.
#[derive(Clone, Debug)]
pub enum Fate {
    Stays,
    Goes,
    Becomes(Named),
}

/// How a commit takes rows out of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The files are written anew without them.
    Rewritten,
    /// Deletion vectors mark them.
    Marked,
}

/// See the module.
#[derive(Debug)]
pub struct MappedTable {
    path: PathBuf,
    id: String,
    version: u64,
    now: State,
    /// What each version was.
    history: Vec<State>,
    /// How many columns there ever were.
    numbered: usize,
    /// Whether row tracking is supported: files have ids for their rows, on or off.
    can_track: bool,
    next_id: i64,
    /// How many files a commit has for its rows, if these are enough.
    files_at_once: usize,
}

#[derive(Clone, Debug)]
struct State {
    columns: Vec<Column>,
    files: Vec<DataFile>,
    has_feed: bool,
    is_tracked: bool,
}

impl MappedTable {
    /// A table with the key and `columns` (name and type), without rows, at version 0.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path, has_feed: bool, columns: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::create_as("mapped", path, has_feed, columns)
    }

    /// As [`MappedTable::create`], with this id.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create_as(
        id: &str,
        path: &Path,
        has_feed: bool,
        columns: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("_delta_log"))?;
        fs::create_dir_all(path.join("_change_data"))?;
        let mut table = Self {
            path: path.to_owned(),
            id: id.to_owned(),
            version: 0,
            now: State {
                columns: Vec::new(),
                files: Vec::new(),
                has_feed,
                is_tracked: false,
            },
            history: Vec::new(),
            numbered: 0,
            can_track: false,
            next_id: 0,
            files_at_once: 1,
        };
        for (name, of) in [(KEY, "long")].iter().chain(columns) {
            table.push_column(name, of);
        }
        table.write(&[table.protocol(), table.metadata()])?;
        Ok(table)
    }

    /// From now on each commit has its rows in so many files, as several tasks write them.
    pub fn in_files(mut self, files_at_once: usize) -> Self {
        self.files_at_once = files_at_once;
        self
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Commits a new column.
    ///
    /// # Errors
    /// Those of the file system, as for all that commits.
    pub fn add_column(&mut self, name: &str, of: &str) -> anyhow::Result<()> {
        self.push_column(name, of);
        self.commit(vec![self.metadata()])
    }

    /// Commits that a column is gone.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn drop_column(&mut self, name: &str) -> anyhow::Result<()> {
        let place = self.place(name)?;
        self.now.columns.remove(place);
        self.commit(vec![self.metadata()])
    }

    /// Commits another name for a column.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn rename_column(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        let place = self.place(from)?;
        to.clone_into(&mut self.now.columns[place].name);
        self.commit(vec![self.metadata()])
    }

    /// Commits a wider type for a column.
    ///
    /// # Errors
    /// Also if there is no such column.
    pub fn widen_column(&mut self, name: &str, of: &str) -> anyhow::Result<()> {
        let place = self.place(name)?;
        of.clone_into(&mut self.now.columns[place].of);
        self.commit(vec![self.metadata()])
    }

    /// Commits that the feed is on from now on, or off.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn set_feed(&mut self, on: bool) -> anyhow::Result<()> {
        self.now.has_feed = on;
        self.commit(vec![self.metadata()])
    }

    /// Commits that rows are tracked from now on, or not. The first time, all files get ids for their
    /// rows in a commit before.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn set_tracking(&mut self, on: bool) -> anyhow::Result<()> {
        if !self.can_track {
            self.can_track = true;
            let mut actions = vec![self.protocol()];
            for file in self.now.files.clone() {
                self.number(&file);
                actions.push(file.add(false));
            }
            self.commit(actions)?;
        }
        self.now.is_tracked = on;
        self.commit(vec![self.metadata()])
    }

    /// Whether rows are tracked.
    pub fn is_tracked(&self) -> bool {
        self.now.is_tracked
    }

    /// Commits the files, columns and properties of a version, as RESTORE does.
    ///
    /// # Errors
    /// Also if there is no such version.
    pub fn restore(&mut self, version: u64) -> anyhow::Result<()> {
        let then = self
            .history
            .get(usize::try_from(version)?)
            .context("no such version")?
            .clone();
        let is_in = |files: &[DataFile], file: &DataFile| files.iter().any(|other| other.is(file));
        let gone = self.now.files.iter();
        let gone = gone.filter(|file| !is_in(&then.files, file));
        let mut actions: Vec<Value> = gone.map(|file| file.remove(true)).collect();
        let back = then.files.iter();
        let back: Vec<DataFile> = back
            .filter(|file| !is_in(&self.now.files, file))
            .cloned()
            .collect();
        if self.can_track {
            back.iter().for_each(|file| self.number(file));
        }
        actions.extend(back.iter().map(|file| file.add(true)));
        let metadata = self.metadata();
        self.now = then;
        if self.metadata() != metadata {
            actions.push(self.metadata());
        }
        self.commit(actions)
    }

    /// Commits rows in a file of their own, with new keys.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn append(&mut self, rows: &[(i64, Cells<'_>)]) -> anyhow::Result<()> {
        let rows = rows.iter().map(named).collect();
        self.change(How::Rewritten, rows, |_| Fate::Stays)
    }

    /// Commits rows in the place of those with their keys, or with new keys, and the files that had
    /// them written anew.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn put(&mut self, rows: &[(i64, Cells<'_>)]) -> anyhow::Result<()> {
        let rows: Vec<Named> = rows.iter().map(named).collect();
        let there: BTreeSet<String> = self
            .rows()
            .filter_map(|row| row.get(KEY).cloned())
            .collect();
        let (changed, new): (Vec<Named>, Vec<Named>) =
            rows.into_iter().partition(|row| there.contains(&row[KEY]));
        self.change(How::Rewritten, new, |row| {
            let becomes = changed.iter().find(|new| new.get(KEY) == row.get(KEY));
            becomes.map_or(Fate::Stays, |new| Fate::Becomes(new.clone()))
        })
    }

    /// Commits that rows are gone, and the files that had them written anew.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        let ids: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
        self.change(How::Rewritten, Vec::new(), |row| {
            match row.get(KEY).is_some_and(|id| ids.contains(id)) {
                true => Fate::Goes,
                false => Fate::Stays,
            }
        })
    }

    /// Removes all files that the newest version does not need, as VACUUM does; no commit.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn vacuum(&self) -> anyhow::Result<()> {
        let live: BTreeSet<&str> = self
            .now
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        for folder in [self.path.clone(), self.path.join("_change_data")] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&self.path)?.to_str();
                if path.is_file() && !name.is_some_and(|name| live.contains(name)) {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a log checkpoint of the newest version; no commit.
    ///
    /// # Errors
    /// Those of the writer.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        DeltaTable::open(&self.path).await?.checkpoint().await
    }

    /// What a reader of the newest version sees in these columns, as CSV by key; NULL is nothing.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn csv(&self, columns: &[&str]) -> anyhow::Result<String> {
        for name in columns {
            self.place(name)?;
        }
        let mut rows: Vec<Named> = self.rows().collect();
        rows.sort_by_key(|row| row.get(KEY).and_then(|id| id.parse::<i64>().ok()));
        let cell = |row: &Named, name: &&str| row.get(*name).cloned().unwrap_or_default();
        let line = |row: &Named| {
            let cells: Vec<String> = columns.iter().map(|name| cell(row, name)).collect();
            cells.join(",")
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        Ok(lines.join("\n"))
    }

    /// All rows that a reader of the newest version sees.
    fn rows(&self) -> impl Iterator<Item = Named> {
        let rows = self.now.files.iter().flat_map(DataFile::live);
        rows.map(|(_, row)| self.named(row))
    }

    fn named(&self, row: &Row) -> Named {
        let cell =
            |column: &Column| Some((column.name.clone(), row.get(&column.physical)?.clone()));
        self.now.columns.iter().filter_map(cell).collect()
    }

    /// Rows by the physical names of their columns.
    fn stored(&self, rows: Vec<Named>) -> anyhow::Result<Vec<Row>> {
        let cell = |(name, value): (String, String)| {
            let column = &self.now.columns[self.place(&name)?];
            Ok((column.physical.clone(), value))
        };
        let row = |row: Named| row.into_iter().map(cell).collect();
        rows.into_iter().map(row).collect()
    }

    fn push_column(&mut self, name: &str, of: &str) {
        self.numbered += 1;
        self.now.columns.push(Column {
            name: name.to_owned(),
            physical: format!("col-{}", self.numbered),
            number: self.numbered,
            of: of.to_owned(),
        });
    }

    fn place(&self, name: &str) -> anyhow::Result<usize> {
        let mut columns = self.now.columns.iter();
        let place = columns.position(|column| column.name == name);
        place.with_context(|| format!("no column {name}"))
    }
}

fn named((id, cells): &(i64, Cells<'_>)) -> Named {
    let key = [(KEY.to_owned(), id.to_string())];
    let cells = cells.iter();
    let cells = cells.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    key.into_iter().chain(cells).collect()
}
