//! Patterns: `silver: { from: prod.silver.*, into: serving.public.{table} }` is one job for each
//! table that is found, called `silver.TABLE`.
//!
//! The tree comes out as if every job had been written by itself, so nobody after this knows of
//! patterns. What the world holds comes in through [`Tables`].

use std::{io, path::Path, path::PathBuf};

use glob::Pattern;

use crate::{
    identifier::quoted_if_needed,
    node::{Content, Entry, Node},
    problem::{Fault, Place, Report},
    secret::shown,
    source_location::{CatalogPattern, is_path_or_url},
    suggest,
};

/// Finds the tables of a catalog.
pub trait Listing {
    /// The Delta tables exactly `levels` directories below `root`, as paths relative to it, in
    /// the order of their names.
    ///
    /// # Errors
    /// If a directory on the way cannot be listed, `root` itself included.
    fn tables(&self, root: &Path, levels: usize) -> io::Result<Vec<PathBuf>>;
}

/// What is known of the tables that catalogs have.
#[derive(Clone, Copy)]
pub enum Tables<'a> {
    /// They can be listed.
    Listed(&'a dyn Listing),
    /// Nothing: a pattern stands for one job of a made-up table, so that what it says is checked.
    Unknown,
}

/// The name of what is not known.
const MADE_UP: &str = "any";

/// A table that a pattern found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) schema: String,
    pub(crate) table: String,
}

/// Puts the jobs that patterns stand for in the place of the patterns.
pub(crate) fn expand(root: &mut Node, tables: Tables<'_>, report: &mut Report) {
    let catalogs = root.get("catalogs").cloned();
    let Some(Node {
        content: Content::Map(jobs),
        ..
    }) = root.get_mut("jobs")
    else {
        return;
    };
    for mut job in std::mem::take(jobs) {
        if job.name.contains('.') {
            let what = format!("{} is not a name", shown(&job.name));
            let hint = "a dot is for the jobs that a pattern makes; use `_` or `-`";
            report.add(&job.place, Fault::new(what, hint));
            job.value.content = Content::Faulty;
            jobs.push(job);
            continue;
        }
        match pattern_of(&job.value) {
            None => jobs.push(job),
            Some((from, place)) => {
                let world = World {
                    catalogs: catalogs.as_ref(),
                    tables,
                };
                match expanded(&job, &from, &world) {
                    Ok(Some(expanded)) => jobs.extend(expanded),
                    // What is wrong with the catalog is told there.
                    Ok(None) => jobs.push(faulty(job)),
                    Err(misplaced) => {
                        let (at, fault) = *misplaced;
                        report.add(at.as_ref().unwrap_or(&place), fault);
                        jobs.push(faulty(job));
                    }
                }
            }
        }
    }
}

fn faulty(mut job: Entry) -> Entry {
    job.value.content = Content::Faulty;
    job
}

/// `from`, if it is a pattern, and where it stands.
fn pattern_of(job: &Node) -> Option<(String, Place)> {
    let from = job.get("from")?;
    match &from.content {
        Content::Text(text) if text.contains('*') && !is_path_or_url(text) => {
            Some((text.clone(), from.place.clone()))
        }
        _ => None,
    }
}

struct World<'a> {
    catalogs: Option<&'a Node>,
    tables: Tables<'a>,
}

/// A fault, and where it is unless at `from`.
type Misplaced = Box<(Option<Place>, Fault)>;

fn at_from(fault: Fault) -> Misplaced {
    Box::new((None, fault))
}

fn at(place: &Place, fault: Fault) -> Misplaced {
    Box::new((Some(place.clone()), fault))
}

fn expanded(job: &Entry, from: &str, world: &World<'_>) -> Result<Option<Vec<Entry>>, Misplaced> {
    let wanted = Wanted::parse(from).map_err(at_from)?;
    let location = match location(&wanted, world.catalogs) {
        Ok(Some(location)) => location,
        Ok(None) => return Ok(None),
        Err(fault) => return Err(at_from(fault)),
    };
    let exclude = exclude(&job.value)?;
    let is_excluded = |table: &str| exclude.iter().any(|pattern| pattern.matches(table));
    let all = wanted.find(&location, world.tables).map_err(at_from)?;
    let count = all.len();
    let found: Vec<Found> = all.into_iter().filter(|f| !is_excluded(&f.table)).collect();
    if found.is_empty() {
        let what = format!(
            "`exclude` leaves none of the {count} tables of {}",
            shown(from)
        );
        return Err(at_from(Fault::new(
            what,
            "exclude fewer, or remove the job",
        )));
    }
    found
        .iter()
        .map(|found| one(job, &wanted, found))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The names that `exclude` lists, each a pattern.
fn exclude(job: &Node) -> Result<Vec<Pattern>, Misplaced> {
    const HINT: &str = "write `exclude: [tmp_*]`, names of tables with `*` for any text";
    let Some(list) = job.get("exclude") else {
        return Ok(Vec::new());
    };
    let wrong = |place: &Place, what: String| Err(at(place, Fault::new(what, HINT)));
    let Content::List(items) = &list.content else {
        let what = format!("`exclude` is {}, not a list", list.content.kind());
        return wrong(&list.place, what);
    };
    let mut patterns = Vec::new();
    for item in items {
        let Content::Text(text) = &item.content else {
            let what = format!(
                "an item of `exclude` is {}, not a text",
                item.content.kind()
            );
            return wrong(&item.place, what);
        };
        match Pattern::new(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let what = format!("{} is not a pattern: {}", shown(text), error.msg);
                return wrong(&item.place, what);
            }
        }
    }
    Ok(patterns)
}

