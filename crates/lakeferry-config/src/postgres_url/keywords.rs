//! A connection string of libpq's other form: `host=db user=ferry dbname=app`
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE>).

use std::{iter::Peekable, str::Chars};

use crate::problem::Fault;

const FORM: &str = "write `name=value name='a value with spaces'`, with `'` and `\\` as `\\'` and \
     `\\\\`";

/// The pairs in `text`, in their order. Faults never repeat it.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut rest = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let name = name(&mut rest)?;
        skip_blanks(&mut rest);
        pairs.push((name, value(&mut rest)?));
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

fn name(rest: &mut Peekable<Chars<'_>>) -> Result<String, Fault> {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
        name.push(c);
    }
    skip_blanks(rest);
    if rest.next_if_eq(&'=').is_none() {
        let what = "the connection string has a word without `=`";
        return Err(Fault::new(what, FORM));
    }
    Ok(name)
}

fn value(rest: &mut Peekable<Chars<'_>>) -> Result<String, Fault> {
    let quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\'') if quoted => return Ok(value),
            Some(c) if !quoted && c.is_ascii_whitespace() => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some('\0') => {
                let what = "the connection string holds the character NUL";
                return Err(Fault::new(what, "remove it"));
            }
            Some(c) => value.push(c),
            None if quoted => {
                let what = "the connection string has a `'` that is not closed";
                return Err(Fault::new(what, FORM));
            }
            None => return Ok(value),
        }
    }
}

/// `value` as it is written in such a string.
pub(super) fn written(value: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && c != '\'' && c != '\\';
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{pairs, written};

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("  host=db  ", &[("host", "db")]),
            ("host = db port= 5433", &[("host", "db"), ("port", "5433")]),
            ("user='a b' dbname=''", &[("user", "a b"), ("dbname", "")]),
            (
                r"user=a\ b password='it\'s \\'",
                &[("user", "a b"), ("password", r"it's \")],
            ),
            ("options='-c a=b'", &[("options", "-c a=b")]),
        ] {
            let found = pairs(text).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn wrong_strings_are_refused_without_repeating_them() {
        for text in [
            "scrt",
            "host=db scrt",
            "password='scrt",
            "host=db password=a scrt",
        ] {
            let fault = pairs(text).unwrap_err();
            assert!(!format!("{fault:?}").contains("scrt"), "{fault:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in "[^\0]*") {
            let text = format!("a={} b=c", written(&value));
            let expected = vec![("a".to_owned(), value), ("b".to_owned(), "c".to_owned())];
            prop_assert_eq!(pairs(&text).unwrap(), expected);
        }
    }
}
