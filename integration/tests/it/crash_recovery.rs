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
mod process;
mod stall;
mod world;

use std::{thread, time::Instant};

use anyhow::{Context as _, Result, ensure};
use lakeferry_postgres_testkit::{Version, servers};
use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    crash_recovery::{histogram::Histogram, kill::Kill, phase::Phase, world::World},
    seed::seeded,
};

const KILLS: usize = 70;
const KILLS_LONG: usize = 3_000;

/// TPC-H's scale: 600,000 rows, so that a fill lasts.
const SCALE: f64 = 0.1;

/// Of so many kills, one comes at any time; it counts for the phase that it meets.
const ANYTIME: u32 = 8;

#[test]
fn killed_at_any_moment_nothing_is_lost_doubled_or_reordered() {
    let mut random = seeded("crash_recovery");
    let started = now();
    let servers = servers();
    let least = kills().div_ceil(Phase::ALL.len() * servers.len());
    let worlds: Vec<_> = servers.into_iter().map(|version| (version, random.random())).collect();
    let histograms = thread::scope(|scope| {
        let start = |(version, seed)| scope.spawn(move || on_server(version, seed, least));
        let running: Vec<_> = worlds.into_iter().map(start).collect();
        running.into_iter().map(|it| it.join().expect("a server's thread")).collect::<Vec<_>>()
    });
    let mut all = Histogram::default();
    for (name, histogram) in histograms {
        println!("{name}\n{histogram}\n");
        all.add_all(&histogram);
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!("all servers, {minutes:.1} minutes\n{all}");
    assert!(all.total() >= kills(), "only {} kills", all.total());
}

fn kills() -> usize {
    let from_environment = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let long = from_environment("LAKEFERRY_LONG").is_some_and(|value| value > 0);
    let default = if long { KILLS_LONG } else { KILLS };
    from_environment("LAKEFERRY_KILLS").unwrap_or(default)
}

/// Kills until each phase was met `least` times; says so with the server's name.
fn on_server(version: Version, seed: u64, least: usize) -> (String, Histogram) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let done = runtime.block_on(async {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::create(version, SCALE, random).await?;
        let histogram = kill_until_met(&mut world, least).await?;
        anyhow::Ok((format!("postgres {}", world.release()), histogram))
    });
    done.unwrap_or_else(|error| panic!("postgres {version}: {error:?}"))
}

async fn kill_until_met(world: &mut World, least: usize) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    let most = 100 + least * Phase::ALL.len() * 3;
    for number in 1..=most {
        let is_missing = |phase: &Phase| histogram.of(*phase) < least;
        let missing: Vec<_> = Phase::ALL.into_iter().filter(is_missing).collect();
        let Some(phase) = missing.choose(&mut world.random) else {
            return Ok(histogram);
        };
        let kill = if world.random.random_ratio(1, ANYTIME) {
            Kill::anytime(&mut world.random)
        } else {
            Kill::in_phase(*phase, &mut world.random)
        };
        let started = now();
        let met = world.kill(&kill).await.with_context(|| format!("kill {number}: {kill:?}"))?;
        println!(
            "postgres {}: {number}: {kill:?}: {met:?} in {:?}",
            world.release(),
            started.elapsed()
        );
        histogram.add(met);
    }
    ensure!(false, "after {most} kills, not every phase was met:\n{histogram}");
    Ok(histogram)
}

#[expect(clippy::disallowed_methods, reason = "how long a test takes is never replayed")]
fn now() -> Instant {
    Instant::now()
}
