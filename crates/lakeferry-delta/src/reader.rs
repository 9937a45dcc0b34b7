//! Streams of batches from threads that read ahead by a few batches and no more.
//!
//! A stream ends only with the word of its reader that all was read; a reader that goes away
//! without it is an error. A stream that is dropped stops its reader at the next batch, whether or
//! not the filter leaves anything of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow_array::RecordBatch;
use futures_core::Stream;
use lakeferry_model::ChangeBatch;
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Batches that wait for their consumer.
const AHEAD: usize = 4;

/// A stream of what is read.
#[derive(Debug)]
pub struct Batches<T> {
    table: String,
    receiver: mpsc::Receiver<Message<T>>,
    ended: bool,
}

/// The reading end's side of a stream.
#[derive(Debug)]
pub(crate) struct Outlet<T>(mpsc::Sender<Message<T>>);

#[derive(Debug)]
enum Message<T> {
    Item(T),
    Failed(Error),
    End,
}

/// Whether anybody wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Wanted {
    More,
    NoMore,
}

/// What has a number of rows, none perhaps.
pub(crate) trait Rows {
    fn is_empty(&self) -> bool;
}

impl Rows for RecordBatch {
    fn is_empty(&self) -> bool {
        self.num_rows() == 0
    }
}

impl<P> Rows for ChangeBatch<P> {
    fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }
}

/// A stream that is fed by `read`, a task of its own.
pub(crate) fn stream<T, F>(table: &str, read: impl FnOnce(Outlet<T>) -> F) -> Batches<T>
where
    T: Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    stream_ahead(table, AHEAD, read)
}

/// As [`stream`], with so many batches that wait.
pub(crate) fn stream_ahead<T, F>(
    table: &str,
    ahead: usize,
    read: impl FnOnce(Outlet<T>) -> F,
) -> Batches<T>
where
    T: Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ahead);
    let reading = read(Outlet(sender.clone()));
    tokio::spawn(async move {
        let last = match reading.await {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(error),
        };
        // Nobody listens any more: nobody is owed the outcome.
        drop(sender.send(last).await);
    });
    Batches {
        table: table.to_owned(),
        receiver,
        ended: false,
    }
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Rows> Outlet<T> {
    /// Hands `item` over unless it is empty, waiting until there is room. Call it on a blocking
    /// thread, with empty items as well: they are when to notice that nobody listens.
    pub(crate) fn give(&self, item: T) -> Wanted {
        if item.is_empty() {
            return self.wanted();
        }
        match self.0.blocking_send(Message::Item(item)) {
            Ok(()) => Wanted::More,
            Err(_) => Wanted::NoMore,
        }
    }

    /// Whether anybody is still there.
    pub(crate) fn wanted(&self) -> Wanted {
        if self.0.is_closed() {
            Wanted::NoMore
        } else {
            Wanted::More
        }
    }
}

impl<T: Unpin> Stream for Batches<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.receiver
            .poll_recv(context)
            .map(|message| match message {
                Some(Message::Item(item)) => Some(Ok(item)),
                Some(Message::End) => {
                    self.ended = true;
                    None
                }
                Some(Message::Failed(error)) => {
                    self.ended = true;
                    Some(Err(error))
                }
                None => {
                    self.ended = true;
                    Some(Err(Error::Broken {
                        table: self.table.clone(),
                        what: "the reader went away before its end".to_owned(),
                        source: None,
                    }))
                }
            })
    }
}
