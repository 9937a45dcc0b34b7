//! `init`: a commented configuration to start from. It asks nothing; what it is not told, it
//! leaves to be filled in.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use arrow_schema::{DataType, Schema};
use lakeferry_config::{Tables, load};
use lakeferry_delta::{DeltaSource, Settings};
use serde_json::json;

use crate::{
    arguments::Arguments,
    exit::{Code, Trouble, source_code},
    output::Done,
};

/// Where the file says nothing else.
const URL: &str = "postgresql://postgres@localhost/postgres";

/// What the file is about.
struct Start {
    /// The name of job and table.
    name: String,
    from: String,
    url: String,
    /// The columns of the table and their types, if it was looked at.
    columns: Vec<(String, String)>,
    key: String,
    /// Other columns that may be the key.
    candidates: Vec<String>,
}

/// Writes the file that `--config` names, unless it is there.
pub(crate) async fn init(
    arguments: &Arguments,
    from: Option<&Path>,
    into: Option<&str>,
    force: bool,
) -> Result<Done, Trouble> {
    let [path] = arguments.config.as_slice() else {
        let reason = "init writes one file, and --config names several";
        return Err(Trouble::new(Code::Configuration, reason).hint("name one"));
    };
    let url = into.unwrap_or(URL).to_owned();
    let start = match from {
        Some(table) => look(path, table, url).await?,
        None => Start {
            name: "customers".to_owned(),
            from: "./lake/customers".to_owned(),
            url,
            columns: Vec::new(),
            key: "customer_id".to_owned(),
            candidates: Vec::new(),
        },
    };
    let text = start.text();
    check(&text, path)?;
    write(path, &text, force)?;
    let path = path.display().to_string();
    let next = "fill in what is yours, then: lakeferry validate, lakeferry plan, lakeferry sync";
    let told = format!("wrote {path}\n{next}\n");
    Ok(Done::new(told, &json!({ "file": path })))
}

/// What the Delta table says of itself.
async fn look(config: &Path, table: &Path, url: String) -> Result<Start, Trouble> {
    let location = std::path::absolute(table).unwrap_or_else(|_| table.to_owned());
    let settings = Settings {
        location: location.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    let trouble = |error| Trouble::of(source_code(&error), &error);
    let source = DeltaSource::new(settings).map_err(trouble)?;
    let columns = source.check().await.map_err(trouble)?.head.columns;
    let name = plain_name(&location);
    let mut candidates = key_candidates(&columns, &name);
    let key = candidates.remove(0);
    Ok(Start {
        from: seen_from(config, table, location),
        name,
        url,
        columns: columns
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().to_string()))
            .collect(),
        key,
        candidates,
    })
}

/// The table's path as the file says it: what it is told where that means the same there.
fn seen_from(config: &Path, table: &Path, absolute: PathBuf) -> String {
    let is_here = config.parent().is_none_or(|folder| folder == Path::new(""));
    if !is_here || table.is_absolute() {
        return absolute.to_string_lossy().into_owned();
    }
    let text = table.to_string_lossy();
    match text.starts_with('.') {
        true => text.into_owned(),
        false => format!("./{text}"),
    }
}

/// The name of a directory as a name that needs no quotes anywhere.
fn plain_name(location: &Path) -> String {
    let name = location
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).take(60).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        true => format!("t_{name}"),
        false => name,
    }
}

/// Columns that may identify a row, by their names, the likeliest first; never empty for a table
/// that has columns.
fn key_candidates(columns: &Schema, table: &str) -> Vec<String> {
    let singular = table.strip_suffix('s').unwrap_or(table);
    let rank = |name: &str| {
        let name = name.to_lowercase();
        let of_table = [table, singular].map(|table| format!("{table}_id"));
        match () {
            () if name == "id" => 0,
            () if of_table.contains(&name) => 1,
            () if name.ends_with("_id") => 2,
            () if ["key", "uuid", "code"]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                3
            }
            () => 4,
        }
    };
    let may_be =
        |kind: &DataType| !kind.is_nested() && !kind.is_floating() && *kind != DataType::Boolean;
    let all = columns.fields();
    let mut found: Vec<&String> = all
        .iter()
        .filter(|field| may_be(field.data_type()))
        .map(|field| field.name())
        .collect();
    found.sort_by_key(|name| rank(name));
    let likely = found.iter().filter(|name| rank(name) < 4).count().max(1);
    let mut names: Vec<String> = found.into_iter().take(likely).cloned().collect();
    if names.is_empty() {
        names.push(all.first().map_or("id", |field| field.name()).to_owned());
    }
    names
}

impl Start {
    fn text(&self) -> String {
        let name = &self.name;
        let [from, url, key] = [&self.from, &self.url, &self.key].map(|text| json!(text));
        let columns = self.columns_comment();
        format!(
            "\
# What Lakeferry brings from Delta tables into Postgres.
#
#   lakeferry validate    checks this file and what it says of the tables
#   lakeferry plan        shows what a sync would do
#   lakeferry sync        does it
#
# `lakeferry validate --show` prints every setting there is with its value.
version: 1

# The databases to write to.
targets:
  serving:
    url: {url}
    # The password does not belong in this file:
    # password: {{ env: FERRY_PASSWORD }}

# What is brought where; one entry for each table.
jobs:
  {name}:
    # The Delta table: a path, seen from this file if it is relative.
    from: {from}
    # target.schema.table. The table is made by the first sync.
    into: serving.public.{name}
    # The columns that identify a row: set, and the same in no two rows.
    key: [{key}]
{columns}    # Only rows for which this is true:
    # filter: is_active = true
"
        )
    }

    fn columns_comment(&self) -> String {
        if self.columns.is_empty() {
            return "    # Only these columns, the key among them; all if it is left out:\n    \
                # columns: [customer_id, name, country]\n"
                .to_owned();
        }
        let mut text = String::new();
        if !self.candidates.is_empty() {
            let others = self.candidates.join(", ").replace('\n', " ");
            text.push_str(&format!(
                "    # Guessed by its name; these may be it as well: {others}\n"
            ));
        }
        text.push_str(
            "    # Only some columns, the key among them; all if it is left out. There are:\n",
        );
        for (name, kind) in &self.columns {
            // A comment ends with its line.
            let name = name.replace(['\n', '\r'], " ");
            text.push_str(&format!("    #   {name}: {kind}\n"));
        }
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        text.push_str(&format!("    # columns: {}\n", json!(names)));
        text
    }
}

/// A file that is written is right, and holds no password.
fn check(text: &str, path: &Path) -> Result<(), Trouble> {
    let loaded = load(
        text,
        path,
        &std::collections::BTreeMap::new(),
        Tables::Unknown,
    );
    let config = loaded.map_err(lakeferry_config::Error::from)?.config;
    if config
        .targets
        .values()
        .any(|target| target.url.has_password())
    {
        let reason = "the URL holds a password, which does not belong in a file";
        let hint = "leave it out; then say in the file `password: { env: NAME }`";
        return Err(Trouble::new(Code::Configuration, reason).hint(hint));
    }
    Ok(())
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Trouble> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !force {
        options.create_new(true);
    }
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let named = path.display();
        if error.kind() == ErrorKind::AlreadyExists {
            return Trouble::new(Code::Configuration, format!("{named} is there already"))
                .hint("--force overwrites it; --config names another file");
        }
        Trouble::environment(anyhow::Error::new(error).context(format!("cannot write {named}")))
    })
}
