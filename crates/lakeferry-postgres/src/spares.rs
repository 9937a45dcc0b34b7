//! Connections that have nothing to do: kept open for a while for the next run, of any job of the
//! target, then closed, so that a server without work is left alone.
//!
//! There are never more of them and of runs together than there may be runs, if each run begins by
//! taking one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{connect::ConnectSettings, error::Error, link::Link, sql::Sql, sqlstate::Doing};

/// What a run may have changed of the settings of every connection; and the name that it shows.
const RENEW: &str = "\
SET lock_timeout = 0; SET idle_in_transaction_session_timeout = '30s'; SET application_name = {}";

/// The locks that show a holder to be alive.
const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock_all()";

/// The spare connections of one target. Clones share them; the default keeps none.
#[derive(Clone, Debug, Default)]
pub struct Spares(Option<Arc<Shelf>>);

#[derive(Debug)]
struct Shelf {
    most: AtomicUsize,
    close_after: Duration,
    spares: Mutex<Vec<Spare>>,
}

#[derive(Debug)]
struct Spare {
    link: Link,
    timer: Timer,
}

/// Closes a spare when it has been one for long enough, unless it is dropped before.
#[derive(Debug)]
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Spares {
    /// Keeps up to `most`, each until nobody asked for it in the time `close_after`.
    #[must_use]
    pub fn new(most: usize, close_after: Duration) -> Self {
        Self(Some(Arc::new(Shelf {
            most: AtomicUsize::new(most),
            close_after,
            spares: Mutex::default(),
        })))
    }

    /// Keeps up to `most` from now on.
    pub fn set_most(&self, most: usize) {
        if let Some(shelf) = &self.0 {
            shelf.most.store(most, Ordering::Relaxed);
        }
    }

    /// A spare connection that still works, or a new one, shown as `lakeferry/<purpose>`.
    pub(crate) async fn connect(
        &self,
        settings: &ConnectSettings,
        purpose: &str,
    ) -> Result<Link, Error> {
        if let Some(link) = self.take() {
            let name = settings.shown_as(purpose);
            let renew = Sql::of(RENEW, &[&Sql::text(&name)]);
            if link.try_batch(&renew).await.is_ok() {
                return Ok(link);
            }
        }
        settings.connect(purpose).await
    }

    /// Keeps a connection that is outside of a transaction, or closes it.
    pub(crate) async fn keep(&self, link: Link) {
        let unlocks = Doing::new("unlock");
        let is_kept = match &self.0 {
            // What was a standby may be none when it is asked for.
            Some(shelf) if !link.recovering() && shelf.has_room() => {
                link.batch(&UNLOCK.into(), &unlocks).await.is_ok()
            }
            _ => false,
        };
        match &self.0 {
            Some(shelf) if is_kept => shelf.put(link),
            _ => link.close().await,
        }
    }

    /// The one that came last, so that the others come of age.
    fn take(&self) -> Option<Link> {
        let spare = self.0.as_ref()?.lock().pop()?;
        drop(spare.timer);
        Some(spare.link)
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        self.lock().len() < self.most.load(Ordering::Relaxed)
    }

    fn put(self: &Arc<Self>, link: Link) {
        // Before the timer can look for it.
        let mut spares = self.lock();
        let timer = tokio::spawn(close_later(Arc::downgrade(self), self.close_after));
        spares.push(Spare {
            link,
            timer: Timer(timer),
        });
    }
}

/// The timer of a spare. Those of the same moment end in any order, so each closes its own.
async fn close_later(shelf: Weak<Shelf>, after: Duration) {
    tokio::time::sleep(after).await;
    let Some(shelf) = shelf.upgrade() else {
        return;
    };
    let own = tokio::task::id();
    let spare = {
        let mut spares = shelf.lock();
        let place = spares.iter().position(|spare| spare.timer.0.id() == own);
        place.map(|place| spares.remove(place))
    };
    if let Some(Spare { link, timer }) = spare {
        link.close().await;
        drop(timer);
    }
}
