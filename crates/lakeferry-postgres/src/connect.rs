//! Connections to a target's server: always the same session settings, on a server that is new
//! enough, and never a password in a message.

use std::{str::FromStr, time::Duration};

use futures_util::future::join_all;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage, config::Host};

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::{Doing, Place, is_certain, is_lost},
};

/// The oldest server that is supported (`server_version_num`).
const OLDEST_SERVER: u32 = 130_000;

const URL_FORM: &str = "write it as postgresql://user@host:5432/database";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// Set on every connection. A lease lives as long as its backend, so that ends within half a minute
/// of its client's end: an open transaction of one that stopped, and a connection to one that
/// vanished from the network. The transactions rest on READ COMMITTED, in which a fence sees what
/// was committed while it waited.
const SESSION_SETTINGS: &str = "\
SET row_security = off; \
SET timezone = 'UTC'; \
SET datestyle = 'ISO'; \
SET statement_timeout = 0; \
SET lock_timeout = 0; \
SET idle_in_transaction_session_timeout = '30s'; \
SET default_transaction_isolation = 'read committed'; \
SET default_transaction_read_only = off; \
SET tcp_keepalives_idle = 10; \
SET tcp_keepalives_interval = 5; \
SET tcp_keepalives_count = 4; \
SET jit = off; \
SELECT current_setting('server_version_num'), current_setting('server_encoding'), \
pg_catalog.pg_is_in_recovery()";

/// Set on servers from this version on. Settings of a user or database that end sessions are for
/// sessions that people forget; and a long statement is to notice that its client is gone.
const LATER_SETTINGS: [(u32, &str); 3] = [
    (140_000, "SET idle_session_timeout = 0"),
    (140_000, "SET client_connection_check_interval = '5s'"),
    (170_000, "SET transaction_timeout = 0"),
];

/// How to reach a target's server.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    config: Config,
    place: Place,
}

impl ConnectSettings {
    /// Reads a connection URL, or a string of `key=value` pairs, as libpq takes them.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if it is not one, or asks for TLS, which there is not yet.
    pub fn parse(url: &str) -> Result<Self, Error> {
        refuse_tls(url)?;
        let mut config = Config::from_str(url).map_err(|error| {
            Error::needs_operator("the connection url of the target is not valid")
                .advise(URL_FORM)
                .caused_by(error)
        })?;
        let place = place_of(&config)?;
        config.user(&place.user).dbname(&place.database);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(KEEPALIVE_IDLE);
        Ok(Self { config, place })
    }

    /// Takes this password rather than the one in the URL.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// Opens a connection that `pg_stat_activity` shows as `lakeferry/<purpose>`.
    ///
    /// # Errors
    /// [`Error::Transient`] if the server cannot be reached now; [`Error::NeedsOperator`] if it
    /// refuses, is too old, or has another encoding than UTF8.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<Link, Error> {
        let mut config = self.config.clone();
        config.application_name(format!("lakeferry/{purpose}"));
        let doing = Doing::new("connect");
        let (client, connection) = (config.connect(NoTls).await)
            .map_err(|error| self.not_connected(error, &doing).while_connecting())?;
        let mut link = Link::new(client, connection, self.place.clone());
        let answer = link.ask(&SESSION_SETTINGS.into(), &doing).await?;
        let server = Server::of(&answer)
            .ok_or_else(|| Error::bug(format!("{} did not say what it is", self.place)))?;
        self.check(&server)?;
        later_settings(&link, server.version, &doing).await?;
        link.set_recovering(server.recovering);
        Ok(link)
    }

    fn not_connected(&self, error: tokio_postgres::Error, doing: &Doing) -> Error {
        if error.as_db_error().is_some() || is_lost(&error) {
            return doing.failed(error, &self.place);
        }
        Error::needs_operator(format!("cannot connect ({})", self.place))
            .advise("correct user and password of the target")
            .caused_by(error)
    }

    fn check(&self, server: &Server) -> Result<(), Error> {
        let place = &self.place;
        if server.version < OLDEST_SERVER {
            let version = server.version / 10_000;
            return Err(
                Error::needs_operator(format!("{place} is postgres {version}"))
                    .advise("use postgres 13 or later"),
            );
        }
        if server.encoding != "UTF8" {
            let encoding = &server.encoding;
            return Err(
                Error::needs_operator(format!("{place} has the encoding {encoding}"))
                    .advise("use a database with the encoding UTF8"),
            );
        }
        Ok(())
    }
}