/// Where the catalog of a pattern is; `None` if the catalog is there and faulty.
fn location(wanted: &Wanted, catalogs: Option<&Node>) -> Result<Option<CatalogPattern>, Fault> {
    let name = wanted.catalog.as_str();
    let known: Vec<&Entry> = match catalogs.map(|catalogs| &catalogs.content) {
        Some(Content::Map(entries)) => entries.iter().collect(),
        Some(_) => return Ok(None),
        None => Vec::new(),
    };
    let Some(catalog) = known.iter().find(|entry| entry.name == name) else {
        let hint = match known.is_empty() {
            true => "declare it under `catalogs`".to_owned(),
            false => suggest::hint(
                name,
                known.iter().map(|e| e.name.as_str()),
                "known catalogs",
            ),
        };
        return Err(Fault::new(format!("unknown catalog {}", shown(name)), hint));
    };
    Ok(catalog
        .value
        .get("location")
        .and_then(|location| match &location.content {
            Content::Text(text) => CatalogPattern::parse(text, location.place.directory()).ok(),
            _ => None,
        }))
}

/// The job for one table.
fn one(job: &Entry, wanted: &Wanted, found: &Found) -> Result<Entry, Misplaced> {
    let schema = match wanted.schema_is_pattern {
        true => format!("{}.", found.schema),
        false => String::new(),
    };
    let mut made = job.clone();
    made.name = format!("{}.{schema}{}", job.name, found.table);
    if let Content::Map(entries) = &mut made.value.content {
        entries.retain(|entry| entry.name != "exclude");
        for entry in entries {
            let Content::Text(text) = &mut entry.value.content else {
                continue;
            };
            match entry.name.as_str() {
                "from" => *text = wanted.source(found),
                "into" => {
                    *text =
                        destination(text, found).map_err(|fault| at(&entry.value.place, fault))?;
                }
                _ => {}
            }
        }
    }
    Ok(made)
}

/// `into` with the names of one table in their places. They are taken as they are, in quotes
/// where they need them.
fn destination(into: &str, found: &Found) -> Result<String, Fault> {
    const HINT: &str = "write it like `serving.public.{table}`";
    if !into.contains("{table}") {
        let what = format!("{} has no place for {{table}}", shown(into));
        return Err(Fault::new(what, HINT));
    }
    let parts = into.split('.').map(|part| {
        if !part.contains(['{', '}']) {
            return Ok(part.to_owned());
        }
        let bare = part.replace("{schema}", "").replace("{table}", "");
        if bare.contains(['{', '}', '"']) {
            let what = format!(
                "{} has an unknown place in braces, or quotes around one",
                shown(into)
            );
            return Err(Fault::new(what, HINT));
        }
        // One pass, so that a schema called `{table}` is not filled in a second time.
        let filled: Vec<String> = part
            .split("{schema}")
            .map(|part| part.replace("{table}", &found.table))
            .collect();
        Ok(quoted_if_needed(&filled.join(&found.schema)))
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join("."))
}

/// Which tables of which catalog.
#[derive(Debug)]
struct Wanted {
    text: String,
    catalog: String,
    schema: Pattern,
    schema_is_pattern: bool,
    table: Pattern,
}

impl Wanted {
    /// Reads `catalog.schema.table` with `*` in schema or table.
    fn parse(text: &str) -> Result<Self, Fault> {
        let fault = || {
            let what = format!("{} is not a pattern of tables", shown(text));
            Fault::new(what, "write it like `prod.silver.*`, without quotes")
        };
        let parts: Vec<&str> = text.split('.').collect();
        let [catalog, schema, table] = parts[..] else {
            return Err(fault());
        };
        if parts.iter().any(|part| part.is_empty()) || text.contains('"') || catalog.contains('*') {
            return Err(fault());
        }
        let pattern = |text| Pattern::new(text).map_err(|_| fault());
        Ok(Self {
            text: text.to_owned(),
            catalog: catalog.to_owned(),
            schema_is_pattern: schema.contains('*'),
            schema: pattern(schema)?,
            table: pattern(table)?,
        })
    }

    fn find(&self, location: &CatalogPattern, tables: Tables<'_>) -> Result<Vec<Found>, Fault> {
        let schema = (!self.schema_is_pattern).then(|| self.schema.as_str());
        let Tables::Listed(listing) = tables else {
            let (schema, table) = (schema.unwrap_or(MADE_UP).to_owned(), MADE_UP.to_owned());
            return Ok(vec![Found { schema, table }]);
        };
        let search = location.search(schema)?;
        let root = search.root.display();
        let listed = listing
            .tables(&search.root, search.levels.len())
            .map_err(|error| {
                let what = format!("cannot look for tables in {root}: {error}");
                Fault::new(
                    what,
                    "check the catalog's `location`, and that this user may read it",
                )
            })?;
        let is_wanted =
            |found: &Found| self.schema.matches(&found.schema) && self.table.matches(&found.table);
        let found: Vec<Found> = listed
            .iter()
            .filter_map(|path| search.found(path, schema))
            .filter(is_wanted)
            .collect();
        if found.is_empty() {
            let what = format!("no table in {root} matches {}", shown(&self.text));
            let hint = "check the pattern and the catalog's `location`; a table is a directory \
                with `_delta_log` in it";
            return Err(Fault::new(what, hint));
        }
        Ok(found)
    }

    /// The name of one table, as `from` would say it.
    fn source(&self, found: &Found) -> String {
        let (schema, table) = (
            quoted_if_needed(&found.schema),
            quoted_if_needed(&found.table),
        );
        format!("{}.{schema}.{table}", self.catalog)
    }
}
