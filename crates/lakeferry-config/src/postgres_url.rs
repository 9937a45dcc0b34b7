//! How a target's server is reached, as it is written: a URL or libpq's `name=value` pairs. Its
//! password never shows.

mod keywords;
mod parameters;
mod uri;

use std::{collections::BTreeMap, fmt};

pub(crate) use self::parameters::{Parameter, all as all_parameters};
use crate::{Secret, problem::Fault};

/// Where a value stands, in the words of a message.
const HERE: &str = "in the connection URL";

/// A connection URL or string, each of its parameters known and right by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    given: BTreeMap<&'static str, String>,
    password: Option<Secret>,
    redacted: String,
}

impl PostgresUrl {
    /// Checks `text`. Its faults never repeat it, for it may hold a password anywhere.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let (pairs, redacted) = if uri::is_uri(text) {
            let pieces = uri::Pieces::cut(text)?;
            (pieces.pairs()?, Some(pieces.redacted()))
        } else if text.contains('=') && !text.contains("://") {
            (keywords::pairs(text)?, None)
        } else {
            let what = "the connection URL does not start with `postgresql://`";
            return Err(Fault::new(
                what,
                "write `postgresql://user@host:port/database`, or `host=… user=… dbname=…`",
            ));
        };
        let mut given = BTreeMap::new();
        for (name, value) in pairs {
            let parameter = Parameter::find(&name)?;
            if !value.is_empty() || parameter.takes_words() {
                parameter.check(&value, HERE)?;
            }
            if given.insert(parameter.name, value).is_some() {
                let what = format!("`{name}` stands twice {HERE}");
                return Err(Fault::new(what, "keep one of them"));
            }
        }
        // As in libpq, an empty value is none.
        given.retain(|_, value| !value.is_empty());
        let password = given.remove("password").map(Secret::new);
        let redacted = redacted.unwrap_or_else(|| pairs_written(&given, password.is_some()));
        Ok(Self {
            given,
            password,
            redacted,
        })
    }

    /// The parameters besides the password.
    pub(crate) fn given(&self) -> &BTreeMap<&'static str, String> {
        &self.given
    }

    /// Whether the text itself holds a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The password that stands in the text itself.
    pub(crate) fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }
}

fn pairs_written(given: &BTreeMap<&'static str, String>, has_password: bool) -> String {
    let mut words: Vec<_> = given
        .iter()
        .map(|(name, value)| format!("{name}={}", keywords::written(value)))
        .collect();
    words.extend(has_password.then(|| "password=***".to_owned()));
    words.join(" ")
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests;
