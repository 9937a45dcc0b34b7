//! YAML text to a tree in which every value knows where it stands.
//!
//! The tree is read without a schema, so that one wrong value does not hide the next: only a text
//! that is not YAML stops at its first problem. Keys are texts, and none is there twice.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

use crate::{
    problem::{Fault, Place, Report},
    secret::shown,
};

/// How deep values may stand in others. The format needs six levels; each takes stack.
const DEPTH: usize = 16;
/// How many values aliases may add to a file.
const ALIAS_EVENTS: usize = 10_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// What was written cannot be used, and the report says why.
    Faulty,
    Nothing,
    Truth(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, and its value; `place` is the key's.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// The value under `name`, if this is a mapping that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.content else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.name == name)?;
        Some(&entry.value)
    }

    /// As [`Node::get`], to be changed.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Content::Map(entries) = &mut self.content else {
            return None;
        };
        let entry = entries.iter_mut().find(|entry| entry.name == name)?;
        Some(&mut entry.value)
    }

    /// Takes the value under `name` out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Self> {
        let Content::Map(entries) = &mut self.content else {
            return None;
        };
        let index = entries.iter().position(|entry| entry.name == name)?;
        Some(entries.remove(index).value)
    }
}

impl Content {
    /// What a person would call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Faulty => "faulty",
            Self::Nothing => "nothing",
            Self::Truth(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The document in `text` of `file`; `None`, and one problem, if it is not YAML.
pub(crate) fn parse(text: &str, file: &Arc<Path>, report: &mut Report) -> Option<Node> {
    report.open(file);
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH, flow_nesting_limit: DEPTH },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIAS_EVENTS },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Parsed>>(text, options) {
        Ok(root) => Some(placed(root, Place::start(file), report)),
        Err(error) => {
            let (line, column, fault) = syntax(&error);
            let place = Place {
                line,
                column,
                ..Place::start(file)
            };
            report.add(&place, fault);
            None
        }
    }
}

/// The tree as the parser gives it: keys of any kind, as often as they are written.
enum Parsed {
    Nothing,
    Truth(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<Parsed>, Spanned<Parsed>)>),
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Nothing)
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Truth(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Parsed::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Parsed::Map(entries))
    }
}

/// Where a value's own text stands, also where an alias repeats it; `path` is its own in the file
/// of `outer`.
fn place_of<T>(value: &Spanned<T>, path: String, outer: &Place) -> Place {
    Place {
        path,
        line: value.defined.line(),
        column: value.defined.column(),
        ..outer.clone()
    }
}

/// The tree of `parsed`; `outer` has its path and file.
fn placed(parsed: Spanned<Parsed>, outer: Place, report: &mut Report) -> Node {
    let place = place_of(&parsed, outer.path.clone(), &outer);
    let content = match parsed.value {
        Parsed::Nothing => Content::Nothing,
        Parsed::Truth(value) => Content::Truth(value),
        Parsed::Number(value) => Content::Number(value),
        Parsed::Text(value) => Content::Text(value),
        Parsed::List(items) => Content::List(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| {
                    let path = format!("{}[{index}]", place.path);
                    let outer = Place {
                        path,
                        ..place.clone()
                    };
                    placed(item, outer, report)
                })
                .collect(),
        ),
        Parsed::Map(entries) => Content::Map(placed_entries(entries, &place, report)),
    };
    Node { place, content }
}

fn placed_entries(
    entries: Vec<(Spanned<Parsed>, Spanned<Parsed>)>,
    outer: &Place,
    report: &mut Report,
) -> Vec<Entry> {
    let mut first_lines = BTreeMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key_place = place_of(&key, outer.path.clone(), outer);
        let Parsed::Text(name) = key.value else {
            let what = "a key is not a text";
            report.add(&key_place, Fault::new(what, "write the key in quotes"));
            continue;
        };
        let place = Place {
            path: inner_path(&outer.path, &name),
            ..key_place
        };
        if let Some(line) = first_lines.get(&name) {
            let what = format!(
                "{} is there twice; the first is in line {line}",
                shown(&name)
            );
            report.add(&place, Fault::new(what, "remove one of the two"));
            continue;
        }
        first_lines.insert(name.clone(), place.line);
        let value = placed(value, place.clone(), report);
        kept.push(Entry { name, place, value });
    }
    kept
}

/// The path of the value under `name`; a name that would be ambiguous in it is quoted.
pub(crate) fn inner_path(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-".contains(c));
    let name = if plain {
        name.to_owned()
    } else {
        shown(name).replace('`', "\"")
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// What the parser says, with a hint for the mistakes that people make.
fn syntax(error: &serde_saphyr::Error) -> (u64, u64, Fault) {
    use serde_saphyr::Error;

    let (line, column) = error
        .location()
        .map_or((1, 1), |at| (at.line(), at.column()));
    let full = error.to_string();
    let said = full.split(" at line ").next().unwrap_or(&full);
    let not_yaml: &str = &format!("not YAML: {said}");
    let (what, hint) = match error {
        Error::MultipleDocuments { .. } => (
            "the file holds more than one YAML document",
            "remove the line `---`",
        ),
        Error::UnknownAnchor { .. } => (
            "a value starts with `*`, which in YAML refers to an anchor that is not there",
            "write the value in quotes",
        ),
        _ if said.contains("anchor or alias") => (
            "a value starts with `*` or `&`, which in YAML names an anchor",
            "write the value in quotes",
        ),
        _ if said.contains("alias replay") || said.contains("alias expansion") => {
            ("aliases repeat too much", "write the values out")
        }
        _ if said.contains("Depth") || said.contains("recursion limit") => (
            "values are nested too deep",
            "close the brackets that are open here",
        ),
        _ if said.contains("budget breached") => (
            "the file is larger than any configuration should be",
            "make it smaller",
        ),
        _ if said.contains("tabs disallowed") => {
            ("the line is indented with a tab", "indent with spaces")
        }
        _ if said.contains("mapping values are not allowed") => (
            not_yaml,
            "check the indentation, and write a value that contains `: ` in quotes",
        ),
        _ if said.contains("unclosed") => (not_yaml, "close it"),
        _ if said.contains("unexpected character") => {
            (not_yaml, "write a value with special characters in quotes")
        }
        _ if said.contains("':'") => (not_yaml, "write `name: value`"),
        _ => (
            not_yaml,
            "check indentation, quotes and brackets around here",
        ),
    };
    (line.max(1), column.max(1), Fault::new(what, hint))
}
