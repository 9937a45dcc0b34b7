//! Days of many jobs, on a clock that is moved by hand.

use lakeferry_model::Clock as _;
use lakeferry_testkit::StepClock;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A roster and its clock.
struct World {
    roster: Roster,
    clock: StepClock,
}

impl World {
    fn new(runs: usize) -> Self {
        Self {
            roster: Roster::new(Room {
                runs,
                per_target: BTreeMap::new(),
            }),
            clock: StepClock::default(),
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn add(&mut self, job: &str, target: &str, cadence: Cadence) {
        let member = Member {
            target: target.to_owned(),
            cadence,
            retry: Retry {
                attempts: 3,
                first_wait: SECOND,
                longest_wait: 8 * SECOND,
                gives_up: false,
            },
            seed: job.len() as u64,
        };
        let now = self.now();
        self.roster.add(job, member, now);
    }

    /// A job that runs each minute and whose last run was short; it is due a minute from now.
    fn quick(&mut self, job: &str) {
        self.add(job, "t", Cadence::Every(MINUTE));
        self.entry(job).is_long = false;
        let next = later(self.now(), MINUTE);
        self.entry(job).due = Some(next);
    }

    fn entry(&mut self, job: &str) -> &mut Entry {
        self.roster.entries.get_mut(job).unwrap()
    }

    /// The names of those that start now.
    fn start(&mut self) -> Vec<String> {
        let starts = self.roster.start(self.clock.now());
        starts.into_iter().map(|start| start.job).collect()
    }

    fn done(&mut self, job: &str) {
        self.roster.ended(job, self.clock.now(), Ok(()));
    }

    fn failed(&mut self, job: &str, class: FailureClass) {
        let trouble = Trouble {
            class,
            reason: "it went wrong".to_owned(),
            hint: None,
        };
        self.roster.ended(job, self.clock.now(), Err(trouble));
    }

    fn state(&self, job: &str) -> JobState {
        self.roster.place(job).unwrap().state
    }

    /// How long it is until a job runs next.
    fn until(&self, job: &str) -> Option<Duration> {
        let next = self.roster.place(job).unwrap().next?;
        Some(since(self.now(), next))
    }
}

#[test]
fn a_job_runs_at_intervals_from_start_to_start() {
    let mut world = World::new(4);
    world.quick("a");
    assert_eq!(world.start(), [""; 0]);
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    assert_eq!(world.until("a"), None);
    world.wait(20 * SECOND);
    world.done("a");
    assert_eq!(world.state("a"), JobState::Idle);
    assert_eq!(world.until("a"), Some(40 * SECOND));
    assert_eq!(world.roster.next(), Some(later(world.now(), 40 * SECOND)));
    world.wait(40 * SECOND);
    assert_eq!(world.start(), ["a"]);
}

#[test]
fn a_job_is_never_started_twice_and_times_that_pass_are_one_run() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    for _ in 0..4 {
        world.wait(MINUTE);
        assert_eq!(world.start(), [""; 0]);
        assert_eq!(world.roster.next(), None);
    }
    world.done("a");
    let start = Start {
        job: "a".to_owned(),
        late: Some(3 * MINUTE),
        passed: 3,
        is_asked: false,
    };
    assert_eq!(world.roster.start(world.clock.now()), [start]);
    world.done("a");
    assert_eq!(world.until("a"), Some(MINUTE));
}

#[test]
fn a_moment_late_is_in_time() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE + SECOND);
    assert_eq!(world.roster.start(world.clock.now())[0].late, None);
}

#[test]
fn what_waits_longest_comes_first_and_no_more_than_there_is_room() {
    let mut world = World::new(2);
    for job in ["c", "a", "b"] {
        world.quick(job);
        world.wait(SECOND);
    }
    world.wait(2 * MINUTE);
    assert_eq!(world.start(), ["c", "a"]);
    assert_eq!(world.start(), [""; 0]);
    world.done("c");
    assert_eq!(world.start(), ["b"]);
}

/// Of four runs, three may be first fills; jobs that are short find room, however many fills wait.
#[test]
fn first_fills_hold_up_nobody_else() {
    let mut world = World::new(4);
    for fill in ["f1", "f2", "f3", "f4", "f5"] {
        world.add(fill, "t", Cadence::Every(MINUTE));
    }
    world.quick("small");
    world.wait(MINUTE);
    let started = world.start();
    assert_eq!(started.len(), 4, "{started:?}");
    assert!(started.contains(&"small".to_owned()), "{started:?}");
    for _ in 0..10 {
        world.wait(SECOND);
        world.done("small");
        assert_eq!(world.start(), [""; 0], "a fill took the last room");
        world.wait(MINUTE);
        assert_eq!(world.start(), ["small"]);
    }
}

