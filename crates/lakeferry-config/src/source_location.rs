//! Where a job's source is: a directory, named by a path, a URL, or a catalog's pattern.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path, PathBuf},
};

use url::Url;

use crate::{expand::Found, identifier, name::CatalogName, problem::Fault, secret::shown, suggest};

const ONLY_LOCAL: &str = "only local directories are supported in this version";

/// Where a Delta table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    written: String,
    directory: PathBuf,
}

impl SourceLocation {
    /// Reads `from`: `catalog.schema.table`, a path (relative to `base`), or a file URL; `None` if
    /// the catalog itself could not be read.
    pub(crate) fn parse(
        text: &str,
        base: &Path,
        catalogs: &Catalogs,
    ) -> Result<Option<Self>, Fault> {
        let directory = if is_path_or_url(text) {
            Some(in_base(base, &local_path(text)?))
        } else {
            catalogs.directory(text)?
        };
        Ok(directory.map(|directory| Self {
            written: text.to_owned(),
            directory,
        }))
    }

    /// The table's directory. It is relative only where the configuration file's path is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// As the configuration names it.
impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The catalogs of a file, by name; `None` for one that is faulty.
#[derive(Debug, Default)]
pub(crate) struct Catalogs {
    pub(crate) known: BTreeMap<CatalogName, Option<CatalogPattern>>,
    /// Whether there are more that could not be read.
    pub(crate) incomplete: bool,
}

impl Catalogs {
    fn directory(&self, text: &str) -> Result<Option<PathBuf>, Fault> {
        let parts = identifier::dotted(text)?;
        let [catalog, schema, table] = parts.as_slice() else {
            return Err(Fault::new(
                format!("{} is neither catalog.schema.table nor a path", shown(text)),
                "give all three parts, or start a path with `/` or `./`",
            ));
        };
        match self.known.get(catalog.text.as_str()) {
            Some(Some(pattern)) => pattern.directory(&schema.text, &table.text).map(Some),
            Some(None) => Ok(None),
            None if self.incomplete => Ok(None),
            None => Err(self.unknown(&catalog.text)),
        }
    }

    fn unknown(&self, name: &str) -> Fault {
        let hint = match self.known.len() {
            0 => "declare it under `catalogs`".to_owned(),
            _ => suggest::hint(
                name,
                self.known.keys().map(CatalogName::as_str),
                "known catalogs",
            ),
        };
        Fault::new(format!("unknown catalog {}", shown(name)), hint)
    }
}

/// A catalog's location, with places for schema and table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatalogPattern(PathBuf);

impl CatalogPattern {
    /// Reads a path (relative to `base`) or a file URL with `{schema}` and `{table}` in it.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, Fault> {
        const HINT: &str = "write it like `/lake/{schema}/{table}`";
        let path = local_path(text)?;
        for place in ["{schema}", "{table}"] {
            if !path.contains(place) {
                let what = format!("the location {} has no place for {place}", shown(text));
                return Err(Fault::new(what, HINT));
            }
        }
        if path
            .replace("{schema}", "")
            .replace("{table}", "")
            .contains(['{', '}'])
        {
            let what = format!(
                "the location {} has an unknown place in braces",
                shown(text)
            );
            return Err(Fault::new(what, HINT));
        }
        Ok(Self(in_base(base, &path)))
    }

    /// Where the tables of `schema` are looked for, or those of all schemas.
    ///
    /// # Errors
    /// If a directory's name holds more than one unknown name, as then it could be read in
    /// several ways.
    pub(crate) fn search(&self, schema: Option<&str>) -> Result<Search, Fault> {
        let mut search = Search {
            root: PathBuf::new(),
            levels: Vec::new(),
        };
        for component in self.0.components() {
            let mut level = component.as_os_str().to_string_lossy().into_owned();
            if let Some(schema) = schema {
                level = level.replace("{schema}", schema);
            }
            let places = level.matches("{schema}").count() + level.matches("{table}").count();
            if places > 1 {
                let what = format!("a pattern cannot be looked for in {}", self.0.display());
                let hint = "give schema and table a directory each in the catalog's `location`";
                return Err(Fault::new(what, hint));
            }
            if places == 0 && search.levels.is_empty() {
                search.root.push(level);
            } else {
                search.levels.push(level);
            }
        }
        Ok(search)
    }

    /// The directory of one table. A name stands for exactly one directory level.
    fn directory(&self, schema: &str, table: &str) -> Result<PathBuf, Fault> {
        for name in [schema, table] {
            if name.contains(['/', '\0']) || [".", ".."].contains(&name) {
                let what = format!("{} cannot be the name of a directory", shown(name));
                return Err(Fault::new(what, "name the table by its path"));
            }
        }
        // One pass, so that a schema called `{table}` is not filled in a second time.
        let filled = self.0.components().map(|component| match component {
            Component::Normal(name) => PathBuf::from(fill(&name.to_string_lossy(), schema, table)),
            other => PathBuf::from(other.as_os_str()),
        });
        Ok(filled.collect())
    }
}

/// Where the tables of a catalog are looked for.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) root: PathBuf,
    /// What each directory below is called, at most one place for a name in each.
    pub(crate) levels: Vec<String>,
}

