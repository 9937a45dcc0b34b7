//! The connection parameters of libpq: which there are, what each takes, and which environment
//! variable stands in for it
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>).
//!
//! What libpq knows and this program does not do is listed too, so that it is refused by name and
//! never left out in silence.

use crate::{problem::Fault, secret::shown, suggest};

/// One parameter of libpq.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// The environment variable that is its default.
    pub(crate) variable: Option<&'static str>,
    takes: Takes,
}

/// What a parameter may be set to.
#[derive(Debug)]
enum Takes {
    /// Any text.
    Text,
    /// A whole number: seconds, milliseconds, a count, or 0 and 1 for off and on.
    Number,
    /// The path of a file; relative ones start from the directory of the configuration file.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// These words, as they ask for nothing that is not done; for others, what to do instead.
    Only(&'static [&'static str], &'static str),
    /// Nothing: what to do instead.
    Never(&'static str),
}

use Takes::{Never, Number, Only, Path, Text, Word};

const KERBEROS: &str = "remove it: Kerberos is not supported; use TLS with `sslmode=verify-full`";
const OAUTH: &str = "remove it, and give a token as `password: { command: … }`";
const SCRAM_KEYS: &str = "remove it, and give the password as `password: { env: NAME }`";

const fn parameter(name: &'static str, variable: &'static str, takes: Takes) -> Parameter {
    let variable = Some(variable);
    Parameter {
        name,
        variable,
        takes,
    }
}

/// One without an environment variable, or whose variable asks for nothing that concerns us.
const fn unset(name: &'static str, takes: Takes) -> Parameter {
    let variable = None;
    Parameter {
        name,
        variable,
        takes,
    }
}

/// In the order of their names.
static PARAMETERS: &[Parameter] = &[
    parameter("application_name", "PGAPPNAME", Text),
    parameter(
        "channel_binding",
        "PGCHANNELBINDING",
        Word(&["disable", "prefer", "require"]),
    ),
    unset(
        "client_encoding",
        Only(
            &["UTF8", "utf8", "UTF-8", "utf-8", "auto"],
            "remove it: text is always sent as UTF8",
        ),
    ),
    parameter("connect_timeout", "PGCONNECT_TIMEOUT", Number),
    parameter("dbname", "PGDATABASE", Text),
    unset("fallback_application_name", Text),
    unset("gssdelegation", Only(&["0"], KERBEROS)),
    parameter(
        "gssencmode",
        "PGGSSENCMODE",
        Only(&["disable", "prefer"], KERBEROS),
    ),
    unset("gsslib", Never(KERBEROS)),
    parameter("host", "PGHOST", Text),
    parameter("hostaddr", "PGHOSTADDR", Text),
    unset("keepalives", Number),
    unset("keepalives_count", Number),
    unset("keepalives_idle", Number),
    unset("keepalives_interval", Number),
    unset("krbsrvname", Never(KERBEROS)),
    parameter(
        "load_balance_hosts",
        "PGLOADBALANCEHOSTS",
        Word(&["disable", "random"]),
    ),
    parameter(
        "max_protocol_version",
        "PGMAXPROTOCOLVERSION",
        Only(&["3.0", "latest"], "remove it: protocol 3.0 is spoken"),
    ),
    parameter(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        Only(&["3.0"], "remove it: protocol 3.0 is spoken"),
    ),
    unset("oauth_client_id", Never(OAUTH)),
    unset("oauth_client_secret", Never(OAUTH)),
    unset("oauth_issuer", Never(OAUTH)),
    unset("oauth_scope", Never(OAUTH)),
    parameter("options", "PGOPTIONS", Text),
    parameter("passfile", "PGPASSFILE", Path),
    parameter("password", "PGPASSWORD", Text),
    parameter("port", "PGPORT", Text),
    unset(
        "replication",
        Only(&["false", "off", "no", "0"], "remove it"),
    ),
    parameter(
        "require_auth",
        "PGREQUIREAUTH",
        Never("remove it; `channel_binding=require` makes sure that the server knows the password"),
    ),
    parameter(
        "requirepeer",
        "PGREQUIREPEER",
        Never("remove it; name the host, with `sslmode=verify-full`, to be sure of the server"),
    ),
    unset("scram_client_key", Never(SCRAM_KEYS)),
    unset("scram_server_key", Never(SCRAM_KEYS)),
    parameter("service", "PGSERVICE", Text),
    parameter(
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        Word(&["TLSv1.2", "TLSv1.3"]),
    ),
    parameter(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        // What is older than 1.2 is never spoken.
        Word(&["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    ),
    parameter("sslcert", "PGSSLCERT", Path),
    parameter(
        "sslcertmode",
        "PGSSLCERTMODE",
        Only(
            &["disable", "allow"],
            "remove it, and let pg_hba.conf ask for the certificate: `clientcert=verify-full`",
        ),
    ),
    parameter(
        "sslcompression",
        "PGSSLCOMPRESSION",
        Only(&["0"], "remove it: TLS is not compressed"),
    ),
    parameter("sslcrl", "PGSSLCRL", Path),
    parameter(
        "sslcrldir",
        "PGSSLCRLDIR",
        Never("put the revocation lists into one file and name it: `sslcrl=FILE`"),
    ),
    parameter("sslkey", "PGSSLKEY", Path),
    unset(
        "sslkeylogfile",
        Never("remove it: keys of connections are not written anywhere"),
    ),
    parameter(
        "sslmode",
        "PGSSLMODE",
        Word(&[
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ]),
    ),
    parameter(
        "sslnegotiation",
        "PGSSLNEGOTIATION",
        Word(&["postgres", "direct"]),
    ),
    unset(
        "sslpassword",
        Never(
            "keep the key without one, readable by this user only: `openssl pkey -in KEY -out KEY2`",
        ),
    ),
    parameter("sslrootcert", "PGSSLROOTCERT", Path),
    parameter("sslsni", "PGSSLSNI", Word(&["0", "1"])),
    parameter(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        Only(
            &["any", "read-write", "primary"],
            "use `read-write` or `primary`: a target is written to",
        ),
    ),
    unset("tcp_user_timeout", Number),
    parameter("user", "PGUSER", Text),
];

/// Every parameter.
pub(crate) fn all() -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter()
}

impl Parameter {
    /// The parameter called `name`.
    pub(crate) fn find(name: &str) -> Result<&'static Self, Fault> {
        if let Some(parameter) = all().find(|parameter| parameter.name == name) {
            return Ok(parameter);
        }
        // What does not look like a name may be a piece of a password.
        let is_name = name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
        if !is_name || name.is_empty() {
            return Err(Fault::new(
                "the connection URL has an unknown parameter",
                "write parameters as libpq calls them, such as `sslmode=verify-full`",
            ));
        }
        let supported = all().filter(|parameter| !matches!(parameter.takes, Never(_) | Only(..)));
        let hint = suggest::hint(name, supported.map(|one| one.name), "known here");
        let what = format!("unknown parameter {} in the connection URL", shown(name));
        Err(Fault::new(what, hint))
    }

    /// Whether it is a path, that may be relative to the configuration file.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self.takes, Path)
    }

    /// Whether only some words are right, of which none is empty.
    pub(crate) fn takes_words(&self) -> bool {
        matches!(self.takes, Word(_))
    }

    /// Checks a value; `origin` says in a message where it comes from. The value is repeated only
    /// where it is one of few words.
    pub(crate) fn check(&self, value: &str, origin: &str) -> Result<(), Fault> {
        let name = self.name;
        match self.takes {
            Text | Path => Ok(()),
            Number if value.trim().parse::<i32>().is_ok() => Ok(()),
            Number => {
                let what = format!("`{name}` {origin} is not a whole number");
                Err(Fault::new(what, "write a whole number"))
            }
            Word(words) | Only(words, _) if words.contains(&value) => Ok(()),
            Word(words) => {
                let what = format!("`{name}` {origin} is none of the words that it takes");
                Err(Fault::new(
                    what,
                    suggest::hint(value, words.iter().copied(), "it takes"),
                ))
            }
            Only(words, hint) => {
                let is_word = value
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || c == b'-');
                let value = if is_word {
                    format!("={value}")
                } else {
                    String::new()
                };
                let what = format!("`{name}{value}` {origin} is not supported");
                Err(Fault::new(
                    what,
                    format!("{hint} (possible: {})", words.join(", ")),
                ))
            }
            Never(hint) => {
                let what = format!("`{name}` {origin} is not supported");
                Err(Fault::new(what, hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Parameter, all};

    #[test]
    fn names_and_variables_are_unique() {
        let mut names: Vec<_> = all().map(|parameter| parameter.name).collect();
        let mut variables: Vec<_> = all().filter_map(|parameter| parameter.variable).collect();
        for list in [&mut names, &mut variables] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count);
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (name, value) in [
            ("require_auth", "scram-sha-256"),
            ("requirepeer", "postgres"),
            ("gssencmode", "require"),
            ("sslcrldir", "/crl"),
            ("sslpassword", "pw"),
            ("sslcertmode", "require"),
            ("sslcompression", "1"),
            ("target_session_attrs", "standby"),
            ("replication", "database"),
            ("client_encoding", "LATIN1"),
        ] {
            let fault = Parameter::find(name)
                .unwrap()
                .check(value, "here")
                .unwrap_err();
            assert!(fault.what.contains(name), "{fault:?}");
            assert!(fault.what.ends_with("is not supported"), "{fault:?}");
        }
    }

    #[test]
    fn what_asks_for_nothing_more_is_taken() {
        for (name, value) in [
            ("gssencmode", "prefer"),
            ("client_encoding", "auto"),
            ("target_session_attrs", "any"),
            ("connect_timeout", "-1"),
            ("ssl_min_protocol_version", "TLSv1"),
        ] {
            Parameter::find(name).unwrap().check(value, "here").unwrap();
        }
    }
}
