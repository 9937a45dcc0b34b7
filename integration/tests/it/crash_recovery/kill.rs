//! One kill: in which phase, of which work, and how the product is met there.

use std::time::Duration;

use rand::{Rng, seq::IndexedRandom as _};

use crate::crash_recovery::{
    phase::{Phase, Work},
    stall::Lock,
    world::Pending,
};

/// How a kill is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) work: Work,
    pub(super) aim: Aim,
    /// Whether the next sync starts while the dead one's backend is still held up.
    pub(super) lingers: bool,
}

/// How the moment is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// So long after the phase was first seen.
    During(Phase, Duration),
    /// While a statement of the phase waits for the lock.
    Blocked(Phase, Lock),
    /// While COMMIT waits; the lock is held until no commit is answered any more.
    Unanswered(Lock),
    /// So long after the start.
    Anytime(Duration),
}

impl Kill {
    /// A kill that is to meet the product in `phase`.
    pub(super) fn in_phase(phase: Phase, random: &mut impl Rng) -> Self {
        use Work::{Fill, Increment};
        let work = match phase {
            Phase::FirstCopy | Phase::KeyBuild | Phase::Rename => Fill,
            Phase::Staging => Increment,
            _ if random.random_ratio(1, 4) => Fill,
            _ => Increment,
        };
        Self::of(work, phase, false, random)
    }

    /// A kill of what was killed before, if `phase` comes in it.
    pub(super) fn again(pending: Pending, phase: Phase, random: &mut impl Rng) -> Option<Self> {
        let comes = match (pending.work, phase) {
            (Work::Refresh, _) => false,
            // What was loaded and built is kept.
            (Work::Fill, Phase::FirstCopy | Phase::KeyBuild) => pending.phase <= Some(phase),
            // Before its first COPY there may be no state yet, or a part of it.
            (Work::Fill, Phase::Start) if pending.phase <= Some(phase) => false,
            (Work::Fill, Phase::Staging) => false,
            (Work::Increment, Phase::FirstCopy | Phase::KeyBuild | Phase::Rename) => false,
            // It is done, but for the knowledge of it.
            _ => pending.phase != Some(Phase::AfterCommit),
        };
        comes.then(|| Self::of(pending.work, phase, true, random))
    }

    fn of(work: Work, phase: Phase, is_resumed: bool, random: &mut impl Rng) -> Self {
        let aim = match phase {
            Phase::Start if work == Work::Fill && !is_resumed => Aim::Blocked(phase, Lock::Schema),
            Phase::Start => {
                let any = [Lock::Progress, Lock::Claim, Lock::Lease];
                Aim::Blocked(phase, one_of(&any, random))
            }
            Phase::FirstCopy => during(phase, 900, random),
            Phase::KeyBuild => during(phase, 200, random),
            Phase::Rename => Aim::Blocked(phase, Lock::Reserved),
            Phase::Staging => during(phase, 20, random),
            Phase::Apply => Aim::Blocked(phase, lock_of_apply(work, random)),
            Phase::AfterCommit => Aim::Unanswered(lock_of_apply(work, random)),
        };
        let lingers = may_linger(aim) && random.random_ratio(1, 3);
        Self { work, aim, lingers }
    }

    /// A kill during a refresh.
    pub(super) fn in_refresh(random: &mut impl Rng) -> Self {
        let work = Work::Refresh;
        let lock = lock_of_apply(work, random);
        let aim = match random.random_range(0..4) {
            0 => during(Phase::Staging, 900, random),
            1 => during(Phase::KeyBuild, 100, random),
            2 => Aim::Blocked(Phase::Apply, lock),
            _ => Aim::Unanswered(lock),
        };
        let lingers = may_linger(aim) && random.random_ratio(1, 3);
        Self { work, aim, lingers }
    }

    /// A kill at any time.
    pub(super) fn anytime(random: &mut impl Rng) -> Self {
        let (work, longest) = if random.random() {
            (Work::Fill, 3_000)
        } else {
            (Work::Increment, 1_000)
        };
        let after = Duration::from_millis(random.random_range(0..longest));
        Self {
            work,
            aim: Aim::Anytime(after),
            lingers: false,
        }
    }
}

fn may_linger(aim: Aim) -> bool {
    match aim {
        Aim::Blocked(_, lock) => lock.lets_readers_pass(),
        Aim::Unanswered(_) => true,
        Aim::During(..) | Aim::Anytime(_) => false,
    }
}

fn lock_of_apply(work: Work, random: &mut impl Rng) -> Lock {
    match work {
        Work::Fill => Lock::Runs,
        Work::Increment | Work::Refresh => one_of(&[Lock::Table, Lock::Row, Lock::Runs], random),
    }
}

fn during(phase: Phase, longest_millis: u64, random: &mut impl Rng) -> Aim {
    Aim::During(
        phase,
        Duration::from_millis(random.random_range(0..longest_millis)),
    )
}

fn one_of(locks: &[Lock], random: &mut impl Rng) -> Lock {
    *locks.choose(random).expect("there are some")
}
