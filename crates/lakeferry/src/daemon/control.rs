//! Pauses and requests: how the loop hears of them, and how others in this process set them.
//!
//! They stand in the targets, so that it is all one which replica, command or session sets them. What is
//! set here is known to the loop at once; the rest is seen by runs that connect, or by a look of its own,
//! one query for all jobs of a target, over a connection that is closed at once.
//!
//! What a run or a look read may be older than an order that was obeyed meanwhile. So each remembers the
//! orders before it, and says nothing of a job that was ordered since.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lakeferry_config::{Job, Target, TargetName};
use lakeferry_engine::Cadence;
use lakeferry_model::{Clock as _, Instant, Pause};
use lakeferry_postgres::{JobControl, Spares};
use tokio::sync::{mpsc::UnboundedSender, oneshot, watch::Receiver};

use super::{Daemon, board::Board, cadence, kept_job::Shared, later};
use crate::{
    exit::{Code, Trouble},
    wiring,
};

/// Where nothing is looked for besides, a paused job that is due is looked at so often.
const PAUSED_LOOK: Duration = Duration::from_secs(60);

/// A server that did not say how many connections it leaves is asked so often.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What somebody in this process wants of a job.
#[derive(Debug)]
pub(super) enum Order {
    Pause(String, Pause),
    Resume(String),
    Sync(String),
}

/// An order, and where the loop says that it has obeyed.
pub(super) type Given = (Order, oneshot::Sender<()>);

/// Which orders to pause and to resume were obeyed.
#[derive(Debug, Default)]
pub(super) struct Obeyed {
    count: u64,
    /// The number of each job's last.
    last: BTreeMap<String, u64>,
}

impl Obeyed {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn note(&mut self, job: &str) {
        self.count += 1;
        self.last.insert(job.to_owned(), self.count);
    }

    /// Whether there was one of `job` after the first `count`.
    fn has_later(&self, job: &str, count: u64) -> bool {
        self.last.get(job).is_some_and(|last| *last > count)
    }
}

/// What a look at a target found, and how many orders were obeyed before it.
pub(super) struct Looked {
    target: Target,
    /// Whether it takes the room of a run.
    is_held: bool,
    /// What its server leaves, where that was asked, and said.
    free: Option<u32>,
    found: Result<Vec<JobControl>, Trouble>,
    obeyed: u64,
}

/// Pauses jobs, lets them run again, and asks for syncs, on behalf of whoever asks this process.
#[derive(Clone)]
pub(super) struct Controls {
    pub(super) current: Receiver<Arc<Shared>>,
    pub(super) board: Arc<Board>,
    pub(super) orders: UnboundedSender<Given>,
}

impl Controls {
    /// What is declared now.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.current.borrow())
    }

    /// Pauses a job; says since when it is.
    ///
    /// # Errors
    /// If there is no such job, or its target cannot be written.
    pub(super) async fn pause(
        &self,
        job: &str,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Pause, Trouble> {
        let (shared, job) = self.find(job)?;
        let name = job.name.as_str();
        let control = wiring::control(&shared.config, &job, shared.spares_of(&job))?;
        let pause = control.pause(name, by, reason).await;
        let pause = pause.map_err(|error| wiring::target_trouble(&job, &error))?;
        self.order(Order::Pause(name.to_owned(), pause.clone()))
            .await;
        Ok(pause)
    }

    /// Lets a job run again; says whether it was paused.
    ///
    /// # Errors
    /// As for [`Controls::pause`].
    pub(super) async fn resume(&self, job: &str) -> Result<bool, Trouble> {
        let (shared, job) = self.find(job)?;
        let name = job.name.as_str();
        let control = wiring::control(&shared.config, &job, shared.spares_of(&job))?;
        let was_paused = control.resume(name).await;
        let was_paused = was_paused.map_err(|error| wiring::target_trouble(&job, &error))?;
        self.order(Order::Resume(name.to_owned())).await;
        Ok(was_paused)
    }

    /// Lets a job run now, or once more after the run that goes on.
    ///
    /// # Errors
    /// If there is no such job, or it is paused.
    pub(super) async fn sync(&self, job: &str) -> Result<(), Trouble> {
        let (_, job) = self.find(job)?;
        let name = job.name.to_string();
        if let Some(pause) = self.board.paused(&name) {
            let trouble = Trouble::new(Code::Failed, pause.to_string()).about(&job);
            return Err(trouble.hint("resume it first"));
        }
        self.order(Order::Sync(name)).await;
        Ok(())
    }

    fn find(&self, name: &str) -> Result<(Arc<Shared>, Job), Trouble> {
        let shared = self.shared();
        let job = shared.config.job(name).cloned();
        let job = job
            .ok_or_else(|| Trouble::new(Code::Configuration, format!("there is no job {name}")))?;
        Ok((shared, job))
    }

    /// Returns when the loop has obeyed, so that who asks next finds it so.
    async fn order(&self, order: Order) {
        let (heard, obeyed) = oneshot::channel();
        // Nobody hears it when all is about to end; the state has it.
        let _ = self.orders.send((order, heard));
        let _ = obeyed.await;
    }
}

