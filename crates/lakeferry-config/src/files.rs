//! The files of a configuration, read into one tree: each `--config` file with what it includes,
//! the later over the earlier.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{
    interpolate::interpolate,
    merge,
    node::{self, Content, Node},
    problem::{Fault, Place, Report},
    secret::shown,
};

/// How deep files may include each other.
const DEPTH: usize = 8;
/// How many files a configuration may have.
const FILES: usize = 1_000;

/// Characters that make a path a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The tree of the given texts, each over those before; `None` if one of them is not YAML. `folders` gets
/// those in which the files are, or may come to be.
pub(crate) fn layers(
    files: &[(Arc<Path>, String)],
    env: &BTreeMap<String, String>,
    folders: &mut BTreeSet<PathBuf>,
    report: &mut Report,
) -> Option<Node> {
    let mut trees = Vec::new();
    for (file, text) in files {
        folders.extend(file.parent().map(Path::to_owned));
        let mut reader = Reader {
            env,
            report,
            folders,
            known: Vec::new(),
            open: Vec::new(),
        };
        trees.push(reader.tree(file, text));
    }
    let mut trees = trees.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
    let first = trees.next()?;
    Some(trees.fold(first, |before, mut tree| {
        if let Some(version) = tree.take("version") {
            merge::version(version, report);
        }
        merge::over(before, tree)
    }))
}

/// Reads a file and what it includes.
struct Reader<'a> {
    env: &'a BTreeMap<String, String>,
    report: &'a mut Report,
    folders: &'a mut BTreeSet<PathBuf>,
    /// The files that were read, and those that are being read, by their canonical paths.
    known: Vec<PathBuf>,
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn tree(&mut self, file: &Arc<Path>, text: &str) -> Option<Node> {
        let root = node::parse(text, file, self.report)?;
        let mut root = interpolate(root, self.env, self.report);
        let canonical = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
        self.known.push(canonical.clone());
        self.open.push(canonical);
        if let Some(list) = root.take("include") {
            for (place, path) in self.included(list) {
                self.include(&mut root, &place, &path);
            }
        }
        self.open.pop();
        Some(root)
    }

    /// The files that `list` names, each with the place that names it.
    fn included(&mut self, list: Node) -> Vec<(Place, PathBuf)> {
        const HINT: &str = "write `include: [jobs/*.yaml]`";
        let items = match list.content {
            Content::List(items) => items,
            Content::Faulty => return Vec::new(),
            other => {
                let what = format!("`include` is {}, not a list", other.kind());
                self.report.add(&list.place, Fault::new(what, HINT));
                return Vec::new();
            }
        };
        let mut files = Vec::new();
        for Node { place, content } in items {
            match content {
                Content::Text(pattern) if !pattern.trim().is_empty() => {
                    self.folders.insert(folder(&pattern, place.directory()));
                    match matching(&pattern, place.directory()) {
                        Ok(paths) => files.extend(paths.into_iter().map(|p| (place.clone(), p))),
                        Err(fault) => self.report.add(&place, fault),
                    }
                }
                Content::Faulty => {}
                other => {
                    let what = format!("an item of `include` is {}, not a path", other.kind());
                    self.report.add(&place, Fault::new(what, HINT));
                }
            }
        }
        files
    }

    fn include(&mut self, root: &mut Node, place: &Place, path: &Path) {
        match self.text(path) {
            Ok(Some(text)) => {
                let file: Arc<Path> = path.into();
                if let Some(tree) = self.tree(&file, &text) {
                    merge::include(root, tree, self.report);
                }
            }
            Ok(None) => {}
            Err(fault) => self.report.add(place, fault),
        }
    }

    /// What the file at `path` says; `None` if it was read already.
    fn text(&self, path: &Path) -> Result<Option<String>, Fault> {
        let named = path.display();
        let unreadable = |error| {
            let what = format!("cannot read the included file {named}: {error}");
            Fault::new(
                what,
                "check that it is UTF-8 text, and that this user may read it",
            )
        };
        if path.extension().is_some_and(|extension| extension == "sql") {
            let what = format!("SQL files such as {named} are not read in this version");
            return Err(Fault::new(what, "declare its jobs in YAML"));
        }
        let canonical = fs::canonicalize(path).map_err(unreadable)?;
        if self.open.contains(&canonical) {
            let what = format!("the file {named} includes itself, directly or by others");
            return Err(Fault::new(what, "remove one `include` of the circle"));
        }
        if self.known.contains(&canonical) {
            return Ok(None);
        }
        if self.open.len() >= DEPTH || self.known.len() >= FILES {
            let what = format!("{named} is one included file too many");
            let hint = format!("include files at most {DEPTH} deep and {FILES} in all");
            return Err(Fault::new(what, hint));
        }
        fs::read_to_string(path).map(Some).map_err(unreadable)
    }
}

/// The folder above the first part of `pattern` with a wildcard, or above the file.
fn folder(pattern: &str, base: &Path) -> PathBuf {
    let path = base.join(pattern);
    let plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(WILDCARDS);
    let parts = path.components().collect::<Vec<_>>();
    let above = &parts[..parts.len().saturating_sub(1)];
    above.iter().take_while(|part| plain(part)).collect()
}

/// The files that `pattern` names, seen from `base`, in the order of their names. A pattern may
/// find none, a plain name must be there.
fn matching(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, Fault> {
    let path = base.join(pattern);
    if !pattern.contains(WILDCARDS) {
        if path.exists() {
            return Ok(vec![path]);
        }
        let what = format!("the included file {} does not exist", shown(pattern));
        let hint = format!("it was looked for at {}", path.display());
        return Err(Fault::new(what, hint));
    }
    let base = glob::Pattern::escape(&base.to_string_lossy());
    let whole = Path::new(&base).join(pattern);
    let found = glob::glob(&whole.to_string_lossy()).map_err(|error| {
        let what = format!(
            "{} is not a pattern of paths: {}",
            shown(pattern),
            error.msg
        );
        Fault::new(what, "write it like `jobs/*.yaml`")
    })?;
    Ok(found.flatten().filter(|path| path.is_file()).collect())
}
