//! Two engines on one job, in a world where everything goes wrong, one seed at a time.
//!
//! After every step the target must be exactly what the oracle says its watermark means, and the
//! watermark must have moved only as its own table's history allows. At the end the world calms
//! down and the job must reach the head.
//!
//! A failing seed is printed; `LAKEFERRY_SIM_SEED=n` replays it, `LAKEFERRY_SIM_SEEDS=n` sets how
//! many are run.

#![allow(
    clippy::unwrap_used,
    reason = "a poisoned lock fails the test, as it should"
)]

mod world;

use std::collections::BTreeMap;

use world::World;

const SEEDS: u64 = 3000;
const STEPS: usize = 250;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_target_is_always_a_version_of_its_source() {
    let seeds = match from_environment("LAKEFERRY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("LAKEFERRY_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let whole = seeds.end - seeds.start > 1;
    let mut happened = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed);
        let end = (0..STEPS)
            .try_for_each(|_| world.step())
            .and_then(|()| world.calm_down());
        if let Err(wrong) = end {
            panic!(
                "{wrong}\nLAKEFERRY_SIM_SEED={seed} replays this; the last events were:\n{}",
                world.log_tail()
            );
        }
        for (event, count) in world.happened() {
            *happened.entry(event).or_insert(0) += count;
        }
    }
    println!("{happened:#?}");
    if whole {
        for event in world::MUST_HAPPEN {
            assert!(
                happened.contains_key(*event),
                "the simulation never saw: {event}"
            );
        }
    }
}
