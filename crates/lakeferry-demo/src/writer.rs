//! The writer alone: a Delta table that somebody else syncs.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    arguments::Arguments,
    interrupt::Interrupt,
    lake::{Commit, Lake},
    live::EVERY,
    play::{self, Ended},
    screen::Screen,
    tally::grouped,
};

/// Makes the table in `folder` unless it is there, then commits to it until an end is asked for, or the
/// time is over.
///
/// # Errors
/// If the table cannot be written.
pub(crate) async fn write(
    folder: &Path,
    arguments: &Arguments,
    screen: &Screen,
    interrupt: &Interrupt,
) -> Result<Ended> {
    let mut lake = if folder.join("_delta_log").exists() {
        Lake::open(folder, arguments.rows).await?
    } else {
        screen.heading(&format!("making a Delta table in {}", folder.display()));
        let making = Lake::write(folder, arguments.rows, |_| {});
        tokio::select! {
            made = making => made?.0,
            () = interrupt.came() => return Ok(Ended::Interrupted),
        }
    };
    screen.heading("a commit every second");
    let start = Instant::now();
    let stop = play::stop(interrupt.clone(), arguments.seconds);
    tokio::pin!(stop);
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut commits = 0_u64;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = tick.tick() => {}
        }
        let Commit {
            version,
            kind,
            rows,
            ..
        } = lake.commit().await.context("the writer cannot commit")?;
        commits += 1;
        screen.line(&format!(
            "   version {version}: {kind:?} of {} rows",
            grouped(rows)
        ));
    }
    let seconds = start.elapsed().as_secs_f64();
    screen.heading(&format!("{commits} commits in {seconds:.0} s"));
    Ok(Ended::Written)
}
