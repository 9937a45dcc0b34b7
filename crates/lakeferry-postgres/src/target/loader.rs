//! A loader of a first fill: a connection and a task of its own, so that several encode and send at
//! once. A piece is one transaction: its rows, and the note that it is there.

use arrow_array::RecordBatch;
use lakeferry_model::{BadRows, Effect, Loader};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    error::Error,
    link::Link,
    sql::Table,
    sqlstate::Doing,
    target::{aside::Aside, columns::Columns, copy::Copy, state::StateSchema, unfinished::Note},
};

/// Orders that wait: one batch is encoded while the next one waits.
const AHEAD: usize = 1;

/// The [`Loader`] of Postgres. Dropping it closes its connection at once.
#[derive(Debug)]
pub struct PostgresLoader {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<(), Error>>,
}

#[derive(Debug)]
enum Order {
    Begin(u64),
    Rows(RecordBatch),
    /// Answered once the piece is committed.
    Finish(oneshot::Sender<()>),
}

impl Drop for PostgresLoader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresLoader {
    pub(super) fn start(worker: Worker) -> Self {
        let (orders, received) = mpsc::channel(AHEAD);
        Self {
            orders,
            task: tokio::spawn(worker.work(received)),
        }
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why_ended().await),
        }
    }

    /// The error of a task that takes no more orders.
    async fn why_ended(&mut self) -> Error {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::bug("a loader ended before its session"),
            Err(stopped) => Error::bug("a loader stopped").caused_by(stopped),
        }
    }
}

impl Loader for PostgresLoader {
    type Error = Error;

    async fn begin(&mut self, place: u64) -> Result<(), Error> {
        self.order(Order::Begin(place)).await
    }

    async fn put(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.order(Order::Rows(rows.clone())).await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.order(Order::Finish(done)).await?;
        match answer.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why_ended().await),
        }
    }
}

/// What a loader's task has.
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) state: StateSchema,
    /// The target, for messages.
    pub(super) target: Table,
    pub(super) columns: Columns,
    pub(super) note: Note,
    pub(super) allows: BadRows,
    /// Of the fill.
    pub(super) version: i64,
}

/// A piece under way, in an open transaction.
struct UnderWay {
    place: u64,
    copy: Copy,
    rows: u64,
    aside: Aside,
}

impl Worker {
    /// Ends with the first error, or once nobody gives orders any more. An end without
    /// [`Order::Finish`] commits nothing.
    async fn work(self, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
        let mut piece = None;
        while let Some(order) = orders.recv().await {
            match order {
                Order::Begin(place) => piece = Some(self.begin(place).await?),
                Order::Rows(rows) => match &mut piece {
                    Some(piece) => self.put(piece, &rows).await?,
                    None => return Err(self.misused()),
                },
                Order::Finish(done) => match piece.take() {
                    Some(piece) => {
                        self.finish(piece).await?;
                        // Whoever waited and went away sees the piece at the next claim.
                        let _ = done.send(());
                    }
                    None => return Err(self.misused()),
                },
            }
        }
        Ok(())
    }

    fn misused(&self) -> Error {
        Error::bug(format!("rows for {} were put before a piece", self.target))
    }

    fn doing(&self) -> Doing {
        Doing::rows(format!("copy rows for {}", self.target))
            .locks(self.note.reserved.table.to_string())
    }

    async fn begin(&self, place: u64) -> Result<UnderWay, Error> {
        let doing = self.doing();
        let begin = "BEGIN; SET LOCAL lock_timeout = '30s'";
        self.link.batch(&begin.into(), &doing).await?;
        let (into, names) = (self.note.reserved.table.sql(), self.columns.names());
        let copy = Copy::open(&self.link, &into, &names, self.columns.encoder()?, doing).await?;
        Ok(UnderWay {
            place,
            copy,
            rows: 0,
            aside: Aside::new(self.allows),
        })
    }

    async fn put(&self, piece: &mut UnderWay, rows: &RecordBatch) -> Result<(), Error> {
        let columns = (&self.columns, &self.target);
        let keyed = piece.aside.take_unkeyed(columns, Effect::Insert, rows)?;
        let rows = keyed.as_ref().unwrap_or(rows);
        let copy = (&self.link, &mut piece.copy);
        let (count, _) = piece.aside.put(copy, &self.columns, rows, None).await?;
        piece.rows += count as u64;
        Ok(())
    }

    async fn finish(&self, piece: UnderWay) -> Result<(), Error> {
        let UnderWay {
            place,
            copy,
            rows,
            aside,
        } = piece;
        let stored = copy.finish(&self.link).await?;
        if stored != rows {
            return Err(Error::bug(format!(
                "{rows} rows were put and {stored} stored"
            )));
        }
        let doing = Doing::new(format!("note a piece of the fill of {}", self.target));
        let noted = self
            .note
            .piece(
                &self.link,
                &self.state,
                (place, rows, aside.changed()),
                &doing,
            )
            .await?;
        if !noted {
            let target = &self.target;
            return Err(Error::transient(format!(
                "a piece of {target} was not loaded: another session has the job, or dropped \
                 what was loaded"
            )));
        }
        let state = (&self.link, &self.state);
        let job = (self.note.hold.job_id, self.columns.has_key());
        aside.write_piece(state, job, self.version, &doing).await?;
        self.link.batch(&"COMMIT".into(), &doing).await
    }
}
