//! Wakes continuous jobs when their sources move.
//!
//! A log in a local directory is watched, and asked now and then in case that missed something, as it
//! does on network file systems and where a directory was replaced. Any other log is asked for its next
//! commit as often as the job says. Neither tells of a log that was cleaned or taken back, so once in a
//! while a job is woken for no reason: its run then looks at all of the log.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lakeferry_delta::DeltaSource;
use lakeferry_model::{Clock as _, Source as _};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use crate::system_clock::SystemClock;

/// How often a log that is watched is asked all the same.
const WATCHED: Duration = Duration::from_secs(30);

/// How often a job is woken for no reason.
const FOR_NO_REASON: Duration = Duration::from_secs(300);

/// The jobs that wait for the files of a directory.
type Waiting = Arc<Mutex<HashMap<PathBuf, BTreeSet<String>>>>;

/// Wakes jobs. Clones do the same.
#[derive(Clone)]
pub(super) struct Watch {
    wakes: UnboundedSender<String>,
    waiting: Waiting,
    /// Absent where the system has none to give.
    watcher: Arc<Mutex<Option<RecommendedWatcher>>>,
}

/// Asks a source for its next commit until it is dropped.
#[derive(Debug)]
pub(super) struct Poll(JoinHandle<()>);

impl Drop for Poll {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// With the names of jobs that are woken.
    pub(super) fn new() -> (Self, UnboundedReceiver<String>) {
        let (wakes, woken) = unbounded_channel();
        let waiting = Waiting::default();
        let (to, of) = (wakes.clone(), Arc::clone(&waiting));
        let watcher = notify::recommended_watcher(move |event| wake_all(&event, &of, &to));
        let watcher = watcher.map_err(|error| {
            tracing::warn!(%error, "directories are not watched, only asked");
        });
        let watch = Self {
            wakes,
            waiting,
            watcher: Arc::new(Mutex::new(watcher.ok())),
        };
        (watch, woken)
    }

    /// Wakes `job` whenever a commit appears in `directory`, from now on; says whether it will. To be
    /// asked again, for another directory may have its name since.
    pub(super) fn see(&self, directory: &Path, job: &str) -> bool {
        let mut watcher = locked(&self.watcher);
        let Some(watcher) = watcher.as_mut() else {
            return false;
        };
        if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            tracing::debug!(job, %error, "the log is not watched");
            return false;
        }
        let mut waiting = locked(&self.waiting);
        let jobs = waiting.entry(directory.to_owned()).or_default();
        jobs.insert(job.to_owned());
        true
    }

    /// Wakes `job` no more.
    pub(super) fn forget(&self, job: &str) {
        let mut waiting = locked(&self.waiting);
        waiting.retain(|directory, jobs| {
            if jobs.remove(job) && jobs.is_empty() {
                if let Some(watcher) = locked(&self.watcher).as_mut() {
                    // It may be gone.
                    let _ = watcher.unwatch(directory);
                }
                return false;
            }
            true
        });
    }

    /// Asks `source` on behalf of `job`, every so often.
    pub(super) fn poll(&self, source: DeltaSource, job: String, every: Duration) -> Poll {
        Poll(tokio::spawn(poll(self.clone(), source, job, every)))
    }

    fn wake(&self, job: String) {
        // Nobody hears it when all is about to end.
        let _ = self.wakes.send(job);
    }
}

async fn poll(watch: Watch, source: DeltaSource, job: String, every: Duration) {
    let instant = || source.filter_instant(SystemClock.now());
    let (mut known, mut quiet) = (instant(), Duration::ZERO);
    loop {
        let directory = source.log_directory();
        let is_watched = directory.is_some_and(|directory| watch.see(&directory, &job));
        let wait = if is_watched {
            every.max(WATCHED)
        } else {
            every
        };
        // Time moves the rows of some filters, though no commit comes.
        let is_timed = known.is_some();
        let wait = if is_timed { wait.min(every) } else { wait };
        SystemClock.sleep(wait).await;
        quiet += wait;
        let now = instant();
        let has_moved = now != known || quiet >= FOR_NO_REASON;
        // What goes wrong here goes wrong in the run, which says it.
        if has_moved || source.has_next_commit().await.unwrap_or(true) {
            (known, quiet) = (now, Duration::ZERO);
            watch.wake(job.clone());
        }
    }
}

fn wake_all(event: &notify::Result<Event>, waiting: &Waiting, wakes: &UnboundedSender<String>) {
    let Ok(event) = event else {
        return;
    };
    if !is_arrival(event.kind) {
        return;
    }
    let commits = event.paths.iter().filter(|path| is_commit(path));
    let waiting = locked(waiting);
    for job in commits
        .filter_map(|path| waiting.get(path.parent()?))
        .flatten()
    {
        let _ = wakes.send(job.clone());
    }
}

/// Whether a file is there that was not, whole.
fn is_arrival(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
            | EventKind::Access(AccessKind::Close(AccessMode::Write))
    )
}

/// Whether a file is a commit by its name (Delta protocol, "Delta log entries").
fn is_commit(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let version = name.and_then(|name| name.strip_suffix(".json"));
    version
        .is_some_and(|version| version.len() == 20 && version.bytes().all(|b| b.is_ascii_digit()))
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn commits_are_told_by_their_names() {
        for (name, expected) in [
            ("00000000000000000012.json", true),
            ("00000000000000000012.checkpoint.parquet", false),
            ("00000000000000000012.json.tmp", false),
            (".00000000000000000012.json", false),
            ("12.json", false),
            ("_last_checkpoint", false),
        ] {
            assert_eq!(is_commit(&Path::new("log").join(name)), expected, "{name}");
        }
    }

    /// However a writer puts its commit there: by a rename, a link, or as it is.
    #[tokio::test]
    async fn a_commit_wakes_the_jobs_of_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&other).unwrap();
        let (watch, mut woken) = Watch::new();
        assert!(!watch.see(&folder.path().join("none"), "none"));
        assert!(watch.see(&ours, "a") && watch.see(&ours, "b") && watch.see(&other, "c"));
        let commit = |version: u64| ours.join(format!("{version:020}.json"));
        let draft = ours.join("draft");
        fs::write(&draft, "{}").unwrap();
        for version in 0..3 {
            match version {
                0 => fs::hard_link(&draft, commit(0)).unwrap(),
                1 => fs::write(commit(1), "{}").unwrap(),
                _ => fs::rename(&draft, commit(2)).unwrap(),
            }
            let mut jobs = BTreeSet::new();
            while jobs.len() < 2 {
                jobs.insert(woken.recv().await.unwrap());
            }
            assert_eq!(jobs, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        }
        // Also in a directory that has the name of an earlier one.
        fs::remove_dir_all(&other).unwrap();
        fs::create_dir(&other).unwrap();
        assert!(watch.see(&other, "c"));
        fs::write(other.join(format!("{:020}.json", 0)), "{}").unwrap();
        while woken.recv().await.unwrap() != "c" {}
    }
}