#[test]
fn a_run_that_was_short_makes_a_job_a_short_one_and_the_other_way_round() {
    let mut world = World::new(2);
    world.add("a", "t", Cadence::Every(MINUTE));
    for (takes, is_long) in [(SECOND, false), (LONG, true), (SECOND, false)] {
        world.wait(2 * MINUTE);
        assert_eq!(world.start(), ["a"]);
        world.wait(takes);
        world.done("a");
        assert_eq!(world.entry("a").is_long, is_long);
    }
}

#[test]
fn each_target_has_room_of_its_own() {
    let mut world = World::new(8);
    world.roster.room.per_target = BTreeMap::from([("small".to_owned(), 1)]);
    for (job, target) in [
        ("a", "small"),
        ("b", "small"),
        ("c", "large"),
        ("d", "large"),
    ] {
        world.add(job, target, Cadence::Every(MINUTE));
    }
    world.wait(MINUTE);
    let mut started = world.start();
    started.sort();
    assert_eq!(started.len(), 3, "{started:?}");
    assert!(
        started.ends_with(&["c".to_owned(), "d".to_owned()]),
        "{started:?}"
    );
    world.done(&started[0]);
    assert_eq!(world.start().len(), 1);
}

#[test]
fn one_run_at_a_time_may_be_a_long_one() {
    let mut world = World::new(1);
    world.add("a", "t", Cadence::Every(MINUTE));
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
}

#[test]
fn transient_failures_back_off_by_chance_up_to_a_ceiling_and_for_ever() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    for expected in [1, 2, 4, 8, 8, 8] {
        world.failed("a", FailureClass::Transient);
        assert!(matches!(world.state("a"), JobState::BackingOff { .. }));
        let wait = world.until("a").unwrap();
        let whole = Duration::from_secs(expected);
        assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}");
        assert_eq!(world.start(), [""; 0]);
        world.wait(wait);
        assert_eq!(world.start(), ["a"]);
    }
    world.done("a");
    assert_eq!(world.state("a"), JobState::Idle);
    assert!(world.roster.place("a").unwrap().trouble.is_none());
}

#[test]
fn a_retry_does_not_move_when_a_job_is_due() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    world.failed("a", FailureClass::Transient);
    world.wait(SECOND);
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert_eq!(world.until("a"), Some(59 * SECOND));
}

#[test]
fn a_halted_job_is_looked_at_ever_more_rarely_and_goes_on() {
    let mut world = World::new(4);
    world.quick("a");
    world.quick("other");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a", "other"]);
    world.done("other");
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        world.failed("a", FailureClass::NeedsOperator);
        assert_eq!(world.state("a"), JobState::Halted);
        let trouble = world.roster.place("a").unwrap().trouble;
        assert_eq!(trouble.unwrap().reason, "it went wrong");
        assert_eq!(world.until("a"), Some(minutes * MINUTE));
        for _ in 1..minutes {
            world.wait(MINUTE);
            assert_eq!(world.start(), ["other"], "it holds up another job");
            world.done("other");
        }
        world.wait(MINUTE);
        assert_eq!(world.start(), ["a", "other"]);
        world.done("other");
    }
    world.done("a");
    assert_eq!(world.state("a"), JobState::Idle);
    assert_eq!(world.until("a"), Some(MINUTE));
}

#[test]
fn a_source_that_moves_while_its_job_runs_is_one_run_more() {
    let mut world = World::new(4);
    world.quick("a");
    let now = world.now();
    world.roster.wake("a", now);
    assert_eq!(world.start(), ["a"]);
    for _ in 0..3 {
        world.roster.wake("a", now);
        assert_eq!(world.start(), [""; 0]);
    }
    world.done("a");
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert_eq!(world.start(), [""; 0]);
}

#[test]
fn a_continuous_job_runs_at_the_start_and_when_its_source_moves() {
    let mut world = World::new(4);
    world.add("a", "t", Cadence::Continuous);
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert_eq!(world.until("a"), None);
    world.wait(MINUTE);
    let now = world.now();
    world.roster.wake("a", now);
    assert_eq!(world.start(), ["a"]);
    // What halted it may be mended without another commit.
    world.failed("a", FailureClass::NeedsOperator);
    assert_eq!(world.until("a"), Some(MINUTE));
    world.roster.wake("a", now);
    assert_eq!(
        world.start(),
        [""; 0],
        "commits are no reason to look sooner"
    );
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
}

