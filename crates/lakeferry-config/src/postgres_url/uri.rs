//! A connection URL: `postgresql://user:password@host:port,host:port/database?parameter=value`
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).

use percent_encoding::percent_decode_str;

use crate::problem::Fault;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// A remedy that fits when a password was written raw into the URL.
const ENCODE: &str = "write `@ : / ? # %` in user and password as %40 %3A %2F %3F %23 %25, or give \
     the password as `password: { env: NAME }`";

/// The pieces of a URL as they are written, none of them decoded.
pub(super) struct Pieces<'a> {
    scheme: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    /// Hosts with their ports.
    places: &'a str,
    database: Option<&'a str>,
    query: Option<&'a str>,
}

/// Whether `text` means to be a URL.
pub(super) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

impl<'a> Pieces<'a> {
    pub(super) fn cut(text: &'a str) -> Result<Self, Fault> {
        let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
        let (scheme, rest) = text.split_at(scheme.map_or(0, str::len));
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
        let (credentials, places) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = split(credentials, ':');
        Ok(Self {
            scheme,
            user,
            password,
            places,
            database,
            query,
        })
    }

    /// The parameters that the URL gives, decoded, in their order.
    pub(super) fn pairs(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut pairs = Vec::new();
        let (hosts, ports) = cut_places(self.places)?;
        let singles = [
            ("user", self.user),
            ("password", self.password.unwrap_or("")),
            ("host", &hosts),
            ("port", &ports),
            ("dbname", self.database.unwrap_or("")),
        ];
        for (name, value) in singles {
            let value = decoded(value)?;
            if !value.is_empty() {
                pairs.push((name.to_owned(), value));
            }
        }
        for pair in query_pairs(self.query) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                let what = "the connection URL has a parameter without a value";
                Fault::new(what, "write parameters as `?name=value&name=value`")
            })?;
            let (name, value) = (decoded(name)?, decoded(value)?);
            // The one that JDBC knows, and libpq takes in a URL.
            let is_jdbc = name == "ssl" && value == "true";
            pairs.push(match is_jdbc {
                true => ("sslmode".to_owned(), "require".to_owned()),
                false => (name, value),
            });
        }
        Ok(pairs)
    }

    /// The URL without its password.
    pub(super) fn redacted(&self) -> String {
        let mut text = format!("{}{}", self.scheme, self.user);
        if self.password.is_some() {
            text.push_str(":***");
        }
        if !self.user.is_empty() || self.password.is_some() {
            text.push('@');
        }
        text.push_str(self.places);
        text.push('/');
        text.push_str(self.database.unwrap_or(""));
        let mut before = '?';
        for pair in query_pairs(self.query) {
            text.push(before);
            let name = pair.split('=').next().unwrap_or("");
            let is_secret = decoded(name).is_ok_and(|name| name == "password");
            text.push_str(if is_secret { "password=***" } else { pair });
            before = '&';
        }
        text
    }
}

fn query_pairs(query: Option<&str>) -> impl Iterator<Item = &str> {
    let pairs = query.unwrap_or("").split('&');
    pairs.filter(|pair| !pair.is_empty())
}

/// What is before `separator`, and what after it if it is there.
fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Hosts and ports, each joined by `,`; the ports are empty if none is given.
fn cut_places(places: &str) -> Result<(String, String), Fault> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in places.split(',') {
        let (host, port) = cut_place(place)?;
        hosts.push(host);
        ports.push(port.unwrap_or(""));
    }
    let has_ports = ports.iter().any(|port| !port.is_empty());
    let ports = if has_ports { ports } else { Vec::new() };
    Ok((hosts.join(","), ports.join(",")))
}

/// Host and port; an IPv6 address stands in brackets.
fn cut_place(place: &str) -> Result<(&str, Option<&str>), Fault> {
    let wrong = || {
        let what = "the connection URL has a wrong host";
        Fault::new(what, "write `host:port`, or `[address]:port` for IPv6")
    };
    let Some(inner) = place.strip_prefix('[') else {
        return Ok(split(place, ':'));
    };
    let (host, after) = inner.split_once(']').ok_or_else(wrong)?;
    match after.strip_prefix(':') {
        None if !after.is_empty() => Err(wrong()),
        _ if host.is_empty() => Err(wrong()),
        port => Ok((host, port)),
    }
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
