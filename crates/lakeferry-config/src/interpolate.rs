//! `${VAR}` and `${VAR:-default}` in values, filled in after the text was parsed: whatever a
//! variable holds, it stays inside the one value and never changes what the file says.
//!
//! As in a shell, the default stands in for a variable that is not set or empty. `$${` is the text
//! `${`. Names of settings are not filled in, and neither is what a variable or a secret holds.

use std::collections::BTreeMap;

use crate::{
    node::{Content, Entry, Node},
    problem::{Fault, Place, Report},
    secret::shown,
    suggest,
};

type Environment = BTreeMap<String, String>;

/// `node` with all its values filled in; what cannot be is reported and faulty.
pub(crate) fn interpolate(node: Node, env: &Environment, report: &mut Report) -> Node {
    let Node { mut place, content } = node;
    let content = match content {
        Content::Text(text) if text.contains("${") => match filled(&text, env) {
            Ok(Filled { text, variables }) => {
                place.variables = variables;
                Content::Text(text)
            }
            Err(fault) => faulty(&place, fault, report),
        },
        Content::List(items) => Content::List(
            items
                .into_iter()
                .map(|item| interpolate(item, env, report))
                .collect(),
        ),
        Content::Map(entries) => Content::Map(
            entries
                .into_iter()
                .map(|Entry { name, place, value }| Entry {
                    name,
                    place,
                    value: interpolate(value, env, report),
                })
                .collect(),
        ),
        other => other,
    };
    Node { place, content }
}

fn faulty(place: &Place, fault: Fault, report: &mut Report) -> Content {
    report.add(place, fault);
    Content::Faulty
}

/// A value, and the variables that it was made with.
#[derive(Debug, Default)]
struct Filled {
    text: String,
    variables: Vec<String>,
}

fn filled(text: &str, env: &Environment) -> Result<Filled, Fault> {
    let mut filled = Filled::default();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        rest = &rest[start + 2..];
        if let Some(before) = before.strip_suffix('$') {
            filled.text.push_str(before);
            filled.text.push_str("${");
            continue;
        }
        filled.text.push_str(before);
        let Some((inner, after)) = rest.split_once('}') else {
            return Err(malformed("is not closed"));
        };
        rest = after;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(malformed("names no environment variable"));
        }
        filled.text.push_str(value(name, default, env)?);
        filled.variables.push(name.to_owned());
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn value<'a>(name: &str, default: Option<&'a str>, env: &'a Environment) -> Result<&'a str, Fault> {
    match (env.get(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(unset(name, env)),
    }
}

fn unset(name: &str, env: &Environment) -> Fault {
    let name = shown(name);
    let plain = name.trim_matches('`');
    let what = format!("the environment variable {name} is not set");
    let set = format!("set it, or give a default: `${{{plain}:-value}}`");
    match suggest::nearest(plain, env.keys().map(String::as_str)) {
        Some(near) => Fault::new(what, format!("did you mean `{near}`? Else {set}")),
        None => Fault::new(what, set),
    }
}

/// The text is not repeated: it may be part of a password.
fn malformed(what: &str) -> Fault {
    Fault::new(
        format!("a `${{` {what}"),
        "write `${NAME}` or `${NAME:-default}`; `$${` stands for the text `${`",
    )
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Environment, filled};

    fn env() -> Environment {
        [("A", "1"), ("EMPTY", ""), ("TRICK", "${A}: [x]")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn values_are_filled_in_once() {
        for (text, expected) in [
            ("plain $ text }", Some("plain $ text }")),
            ("${A}", Some("1")),
            ("x${A}y${A}", Some("x1y1")),
            ("${EMPTY}", Some("")),
            ("${EMPTY:-d}", Some("d")),
            ("${NONE:-a b: c}", Some("a b: c")),
            ("${NONE:-}", Some("")),
            ("${A:-d}", Some("1")),
            ("${TRICK}", Some("${A}: [x]")),
            ("$${A}", Some("${A}")),
            ("$$${A}", Some("$${A}")),
            ("$A", Some("$A")),
            ("${NONE}", None),
            ("${A", None),
            ("${}", None),
            ("${1A}", None),
            ("${A B}", None),
            ("${A-d}", None),
        ] {
            let text = filled(text, &env()).ok().map(|filled| filled.text);
            assert_eq!(text.as_deref(), expected);
        }
    }

    #[test]
    fn a_slip_in_a_name_is_told_with_the_nearest() {
        let fault = filled("${EMPTI}", &env()).unwrap_err();
        assert_eq!(fault.what, "the environment variable `EMPTI` is not set");
        assert!(fault.hint.contains("`EMPTY`"), "{}", fault.hint);
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in_or_refused(text in any::<String>()) {
            let _ = filled(&text, &env());
        }

        #[test]
        fn a_text_without_braces_stays(text in "[^{}]{0,30}") {
            prop_assert_eq!(filled(&text, &env()).ok().map(|filled| filled.text), Some(text));
        }
    }
}
