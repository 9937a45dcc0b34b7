//! The only way to write SQL: text comes from this crate's own literals, and whatever comes from
//! outside is an identifier, a string or a number, quoted here.

use std::fmt;

/// A piece of SQL, safe to send.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Sql(String);

impl Sql {
    /// `template` with each `{}` replaced by the next of `parts`.
    ///
    /// # Panics
    /// If there are not as many parts as places: the template is ours and wrong.
    pub(crate) fn of(template: &'static str, parts: &[&Sql]) -> Self {
        let mut text = String::with_capacity(template.len() + 64 * parts.len());
        let mut pieces = template.split("{}");
        text.push_str(pieces.next().unwrap_or_default());
        let mut rest = parts.iter();
        for piece in pieces {
            let part = rest.next().expect("a part for each place of the template");
            text.push_str(&part.0);
            text.push_str(piece);
        }
        assert!(rest.next().is_none(), "a place for each part: {template}");
        Self(text)
    }

    /// An identifier, always quoted.
    ///
    /// NUL cannot stand in any; settings are checked for it, and here it is left out.
    pub(crate) fn name(name: &str) -> Self {
        Self(format!("\"{}\"", without_nul(name).replace('"', "\"\"")))
    }

    /// A string constant, the same whatever `standard_conforming_strings` says.
    pub(crate) fn text(value: &str) -> Self {
        let quoted = without_nul(value).replace('\'', "''");
        if quoted.contains('\\') {
            Self(format!("E'{}'", quoted.replace('\\', "\\\\")))
        } else {
            Self(format!("'{quoted}'"))
        }
    }

    /// An integer constant.
    pub(crate) fn number(value: u64) -> Self {
        Self(value.to_string())
    }

    /// The items with `separator` between them.
    pub(crate) fn list(separator: &'static str, items: impl IntoIterator<Item = Sql>) -> Self {
        let items: Vec<String> = items.into_iter().map(|item| item.0).collect();
        Self(items.join(separator))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table by schema and name. `Display` is for messages, [`Table::sql`] for SQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub schema: String,
    pub name: String,
}

impl Table {
    pub(crate) fn sql(&self) -> Sql {
        Sql::of("{}.{}", &[&Sql::name(&self.schema), &Sql::name(&self.name)])
    }

    /// Another table of the same schema.
    pub(crate) fn sibling(&self, name: String) -> Self {
        Self {
            schema: self.schema.clone(),
            name,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_always_quoted() {
        for (name, quoted) in [
            ("plain", r#""plain""#),
            (r#"we"ird.Tä ble"#, r#""we""ird.Tä ble""#),
            (r#"""#, r#""""""#),
            ("a\0b", r#""ab""#),
        ] {
            assert_eq!(Sql::name(name).as_str(), quoted);
        }
    }

    #[test]
    fn strings_are_escaped() {
        for (text, quoted) in [
            ("plain", "'plain'"),
            ("it's", "'it''s'"),
            (r"a\b", r"E'a\\b'"),
            (r"\'; DROP", r"E'\\''; DROP'"),
        ] {
            assert_eq!(Sql::text(text).as_str(), quoted);
        }
    }

    #[test]
    fn parts_fill_their_places_and_are_not_looked_into() {
        let table = Table {
            schema: "s{}".to_owned(),
            name: "t".to_owned(),
        };
        let sql = Sql::of("SELECT {} FROM {}", &[&Sql::number(1), &table.sql()]);
        assert_eq!(sql.as_str(), r#"SELECT 1 FROM "s{}"."t""#);
    }

    #[test]
    #[should_panic(expected = "a place for each part")]
    fn a_part_too_many_is_a_fault() {
        Sql::of("SELECT 1", &[&Sql::number(1)]);
    }
}
