//! What is known of all jobs, for whoever asks by HTTP: the loop writes it, nobody waits for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lakeferry_engine::{JobState, Meter, Roster, Trouble};
use lakeferry_model::{FailureClass, Instant, Pause};

/// The loop comes round more often than this, whatever happens.
const ALIVE: Duration = Duration::from_secs(60);

/// How far a job is, as of its last run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) watermark: Option<u64>,
    pub(super) head: Option<u64>,
    /// When the first commit was made that the target does not have.
    pub(super) behind_since: Option<Instant>,
    pub(super) quarantined: u64,
}

/// One job.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) target: String,
    pub(super) state: JobState,
    pub(super) next: Option<Instant>,
    pub(super) trouble: Option<Trouble>,
    pub(super) place: Place,
    pub(super) meter: Meter,
    pub(super) paused: Option<Pause>,
    pub(super) max_lag: Option<Duration>,
    /// Since when the job does not get on, so that nobody knows what its target lacks.
    pub(super) stuck_since: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Board(Mutex<Known>);

#[derive(Debug)]
struct Known {
    jobs: BTreeMap<String, Row>,
    came_round: Instant,
    is_stopping: bool,
    /// Jobs that were told to exceed their `max_lag`.
    late: BTreeSet<String>,
}

impl Board {
    pub(super) fn new(jobs: BTreeMap<String, Row>, now: Instant) -> Self {
        Self(Mutex::new(Known {
            jobs,
            came_round: now,
            is_stopping: false,
            late: BTreeSet::new(),
        }))
    }

    pub(super) fn jobs(&self) -> BTreeMap<String, Row> {
        self.known().jobs.clone()
    }

    /// Takes over how `job` stands, and how far it is if its run ended.
    pub(super) fn show(&self, job: &str, roster: &Roster, place: Option<Place>) {
        let mut known = self.known();
        let (Some(row), Some(stands)) = (known.jobs.get_mut(job), roster.place(job)) else {
            return;
        };
        (row.state, row.next) = (stands.state, stands.next);
        row.trouble = stands.trouble.cloned();
        row.place = place.unwrap_or(row.place);
    }

    /// Jobs that exceed their `max_lag` since the last time that this was asked, and those that no longer do.
    pub(super) fn turned_late(&self, now: Instant) -> Vec<(String, bool)> {
        let mut known = self.known();
        let mut late = BTreeSet::new();
        for (job, row) in &mut known.jobs {
            row.stuck_since = match row.gets_on() {
                true => None,
                false => row.stuck_since.or(Some(now)),
            };
            if row.is_late(now) == Some(true) {
                late.insert(job.clone());
            }
        }
        let turned = known.late.symmetric_difference(&late);
        let turned = turned
            .map(|job| (job.clone(), late.contains(job)))
            .collect();
        known.late = late;
        turned
    }

    /// Shows a job from now on, as `row` has it.
    pub(super) fn add(&self, job: &str, row: Row) {
        self.known().jobs.insert(job.to_owned(), row);
    }

    /// Shows a job no longer.
    pub(super) fn remove(&self, job: &str) {
        self.known().jobs.remove(job);
    }

    /// The pause of `job`, if it is paused.
    pub(super) fn paused(&self, job: &str) -> Option<Pause> {
        self.known().jobs.get(job)?.paused.clone()
    }

    /// Notes that `job` is paused, or not; says whether that is new.
    pub(super) fn pause(&self, job: &str, pause: Option<&Pause>) -> bool {
        let mut known = self.known();
        let Some(row) = known.jobs.get_mut(job) else {
            return false;
        };
        let was_paused = row.paused.is_some();
        row.paused = pause.cloned();
        was_paused != pause.is_some()
    }

    pub(super) fn came_round(&self, now: Instant) {
        self.known().came_round = now;
    }

    pub(super) fn stop(&self) {
        self.known().is_stopping = true;
    }

    pub(super) fn is_alive(&self, now: Instant) -> bool {
        let micros = now.0.saturating_sub(self.known().came_round.0);
        u128::try_from(micros).unwrap_or(0) < ALIVE.as_micros()
    }

