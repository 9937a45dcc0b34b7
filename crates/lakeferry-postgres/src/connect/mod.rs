//! Connections to a target's server, as libpq makes them
//! (<https://www.postgresql.org/docs/current/libpq-connect.html>): always the same session
//! settings, on a server that is new enough, in a session that is ours alone, and never a password
//! in a message.
//!
//! ```text
//! parameters     what the settings say
//! ConnectSettings::connect
//!   attempt      each server, each of its addresses, each way to speak to it
//!     tls          files, who the server is
//!     passfile     a password for that server, where none is given
//!   failure      what went wrong, by remedy
//!   session      settings, and what the server is
//!   pooler       whether the session is ours alone
//! ```

mod attempt;
mod failure;
mod parameters;
mod passfile;
mod password;
mod pooler;
mod session;
mod tls;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_postgres::config::{ChannelBinding, Host};

pub use self::password::PasswordSource;
use self::{
    attempt::{Attempt, Started},
    failure::Failed,
    parameters::Given,
    tls::Tls,
};
use crate::{
    error::Error,
    link::Link,
    sqlstate::{Doing, Place},
};

/// How to reach a target's server.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    parameters: Arc<Parameters>,
    password: Option<PasswordSource>,
    /// Whether a pooler before the server was seen to leave a session alone.
    keeps_sessions: Arc<AtomicBool>,
}

/// What the parameters of libpq mean.
#[derive(Debug)]
struct Parameters {
    /// All servers together.
    place: Place,
    /// To be tried in this order.
    servers: Vec<Server>,
    /// Or in any.
    is_random: bool,
    role: Role,
    application_name: Option<String>,
    options: Option<String>,
    channel_binding: ChannelBinding,
    connect_timeout: Option<Duration>,
    has_keepalives: bool,
    keepalive_idle: Duration,
    keepalive_interval: Option<Duration>,
    keepalive_count: Option<u32>,
    tcp_user_timeout: Option<Duration>,
    passfile: Option<PathBuf>,
    tls: Tls,
}

/// One server.
#[derive(Clone, Debug)]
struct Server {
    /// Its name, the directory of its socket, which starts with `/`, or else its address.
    host: String,
    /// Where it is, if the name need not be looked up.
    address: Option<IpAddr>,
    port: u16,
}

/// A connection that is set as all are.
struct Opened {
    link: Link,
    /// The process of the server that was announced when it was opened.
    announced: Option<i32>,
    /// The one that answered.
    backend: i32,
}

/// What a server has to be (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Any,
    ReadWrite,
    Primary,
}

