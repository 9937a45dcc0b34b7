//! What every connection is set to, and what its server says of itself.

use futures_util::future::join_all;
use tokio_postgres::SimpleQueryMessage;

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::{Doing, Place, is_certain},
};

/// The oldest server that is supported (`server_version_num`).
const OLDEST_SERVER: u32 = 130_000;

/// What a server says of itself and of the user's settings, then the settings of every connection.
/// A lease lives as long as its backend, so that ends within half a minute of its client's end: an
/// open transaction of one that stopped, and a connection to one that vanished from the network.
/// The transactions rest on READ COMMITTED, in which a fence sees what was committed while it
/// waited.
const SESSION_SETTINGS: &str = "\
SELECT current_setting('server_version_num'), current_setting('server_encoding'), \
pg_catalog.pg_is_in_recovery(), current_setting('default_transaction_read_only'), \
pg_catalog.pg_backend_pid(); \
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
SET jit = off";

/// Set on servers from this version on. Settings of a user or database that end sessions are for
/// sessions that people forget; and a long statement is to notice that its client is gone.
const LATER_SETTINGS: [(u32, &str); 3] = [
    (140_000, "SET idle_session_timeout = 0"),
    (140_000, "SET client_connection_check_interval = '5s'"),
    (170_000, "SET transaction_timeout = 0"),
];

/// What a server says of itself.
pub(super) struct Server {
    version: u32,
    encoding: String,
    pub(super) recovering: bool,
    /// Whether a user or database is set to transactions that only read.
    pub(super) reads_only: bool,
    /// The process that serves the connection.
    pub(super) backend: i32,
}

/// Makes the settings.
///
/// # Errors
/// [`Error::NeedsOperator`] if the server is too old or has another encoding than UTF8.
pub(super) async fn prepare(link: &mut Link, doing: &Doing) -> Result<Server, Error> {
    let answer = link.ask(&SESSION_SETTINGS.into(), doing).await?;
    let server = Server::of(&answer)
        .ok_or_else(|| Error::bug(format!("{} did not say what it is", link.place())))?;
    server.check(link.place())?;
    later_settings(link, server.version, doing).await?;
    link.set_recovering(server.recovering);
    Ok(server)
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
            reads_only: row.get(3)? == "on",
            backend: row.get(4)?.parse().ok()?,
        })
    }

    fn check(&self, place: &Place) -> Result<(), Error> {
        if self.version < OLDEST_SERVER {
            let version = self.version / 10_000;
            return Err(
                Error::needs_operator(format!("{place} is postgres {version}"))
                    .advise("use postgres 13 or later"),
            );
        }
        if self.encoding != "UTF8" {
            let encoding = &self.encoding;
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
