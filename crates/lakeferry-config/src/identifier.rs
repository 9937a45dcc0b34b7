//! Identifiers and dotted names, by the rules of Postgres: without quotes they fold to lower case,
//! in double quotes they stay as they are
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).

use crate::{problem::Fault, secret::shown};

/// The longest identifier of Postgres, in bytes (`NAMEDATALEN` − 1). It would cut longer ones.
const LONGEST_BYTES: usize = 63;

/// One part of a dotted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// As written, without the quotes.
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Part {
    /// The identifier that Postgres takes this for.
    pub(crate) fn into_identifier(self) -> Result<String, Fault> {
        let text = if self.quoted {
            self.text
        } else {
            self.text.to_ascii_lowercase()
        };
        check_identifier(&text)?;
        Ok(text)
    }
}

/// Whether this can be a name at all; one of a source may be longer than Postgres allows, for it may
/// be called otherwise there.
pub(crate) fn check_name(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("a name is empty", "write a name"));
    }
    if text.contains('\0') {
        let what = format!("the name {} holds a NUL character", shown(text));
        return Err(Fault::new(what, "Postgres has no such names; remove it"));
    }
    Ok(())
}

/// Whether Postgres can have an object of this name.
pub(crate) fn check_identifier(text: &str) -> Result<(), Fault> {
    check_name(text)?;
    if text.len() > LONGEST_BYTES {
        let what = format!("the name {} has {} bytes", shown(text), text.len());
        return Err(Fault::new(
            what,
            format!("Postgres allows {LONGEST_BYTES}; shorten it"),
        ));
    }
    Ok(())
}

/// The identifier as SQL would show it: in quotes if it needs them.
pub(crate) fn quoted_if_needed(identifier: &str) -> String {
    let plain = is_plain(identifier) && !identifier.contains(|c: char| c.is_ascii_uppercase());
    if plain {
        identifier.to_owned()
    } else {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }
}

/// Whether `text` may stand without quotes.
fn is_plain(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    text.starts_with(letter)
        && text
            .chars()
            .all(|c| letter(c) || c.is_ascii_digit() || c == '$')
}

/// The parts of `a.b."C d"`.
pub(crate) fn dotted(text: &str) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted_part(inner, text)?,
            None => plain_part(rest, text)?,
        };
        parts.push(part);
        if after.is_empty() {
            return Ok(parts);
        }
        rest = after.strip_prefix('.').ok_or_else(|| {
            let what = format!("{} has something after a closing quote", shown(text));
            Fault::new(what, "separate the parts of a name with dots")
        })?;
    }
}

/// A part up to its closing quote, and what follows; two quotes inside stand for one.
fn quoted_part<'a>(inner: &'a str, text: &str) -> Result<(Part, &'a str), Fault> {
    let mut part = String::new();
    let mut characters = inner.char_indices();
    while let Some((index, character)) = characters.next() {
        if character != '"' {
            part.push(character);
        } else if inner[index + 1..].starts_with('"') {
            part.push('"');
            characters.next();
        } else if part.is_empty() {
            break;
        } else {
            return Ok((
                Part {
                    text: part,
                    quoted: true,
                },
                &inner[index + 1..],
            ));
        }
    }
    let what = format!("{} has an empty or unclosed quoted name", shown(text));
    Err(Fault::new(what, "close the double quotes around a name"))
}

fn plain_part<'a>(rest: &'a str, text: &str) -> Result<(Part, &'a str), Fault> {
    let (part, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    if part.is_empty() {
        let what = format!("{} has an empty part", shown(text));
        return Err(Fault::new(what, "write a name before and after each dot"));
    }
    if !is_plain(part) {
        let what = format!("{} in {} needs double quotes", shown(part), shown(text));
        return Err(Fault::new(
            what,
            format!("write \"{}\"", part.replace('"', "\"\"")),
        ));
    }
    Ok((
        Part {
            text: part.to_owned(),
            quoted: false,
        },
        after,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{dotted, quoted_if_needed};

    fn identifiers(text: &str) -> Option<Vec<String>> {
        dotted(text)
            .ok()?
            .into_iter()
            .map(|part| part.into_identifier().ok())
            .collect()
    }

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        for (text, expected) in [
            ("a.b.c", Some(vec!["a", "b", "c"])),
            ("Public.Orders", Some(vec!["public", "orders"])),
            ("public.\"Orders\"", Some(vec!["public", "Orders"])),
            ("\"a.b\".\"c\"\"d\"", Some(vec!["a.b", "c\"d"])),
            ("grün._x$1", Some(vec!["grün", "_x$1"])),
            ("ÄB", Some(vec!["Äb"])),
            ("", None),
            ("a..b", None),
            (".a", None),
            ("a.", None),
            ("1a", None),
            ("a-b", None),
            ("a b", None),
            ("\"a", None),
            ("\"\"", None),
            ("\"a\"b", None),
            ("a\"b\"", None),
            ("\"a\0\"", None),
        ] {
            let expected = expected.map(|parts| parts.into_iter().map(String::from).collect());
            assert_eq!(identifiers(text), expected, "{text}");
        }
        assert!(identifiers(&"x".repeat(63)).is_some());
        assert!(identifiers(&"x".repeat(64)).is_none());
        assert!(identifiers(&format!("\"{}\"", "é".repeat(32))).is_none());
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(parts in prop::collection::vec("[^\0]{1,15}", 1..4)) {
            let text = parts.iter().map(|p| quoted_if_needed(p)).collect::<Vec<_>>().join(".");
            prop_assert_eq!(identifiers(&text), Some(parts));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = dotted(&text);
        }
    }
}
