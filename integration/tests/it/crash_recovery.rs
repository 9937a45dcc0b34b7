//! Kill it at any moment, start it again: nothing is lost, doubled or reordered.
//!
//! The built binary is killed with SIGKILL in each phase of a first fill and of increments, on
//! every Postgres. After each kill the target is absent or exactly the version that its progress
//! names; the next sync brings it to the head and leaves nothing behind. What each version is, an
//! oracle says that shares nothing with the product.
//!
//! Seven phases, 70 kills; `LAKEFERRY_KILLS=n` sets another number, `LAKEFERRY_LONG=1` is 3,000.
//! `LAKEFERRY_SEED` replays what was chosen (the moments stay those of the machine).

mod histogram;
mod kill;
mod lake;
mod oracle;
mod phase;
mod stall;
mod world;

use std::{thread, time::Instant};

use anyhow::{Context as _, Result, ensure};
use lakeferry_postgres_testkit::servers;
use rand::{
    Rng as _, SeedableRng as _,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use rand_chacha::ChaCha8Rng;

use crate::{
    crash_recovery::{histogram::Histogram, kill::Kill, phase::Phase, world::World},
    seed::seeded,
};

const KILLS: usize = 70;
const KILLS_LONG: usize = 3_000;

/// TPC-H's scale: 600,000 rows, so that a fill lasts.
const SCALE: f64 = 0.1;
const SCALE_SMALL: f64 = 0.01;

/// So often each phase is met on one lake.
const ROUND: usize = 20;

/// Of so many kills, one comes at any time; it counts for the phase that it meets.
const ANYTIME: u32 = 8;

/// Of so many kills, one comes during a refresh; it does not count.
const REFRESH: u32 = 16;

/// After so many kills, one is recovered from; what the others met is killed again, where a phase
/// that is missing comes in it.
const RECOVERED: u32 = 4;

#[test]
fn killed_at_any_moment_nothing_is_lost_doubled_or_reordered() {
    let started = now();
    let least = kills().div_ceil(Phase::ALL.len() * servers().len());
    let kill = async |world: &mut World| kill_in_rounds(world, least).await;
    let mut all = Histogram::default();
    for (server, histogram) in on_each_server("crash_recovery", SCALE, kill) {
        println!("{server}\n{histogram}\n");
        all.add_all(&histogram);
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!("all servers, {minutes:.1} minutes\n{all}");
    assert!(all.total() >= kills(), "only {} kills", all.total());
}

#[test]
fn a_second_sync_says_who_has_the_job_and_waits() {
    let syncs = async |world: &mut World| world.second_sync().await;
    on_each_server("second_sync", SCALE_SMALL, syncs);
}

fn kills() -> usize {
    let from_environment = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let long = from_environment("LAKEFERRY_LONG").is_some_and(|value| value > 0);
    let default = if long { KILLS_LONG } else { KILLS };
    from_environment("LAKEFERRY_KILLS").unwrap_or(default)
}

/// Does `work` on all servers at once, each with a world of its own; gives what came of it with
/// the server's name.
fn on_each_server<T: Send>(
    test: &str,
    scale: f64,
    work: impl AsyncFn(&mut World) -> Result<T> + Sync,
) -> Vec<(String, T)> {
    let mut random = seeded(test);
    let chances = servers()
        .into_iter()
        .map(|version| (version, random.random()));
    let work = &work;
    let on_server = |version, seed| {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let mut world = World::create(version, scale, random).await?;
            let done = work(&mut world).await?;
            Ok((format!("postgres {}", world.release()), done))
        })
    };
    thread::scope(|scope| {
        let started: Vec<_> = chances
            .map(|(version, seed)| scope.spawn(move || on_server(version, seed)))
            .collect();
        let done = started
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"));
        let done: Result<Vec<_>> = done.collect();
        done.unwrap_or_else(|error| panic!("{error:#}"))
    })
}

/// Kills until each phase was met `least` times, with a new world from time to time: a lake only
/// grows.
async fn kill_in_rounds(world: &mut World, least: usize) -> Result<Histogram> {
    let mut all = kill_until_met(world, least.min(ROUND)).await?;
    let mut met = ROUND;
    while met < least {
        *world = world.create_next().await?;
        all.add_all(&kill_until_met(world, ROUND.min(least - met)).await?);
        met += ROUND;
    }
    Ok(all)
}

/// Kills until each phase was met `least` times.
#[expect(
    clippy::print_stdout,
    reason = "a test of minutes shows where it is, and a failing one what came before"
)]
async fn kill_until_met(world: &mut World, least: usize) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    let most = 100 + least * Phase::ALL.len() * 3;
    for number in 1..=most {
        let is_missing = |phase: &Phase| histogram.of(*phase) < least;
        let missing: Vec<_> = Phase::ALL.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            world.recover().await?;
            return Ok(histogram);
        }
        let kill = match again(world, &missing) {
            Some(kill) => kill,
            None => {
                world.recover().await?;
                first(&missing, &mut world.random)
            }
        };
        let started = now();
        let name = format!("postgres {}: {number}: {kill:?}", world.release());
        let met = world.kill(&kill).await.with_context(|| name.clone())?;
        println!(
            "{name}: {met:?} in {:.1} s",
            started.elapsed().as_secs_f64()
        );
        histogram.add(kill.work, met);
    }
    ensure!(
        false,
        "after {most} kills, not every phase was met:\n{histogram}"
    );
    Ok(histogram)
}

/// A kill of what was killed before.
fn again(world: &mut World, missing: &[Phase]) -> Option<Kill> {
    let pending = world.pending()?;
    let random = &mut world.random;
    if random.random_ratio(1, RECOVERED) {
        return None;
    }
    let mut missing = missing.to_vec();
    missing.shuffle(random);
    let again = missing.into_iter();
    again
        .filter_map(|phase| Kill::again(pending, phase, random))
        .next()
}

/// A kill of new work.
fn first(missing: &[Phase], random: &mut ChaCha8Rng) -> Kill {
    if random.random_ratio(1, ANYTIME) {
        Kill::anytime(random)
    } else if random.random_ratio(1, REFRESH) {
        Kill::in_refresh(random)
    } else {
        let phase = missing.choose(random).expect("a phase is missing");
        Kill::in_phase(*phase, random)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test takes is never replayed"
)]
fn now() -> Instant {
    Instant::now()
}
