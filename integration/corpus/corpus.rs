//! Where the corpus lies and which tables it has.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::oracle::{python, script};

const LIST: &str = "tables.tsv";
/// Seen from the folder of the checkout or from one around it.
const BESIDE: &str = "shared/corpora";
const ARCHIVE: &str = "dev.tar.zst";
const UNPACKED: &str = "corpus";

/// Tables, unpacked.
pub(crate) struct Corpus {
    folder: PathBuf,
    list: PathBuf,
}

/// A table of the corpus.
pub(crate) struct Table {
    /// Its path in the corpus.
    pub(crate) name: String,
    pub(crate) class: Class,
}

/// What a table of the corpus is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It has rows, or had.
    Data,
    /// Without rows, without data files, broken, or beyond every reader: it may end in an error.
    Other,
}

impl Corpus {
    /// None where there is no corpus.
    pub(crate) fn find() -> Result<Option<Self>> {
        let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut beside = around.map(|folder| folder.join(BESIDE));
        let beside = beside.find(|folder| folder.join(LIST).exists());
        let folder = match (env::var_os("LAKEFERRY_CORPUS"), &beside) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(beside)) if beside.join(ARCHIVE).exists() => {
                unpacked(&beside.join(ARCHIVE))?
            }
            _ => return Ok(None),
        };
        let lists = [Some(folder.clone()), beside].into_iter().flatten();
        let mut lists = lists.map(|folder| folder.join(LIST));
        let list = lists.find(|list| list.exists());
        let list = list.with_context(|| format!("no {LIST} in {}", folder.display()))?;
        Ok(Some(Self { folder, list }))
    }

    pub(crate) fn tables(&self) -> Result<Vec<Table>> {
        let text = fs::read_to_string(&self.list)?;
        let table = |line: &str| {
            let mut columns = line.split('\t');
            let class = match columns.next()? {
                "data" => Class::Data,
                _ => Class::Other,
            };
            let name = columns.nth(1)?.to_owned();
            Some(Table { name, class })
        };
        let lines = text.lines().skip(1).filter(|line| !line.is_empty());
        let tables: Option<Vec<_>> = lines.map(table).collect();
        tables.with_context(|| format!("cannot read {}", self.list.display()))
    }

    pub(crate) fn path(&self, table: &Table) -> PathBuf {
        self.folder.join(&table.name)
    }

    /// The rows of a table as another reader wrote them down, where the corpus has that.
    pub(crate) fn expected(&self, table: &Table) -> Option<PathBuf> {
        let path = self.path(table);
        let expected = path.parent()?.join("expected");
        (path.ends_with("delta") && expected.exists()).then_some(expected)
    }
}

/// The folder in the target directory that `archive` was unpacked into, now or before.
fn unpacked(archive: &Path) -> Result<PathBuf> {
    let here = env::current_exe()?;
    let target = here.ancestors().nth(3).context("this is no cargo build")?;
    let folder = target.join(UNPACKED);
    if !folder.exists() {
        let part = tempfile::Builder::new()
            .prefix("unpacking-")
            .tempdir_in(target)?;
        let mut unpack = Command::new(python()?);
        unpack.arg(script("unpack.py")).arg(archive);
        let done = unpack.arg(part.path()).status()?;
        ensure!(done.success(), "cannot unpack {}", archive.display());
        fs::rename(part.keep(), &folder)?;
    }
    Ok(folder)
}
