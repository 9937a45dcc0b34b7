//! Bringing the product to the moment of a kill.

use anyhow::{Context as _, Result, bail};
use tokio::time::{sleep, timeout};

use crate::{
    crash_recovery::{
        kill::{Aim, Kill},
        phase::{Activity, Phase, Work, look},
        stall::{Held, Lock, Unanswered},
        world::{LIMIT, World},
    },
    process::{PAUSE, Process},
};

/// What holds the product up.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    held: Option<Held>,
    unanswered: Option<Unanswered>,
}

impl Stalls {
    pub(super) async fn end(&mut self) -> Result<()> {
        if let Some(held) = self.held.take() {
            held.release().await?;
        }
        if let Some(unanswered) = self.unanswered.take() {
            unanswered.end().await?;
        }
        Ok(())
    }
}

impl World {
    pub(super) async fn start_held_up(
        &self,
        kill: &Kill,
        resumed: Option<Phase>,
        stalls: &mut Stalls,
    ) -> Result<Process> {
        if let Aim::Blocked(_, lock) | Aim::Unanswered(lock) = kill.aim
            && lock.is_taken_in(kill.work, resumed).is_none()
        {
            stalls.held = Some(self.take(lock).await?);
        }
        self.start(if kill.work == Work::Refresh {
            "backfill"
        } else {
            "sync"
        })
    }

    /// Waits until the process is where it is to be killed; false if it ended before.
    pub(super) async fn bring(
        &self,
        kill: &Kill,
        resumed: Option<Phase>,
        process: &mut Process,
        stalls: &mut Stalls,
    ) -> Result<bool> {
        let (Aim::Blocked(_, lock) | Aim::Unanswered(lock)) = kill.aim else {
            return self.bring_to_moment(kill, process).await;
        };
        let blocked = match kill.aim {
            Aim::Blocked(phase, _) => phase,
            _ => Phase::Apply,
        };
        let taken_in = lock.is_taken_in(kill.work, resumed);
        loop {
            if let Some(phase) = taken_in {
                if !self
                    .wait_for(kill.work, process, |it| it.phase == Some(phase))
                    .await?
                {
                    return Ok(false);
                }
                stalls.held = Some(self.take(lock).await?);
            }
            let waits_in = |it: &Activity, phase| it.is_blocked && it.phase == Some(phase);
            let came_first =
                |it: &Activity| lock == Lock::Reserved && waits_in(it, Phase::KeyBuild);
            let is_held_up = |it: &Activity| waits_in(it, blocked) || came_first(it);
            if !self.wait_for(kill.work, process, is_held_up).await? {
                return Ok(false);
            }
            if !self.activities(kill.work).await?.iter().any(came_first) {
                break;
            }
            // The lock came before the statement had its own: let it go on, and try again.
            stalls.end().await?;
        }
        if matches!(kill.aim, Aim::Blocked(..)) {
            return Ok(true);
        }
        stalls.unanswered = Some(Unanswered::begin(&self.deployment.url()).await?);
        if let Some(held) = stalls.held.take() {
            held.release().await?;
        }
        self.wait_for(kill.work, process, |it| {
            it.phase == Some(Phase::AfterCommit)
        })
        .await
    }

    async fn bring_to_moment(&self, kill: &Kill, process: &mut Process) -> Result<bool> {
        let wait = match kill.aim {
            Aim::During(phase, wait) => {
                if !self
                    .wait_for(kill.work, process, |it| it.phase == Some(phase))
                    .await?
                {
                    return Ok(false);
                }
                wait
            }
            Aim::Anytime(wait) => wait,
            Aim::Blocked(..) | Aim::Unanswered(_) => bail!("{kill:?} is no moment"),
        };
        sleep(wait).await;
        Ok(true)
    }

    /// Waits for an activity of the product; false if it ended before.
    pub(super) async fn wait_for(
        &self,
        work: Work,
        process: &mut Process,
        is_it: impl Fn(&Activity) -> bool,
    ) -> Result<bool> {
        let wait = async {
            loop {
                if self.activities(work).await?.iter().any(&is_it) {
                    return Ok(true);
                }
                if process.has_ended()? {
                    return Ok(false);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(LIMIT, wait)
            .await
            .context("the product does not come to its phase")?
    }

    pub(super) async fn activities(&self, work: Work) -> Result<Vec<Activity>> {
        look(&self.client, work).await
    }

    /// The backends of the product.
    pub(super) async fn pids(&self) -> Result<Vec<i32>> {
        let all = self.activities(Work::Increment).await?;
        Ok(all.iter().map(|it| it.pid).collect())
    }

    pub(super) async fn take(&self, lock: Lock) -> Result<Held> {
        Held::take(&self.deployment.url(), lock, &self.changing).await
    }

    /// Waits until the server has noticed that the client is gone.
    pub(super) async fn wait_for_no_backend(&self) -> Result<()> {
        let wait = async {
            while !self.pids().await?.is_empty() {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(LIMIT, wait)
            .await
            .context("the backend of a dead client does not end")?
    }
}
