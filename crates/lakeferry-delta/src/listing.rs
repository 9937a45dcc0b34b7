//! Which tables there are below a directory: what a pattern of a configuration asks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The directory that makes another one a Delta table.
const LOG: &str = "_delta_log";

/// The tables exactly `levels` directories below `root`, as paths relative to it, in the order of
/// their names. Directories whose name starts with `_` or `.` are not looked at.
///
/// # Errors
/// If `root`, or a directory on the way to a table, cannot be listed.
pub fn tables_below(root: &Path, levels: usize) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for _ in 0..levels {
        let mut deeper = Vec::new();
        for path in &found {
            deeper.extend(directories(&root.join(path))?.map(|name| path.join(name)));
        }
        found = deeper;
    }
    found.retain(|path| root.join(path).join(LOG).is_dir());
    found.sort();
    Ok(found)
}

/// The names of the directories in `directory`, also those behind links.
fn directories(directory: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter_map(|entry| {
        let name = entry.file_name();
        let is_hidden =
            name.as_encoded_bytes().starts_with(b"_") || name.as_encoded_bytes().starts_with(b".");
        (!is_hidden && entry.path().is_dir()).then(|| PathBuf::from(name))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_directory_with_a_log() {
        let lake = tempfile::tempdir().unwrap();
        for path in [
            "silver/b/_delta_log",
            "silver/a/_delta_log",
            "silver/none/data",
            "silver/deep/er/_delta_log",
            "silver/.hidden/_delta_log",
            "gold/c/_delta_log",
            "_delta_log/x/_delta_log",
        ] {
            fs::create_dir_all(lake.path().join(path)).unwrap();
        }
        fs::write(lake.path().join("silver/file"), "").unwrap();
        let found = |root: &str, levels| tables_below(&lake.path().join(root), levels).unwrap();
        assert_eq!(found("silver", 1), [Path::new("a"), Path::new("b")]);
        assert_eq!(found("", 2).len(), 3);
        assert_eq!(found("silver/a", 0), [Path::new("")]);
        assert_eq!(found("gold", 3), [] as [&Path; 0]);
        let gone = tables_below(&lake.path().join("nowhere"), 1).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