impl ConnectSettings {
    /// Takes the parameters of libpq, complete and each right by itself; `home` is where the
    /// defaults of certificates are, below `.postgresql`.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming a parameter that is missing or not right.
    pub fn new<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        home: Option<&Path>,
    ) -> Result<Self, Error> {
        Ok(Self {
            parameters: Arc::new(Given::new(parameters).read(home)?),
            password: None,
            keeps_sessions: Arc::default(),
        })
    }

    /// Takes a plain URL with nothing around it: no service, environment, or certificates.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if it is not one.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let config = tokio_postgres::Config::from_str(url).map_err(|error| {
            Error::needs_operator("the connection url of the target is not valid")
                .advise("write it as postgresql://user@host:5432/database")
                .caused_by(error)
        })?;
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.to_string_lossy().into_owned(),
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let ports = config.get_ports().iter().map(ToString::to_string);
        let ports = ports.collect::<Vec<_>>().join(",");
        let settings = Self::new(
            [
                ("host", hosts.as_str()),
                ("port", &ports),
                ("user", config.get_user().unwrap_or("")),
                ("dbname", config.get_dbname().unwrap_or("")),
                ("options", config.get_options().unwrap_or("")),
            ],
            None,
        )?;
        let password = config
            .get_password()
            .map(|password| String::from_utf8_lossy(password).into_owned());
        Ok(match password {
            Some(password) => settings.password(PasswordSource::new(move || Ok(password.clone()))),
            None => settings,
        })
    }

    /// Asks for the password there, at each connect.
    #[must_use]
    pub fn password(mut self, source: PasswordSource) -> Self {
        self.password = Some(source);
        self
    }

    /// Opens a connection that `pg_stat_activity` shows as `lakeferry/<purpose>`, unless the
    /// settings give it another name.
    ///
    /// # Errors
    /// [`Error::Transient`] if no server can be reached now; [`Error::NeedsOperator`] if one
    /// refuses, is too old, has another encoding than UTF8, or is behind a pooler that gives its
    /// sessions to others.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<Link, Error> {
        let opened = self.open(purpose).await?;
        let is_direct = opened.announced == Some(opened.backend);
        if !is_direct && !self.keeps_sessions.load(Ordering::Relaxed) {
            // A pool that has no other connection for us tells nothing; the fence still stands.
            let other = tokio::time::timeout(pooler::PATIENCE, self.open(purpose)).await;
            if let Ok(Ok(other)) = other {
                pooler::check(&opened, other).await?;
                self.keeps_sessions.store(true, Ordering::Relaxed);
            }
        }
        Ok(opened.link)
    }

    /// What `pg_stat_activity` shows for `purpose`.
    pub(crate) fn shown_as(&self, purpose: &str) -> String {
        let given = self.parameters.application_name.clone();
        given.unwrap_or_else(|| format!("lakeferry/{purpose}"))
    }

    /// The first connection that comes about, to a server of the role that is wanted.
    async fn open(&self, purpose: &str) -> Result<Opened, Error> {
        let parameters = &*self.parameters;
        let password = match &self.password {
            Some(source) => Some(
                source
                    .read()
                    .await
                    .map_err(|error| self.no_password(error))?,
            ),
            None => None,
        };
        let doing = Doing::new("connect");
        let name = self.shown_as(purpose);
        let mut failures = Vec::new();
        for server in parameters.in_order() {
            let found = match &password {
                Some(_) => None,
                None => parameters.passfile_password(server),
            };
            let addresses = match server.addresses().await {
                Ok(addresses) => addresses,
                Err(error) => {
                    failures.push(Failed::unknown_host(
                        error,
                        &self.place_at(server),
                        &server.host,
                    ));
                    continue;
                }
            };
            for address in addresses {
                let attempt = Attempt {
                    settings: self,
                    server,
                    address,
                    password: password.as_deref().or(found.as_deref()),
                    application_name: &name,
                };
                match attempt.open().await {
                    Ok(Started {
                        mut link,
                        announced,
                    }) => {
                        let said = session::prepare(&mut link, &doing).await?;
                        let Some(what) = parameters.role.refuses(&said) else {
                            let backend = said.backend;
                            return Ok(Opened {
                                link,
                                announced,
                                backend,
                            });
                        };
                        failures.push(Failed::other_role(&self.place_at(server), what));
                        link.close().await;
                    }
                    Err(failed) if failed.tries_next() => failures.push(failed),
                    Err(failed) => return Err(failed.error),
                }
            }
        }
        Err(failure::all(failures, &parameters.place))
    }

    fn no_password(&self, error: Error) -> Error {
        let place = &self.parameters.place;
        Error::no_password(
            format!("cannot connect ({place}): there is no password"),
            error,
        )
        .while_connecting()
    }

    /// The place of one server alone.
    fn place_at(&self, server: &Server) -> Place {
        let mut place = self.parameters.place.clone();
        place.host = server.to_string();
        place
    }
}

impl Parameters {
    fn in_order(&self) -> Vec<&Server> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        if self.is_random {
            // Its keys are random.
            let random = RandomState::new();
            servers.sort_by_cached_key(|server| random.hash_one(server.to_string()));
        }
        servers
    }

    fn passfile_password(&self, server: &Server) -> Option<String> {
        let entry = passfile::Entry {
            host: &server.host,
            port: server.port,
            database: &self.place.database,
            user: &self.place.user,
        };
        passfile::look_up(self.passfile.as_deref()?, entry)
    }
}

impl Server {
    /// The addresses of its name; one `None` for a socket of this machine.
    async fn addresses(&self) -> std::io::Result<Vec<Option<IpAddr>>> {
        if self.address.is_some() || self.host.starts_with('/') {
            return Ok(vec![self.address]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut addresses: Vec<_> = found.map(|address| Some(address.ip())).collect();
        addresses.dedup();
        Ok(addresses)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl Role {
    /// Why a server will not do.
    fn refuses(self, server: &session::Server) -> Option<&'static str> {
        match self {
            Self::ReadWrite | Self::Primary if server.recovering => Some("it is a standby"),
            Self::ReadWrite if server.reads_only => Some("it is set to read only"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