#[test]
fn a_job_by_command_never_starts() {
    let mut world = World::new(4);
    world.add("a", "t", Cadence::OnCommand);
    world.wait(1_000 * MINUTE);
    assert_eq!(world.start(), [""; 0]);
    assert_eq!(world.roster.next(), None);
}

#[test]
fn who_is_asked_for_starts_whatever_it_waits_for() {
    let mut world = World::new(4);
    for (job, cadence) in [
        ("by command", Cadence::OnCommand),
        ("by interval", Cadence::Every(MINUTE)),
        ("continuous", Cadence::Continuous),
    ] {
        world.add(job, "t", cadence);
        for class in [FailureClass::Transient, FailureClass::NeedsOperator] {
            let now = world.now();
            world.roster.ask(job, now);
            let starts = world.roster.start(now);
            let start = starts.iter().find(|start| start.job == job);
            assert!(
                start.is_some_and(|start| start.is_asked),
                "{job}: {starts:?}"
            );
            world.failed(job, class);
            assert!(!world.start().contains(&job.to_owned()), "{job}: {class:?}");
        }
    }
    // While it runs, one run more.
    let mut world = World::new(4);
    world.add("a", "t", Cadence::OnCommand);
    let now = world.now();
    world.roster.ask("a", now);
    assert_eq!(world.start(), ["a"]);
    world.roster.ask("a", now);
    assert_eq!(world.start(), [""; 0]);
    world.done("a");
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert_eq!(world.start(), [""; 0]);
}

#[test]
fn who_is_paused_starts_when_it_is_resumed_or_asked_for() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    world.roster.pause("a", None);
    assert!(world.roster.place("a").unwrap().is_paused);
    world.done("a");
    world.wait(10 * MINUTE);
    assert_eq!((world.start(), world.roster.next()), (Vec::new(), None));
    let now = world.now();
    world.roster.ask("a", now);
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert_eq!(world.start(), [""; 0]);
    world.roster.resume("a", now);
    assert_eq!(world.start(), ["a"]);
    world.done("a");
    assert!(!world.roster.place("a").unwrap().is_paused);
    // Who was not paused is not started.
    world.roster.resume("a", now);
    assert_eq!(world.start(), [""; 0]);
}

#[test]
fn who_is_paused_is_looked_at_when_that_was_said() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    let again = later(world.now(), 5 * MINUTE);
    world.roster.pause("a", Some(again));
    assert_eq!(world.start(), [""; 0]);
    assert_eq!(world.until("a"), Some(5 * MINUTE));
    world.wait(5 * MINUTE);
    assert_eq!(world.start(), ["a"]);
}

#[test]
fn a_halted_job_that_is_paused_and_resumed_starts_anew() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    assert_eq!(world.start(), ["a"]);
    world.failed("a", FailureClass::NeedsOperator);
    world.roster.pause("a", None);
    let now = world.now();
    world.roster.resume("a", now);
    assert_eq!(world.start(), ["a"]);
}

#[test]
fn room_that_is_held_is_none() {
    let mut world = World::new(8);
    let per_target = BTreeMap::from([("t".to_owned(), 1)]);
    world.roster.set_room(Room {
        runs: 8,
        per_target,
    });
    world.quick("a");
    world.wait(MINUTE);
    assert!(world.roster.hold("t") && !world.roster.hold("t"));
    assert_eq!(world.start(), [""; 0]);
    world.roster.release("t");
    assert_eq!(world.start(), ["a"]);
    assert!(!world.roster.hold("t") && world.roster.hold("elsewhere"));
}

#[test]
fn nothing_starts_once_it_is_stopped() {
    let mut world = World::new(4);
    world.quick("a");
    world.wait(MINUTE);
    world.roster.stop();
    assert_eq!(world.start(), [""; 0]);
    assert_eq!(world.roster.next(), None);
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_wait_longer() {
    let mut world = World::new(4);
    world.wait(1_000 * MINUTE);
    world.quick("a");
    world.clock.set_back(900 * MINUTE);
    assert_eq!(world.start(), [""; 0]);
    assert_eq!(world.until("a"), Some(MINUTE));
}

#[test]
fn chance_is_spread_and_repeats() {
    let all: Vec<f64> = (0..1_000).map(|seed| chance(seed, 1)).collect();
    assert!(all.iter().all(|chance| (0.0..=1.0).contains(chance)));
    let mean = all.iter().sum::<f64>() / 1_000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
    assert_eq!(chance(7, 3).to_bits(), chance(7, 3).to_bits());
}