async fn later_settings(link: &Link, version: u32, doing: &Doing) -> Result<(), Error> {
    let known = LATER_SETTINGS.iter().filter(|(since, _)| *since <= version);
    let settings: Vec<Sql> = known.map(|(_, setting)| Sql::from(*setting)).collect();
    for set in join_all(settings.iter().map(|setting| link.try_batch(setting))).await {
        match set {
            // Not every platform of a server can look for its client.
            Err(error) if !is_certain(&error) => return Err(doing.failed(error, link.place())),
            _ => {}
        }
    }
    Ok(())
}

/// TLS has an issue of its own; until then, asking for it must not give a plain connection.
fn refuse_tls(url: &str) -> Result<(), Error> {
    let mode = url.split_once("sslmode=").map(|(_, rest)| rest);
    let wants = ["require", "verify-ca", "verify-full"];
    if mode.is_some_and(|mode| wants.iter().any(|wanted| mode.starts_with(wanted))) {
        return Err(Error::needs_operator(
            "the connection url of the target asks for TLS, which is not supported yet",
        )
        .advise("write sslmode=disable, on a network that you trust"));
    }
    Ok(())
}

fn place_of(config: &Config) -> Result<Place, Error> {
    let ports = config.get_ports();
    let port_of = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port_of(index)),
            Host::Unix(path) => format!("{}:{}", path.display(), port_of(index)),
        });
    let host = hosts.collect::<Vec<_>>().join(",");
    let user = config.get_user().unwrap_or_default().to_owned();
    if host.is_empty() || user.is_empty() {
        return Err(Error::needs_operator(
            "the connection url of the target names no host or no user",
        )
        .advise(URL_FORM));
    }
    let database = config.get_dbname().unwrap_or(&user).to_owned();
    Ok(Place {
        user,
        host,
        database,
    })
}

/// What a server says of itself.
struct Server {
    version: u32,
    encoding: String,
    recovering: bool,
}

impl Server {
    fn of(answer: &[SimpleQueryMessage]) -> Option<Self> {
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })?;
        Some(Self {
            version: row.get(0)?.parse().ok()?,
            encoding: row.get(1)?.to_owned(),
            recovering: row.get(2)? == "t",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_user_host_and_database() {
        for (url, place) in [
            (
                "postgresql://ferry:secret@db.internal/app",
                "ferry@db.internal:5432/app",
            ),
            (
                "postgresql://ferry@a:1,b:2/app?sslmode=prefer",
                "ferry@a:1,b:2/app",
            ),
            (
                "host=/run/postgresql user=ferry password=secret",
                "ferry@/run/postgresql:5432/ferry",
            ),
        ] {
            let settings = ConnectSettings::parse(url).unwrap();
            assert_eq!(settings.place.to_string(), place);
            assert!(!format!("{settings:?}").contains("secret"));
        }
    }

    #[test]
    fn a_url_names_host_and_user() {
        for url in ["postgresql:///app?user=ferry", "postgresql://db/app"] {
            let error = ConnectSettings::parse(url).unwrap_err();
            assert!(
                error.to_string().ends_with("names no host or no user"),
                "{error}"
            );
        }
    }

    #[test]
    fn tls_is_refused_rather_than_left_out() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("postgresql://ferry@db/app?sslmode={mode}");
            let error = ConnectSettings::parse(&url).unwrap_err();
            assert!(error.to_string().contains("asks for TLS"), "{error}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_being_shown() {
        let error = ConnectSettings::parse("postgresql://ferry:secret@db/app?nonsense=1");
        let error = anyhow_chain(&error.unwrap_err());
        assert!(
            error.contains("nonsense") && !error.contains("secret"),
            "{error}"
        );
    }

    fn anyhow_chain(error: &(dyn std::error::Error + 'static)) -> String {
        std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }
}
