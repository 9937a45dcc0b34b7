//! One open connection. Every failure leaves it in the words of this crate; dropping it closes
//! the socket at once, whatever is under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Connection, CopyInSink, Row, SimpleQueryMessage, Socket,
    tls::TlsStream,
    types::{ToSql, Type},
};

use crate::{
    error::Error,
    sql::Sql,
    sqlstate::{Doing, Place},
};

/// A value for a place `$n` of a statement, with its type: so a statement needs one round trip
/// and no name on the server.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    driver: Driver,
    place: Place,
    recovering: bool,
}

/// How many there are in this process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many connections to servers this process has open.
#[must_use]
pub fn open_connections() -> usize {
    OPEN.load(Ordering::Relaxed)
}

/// The task that moves bytes. Dropping it closes the socket: without that, a statement under way
/// would keep the connection until its end.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    /// Drives `connection` until it ends.
    pub(crate) fn new<T>(client: Client, connection: Connection<Socket, T>, place: Place) -> Self
    where
        T: TlsStream + Unpin + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer gets the error; here nobody is left to act on it.
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
            }
        });
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self {
            client,
            driver: Driver(driver),
            place,
            recovering: false,
        }
    }

    pub(crate) fn set_recovering(&mut self, recovering: bool) {
        self.recovering = recovering;
    }

    /// Whether the server was a standby when the connection was opened.
    pub(crate) fn recovering(&self) -> bool {
        self.recovering
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends statements without parameters and waits for all; more than one are a transaction
    /// unless they say otherwise.
    pub(crate) async fn batch(&self, sql: &Sql, doing: &Doing) -> Result<(), Error> {
        let result = self.client.batch_execute(sql.as_str()).await;
        result.map_err(|error| doing.failed(error, &self.place))
    }

    /// As [`Link::batch`], with what the statements return.
    pub(crate) async fn ask(
        &self,
        sql: &Sql,
        doing: &Doing,
    ) -> Result<Vec<SimpleQueryMessage>, Error> {
        let result = self.client.simple_query(sql.as_str()).await;
        result.map_err(|error| doing.failed(error, &self.place))
    }

    /// As [`Link::batch`], with the error as it came, for callers that branch on it.
    pub(crate) async fn try_batch(&self, sql: &Sql) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql.as_str()).await
    }

    /// Runs one statement and says how many rows it touched.
    pub(crate) async fn execute(
        &self,
        sql: &Sql,
        params: &[Param<'_>],
        doing: &Doing,
    ) -> Result<u64, Error> {
        let result = self.try_execute(sql, params).await;
        result.map_err(|error| doing.failed(error, &self.place))
    }

    /// As [`Link::execute`], with the error as it came, for callers that branch on it.
    pub(crate) async fn try_execute(
        &self,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<u64, tokio_postgres::Error> {
        self.client.execute_typed(sql.as_str(), params).await
    }

    pub(crate) async fn query(
        &self,
        sql: &Sql,
        params: &[Param<'_>],
        doing: &Doing,
    ) -> Result<Vec<Row>, Error> {
        let result = self.try_query(sql, params).await;
        result.map_err(|error| doing.failed(error, &self.place))
    }

    /// As [`Link::query`], with the error as it came, for callers that branch on it.
    pub(crate) async fn try_query(
        &self,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query_typed(sql.as_str(), params).await
    }

    pub(crate) async fn query_one(
        &self,
        sql: &Sql,
        params: &[Param<'_>],
        doing: &Doing,
    ) -> Result<Row, Error> {
        let rows = self.query(sql, params, doing).await?;
        let one = rows.into_iter().next();
        one.ok_or_else(|| Error::bug(format!("no row came back: {doing} ({})", self.place)))
    }

    /// Opens a COPY into the server; the error is as it came, for callers that branch on it.
    pub(crate) async fn try_copy_in(
        &self,
        sql: &Sql,
    ) -> Result<CopyInSink<Bytes>, tokio_postgres::Error> {
        self.client.copy_in(sql.as_str()).await
    }

    /// Closes the socket, whatever is under way; the server rolls back and forgets the lease.
    pub(crate) fn abort(&self) {
        self.driver.0.abort();
    }

    /// Says good-bye and waits until the connection is closed.
    pub(crate) async fn close(self) {
        let Self {
            client, mut driver, ..
        } = self;
        drop(client);
        // It fails only if it was cancelled or panicked; it is over either way.
        let _ = (&mut driver.0).await;
    }
}
