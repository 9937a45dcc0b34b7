//! A connection URL of Postgres, checked as far as it can be without connecting; its password
//! never shows (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::{Secret, problem::Fault, secret::shown, suggest};

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];
const DEFAULT_PORT: u16 = 5432;

/// The parameters after `?` that are read.
const PARAMETERS: [&str; 8] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "port",
    "sslmode",
    "user",
];

/// A remedy that fits when a password was written raw into the URL.
const ENCODE: &str = "write `@ : / ? # %` in user and password as %40 %3A %2F %3F %23 %25, or give \
     the password as `password: { env: NAME }`";

/// A connection URL: `postgresql://user:password@host:port/database?parameter=value`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: Secret,
    redacted: String,
    address: Address,
    has_password: bool,
}

/// Which database a URL leads to, as far as its text says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// Empty if the server is to take the user's name.
    database: String,
}

/// The pieces of a URL as they are written, none of them decoded.
struct Pieces<'a> {
    scheme: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    database: &'a str,
    query: Option<&'a str>,
}

impl PostgresUrl {
    /// Checks `text`. Its faults never repeat it, for it may hold a password anywhere.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let pieces = Pieces::cut(text)?;
        let encoded = [
            pieces.user,
            pieces.password.unwrap_or(""),
            pieces.host,
            pieces.database,
        ];
        for piece in encoded {
            decoded(piece)?;
        }
        let mut address = Address {
            host: decoded(pieces.host)?
                .trim_matches(['[', ']'])
                .to_lowercase(),
            port: pieces.port.map_or(Ok(DEFAULT_PORT), parse_port)?,
            database: decoded(pieces.database)?,
        };
        check_parameters(pieces.query, &mut address)?;
        if address.host.is_empty() {
            return Err(Fault::new(
                "the connection URL names no host",
                "write `postgresql://user@host:port/database`, or a socket's directory as \
                 `?host=/directory`",
            ));
        }
        Ok(Self {
            text: Secret::new(text),
            redacted: pieces.redacted(),
            address,
            has_password: pieces.password.is_some(),
        })
    }

    /// The URL with its password, for the one who connects.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Whether the URL itself holds a password.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
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

impl<'a> Pieces<'a> {
    fn cut(text: &'a str) -> Result<Self, Fault> {
        let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
        let (scheme, rest) = scheme
            .map(|scheme| text.split_at(scheme.len()))
            .ok_or_else(|| {
                let what = "the connection URL does not start with `postgresql://`";
                Fault::new(what, "write `postgresql://user@host:port/database`")
            })?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let what = "the connection URL holds white space";
            return Err(Fault::new(what, "write a space as %20"));
        }
        // libpq ends the credentials at the first `@` and others at the last: there is one.
        if rest.matches('@').count() > 1 {
            return Err(Fault::new(
                "the connection URL holds more than one `@`",
                ENCODE,
            ));
        }
        let (before_query, query) = split(rest, '?');
        let (authority, database) = split(before_query, '/');
        if !authority.contains('@') && rest.contains('@') {
            return Err(Fault::new(
                "the connection URL holds an `@` in the wrong place",
                ENCODE,
            ));
        }
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = split(credentials, ':');
        let (host, port) = cut_host(place)?;
        let database = database.unwrap_or("");
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            database,
            query,
        })
    }

    fn redacted(&self) -> String {
        let mut text = format!("{}{}", self.scheme, self.user);
        if self.password.is_some() {
            text.push_str(":***");
        }
        if !self.user.is_empty() || self.password.is_some() {
            text.push('@');
        }
        text.push_str(self.host);
        for (before, piece) in [
            (':', self.port),
            ('/', Some(self.database)),
            ('?', self.query),
        ] {
            if let Some(piece) = piece {
                text.push(before);
                text.push_str(piece);
            }
        }
        text
    }
}

/// What is before `separator`, and what after it if it is there.
fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Host and port; an IPv6 address stands in brackets.
fn cut_host(place: &str) -> Result<(&str, Option<&str>), Fault> {
    if place.contains(',') {
        let what = "the connection URL names several hosts, which is not supported in this version";
        return Err(Fault::new(what, "name one host"));
    }
    let Some(end) = place.strip_prefix('[').and_then(|inner| inner.find(']')) else {
        return Ok(split(place, ':'));
    };
    let (host, after) = place.split_at(end + 2);
    match after.strip_prefix(':') {
        None if !after.is_empty() => Err(Fault::new(
            "the connection URL has a wrong host",
            "write `[address]:port`",
        )),
        port => Ok((host, port)),
    }
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| {
        Fault::new(
            "the port in the connection URL is not a number from 1 to 65535",
            format!("check the port; {ENCODE}"),
        )
    })
}

fn decoded(piece: &str) -> Result<String, Fault> {
    let wrong = || Fault::new("the connection URL holds a wrong percent sign", ENCODE);
    for after in piece.split('%').skip(1) {
        let digits = after.get(..2).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
    }
    let text = percent_decode_str(piece)
        .decode_utf8()
        .map_err(|_| wrong())?;
    if text.contains('\0') {
        return Err(wrong());
    }
    Ok(text.into_owned())
}

/// Checks what follows `?`, and takes from it what says where the database is.
fn check_parameters(query: Option<&str>, address: &mut Address) -> Result<(), Fault> {
    let pairs = query
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty());
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            let what = "the connection URL has a parameter without a value";
            Fault::new(what, "write parameters as `?name=value&name=value`")
        })?;
        let value = decoded(value)?;
        match name {
            "host" if address.host.is_empty() => address.host = value,
            "host" => {
                let what = "the connection URL names its host twice";
                return Err(Fault::new(what, "remove the parameter `host`"));
            }
            "port" => address.port = parse_port(&value)?,
            "dbname" => address.database = value,
            "sslmode" => check_sslmode(&value)?,
            "connect_timeout" if value.parse::<u16>().is_err() => {
                let what = "`connect_timeout` in the connection URL is not a number of seconds";
                return Err(Fault::new(what, "write a whole number of seconds"));
            }
            "password" => {
                let what = "the connection URL holds a password as a parameter";
                return Err(Fault::new(
                    what,
                    "write `password: { env: NAME }` beside `url`",
                ));
            }
            name if PARAMETERS.contains(&name) => {}
            name => {
                let what = format!("unknown parameter {} in the connection URL", shown(name));
                return Err(Fault::new(
                    what,
                    suggest::hint(name, PARAMETERS, "known here"),
                ));
            }
        }
    }
    Ok(())
}

/// Only what can be kept: a mode that demands TLS must not end in a connection without it.
fn check_sslmode(mode: &str) -> Result<(), Fault> {
    match mode {
        "disable" | "prefer" => Ok(()),
        "require" | "verify-ca" | "verify-full" | "allow" => Err(Fault::new(
            format!("`sslmode={mode}` is not supported in this version"),
            "use `sslmode=disable`, and only on a network that you trust",
        )),
        _ => {
            let what = format!("unknown `sslmode` {}", shown(mode));
            Err(Fault::new(what, "use `sslmode=disable`"))
        }
    }
}

#[cfg(test)]
mod tests;