impl Daemon {
    /// Looks at the targets at which it is time to, as far as they have room for it.
    pub(super) fn look(&mut self) {
        let now = self.clock.now();
        let due: Vec<TargetName> = self
            .looks_due
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(target, _)| target.clone())
            .collect();
        for target in due {
            let jobs = &self.shared.config.jobs;
            let Some(job) = jobs.iter().find(|job| job.target.target == target) else {
                self.looks_due.remove(&target);
                continue;
            };
            let (shared, job) = (Arc::clone(&self.shared), job.clone());
            let Some(target) = shared.config.target_of(&job).cloned() else {
                continue;
            };
            // Where the server was not asked yet, nothing runs that would need the room.
            let is_open = self.budgets.is_open(&target);
            if !is_open && !self.roster.hold(target.name.as_str()) {
                // The runs that fill it will look.
                continue;
            }
            self.looks_due.remove(&target.name);
            let obeyed = self.obeyed.count();
            self.looks.spawn(async move {
                let config = &shared.config;
                let (mut spares, mut free) = (Spares::default(), None);
                if is_open {
                    spares = shared.spares_of(&job);
                    // What keeps it from that is said by runs.
                    let asked = wiring::free_connections(config, &job, &spares).await;
                    free = asked.ok();
                }
                let found = async {
                    let control = wiring::control(config, &job, spares)?;
                    let found = control.look().await;
                    found.map_err(|error| wiring::target_trouble(&job, &error))
                };
                Looked {
                    found: found.await,
                    target,
                    is_held: !is_open,
                    free,
                    obeyed,
                }
            });
        }
    }

    /// When the next target is to be looked at, that has not been waiting for room.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        self.looks_due
            .values()
            .filter(|due| **due > now)
            .min()
            .copied()
    }

    pub(super) fn looked(&mut self, looked: Looked) {
        let Looked {
            target,
            is_held,
            free,
            found,
            obeyed,
        } = looked;
        match is_held {
            true => self.roster.release(target.name.as_str()),
            false => self.found_free(&target, free),
        }
        let target = &target.name;
        match found {
            Ok(found) => self.control(target, &found, obeyed),
            Err(trouble) => {
                let reason = trouble.in_one_line();
                tracing::debug!(%target, reason, "pauses and requests were not looked at");
                self.look_later(target);
            }
        }
    }

    /// A server was asked how many connections it leaves.
    fn found_free(&mut self, target: &Target, free: Option<u32>) {
        if self.shared.config.targets.get(&target.name) != Some(target) {
            // The one that is declared now will be asked.
            return;
        }
        self.budgets.note(&target.name, free);
        self.share_out();
        let share = self.budgets.share(&self.shared.config, target);
        let (target, connections, runs) = (&target.name, share.connections, share.runs);
        match free {
            Some(free) => {
                tracing::info!(%target, free, connections, runs, "its server leaves connections");
            }
            None => tracing::debug!(%target, "its server did not say what connections it leaves"),
        }
    }

    /// Takes over what is wanted of all jobs of a target, as read after the first `obeyed` orders.
    pub(super) fn control(&mut self, target: &TargetName, found: &[JobControl], obeyed: u64) {
        self.look_later(target);
        let shared = Arc::clone(&self.shared);
        let jobs = shared.config.jobs.iter();
        let none = JobControl::default();
        for job in jobs.filter(|job| job.target.target == *target) {
            let name = job.name.as_str();
            let wanted = found.iter().find(|control| control.job == name);
            let wanted = wanted.unwrap_or(&none);
            match &wanted.paused {
                _ if self.obeyed.has_later(name, obeyed) => {}
                Some(pause) => self.pause(job, pause),
                None => self.resume(name),
            }
            if wanted.is_requested {
                self.roster.ask(name, self.clock.now());
            }
        }
    }

    pub(super) fn obey(&mut self, (order, heard): Given) {
        let shared = Arc::clone(&self.shared);
        match order {
            Order::Pause(name, pause) => {
                self.obeyed.note(&name);
                if let Some(job) = shared.config.job(&name) {
                    self.pause(job, &pause);
                }
            }
            Order::Resume(name) => {
                self.obeyed.note(&name);
                self.resume(&name);
            }
            Order::Sync(name) => self.roster.ask(&name, self.clock.now()),
        }
        // Who asked may have gone.
        let _ = heard.send(());
    }

    /// Leaves a job alone from its next run on.
    pub(super) fn pause(&mut self, job: &Job, pause: &Pause) {
        let name = job.name.as_str();
        if self.board.pause(name, Some(pause)) {
            let (by, reason) = (pause.by.as_str(), pause.reason.as_deref());
            tracing::info!(job = name, by, reason, "paused");
        }
        let target = self.shared.config.target_of(job);
        let looks = target.is_some_and(|target| target.control_poll.is_some());
        let again = (!looks).then(|| later(self.clock.now(), PAUSED_LOOK));
        self.roster.pause(name, again);
        self.board.show(name, &self.roster, None);
    }

    /// As [`Daemon::pause`], for a run that found it out, begun after the first `obeyed` orders: what it was
    /// due for waits.
    pub(super) fn found_paused(&mut self, job: &Job, pause: &Pause, obeyed: u64) {
        let name = job.name.as_str();
        if self.obeyed.has_later(name, obeyed) {
            match self.board.paused(name) {
                Some(pause) => self.pause(job, &pause),
                // And resumed since.
                None => self.roster.wake(name, self.clock.now()),
            }
            return;
        }
        if !matches!(cadence(job), Cadence::OnCommand) {
            self.roster.wake(name, self.clock.now());
        }
        self.pause(job, pause);
    }

    fn resume(&mut self, job: &str) {
        if self.board.pause(job, None) {
            tracing::info!(job, "resumed");
        }
        self.roster.resume(job, self.clock.now());
        self.board.show(job, &self.roster, None);
    }

    /// Looks at every target soon.
    pub(super) fn look_at_all(&mut self) {
        let targets = self.shared.config.targets.values();
        let looked_at =
            targets.filter(|target| target.control_poll.is_some() || self.budgets.is_open(target));
        let now = self.clock.now();
        self.looks_due = looked_at.map(|target| (target.name.clone(), now)).collect();
    }

    fn look_later(&mut self, name: &TargetName) {
        let Some(target) = self.shared.config.targets.get(name) else {
            return;
        };
        let open = self.budgets.is_open(target).then_some(ASK_AGAIN);
        if let Some(wait) = open.or(target.control_poll) {
            let due = later(self.clock.now(), wait);
            self.looks_due.insert(name.clone(), due);
        }
    }
}

#[cfg(test)]
mod tests;
