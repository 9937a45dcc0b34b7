//! Commits every second, a sync after each, and a reader that waits for the rows: three that know
//! of each other only that there was a commit. None waits for the next one, unless it is far ahead:
//! a slow sync shows as lag.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    lake::{Commit, Lake},
    product::Product,
    reader::Reader,
    screen::Live,
    tally::Tally,
};

pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// How many commits the writer may be ahead. No row of them may go again before the reader has
/// looked for it.
const AHEAD: usize = 4;

/// Goes on until `stop` returns, and then until all that was committed has arrived.
pub(crate) async fn live(
    lake: Lake,
    product: &Product,
    reader: &Reader,
    live: &mut Live,
    tally: &mut Tally,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (to_sync, syncs) = channel(AHEAD);
    let (to_reader, commits) = channel(AHEAD);
    // Aborted with this future. Its work must not hold up the reader.
    let mut writer = JoinSet::new();
    writer.spawn(write(lake, to_sync, to_reader, stop));
    let written = async {
        let ended = writer.join_next().await.context("the writer is gone")?;
        ended.context("the writer broke off")?
    };
    tokio::try_join!(
        written,
        sync(product, syncs),
        watch(reader, commits, live, tally)
    )?;
    Ok(())
}

async fn write(
    mut lake: Lake,
    to_sync: Sender<()>,
    to_reader: Sender<Commit>,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            _ = tick.tick() => {}
        }
        let commit = lake.commit().await.context("the writer cannot commit")?;
        // Who does not listen any more has failed, and said why.
        if to_sync.send(()).await.is_err() || to_reader.send(commit).await.is_err() {
            return Ok(());
        }
    }
}

async fn sync(product: &Product, mut commits: Receiver<()>) -> Result<()> {
    while commits.recv().await.is_some() {
        // One sync brings all that there is.
        while commits.try_recv().is_ok() {}
        product.sync().await?;
    }
    Ok(())
}

async fn watch(
    reader: &Reader,
    mut commits: Receiver<Commit>,
    live: &mut Live,
    tally: &mut Tally,
) -> Result<()> {
    let start = Instant::now();
    while let Some(commit) = commits.recv().await {
        let lag = reader.lag(&commit).await?;
        let line = tally.arrived(&commit, lag);
        live.show(&line, tally, start.elapsed());
    }
    Ok(())
}
