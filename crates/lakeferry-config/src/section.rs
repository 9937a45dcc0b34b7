//! A mapping of the file, read setting by setting; what is left over at the end is not known.

use crate::{
    field::{Field, Written},
    node::{Content, Entry, Node},
    problem::{Fault, Place, Report},
    raw::Named,
    secret::shown,
    suggest,
};

/// What the documentation describes and this version does not read yet: a plainer answer than
/// "unknown".
const LATER: [&str; 11] = [
    "allow_rewrite",
    "control_poll",
    "cron",
    "drop_columns",
    "exports",
    "keep_previous",
    "max_quarantined",
    "on_bad_value",
    "on_schema_change",
    "storage",
    "types",
];

/// A mapping whose settings are taken out one by one.
#[derive(Debug)]
pub(crate) struct Section {
    place: Place,
    entries: Vec<Entry>,
}

impl Section {
    /// The mapping `node`, which messages call `title`.
    pub(crate) fn open(node: Node, title: &str, report: &mut Report) -> Option<Self> {
        let what = match node.content {
            Content::Faulty => return None,
            Content::Map(entries) => {
                return Some(Self {
                    place: node.place,
                    entries,
                });
            }
            Content::Nothing => format!("{title} is empty"),
            ref other => format!("{title} is {}, not a mapping", other.kind()),
        };
        let hint = if node.place.path.is_empty() {
            "write `version: 1`, `targets` and `jobs`, each with what belongs to it"
        } else {
            "write `name: value`, one a line"
        };
        report.add(&node.place, Fault::new(what, hint));
        None
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// All that was not taken yet.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// A setting of any kind.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(index).value)
    }

    /// Reports every setting that was not taken; `known` are all that could have been.
    /// Says whether there was none.
    pub(crate) fn close(self, known: &[&str], report: &mut Report) -> bool {
        let nothing_else = self.entries.is_empty();
        for Entry { name, place, .. } in self.entries {
            let fault = if LATER.contains(&name.as_str()) {
                Fault::new(
                    format!("`{name}` is not supported in this version"),
                    "remove it",
                )
            } else {
                let hint = suggest::hint(&name, known.iter().copied(), "known here");
                Fault::new(format!("unknown setting {}", shown(&name)), hint)
            };
            report.add(&place, fault);
        }
        nothing_else
    }

