//! From the parameters of libpq, complete and each right by itself, to what a connection needs.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::config::ChannelBinding;

use super::{
    Parameters, Role, Server,
    tls::{Mode, Tls},
};
use crate::{error::Error, sqlstate::Place};

const DEFAULT_PORT: &str = "5432";
/// Where the settings say nothing; libpq waits for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the settings say nothing; the system's default is two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// The parameters by their names.
pub(super) struct Given<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Given<'a> {
    pub(super) fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        )
    }

    /// `home` is where the defaults of certificates are.
    pub(super) fn read(&self, home: Option<&Path>) -> Result<Parameters, Error> {
        let user = match self.text("user") {
            Some(user) => user,
            None => os_user().ok_or_else(|| {
                Error::needs_operator("the connection url of the target names no user")
                    .advise("write it as postgresql://user@host/database, or set PGUSER")
            })?,
        };
        let database = self.text("dbname").unwrap_or_else(|| user.clone());
        let servers = self.servers()?;
        let host = servers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",");
        let name = self
            .text("application_name")
            .or_else(|| self.text("fallback_application_name"));
        Ok(Parameters {
            place: Place {
                user,
                host,
                database,
            },
            servers,
            is_random: self.is("load_balance_hosts", "random"),
            role: match self.get("target_session_attrs") {
                Some("read-write") => Role::ReadWrite,
                Some("primary") => Role::Primary,
                _ => Role::Any,
            },
            application_name: name,
            options: self.text("options"),
            channel_binding: match self.get("channel_binding") {
                Some("require") => ChannelBinding::Require,
                Some("disable") => ChannelBinding::Disable,
                _ => ChannelBinding::Prefer,
            },
            connect_timeout: self.connect_timeout()?,
            has_keepalives: !self.is("keepalives", "0"),
            keepalive_idle: self.seconds("keepalives_idle")?.unwrap_or(KEEPALIVE_IDLE),
            keepalive_interval: self.seconds("keepalives_interval")?,
            keepalive_count: self.number("keepalives_count")?,
            tcp_user_timeout: self
                .number("tcp_user_timeout")?
                .map(|milliseconds| Duration::from_millis(milliseconds.into())),
            passfile: self.text("passfile").map(PathBuf::from),
            tls: self.tls(home)?,
        })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    fn wrong(name: &str) -> Error {
        Error::needs_operator(format!(
            "{name} of the target's connection url is not right"
        ))
        .advise("write it as libpq takes it")
    }

    /// A number above zero; zero and less stand for the default, as in libpq.
    fn number(&self, name: &str) -> Result<Option<u32>, Error> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number: i32 = text.trim().parse().map_err(|_| Self::wrong(name))?;
        Ok(u32::try_from(number).ok().filter(|number| *number > 0))
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Error> {
        let seconds = self.number(name)?;
        Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
    }

    /// For each address of a server; none if it was set to zero.
    fn connect_timeout(&self) -> Result<Option<Duration>, Error> {
        match self.get("connect_timeout") {
            Some(_) => self.seconds("connect_timeout"),
            None => Ok(Some(CONNECT_TIMEOUT)),
        }
    }

    fn servers(&self) -> Result<Vec<Server>, Error> {
        let list = |name| -> Vec<&str> {
            let value: Option<&str> = self.get(name);
            value.map_or(Vec::new(), |value| {
                value.split(',').map(str::trim).collect()
            })
        };
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err(
                Error::needs_operator("the connection url of the target names no host")
                    .advise("write it as postgresql://user@host:5432/database"),
            );
        }
        let server = |index: usize| {
            let at = |list: &[&'a str]| list.get(index).copied().filter(|one| !one.is_empty());
            let port = match ports[..] {
                [one] => Some(one).filter(|port| !port.is_empty()),
                _ => at(&ports),
            };
            let address = at(&addresses).map(str::parse::<IpAddr>).transpose();
            let host = at(&hosts).or_else(|| at(&addresses));
            Ok(Server {
                host: host.ok_or_else(|| Self::wrong("host"))?.to_owned(),
                address: address.map_err(|_| Self::wrong("hostaddr"))?,
                port: port
                    .unwrap_or(DEFAULT_PORT)
                    .parse()
                    .map_err(|_| Self::wrong("port"))?,
            })
        };
        (0..count).map(server).collect()
    }

    fn tls(&self, home: Option<&Path>) -> Result<Tls, Error> {
        let path = |name| self.text(name).map(PathBuf::from);
        Ok(Tls {
            mode: match self.get("sslmode") {
                None | Some("prefer") => Mode::Prefer,
                Some("disable") => Mode::Disable,
                Some("allow") => Mode::Allow,
                Some("require") => Mode::Require,
                Some("verify-ca") => Mode::VerifyCa,
                Some("verify-full") => Mode::VerifyFull,
                Some(_) => return Err(Self::wrong("sslmode")),
            },
            is_direct: self.is("sslnegotiation", "direct"),
            sends_name: !self.is("sslsni", "0"),
            allows_1_2: !self.is("ssl_min_protocol_version", "TLSv1.3"),
            allows_1_3: !self.is("ssl_max_protocol_version", "TLSv1.2"),
            sends_certificate: !self.is("sslcertmode", "disable"),
            roots: self.text("sslrootcert"),
            revoked: path("sslcrl"),
            certificate: path("sslcert"),
            key: path("sslkey"),
            folder: home.map(|home| home.join(".postgresql")),
        })
    }
}

/// The account that this process runs as: libpq's default for the user.
fn os_user() -> Option<String> {
    let id = fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parameters, Error> {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        Given::new(pairs).read(None)
    }

    #[test]
    fn servers_are_paired_with_ports_and_addresses() {
        for (text, place) in [
            ("host=db user=me dbname=app", "me@db:5432/app"),
            ("host=a,b port=1,2 user=me", "me@a:1,b:2/me"),
            ("host=a,b port=1 user=me", "me@a:1,b:1/me"),
            ("host=a,b port=,2 user=me", "me@a:5432,b:2/me"),
            ("host=a,b port=1, user=me", "me@a:1,b:5432/me"),
            ("host=/run/pg user=me", "me@/run/pg:5432/me"),
            ("host=db hostaddr=10.0.0.1 user=me", "me@db:5432/me"),
            ("hostaddr=::1 port=1 user=me", "me@[::1]:1/me"),
            ("host=::1 user=me", "me@[::1]:5432/me"),
        ] {
            assert_eq!(read(text).unwrap().place.to_string(), place, "{text}");
        }
        for text in [
            "user=me",
            "host=a,,b user=me",
            "host=db port=x user=me",
            "hostaddr=db user=me",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_is_the_default_or_for_ever() {
        let seconds = |text: &str| {
            let parameters = read(&format!("host=db user=me {text}")).unwrap();
            (parameters.connect_timeout, parameters.keepalive_idle)
        };
        let (ten, thirty) = (Duration::from_secs(10), Duration::from_secs(30));
        assert_eq!(seconds(""), (Some(ten), thirty));
        assert_eq!(
            seconds("connect_timeout=0 keepalives_idle=0"),
            (None, thirty)
        );
        assert_eq!(seconds("connect_timeout=-1"), (None, thirty));
        assert_eq!(
            seconds("connect_timeout=30 keepalives_idle=10"),
            (Some(thirty), ten)
        );
    }
}
