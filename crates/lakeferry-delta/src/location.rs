//! Where a table is: a path or URL, and the storage behind it.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use object_store::{ObjectStore, local::LocalFileSystem, path::Path as StorePath};
use url::Url;

use crate::error::{Error, Result};

/// The root of a table.
#[derive(Clone)]
pub(crate) struct Location {
    /// As the user wrote it, for messages.
    name: String,
    /// Ends with a slash.
    url: Url,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.url.as_str()).finish()
    }
}

impl Location {
    /// Understands a path of the local file system, which need not exist, or a URL.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let url = if name.contains("://") {
            url_of(name)?
        } else {
            directory_url(name)?
        };
        if url.scheme() != "file" {
            return Err(unreadable(
                name,
                format!("storage of kind {}: is not supported yet", url.scheme()),
                "use a path of the local file system",
            ));
        }
        // The kernel decodes paths twice: it would look into another directory.
        if url.path().contains("%25") {
            let what = "paths with a percent sign are not supported".to_owned();
            return Err(unreadable(name, what, "move the table to a path without %"));
        }
        Ok(Self {
            name: name.to_owned(),
            url,
            store: Arc::new(LocalFileSystem::new()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The directory of the log, in the storage's own terms.
    pub(crate) fn log(&self) -> Result<StorePath> {
        let root = StorePath::from_url_path(self.url.path()).map_err(|_| {
            let what = "the location does not make a storage path".to_owned();
            unreadable(&self.name, what, "use a plain path or URL")
        })?;
        Ok(root.join("_delta_log"))
    }

    /// Why there is no log at this location.
    pub(crate) fn why_no_log(&self) -> Error {
        let local = self.url.to_file_path();
        // Without the slash at its end, with which a file would seem absent.
        let local = local.map(|path| path.components().collect::<PathBuf>());
        let (what, hint) = match local {
            Ok(path) if !path.exists() => (
                "the path does not exist",
                "check the location; relative paths start at the working directory",
            ),
            Ok(path) if !path.is_dir() => ("the path is not a directory", DIRECTORY),
            _ => (
                "it is not a Delta table: it has no commits in _delta_log",
                DIRECTORY,
            ),
        };
        unreadable(&self.name, what.to_owned(), hint)
    }
}

const DIRECTORY: &str = "give the directory that has _delta_log in it";

fn url_of(name: &str) -> Result<Url> {
    let mut url = Url::parse(name).map_err(|error| Error::Unreadable {
        table: name.to_owned(),
        what: "the location is not a URL".to_owned(),
        hint: "use a path, or a URL such as file:///data/table",
        source: Some(Box::new(error)),
    })?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn directory_url(name: &str) -> Result<Url> {
    plain_path(Path::new(name))
        .and_then(|path| Url::from_directory_path(path).ok())
        .ok_or_else(|| {
            let what = "the location is not a path".to_owned();
            unreadable(name, what, "give the directory of the table, or a URL")
        })
}

/// `path` from the root on, without `..`, which storage paths do not know.
fn plain_path(path: &Path) -> Option<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Some(path);
    }
    let mut plain = PathBuf::new();
    for component in std::path::absolute(path).ok()?.components() {
        if component == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(component);
        }
    }
    Some(plain)
}

fn unreadable(table: &str, what: String, hint: &'static str) -> Error {
    Error::Unreadable {
        table: table.to_owned(),
        what,
        hint,
        source: None,
    }
}
