//! Commits that change rows, or only where they are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Fate, How, MappedTable, Named,
    columns::{ROW_ID, Row},
    files::DataFile,
};

impl MappedTable {
    /// Commits what becomes of each row, and new rows. No commit if nothing changes.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn change(
        &mut self,
        how: How,
        inserted: Vec<Named>,
        fate: impl Fn(&Named) -> Fate,
    ) -> anyhow::Result<()> {
        let inserted: Vec<Row> = self.stored(inserted)?;
        let (mut gone, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        let (mut actions, mut files, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for file in self.now.files.clone() {
            let mut touched = BTreeSet::new();
            for (place, row) in file.live() {
                match fate(&self.named(row)) {
                    Fate::Stays => continue,
                    Fate::Goes => gone.push(row.clone()),
                    Fate::Becomes(new) => {
                        before.push(row.clone());
                        let id = file.copied(place, row).remove_entry(ROW_ID);
                        let new = self.stored(vec![new])?.into_iter();
                        after.extend(new.map(|new| id.clone().into_iter().chain(new).collect()));
                    }
                }
                touched.insert(place);
            }
            if touched.is_empty() {
                files.push(file);
                continue;
            }
            actions.push(file.remove(true));
            let is_left = |(place, _): &(u16, &Row)| !touched.contains(place);
            let left: Vec<Row> = file
                .live()
                .filter(is_left)
                .map(|(place, row)| file.copied(place, row))
                .collect();
            if how == How::Rewritten {
                written.extend(left);
            } else if !left.is_empty() {
                let deleted = &file.deleted | &touched;
                let marked = DataFile { deleted, ..file };
                actions.push(marked.add(true));
                files.push(marked);
            }
        }
        if actions.is_empty() && inserted.is_empty() {
            return Ok(());
        }
        // Of what deletion vectors take away, and of files that come, readers know by themselves.
        let is_told = !actions.is_empty() && (how == How::Rewritten || !after.is_empty());
        if self.now.has_feed && is_told {
            let changes = [
                ("update_postimage", &after),
                ("insert", &inserted),
                ("delete", &gone),
                ("update_preimage", &before),
            ];
            for (number, (kind, rows)) in changes.into_iter().enumerate() {
                actions.extend(self.feed_file(number, kind, rows)?);
            }
        }
        written.extend(after);
        written.extend(inserted);
        self.now.files = files;
        actions.extend(self.data_files(written)?);
        self.commit(actions)
    }

    /// Commits rows in the place of all that are there.
    ///
    /// # Errors
    /// Also if a row has a cell of no column.
    pub fn overwrite(&mut self, rows: Vec<Named>) -> anyhow::Result<()> {
        let rows = self.stored(rows)?;
        let files = std::mem::take(&mut self.now.files);
        let mut actions: Vec<Value> = files.iter().map(|file| file.remove(true)).collect();
        actions.extend(self.data_files(rows)?);
        self.commit(actions)
    }

    /// Commits all files once more as they are, as those do who add statistics to a log. No commit if
    /// there are none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn add_again(&mut self) -> anyhow::Result<()> {
        let files = self.now.files.iter();
        let actions: Vec<Value> = files.map(|file| file.add(false)).collect();
        match actions.is_empty() {
            true => Ok(()),
            false => self.commit(actions),
        }
    }

    /// Commits all rows in one file, as OPTIMIZE does. No commit if they are.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn optimize(&mut self) -> anyhow::Result<()> {
        let is_done = |file: &DataFile| file.deleted.is_empty();
        if self.now.files.len() < 2 && self.now.files.iter().all(is_done) {
            return Ok(());
        }
        let copied = |file: &DataFile| -> Vec<Row> {
            let rows = file.live();
            rows.map(|(place, row)| file.copied(place, row)).collect()
        };
        let rows: Vec<Row> = self.now.files.iter().flat_map(copied).collect();
        let files = std::mem::take(&mut self.now.files);
        let mut actions: Vec<Value> = files.iter().map(|file| file.remove(false)).collect();
        actions.extend(self.data_file((0, rows), false)?);
        self.commit(actions)
    }
}
