//! A new configuration while jobs run: on SIGHUP, and when its files change.
//!
//! It is checked whole before anything of it counts; one that is wrong is refused, and the old one goes on.
//! What is as it was goes on undisturbed, also in the middle of a run; a job that changed, came or went does
//! so at the end of the run that is under way. Secrets are read at each connect, and need nothing of this.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lakeferry_config::{Config, Loaded};
use lakeferry_engine::Meter;
use lakeferry_model::Clock as _;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use super::{
    Daemon,
    kept_job::{KeptJob, Shared},
    member, row,
};
use crate::{exit::Trouble, wiring};

/// Files that are written one after the other are read once, this long after the first.
const SETTLES: Duration = Duration::from_millis(300);

/// The files of the configuration, and who says that they changed.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    hangup: Signal,
    /// Absent where the system has none to give.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changes: UnboundedReceiver<()>,
    /// Whether one was told that is not acted on yet.
    has_changed: bool,
}

/// Who wants the configuration to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    Signal,
    Change,
}

impl Files {
    /// Watches the folders of a configuration that was read from `paths`.
    ///
    /// # Errors
    /// If the system does not let SIGHUP be heard.
    pub(crate) fn new(paths: Vec<PathBuf>, folders: &BTreeSet<PathBuf>) -> anyhow::Result<Self> {
        let (tell, changes) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| tell_change(&event, &tell));
        let watcher = watcher.map_err(|error| {
            tracing::warn!(%error, "a changed configuration is read on SIGHUP alone");
        });
        let mut files = Self {
            paths,
            hangup: signal(SignalKind::hangup())?,
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            changes,
            has_changed: false,
        };
        files.watch(folders);
        Ok(files)
    }

    /// Watches these folders besides.
    fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in folders {
            let path = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder.clone())),
                Err(error) => tracing::debug!(folder = %path.display(), %error, "not watched"),
            }
        }
    }

    /// Returns once the configuration is to be read again. One that is not waited for to the end, as
    /// something else happens, is made up for by the next.
    pub(super) async fn cue(&mut self) -> Cue {
        if !self.has_changed {
            tokio::select! {
                Some(()) = self.hangup.recv() => return Cue::Signal,
                Some(()) = self.changes.recv() => self.has_changed = true,
            }
        }
        tokio::time::sleep(SETTLES).await;
        while self.changes.try_recv().is_ok() {}
        self.has_changed = false;
        Cue::Change
    }
}

/// Tells of whatever may be another text under a name, also by a link that was put in its place.
fn tell_change(event: &notify::Result<Event>, tell: &UnboundedSender<()>) {
    let is_change = event.as_ref().is_ok_and(|event| {
        matches!(
            event.kind,
            EventKind::Create(_)
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Access(AccessKind::Close(AccessMode::Write))
        )
    });
    if is_change {
        // Nobody hears it when all is about to end.
        let _ = tell.send(());
    }
}

/// A configuration that was read again.
pub(super) type Reread = (Cue, Result<Loaded, Trouble>);

impl Daemon {
    /// Reads the configuration again, beside the loop.
    pub(super) fn reread(&mut self, cue: Cue, files: &Files) {
        let paths = files.paths.clone();
        self.rereads
            .spawn_blocking(move || (cue, wiring::read_again(&paths)));
    }

    /// Takes a configuration over, if it is right.
    pub(super) fn reload(&mut self, (cue, loaded): Reread, files: &mut Files) {
        let Loaded {
            config, folders, ..
        } = match loaded {
            Ok(loaded) => loaded,
            Err(trouble) => return self.refuse(&trouble),
        };
        files.watch(&folders);
        if config == self.shared.config {
            if cue == Cue::Signal {
                tracing::info!("the configuration is as it was");
                self.metrics.reloaded(self.clock.now(), true);
            }
            return;
        }
        if config.http != self.shared.config.http {
            tracing::warn!("http: counts from the next start on");
        }
        let shared = Arc::new(Shared::after(&self.shared, config));
        let before = std::mem::replace(&mut self.shared, shared);
        for (name, target) in &before.config.targets {
            if self.shared.config.targets.get(name) != Some(target) {
                self.budgets.forget(name);
            }
        }
        self.share_out();
        self.current.send_replace(Arc::clone(&self.shared));
        self.look_at_all();
        self.take_over(&before.config);
        self.metrics.reloaded(self.clock.now(), true);
    }

    fn refuse(&self, trouble: &Trouble) {
        let problems = trouble.report.as_deref();
        let reason = problems.map_or_else(|| trouble.in_one_line(), str::to_owned);
        tracing::error!(
            "the new configuration is refused, and the old one goes on: {}",
            reason.trim_end()
        );
        self.metrics.reloaded(self.clock.now(), false);
    }

    fn take_over(&mut self, before: &Config) {
        let (mut added, mut changed, mut removed, mut same) = (0_u64, 0_u64, 0_u64, 0_u64);
        for job in &before.jobs {
            let name = job.name.as_str();
            match self.shared.config.job(name) {
                None => removed += 1,
                Some(_) if self.shared.has_as_it_was(before, job) => same += 1,
                Some(_) => changed += 1,
            }
            if let Some(kept) = self.resting.remove(name) {
                self.settle(name, kept);
            }
        }
        let shared = Arc::clone(&self.shared);
        for job in &shared.config.jobs {
            if before.job(job.name.as_str()).is_none() {
                added += 1;
                // One of that name may still be on its last run.
                if self.roster.place(job.name.as_str()).is_none() {
                    self.add(job.name.as_str());
                }
            }
        }
        tracing::info!(
            added,
            changed,
            removed,
            same,
            "the configuration is reloaded"
        );
    }

    /// Lets a job rest that does not run: as it is, as it is declared now, or for ever.
    pub(super) fn settle(&mut self, name: &str, mut kept: KeptJob) {
        let shared = Arc::clone(&self.shared);
        if kept.goes_on_with(&shared) {
            self.resting.insert(name.to_owned(), kept);
            return;
        }
        drop(kept);
        self.shared.watch.forget(name);
        self.roster.remove(name);
        match shared.config.job(name) {
            Some(_) => self.add(name),
            None => {
                self.board.remove(name);
                self.metrics.forget(name);
            }
        }
    }

    /// Adds a job of the configuration, or declares it anew.
    pub(super) fn add(&mut self, name: &str) {
        let shared = Arc::clone(&self.shared);
        let Some(job) = shared.config.job(name) else {
            return;
        };
        let meter = Meter::default();
        self.roster.add(name, member(job), self.clock.now());
        let paused = self.board.paused(name);
        self.board.add(name, row(job, meter.clone()));
        let kept = KeptJob::new(Arc::clone(&shared), job.clone(), meter);
        self.resting.insert(name.to_owned(), kept);
        match paused {
            Some(pause) => self.pause(job, &pause),
            None => self.board.show(name, &self.roster, None),
        }
    }
}

/// The one that is being read, of which there may be another one already.
pub(super) type Rereads = JoinSet<Reread>;