    /// What it waits for, a line each: its end, and targets and sources of which no job gets on.
    pub(super) fn waits_for(&self) -> Vec<String> {
        let known = self.known();
        if known.is_stopping {
            return vec!["it is stopping".to_owned()];
        }
        let mut targets = BTreeMap::<&str, Vec<&Row>>::new();
        for row in known.jobs.values() {
            targets.entry(&row.target).or_default().push(row);
        }
        let waits = targets.into_iter().filter_map(|(target, rows)| {
            let reasons = rows
                .iter()
                .map(|row| Some(unreachable(row)?.reason.as_str()));
            let reasons: Option<Vec<_>> = reasons.collect();
            Some(format!(
                "no job of target {target} gets on: {}",
                reasons?.first()?
            ))
        });
        waits.collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, JobState::Running { .. })
    }

    fn gets_on(&self) -> bool {
        self.state == JobState::Idle && self.paused.is_none()
    }

    /// Whether the target lacks a commit that is older than `max_lag` allows, or may because the job has not
    /// got on for so long; absent where it allows any.
    pub(super) fn is_late(&self, now: Instant) -> Option<bool> {
        let max = i64::try_from(self.max_lag?.as_micros()).unwrap_or(i64::MAX);
        let since = [self.place.behind_since, self.stuck_since];
        let since = since.into_iter().flatten().min();
        Some(since.is_some_and(|since| now.0 - since.0 > max))
    }

    /// How far behind the target is, in versions and in seconds, as of the last look; absent before it is
    /// filled.
    pub(super) fn lag(&self, now: Instant) -> Option<(u64, f64)> {
        let Place {
            watermark,
            head,
            behind_since,
            ..
        } = self.place;
        let watermark = watermark?;
        let versions = head.unwrap_or(watermark).saturating_sub(watermark);
        let micros = behind_since.map_or(0, |since| now.0.saturating_sub(since.0));
        Some((versions, micros.max(0) as f64 / 1e6))
    }

    /// Its state, in the words of the README.
    pub(super) fn word(&self) -> &'static str {
        let seen = self.meter.seen();
        match self.state {
            JobState::Running { .. } if seen.head.is_some() && seen.version.is_none() => {
                "backfilling"
            }
            JobState::Running { .. } => "syncing",
            _ if self.paused.is_some() => "paused",
            JobState::Idle => "idle",
            JobState::BackingOff { .. } | JobState::GaveUp => "backing_off",
            JobState::Halted => "halted",
        }
    }
}

/// Why a job does not get on, where that may be over in a moment.
fn unreachable(row: &Row) -> Option<&Trouble> {
    let trouble = row.trouble.as_ref()?;
    (trouble.class == FailureClass::Transient).then_some(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, class: Option<FailureClass>) -> Row {
        Row {
            target: target.to_owned(),
            state: JobState::Idle,
            next: None,
            trouble: class.map(|class| Trouble {
                class,
                reason: "it went wrong".to_owned(),
                hint: None,
            }),
            place: Place::default(),
            meter: Meter::default(),
            paused: None,
            max_lag: None,
            stuck_since: None,
        }
    }

    #[test]
    fn a_target_is_waited_for_if_no_job_of_it_gets_on() {
        let away = || Some(FailureClass::Transient);
        for (rows, expected) in [
            (vec![row("a", None)], vec![]),
            (vec![row("a", away()), row("a", None)], vec![]),
            (vec![row("a", Some(FailureClass::NeedsOperator))], vec![]),
            (
                vec![row("a", away()), row("a", away()), row("b", None)],
                vec!["no job of target a gets on: it went wrong"],
            ),
        ] {
            let rows = rows.into_iter().enumerate();
            let jobs = rows.map(|(n, row)| (n.to_string(), row)).collect();
            let board = Board::new(jobs, Instant(0));
            assert_eq!(board.waits_for(), expected);
            board.stop();
            assert_eq!(board.waits_for(), ["it is stopping"]);
        }
    }

    #[test]
    fn a_job_is_late_that_lacks_a_commit_for_too_long_or_may() {
        let second = |at: i64| Instant(at * 1_000_000);
        let fresh = Row {
            max_lag: Some(Duration::from_secs(60)),
            ..row("a", None)
        };
        let board = |row: &Row| {
            let jobs = BTreeMap::from([("a".to_owned(), row.clone())]);
            Board::new(jobs, Instant(0))
        };
        let became = |is_late| vec![("a".to_owned(), is_late)];
        assert_eq!(row("a", None).is_late(second(1_000)), None);
        assert_eq!(fresh.is_late(second(1_000)), Some(false));

        let mut behind = fresh.clone();
        behind.place.behind_since = Some(second(100));
        let behind = board(&behind);
        assert_eq!(behind.turned_late(second(160)), []);
        assert_eq!(behind.turned_late(second(161)), became(true));
        assert_eq!(behind.turned_late(second(162)), []);
        behind.known().jobs.insert("a".to_owned(), fresh.clone());
        assert_eq!(behind.turned_late(second(163)), became(false));

        let wait = Duration::from_secs(1);
        for state in [
            JobState::Running { attempt: 1 },
            JobState::BackingOff { attempt: 1, wait },
            JobState::Halted,
        ] {
            let stuck = board(&Row {
                state,
                ..fresh.clone()
            });
            // Before that it got on.
            assert_eq!(stuck.turned_late(second(100)), []);
            assert_eq!(stuck.turned_late(second(160)), []);
            assert_eq!(stuck.turned_late(second(161)), became(true));
            stuck.known().jobs.insert("a".to_owned(), fresh.clone());
            assert_eq!(stuck.turned_late(second(162)), became(false));
        }
    }

    #[test]
    fn a_loop_that_does_not_come_round_is_not_alive() {
        let board = Board::new(BTreeMap::new(), Instant(0));
        assert!(board.is_alive(Instant(59_000_000)));
        assert!(!board.is_alive(Instant(60_000_000)));
        board.came_round(Instant(59_000_000));
        assert!(board.is_alive(Instant(60_000_000)));
    }
}