    /// Whether a setting is a list.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        let mut found = self.entries.iter().filter(|entry| entry.name == name);
        found.any(|entry| matches!(entry.value.content, Content::List(_)))
    }

    /// Whether a setting is a mapping.
    pub(crate) fn is_mapping(&self, name: &str) -> bool {
        let mut found = self.entries.iter().filter(|entry| entry.name == name);
        found.any(|entry| matches!(entry.value.content, Content::Map(_)))
    }

    /// A text. Numbers, true and false are refused: what YAML makes of `1.10` is not what was
    /// written.
    pub(crate) fn text(&mut self, name: &str, report: &mut Report) -> Field<String> {
        match self.take(name) {
            None => Field::Absent,
            Some(node) => into_text(node, name, "a text", report),
        }
    }

    /// As [`Section::text`], with its own hint where there is no value.
    pub(crate) fn word(
        &mut self,
        name: &str,
        hint: &'static str,
        report: &mut Report,
    ) -> Field<String> {
        match self.take(name) {
            None => Field::Absent,
            Some(Node {
                place,
                content: Content::Nothing,
            }) => {
                report.add(&place, Fault::new(format!("`{name}` has no value"), hint));
                Field::Faulty
            }
            Some(node) => into_text(node, name, "a text", report),
        }
    }

    /// A number, or a text such as `64MB`.
    pub(crate) fn number(&mut self, name: &str, report: &mut Report) -> Field<String> {
        match self.take(name) {
            None => Field::Absent,
            Some(Node {
                place,
                content: Content::Number(value),
            }) => Field::Given(Written { value, place }),
            Some(node) => into_text(node, name, "a number", report),
        }
    }

    /// true or false, also as a text, for a variable gives one.
    pub(crate) fn truth(&mut self, name: &str, report: &mut Report) -> Field<bool> {
        let Some(Node { place, content }) = self.take(name) else {
            return Field::Absent;
        };
        let value = match content {
            Content::Faulty => return Field::Faulty,
            Content::Truth(value) => value,
            Content::Text(ref text) if text.trim() == "true" => true,
            Content::Text(ref text) if text.trim() == "false" => false,
            other => {
                let what = format!("`{name}` is {}, not true or false", other.kind());
                report.add(&place, Fault::new(what, "write true or false"));
                return Field::Faulty;
            }
        };
        Field::Given(Written { value, place })
    }

    /// A list of texts; all its wrong items are reported.
    pub(crate) fn texts(&mut self, name: &str, report: &mut Report) -> Field<Vec<Written<String>>> {
        let Some(node) = self.take(name) else {
            return Field::Absent;
        };
        if matches!(node.content, Content::Faulty) {
            return Field::Faulty;
        }
        let Content::List(items) = node.content else {
            let what = format!("`{name}` is {}, not a list", node.content.kind());
            report.add(
                &node.place,
                Fault::new(what, format!("write `{name}: [a, b]`")),
            );
            return Field::Faulty;
        };
        let count = items.len();
        let value: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                into_text(item, &format!("an item of `{name}`"), "a text", report).given()
            })
            .collect();
        if value.len() < count {
            return Field::Faulty;
        }
        Field::Given(Written {
            value,
            place: node.place,
        })
    }

    /// A mapping from names to texts; all its wrong texts are reported.
    pub(crate) fn pairs(
        &mut self,
        name: &str,
        report: &mut Report,
    ) -> Field<Vec<(Written<String>, Written<String>)>> {
        let Some(node) = self.take(name) else {
            return Field::Absent;
        };
        let Some(section) = Self::open(node, &format!("`{name}`"), report) else {
            return Field::Faulty;
        };
        let count = section.entries.len();
        let pairs = section
            .entries
            .into_iter()
            .filter_map(|Entry { name, place, value }| {
                let value = into_text(value, &shown(&name), "a text", report).given()?;
                Some((Written { value: name, place }, value))
            });
        let value: Vec<_> = pairs.collect();
        if value.len() < count {
            return Field::Faulty;
        }
        Field::Given(Written {
            value,
            place: section.place,
        })
    }

    /// A mapping inside this one.
    pub(crate) fn section(&mut self, name: &str, report: &mut Report) -> Option<Section> {
        Self::open(self.take(name)?, &format!("`{name}`"), report)
    }

    /// A mapping from names to things of one sort, each read by `read`.
    pub(crate) fn named<T>(
        &mut self,
        name: &str,
        report: &mut Report,
        mut read: impl FnMut(Section, &mut Report) -> T,
    ) -> Field<Vec<Named<T>>> {
        let Some(node) = self.take(name) else {
            return Field::Absent;
        };
        let Some(section) = Self::open(node, &format!("`{name}`"), report) else {
            return Field::Faulty;
        };
        let things = section
            .entries
            .into_iter()
            .map(|Entry { name, place, value }| {
                let inner = Self::open(value, &shown(&name), report);
                let value = inner.map(|inner| read(inner, report));
                Named {
                    name: Written { value: name, place },
                    value,
                }
            });
        Field::Given(Written {
            value: things.collect(),
            place: section.place,
        })
    }
}

/// A text that says something.
fn into_text(node: Node, title: &str, wanted: &str, report: &mut Report) -> Field<String> {
    let title = if title.contains('`') {
        title.to_owned()
    } else {
        format!("`{title}`")
    };
    let (what, hint) = match node.content {
        Content::Faulty => return Field::Faulty,
        Content::Text(value) if !value.trim().is_empty() => {
            return Field::Given(Written {
                value,
                place: node.place,
            });
        }
        Content::Text(_) => (format!("{title} is empty"), "give it a value, or remove it"),
        Content::Nothing => (format!("{title} has no value"), "give it one, or remove it"),
        ref other => {
            let hint = match other {
                Content::List(_) | Content::Map(_) => "write one value",
                _ => "write it in quotes",
            };
            (format!("{title} is {}, not {wanted}", other.kind()), hint)
        }
    };
    report.add(&node.place, Fault::new(what, hint));
    Field::Faulty
}
