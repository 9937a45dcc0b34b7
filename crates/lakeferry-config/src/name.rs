//! Names that a configuration gives: of deployments, targets, jobs and catalogs.

use std::{borrow::Borrow, fmt};

use crate::{problem::Fault, secret::shown};

/// The longest name, in bytes; what Postgres allows for its own.
const LONGEST_BYTES: usize = 63;

/// Letters, digits, `_` and `-`, a letter or `_` first: what needs quotes nowhere, neither in a
/// dotted name nor on a command line.
fn check(text: String) -> Result<String, Fault> {
    const HINT: &str = "use ASCII letters, digits, `_` and `-`, and a letter or `_` first";
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first
        || !text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    {
        return Err(Fault::new(format!("{} is not a name", shown(&text)), HINT));
    }
    if text.len() > LONGEST_BYTES {
        let what = format!("the name {} has {} bytes", shown(&text), text.len());
        return Err(Fault::new(what, format!("use at most {LONGEST_BYTES}")));
    }
    Ok(text)
}

/// A name, or one that a pattern made: with the names of schema and table behind dots.
fn check_job(text: String) -> Result<String, Fault> {
    let mut parts = text.split('.');
    check(parts.next().unwrap_or_default().to_owned())?;
    let found = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    if !parts.all(found) {
        let what = format!("{} cannot be the name of a job", shown(&text));
        let hint = "`exclude` that table, and declare it as a job of its own";
        return Err(Fault::new(what, hint));
    }
    if text.len() > LONGEST_BYTES {
        let what = format!("the name {} has {} bytes", shown(&text), text.len());
        let hint = format!("use at most {LONGEST_BYTES}, or `exclude` that table");
        return Err(Fault::new(what, hint));
    }
    Ok(text)
}

macro_rules! name {
    ($(#[$doc:meta])* $visibility:vis $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(String);

        impl $name {
            pub(crate) fn parse(text: String) -> Result<Self, Fault> {
                $check(text).map(Self)
            }

            /// The name as a text.
            $visibility fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// So that a map with names as keys is searched with a text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Which set of jobs this is, among those that share a target database.
    pub DeploymentName, check
}

/// Where a file does not say.
impl Default for DeploymentName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

name! {
    /// A database that jobs write to.
    pub TargetName, check
}
name! {
    /// A job, unique in its deployment.
    pub JobName, check_job
}
name! {
    /// A set of source tables whose locations follow one pattern.
    pub(crate) CatalogName, check
}
