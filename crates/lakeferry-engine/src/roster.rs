//! Which job runs when: all jobs of a daemon, moved by what happens, decided purely.
//!
//! | what happens | what follows |
//! |---|---|
//! | a job is due, and there is room | it starts; when it is due next goes by its cadence |
//! | it is due again while it runs, or waits for room | one run, at once; times that passed are counted |
//! | its source moved ([`Roster::wake`]) | it is due at once, or when its run ends |
//! | its run failed, transiently | it backs off, by chance between half of a wait and all of it |
//! | its run failed otherwise | it halts; it is looked at when it is due, ever more rarely, and when asked |
//! | somebody asks for it ([`Roster::ask`]) | it is due at once, whatever it waits for, or when its run ends |
//! | it is paused ([`Roster::pause`]) | a run that goes on ends; it starts again when it is resumed, or asked for |
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
    /// Whether somebody asked for it.
    pub is_asked: bool,
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
    /// Whether it is to be left alone, but for a run that goes on.
    pub is_paused: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    room: Room,
    entries: BTreeMap<String, Entry>,
    /// Room that is taken by something else, once for each time.
    held: Vec<String>,
    is_stopped: bool,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    state: JobState,
    /// By its cadence, or since its source moved; what a run was started for is not.
    due: Option<Instant>,
    /// Not before that it is tried again, after a failure or while it is paused.
    again: Option<Instant>,
    is_asked: bool,
    is_paused: bool,
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
            is_asked: false,
            is_paused: false,
            started: None,
            is_long: true,
            halts: 0,
            trouble: None,
        };
        self.entries.insert(job.to_owned(), entry);
    }

    /// Forgets a job that does not run.
    pub fn remove(&mut self, job: &str) {
        self.entries.remove(job);
    }

    /// From now on there is so much room; what runs goes on.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Takes the room of one run on a target for something else that connects there, if there is any.
    #[must_use]
    pub fn hold(&mut self, target: &str) -> bool {
        let here = self.busy().per_target.get(target).copied();
        let room = self.room.per_target.get(target);
        let fits = room.is_none_or(|room| here.unwrap_or_default().all < *room);
        if fits {
            self.held.push(target.to_owned());
        }
        fits
    }

    /// Gives that room back.
    pub fn release(&mut self, target: &str) {
        if let Some(place) = self.held.iter().position(|held| held == target) {
            self.held.swap_remove(place);
        }
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
        let mut busy = self.busy();
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
                is_asked: std::mem::take(&mut entry.is_asked),
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
        let busy = self.busy();
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

    /// The source of a job moved, or is to be looked at then.
    pub fn wake(&mut self, job: &str, at: Instant) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Somebody wants the job to run, whatever it waits for.
    pub fn ask(&mut self, job: &str, now: Instant) {
        self.wake(job, now);
        if let Some(entry) = self.entries.get_mut(job) {
            entry.is_asked = true;
        }
    }

    /// A job is to be left alone; if it is due, it is looked at after `look_again`, if ever.
    pub fn pause(&mut self, job: &str, look_again: Option<Instant>) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.is_paused = true;
            if entry.started.is_none() {
                entry.state = JobState::Idle;
            }
            entry.again = look_again;
            (entry.halts, entry.trouble) = (0, None);
        }
    }

    /// A job that was paused runs again: at once, unless it waits for a time or a command.
    pub fn resume(&mut self, job: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(job) else {
            return;
        };
        if !std::mem::take(&mut entry.is_paused) {
            return;
        }
        entry.again = None;
        if matches!(
            entry.member.cadence,
            Cadence::Every(_) | Cadence::Continuous
        ) {
            entry.due = Some(now);
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
            is_paused: entry.is_paused,
        })
    }

    fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        let running = self.entries.values();
        let running = running.filter(|entry| entry.started.is_some());
        running.for_each(|entry| busy.add(entry));
        for target in &self.held {
            busy.per_target.entry(target.clone()).or_default().all += 1;
        }
        busy
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
            _ if self.is_asked => self.due,
            _ if self.is_paused => Some(self.due?.max(self.again?)),
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
