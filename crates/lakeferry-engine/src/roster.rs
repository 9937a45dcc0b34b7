//! Which job runs when: all jobs of a daemon, moved by what happens, decided purely.
//!
//! | what happens | what follows |
//! |---|---|
//! | a job is due, and there is room | it starts; when it is due next goes by its cadence |
//! | it is due again while it runs, or waits for room | one run, at once; times that passed are counted |
//! | its source moved ([`Roster::wake`]) | it is due at once, or when its run ends |
//! | its run failed, transiently | it backs off, by chance between half of a wait and all of it |
//! | its run failed otherwise | it halts; it is looked at when it is due, ever more rarely, and when asked |
//!
//! Room is for so many runs in all and on each target. Who waits longest comes first; but some of the
//! room is kept for jobs whose last run was short, so that first fills hold up nobody else.

use std::{collections::BTreeMap, time::Duration};

use lakeferry_model::{FailureClass, Instant};

use crate::{
    cadence::{Cadence, later, since},
    job::Retry,
    job_state::{Event, JobState},
};

/// A run that takes so long is a long one; and so is one of which nothing is known yet.
const LONG: Duration = Duration::from_secs(30);

/// A run that starts so long after it was due is late.
const LATE: Duration = Duration::from_secs(1);

/// How long a halted job is left alone, at first and at most.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const RAREST_LOOK: Duration = Duration::from_secs(3_600);

/// How many runs there may be at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub runs: usize,
    /// On each target, by its name; those that are not here have as much as all.
    pub per_target: BTreeMap<String, usize>,
}

/// A job as the roster knows it.
#[derive(Clone, Debug)]
pub struct Member {
    pub target: String,
    pub cadence: Cadence,
    pub retry: Retry,
    /// Stands for chance: another one for each job and each process.
    pub seed: u64,
}

/// A run that is to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub job: String,
    /// How long ago it was due, where that is late.
    pub late: Option<Duration>,
    /// Other times at which it was due that this run stands for.
    pub passed: u64,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub class: FailureClass,
    pub reason: String,
    pub hint: Option<String>,
}

/// How a job stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub state: JobState,
    /// When it runs next; absent while it runs, and where it waits for a command or its source.
    pub next: Option<Instant>,
    /// Why its last run failed.
    pub trouble: Option<&'a Trouble>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    room: Room,
    entries: BTreeMap<String, Entry>,
    is_stopped: bool,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    state: JobState,
    /// By its cadence, or since its source moved; what a run was started for is not.
    due: Option<Instant>,
    /// Not before that it is tried again, after a failure.
    again: Option<Instant>,
    started: Option<Instant>,
    is_long: bool,
    /// How often it halted in a row.
    halts: u32,
    trouble: Option<Trouble>,
}

impl Roster {
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Adds a job that runs by its cadence from now on.
    pub fn add(&mut self, job: &str, member: Member, now: Instant) {
        let entry = Entry {
            due: member.cadence.first(now, chance(member.seed, 0)),
            member,
            state: JobState::Idle,
            again: None,
            started: None,
            is_long: true,
            halts: 0,
            trouble: None,
        };
        self.entries.insert(job.to_owned(), entry);
    }

    /// Starts no more runs.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Runs that are to start now, and count as started; each has to end.
    #[must_use]
    pub fn start(&mut self, now: Instant) -> Vec<Start> {
        if self.is_stopped {
            return Vec::new();
        }
        self.entries
            .values_mut()
            .for_each(|entry| entry.keep_near(now));
        let due = self.entries.iter().filter_map(|(job, entry)| {
            let at = entry.next().filter(|at| *at <= now)?;
            Some((at, job.clone()))
        });
        let mut due: Vec<(Instant, String)> = due.collect();
        due.sort();
        let mut busy = Busy::of(&self.entries);
        let mut starts = Vec::new();
        for (at, job) in due {
            let Some(entry) = self.entries.get_mut(&job) else {
                continue;
            };
            if !busy.fits(&self.room, entry) {
                continue;
            }
            busy.add(entry);
            let late = since(at, now);
            starts.push(Start {
                late: (late > LATE).then_some(late),
                passed: entry.begin(now),
                job,
            });
        }
        starts
    }