impl Search {
    /// The table at `path` below the root, if its directories are called as they should; `schema`
    /// is the one that is looked for.
    pub(crate) fn found(&self, path: &Path, schema: Option<&str>) -> Option<Found> {
        let (mut found_schema, mut found_table) = (schema.map(str::to_owned), None);
        let names: Vec<&str> = path
            .iter()
            .map(|name| name.to_str())
            .collect::<Option<_>>()?;
        if names.len() != self.levels.len() {
            return None;
        }
        for (level, name) in self.levels.iter().zip(names) {
            let (place, slot) = match level.contains("{table}") {
                true => ("{table}", &mut found_table),
                false => ("{schema}", &mut found_schema),
            };
            let Some((before, after)) = level.split_once(place) else {
                if level == name {
                    continue;
                }
                return None;
            };
            let inner = name.strip_prefix(before)?.strip_suffix(after)?;
            let same = slot.get_or_insert_with(|| inner.to_owned()) == inner;
            if inner.is_empty() || !same {
                return None;
            }
        }
        Some(Found {
            schema: found_schema?,
            table: found_table?,
        })
    }
}

fn fill(pattern: &str, schema: &str, table: &str) -> String {
    let parts = pattern
        .split("{schema}")
        .map(|part| part.replace("{table}", table));
    parts.collect::<Vec<_>>().join(schema)
}

/// Whether `text` is not a dotted name. A `/` in a quoted name does not make a path.
pub(crate) fn is_path_or_url(text: &str) -> bool {
    let prefixed = ["/", "./", "../", "~"]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    let plain = text.contains('/') && !text.contains('"');
    prefixed || plain || text.contains("://") || [".", ".."].contains(&text)
}

/// The path that `text` names, itself or as a file URL.
fn local_path(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.contains('\0') {
        return Err(Fault::new(
            format!("{} is not a path", shown(text)),
            "write a path",
        ));
    }
    if text.starts_with('~') {
        let what = format!(
            "the path {} starts with `~`, which stays as it is",
            shown(text)
        );
        return Err(Fault::new(what, "write the whole path"));
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return Ok(text.to_owned());
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(Fault::new(
            format!("{} is not a local directory", shown(text)),
            ONLY_LOCAL,
        ));
    }
    let path = Url::parse(text).ok().and_then(|url| {
        let plain = url.query().is_none() && url.fragment().is_none();
        url.to_file_path()
            .ok()
            .filter(|_| plain)?
            .into_os_string()
            .into_string()
            .ok()
    });
    path.ok_or_else(|| {
        let what = format!("{} is not the URL of a local directory", shown(text));
        Fault::new(what, "write `file:///directory`")
    })
}

/// `path`, seen from `base`, without `.` in it.
fn in_base(base: &Path, path: &str) -> PathBuf {
    base.join(path)
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{CatalogPattern, Catalogs, SourceLocation};
    use crate::name::CatalogName;

    fn catalogs() -> Catalogs {
        let name = |name: &str| CatalogName::parse(name.into()).unwrap();
        let pattern = |text| Some(CatalogPattern::parse(text, Path::new("/etc/ferry")).unwrap());
        let known = [
            (name("prod"), pattern("/lake/{schema}/{table}")),
            (name("near"), pattern("../lake/{schema}.db/t_{table}")),
            (name("url"), pattern("file:///my%20lake/{schema}/{table}")),
        ];
        Catalogs {
            known: known.into(),
            incomplete: false,
        }
    }

    #[test]
    fn locations_are_paths_urls_and_catalog_names() {
        for (text, expected) in [
            ("/data/t", Some("/data/t")),
            ("./data/t/", Some("/etc/ferry/data/t")),
            ("data/t", Some("/etc/ferry/data/t")),
            ("../t", Some("/etc/ferry/../t")),
            (".", Some("/etc/ferry")),
            ("file:///data/my%20t", Some("/data/my t")),
            ("file://localhost/data/t", Some("/data/t")),
            ("FILE:///data/t", Some("/data/t")),
            ("prod.silver.Customers", Some("/lake/silver/Customers")),
            ("prod.\"a b\".\"c.d\"", Some("/lake/a b/c.d")),
            ("prod.\"{table}\".t", Some("/lake/{table}/t")),
            ("near.silver.t", Some("/etc/ferry/../lake/silver.db/t_t")),
            ("url.s.t", Some("/my lake/s/t")),
            ("file://server/data/t", None),
            ("file:///data/t?x=1", None),
            ("file:///data/%ff", None),
            ("s3://bucket/t", None),
            ("~/t", None),
            ("customers", None),
            ("silver.customers", None),
            ("prod.a.b.c", None),
            ("prod.silver.*", None),
            ("prod.*", None),
            ("prod.\"..\".t", None),
            ("prod.\"a/b\".t", None),
            ("Prod.silver.t", None),
            ("", None),
        ] {
            let location = SourceLocation::parse(text, Path::new("/etc/ferry"), &catalogs());
            let location = location.ok().flatten();
            let location = location.as_ref();
            assert_eq!(
                location.map(SourceLocation::directory),
                expected.map(Path::new),
                "{text}"
            );
            assert!(location.is_none_or(|location| location.to_string() == text));
        }
    }
}
