//! Which database a connection leads to: the servers in their order, and the database's name.

use std::{collections::BTreeMap, net::IpAddr};

use crate::problem::Fault;

const DEFAULT_PORT: u16 = 5432;

/// As far as it can be told without connecting; two targets with the same are the same database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    servers: Vec<Server>,
    /// Empty if the server is to take the user's name.
    database: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Server {
    /// A name, an address, or the directory of a socket.
    host: String,
    /// Whether `host` is only an address, and no name to hold against a certificate.
    is_unnamed: bool,
    port: u16,
}

impl Address {
    /// Reads `host`, `hostaddr`, `port` and `dbname`, lists of equal length or shorter ones as
    /// libpq takes them.
    pub(super) fn of(parameters: &BTreeMap<&'static str, String>) -> Result<Self, Fault> {
        let list = |name| -> Vec<&str> {
            let value = parameters.get(name);
            value.map_or(Vec::new(), |value| {
                value.split(',').map(str::trim).collect()
            })
        };
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err(Fault::new(
                "the connection URL names no host",
                "write `postgresql://user@host:port/database`, a socket's directory as \
                 `?host=/directory`, or set PGHOST",
            ));
        }
        for (name, given, least) in [("hostaddr", &addresses, 2), ("port", &ports, 2)] {
            let fits = given.len() < least && name == "port" || given.is_empty();
            if !fits && given.len() != count {
                let what = format!("`{name}` has {} entries for {count} hosts", given.len());
                return Err(Fault::new(what, "give one for each host, joined by `,`"));
            }
        }
        if !hosts.is_empty() && hosts.len() != count {
            let what = format!(
                "`host` has {} entries for {count} of `hostaddr`",
                hosts.len()
            );
            return Err(Fault::new(what, "give one for each, joined by `,`"));
        }
        let at = |list: &[&str], index: usize| {
            let one = if list.len() == 1 {
                list.first()
            } else {
                list.get(index)
            };
            one.copied().unwrap_or("").to_owned()
        };
        let servers = (0..count).map(|index| {
            Server::of(
                &at(&hosts, index),
                &at(&addresses, index),
                &at(&ports, index),
            )
        });
        let database = parameters.get("dbname").or(parameters.get("user"));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            database: database.cloned().unwrap_or_default(),
        })
    }

    /// Whether all servers are reached through sockets of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.servers
            .iter()
            .all(|server| server.host.starts_with('/'))
    }

    /// Whether a server has no name to hold against a certificate.
    pub(super) fn has_unnamed(&self) -> bool {
        self.servers.iter().any(|server| server.is_unnamed)
    }
}

impl Server {
    fn of(host: &str, address: &str, port: &str) -> Result<Self, Fault> {
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            let what = "`hostaddr` of the connection URL is not an IP address";
            return Err(Fault::new(what, "give the name as `host`"));
        }
        if host.is_empty() && address.is_empty() {
            let what = "the connection URL has an empty host in its list";
            return Err(Fault::new(what, "name it, or remove a `,`"));
        }
        if host.starts_with('@') {
            let what = "the connection URL names a socket without a file (`@`)";
            return Err(Fault::new(what, "name the directory of the socket's file"));
        }
        let is_unnamed = host.is_empty();
        let host = if is_unnamed { address } else { host };
        Ok(Self {
            host: host.to_lowercase(),
            is_unnamed,
            port: parse_port(port)?,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| {
        Fault::new(
            "the port in the connection URL is not a number from 1 to 65535",
            "check the port, and write `@ : / ? # %` in user and password as %40 %3A %2F %3F %23 \
             %25",
        )
    })
}