    /// When there is something to start next, if nothing else happens before.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.is_stopped {
            return None;
        }
        let busy = Busy::of(&self.entries);
        let waiting = self
            .entries
            .values()
            .filter(|entry| busy.fits(&self.room, entry));
        waiting.filter_map(Entry::next).min()
    }

    /// A run ended; what follows, where it failed.
    pub fn ended(&mut self, job: &str, now: Instant, result: Result<(), Trouble>) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.end(now, result);
        }
    }

    /// The source of a job moved.
    pub fn wake(&mut self, job: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.due = Some(entry.due.map_or(now, |due| due.min(now)));
        }
    }

    /// How a job stands.
    #[must_use]
    pub fn place(&self, job: &str) -> Option<Place<'_>> {
        let entry = self.entries.get(job)?;
        Some(Place {
            state: entry.state,
            next: entry.next(),
            trouble: entry.trouble.as_ref(),
        })
    }
}

/// What runs: how many, and how many of them long ones.
#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    all: usize,
    long: usize,
}

impl Runs {
    fn add(&mut self, entry: &Entry) {
        self.all += 1;
        self.long += usize::from(entry.is_long);
    }

    fn leave_room(self, room: usize, entry: &Entry) -> bool {
        self.all < room && (!entry.is_long || self.long < for_long(room))
    }
}

/// The same in all, and on each target.
#[derive(Debug, Default)]
struct Busy {
    runs: Runs,
    per_target: BTreeMap<String, Runs>,
}

impl Busy {
    fn of(entries: &BTreeMap<String, Entry>) -> Self {
        let mut busy = Self::default();
        let running = entries.values().filter(|entry| entry.started.is_some());
        running.for_each(|entry| busy.add(entry));
        busy
    }

    fn add(&mut self, entry: &Entry) {
        self.runs.add(entry);
        let target = entry.member.target.clone();
        self.per_target.entry(target).or_default().add(entry);
    }

    fn fits(&self, room: &Room, entry: &Entry) -> bool {
        let target = &entry.member.target;
        let here = self.per_target.get(target).copied().unwrap_or_default();
        let room_here = room.per_target.get(target);
        self.runs.leave_room(room.runs, entry)
            && room_here.is_none_or(|room| here.leave_room(*room, entry))
    }
}

impl Entry {
    /// When it is to start next.
    fn next(&self) -> Option<Instant> {
        match self.state {
            JobState::Running { .. } => None,
            JobState::BackingOff { .. } => self.again,
            JobState::Idle | JobState::GaveUp => self.due,
            // Not sooner than either.
            JobState::Halted => match (self.due, &self.member.cadence) {
                (Some(due), _) => Some(due.max(self.again?)),
                (None, Cadence::Continuous) => self.again,
                (None, _) => None,
            },
        }
    }

    /// A clock that is set back makes nothing wait longer than it ever does.
    fn keep_near(&mut self, now: Instant) {
        if let (Some(due), Cadence::Every(interval)) = (&mut self.due, &self.member.cadence) {
            *due = (*due).min(later(now, *interval));
        }
        if let Some(again) = &mut self.again {
            *again = (*again).min(later(now, RAREST_LOOK));
        }
    }

    /// Starts; says how many times it was due besides.
    fn begin(&mut self, now: Instant) -> u64 {
        let Member { cadence, retry, .. } = &self.member;
        let event = match self.state {
            JobState::Halted => Event::LookedAt,
            _ => Event::Due,
        };
        self.state = self.state.after(event, retry);
        self.started = Some(now);
        self.again = None;
        let passed = self.due.map_or(0, |due| cadence.passed(due, now));
        // What is due later stays so: it was tried again after a failure.
        if self.due.is_none_or(|due| due <= now) {
            self.due = cadence.next(now);
        }
        passed
    }

    fn end(&mut self, now: Instant, result: Result<(), Trouble>) {
        let Some(started) = self.started.take() else {
            return;
        };
        let event = match &result {
            Ok(()) => Event::Succeeded,
            Err(trouble) => Event::Failed(trouble.class),
        };
        self.state = self.state.after(event, &self.member.retry);
        self.trouble = result.err();
        match self.state {
            JobState::BackingOff { attempt, wait } => {
                let part = 0.5 + chance(self.member.seed, attempt) / 2.0;
                self.again = Some(later(now, wait.mul_f64(part)));
            }
            JobState::Halted => {
                let factor = 2_u32.saturating_pow(self.halts);
                let wait = FIRST_LOOK.saturating_mul(factor).min(RAREST_LOOK);
                self.again = Some(later(now, wait));
                self.halts = self.halts.saturating_add(1);
            }
            _ => {
                self.halts = 0;
                self.is_long = since(started, now) >= LONG;
            }
        }
    }
}

/// How many long runs there may be among so many.
fn for_long(room: usize) -> usize {
    match room {
        0 | 1 => room,
        _ => room - (room / 4).max(1),
    }
}

/// From 0 to 1, as if by chance: the same for the same numbers.
fn chance(seed: u64, number: u32) -> f64 {
    // The mixing step of SplitMix64.
    let mut bits = seed.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
