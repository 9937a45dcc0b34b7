//! Whether a session is ours alone. Leases, locks and settings belong to a session of the server;
//! a connection pooler in transaction or statement mode gives that session to others between two
//! transactions, and gives us others.
//!
//! A server that is reached directly announces the process that then answers: that costs nothing
//! to see. Where the two differ, somebody stands between, and it is tried which mode he has: two
//! connections take turns, and in session mode neither ever sees another process, nor that of the
//! other.

mod in_the_clear;

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_postgres::{Client, SimpleQueryMessage};

use self::in_the_clear::InTheClear;
use super::Opened;
use crate::{error::Error, link::Link, sqlstate::Doing};

/// How often the two take turns. A pooler takes the connection that was used last, or each in its
/// turn; both show in the first round, unless others come in between.
const ROUNDS: u32 = 3;

/// How long a connection beside the first may take. A pool in session mode may have none left.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

const WHO: &str = "SELECT pg_catalog.pg_backend_pid()";

/// The process that was announced when the connection was opened.
///
/// It is known only to what would cancel a query, so such a request is written, and not sent.
pub(super) async fn announced(client: &Client) -> Option<i32> {
    let (near, mut far) = tokio::io::duplex(64);
    // The answer to the question for TLS, where the connection was opened with it.
    far.write_all(b"S").await.ok()?;
    let request = client.cancel_token();
    request.cancel_query_raw(near, InTheClear).await.ok()?;
    let mut written = Vec::new();
    far.read_to_end(&mut written).await.ok()?;
    // It ends with the process and a secret, four bytes each.
    let start = written.len().checked_sub(8)?;
    let pid = written.get(start..start + 4)?;
    Some(i32::from_be_bytes(pid.try_into().ok()?))
}

/// Takes turns between a connection and one that was opened after it.
///
/// # Errors
/// [`Error::NeedsOperator`] if either saw another process of the server than before.
pub(super) async fn check(first: &Opened, other: Opened) -> Result<(), Error> {
    let pair = Pair {
        first,
        other: &other,
    };
    if first.backend == other.backend || pair.is_shared().await? {
        return Err(shared(&first.link));
    }
    other.link.close().await;
    Ok(())
}

struct Pair<'a> {
    first: &'a Opened,
    other: &'a Opened,
}

impl Pair<'_> {
    async fn is_shared(&self) -> Result<bool, Error> {
        for _ in 0..ROUNDS {
            // Statement mode refuses transactions, and ends the connection.
            match self.first.link.try_batch(&"BEGIN".into()).await {
                Err(error) if error.as_db_error().is_some() => return Ok(true),
                Err(error) => return Err(doing().failed(error, self.first.link.place())),
                Ok(()) => {}
            }
            if self.has_moved(self.first).await? || self.has_moved(self.other).await? {
                return Ok(true);
            }
            self.first.link.batch(&"COMMIT".into(), &doing()).await?;
            if self.has_moved(self.other).await? || self.has_moved(self.first).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another process answers than before; or none does, as the first connection's
    /// transaction has the only one.
    async fn has_moved(&self, one: &Opened) -> Result<bool, Error> {
        match timeout(PATIENCE, who(&one.link)).await {
            Ok(backend) => Ok(backend? != Some(one.backend)),
            Err(_) => Ok(true),
        }
    }
}

fn doing() -> Doing {
    Doing::new("connect")
}

async fn who(link: &Link) -> Result<Option<i32>, Error> {
    let answer = link.ask(&WHO.into(), &doing()).await?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    }))
}

fn shared(link: &Link) -> Error {
    let place = link.place();
    Error::needs_operator(format!(
        "cannot connect ({place}): a connection pooler in transaction or statement mode stands \
         before the server"
    ))
    .advise(
        "name the server itself in the url, or set pool_mode = session for this database: a job \
         rests on locks and settings of its session, which such a pooler gives to others",
    )
    .while_connecting()
}
