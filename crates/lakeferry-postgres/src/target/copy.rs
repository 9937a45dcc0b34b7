//! Rows on their way into a staging table: encoded into chunks, handed on as the server takes
//! them. Memory is a few chunks, whatever the number of rows.

use std::pin::Pin;

use arrow_array::RecordBatch;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, error::SqlState};

use crate::{
    encode::{Encoder, Fault, HEADER, TRAILER},
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::{self, Doing},
};

/// What is handed on at once. From 64 KB on, more makes no difference.
const CHUNK_BYTES: usize = 256 * 1024;

/// Room for the row that makes a chunk full.
const SLACK_BYTES: usize = 16 * 1024;

/// After so many bytes, one COPY ends and the next begins. The server says only at the end of one
/// that it failed, and takes all of it until then.
const COPY_BYTES: usize = 256 * 1024 * 1024;

pub(super) struct Copy {
    sql: Sql,
    doing: Doing,
    encoder: Encoder,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    chunk: BytesMut,
    /// Handed on since this COPY began.
    sent: usize,
    /// Stored by the COPYs before this one.
    stored: u64,
}

impl Copy {
    /// Opens a COPY of the rows that `encoder` writes into `columns` of `into`.
    pub(super) async fn open(
        link: &Link,
        into: &Sql,
        columns: &Sql,
        encoder: Encoder,
        doing: Doing,
    ) -> Result<Self, Error> {
        let sql = Sql::of("COPY {} ({}) FROM STDIN (FORMAT binary)", &[into, columns]);
        let sink = sink(link, &sql, &doing).await?;
        let mut copy = Self {
            sql,
            doing,
            encoder,
            sink,
            chunk: BytesMut::new(),
            sent: 0,
            stored: 0,
        };
        copy.begin();
        Ok(copy)
    }

    fn begin(&mut self) {
        self.chunk.reserve(CHUNK_BYTES + SLACK_BYTES);
        self.chunk.extend_from_slice(&HEADER);
        self.sent = 0;
    }

    /// Adds the rows of a batch, each with the mark where there is one. Where the server cannot
    /// hold all of them, none is added, and what it cannot hold comes back.
    pub(super) async fn put(
        &mut self,
        link: &Link,
        batch: &RecordBatch,
        mark: Option<u8>,
    ) -> Result<Vec<Fault>, Error> {
        let batch = match self.encoder.converted(batch)? {
            Ok(batch) => batch,
            Err(faults) => return Ok(faults),
        };
        let mut rows = match self.encoder.checked(&batch, mark)? {
            Ok(rows) => rows,
            Err(faults) => return Ok(faults),
        };
        while rows.write(&mut self.chunk, CHUNK_BYTES) {
            self.send(link).await?;
        }
        if self.sent >= COPY_BYTES {
            self.end(link).await?;
            self.sink = sink(link, &self.sql, &self.doing).await?;
            self.begin();
        }
        Ok(Vec::new())
    }

    async fn send(&mut self, link: &Link) -> Result<(), Error> {
        self.sent += self.chunk.len();
        let chunk = self.chunk.split().freeze();
        self.chunk.reserve(CHUNK_BYTES + SLACK_BYTES);
        let sent = self.sink.feed(chunk).await;
        // The sink knows only that it is closed; its end knows why.
        let error = match sent {
            Ok(()) => return Ok(()),
            Err(closed) => self.sink.as_mut().finish().await.err().unwrap_or(closed),
        };
        Err(self.doing.failed(error, link.place()))
    }

    async fn end(&mut self, link: &Link) -> Result<(), Error> {
        self.chunk.extend_from_slice(&TRAILER);
        self.send(link).await?;
        let stored = self.sink.as_mut().finish().await;
        self.stored += stored.map_err(|error| self.doing.failed(error, link.place()))?;
        Ok(())
    }

    /// Waits until the server has stored all rows, and says how many.
    pub(super) async fn finish(mut self, link: &Link) -> Result<u64, Error> {
        self.end(link).await?;
        Ok(self.stored)
    }
}

async fn sink(link: &Link, sql: &Sql, doing: &Doing) -> Result<Pin<Box<CopyInSink<Bytes>>>, Error> {
    match link.try_copy_in(sql).await {
        Ok(sink) => Ok(Box::pin(sink)),
        Err(error) if sqlstate::is(&error, &SqlState::UNDEFINED_TABLE) => {
            let what = "the staging was dropped: another session has the job";
            Err(Error::transient(what).caused_by(error))
        }
        Err(error) => Err(doing.failed(error, link.place())),
    }
}
