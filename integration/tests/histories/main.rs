//! Random histories of real Delta tables, each with a job that runs now and then: whatever happened,
//! the target is the version that its watermark tells, or the run halted for a reason.
//!
//! The real source and the real engine work over the target in memory, and in one history of fifty
//! over Postgres. `LAKEFERRY_SEED` repeats what was chosen, `LAKEFERRY_HISTORIES` says how many
//! histories there are; `LAKEFERRY_LONG=1` means ten thousand.

#![allow(clippy::print_stdout, reason = "a test shows its seed and its figures")]

mod chance;
mod filter;
mod history;
mod job;
mod lake;
mod ledger;
mod mapped;
mod operation;
mod real;
mod shelf;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use lakeferry_postgres_testkit::{Server, servers};
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    history::{History, Seen},
    operation::KINDS,
    shelf::{Memory, Postgres, Shelf},
};

const SHORT: u64 = 300;
const LONG: u64 = 10_000;

/// One history of so many is on Postgres.
const ON_POSTGRES: u64 = 50;

/// No operation is a smaller share of all.
const LEAST_SHARE: f64 = 0.02;

/// After each so many it is told how far the test is.
const TOLD: u64 = 1_000;

/// No history takes so long, unless a run turns in circles.
const ENDLESS: Duration = Duration::from_secs(300);

/// So many histories have their shares by more than chance.
const ENOUGH: u64 = 1_000;

#[test]
fn whatever_happens_a_target_is_a_version_of_its_source() {
    let count = number("LAKEFERRY_HISTORIES");
    let count = count.unwrap_or(match env::var_os("LAKEFERRY_LONG") {
        Some(_) => LONG,
        None => SHORT,
    });
    let seed = number("LAKEFERRY_SEED").unwrap_or_else(rand::random);
    println!("{count} histories: LAKEFERRY_SEED={seed}");
    let seen = all(seed, count);
    let happened = |kind: &&str| seen.get(*kind).copied().unwrap_or_default();
    let total: u64 = KINDS.iter().map(happened).sum();
    for (kind, count) in &seen {
        println!("{count:7} {:5.1} % {kind}", share(*count, total));
    }
    // In a few it is also by chance.
    let least = if count < ENOUGH { 50.0 } else { 100.0 } * LEAST_SHARE;
    let rare = |kind: &&&str| share(happened(kind), total) < least;
    let rare: Vec<_> = KINDS.iter().filter(rare).collect();
    assert!(count < SHORT || rare.is_empty(), "too rare: {rare:?}");
}

fn share(count: u64, total: u64) -> f64 {
    100.0 * count as f64 / total as f64
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// What was seen in so many histories, several of them at once.
fn all(seed: u64, count: u64) -> Seen {
    let runtime = Runtime::new().expect("threads can be had");
    let servers: Vec<Server> = servers()
        .into_iter()
        .map(|version| Server::start(version).expect("the server starts"))
        .collect();
    let urls = servers.iter().map(|server| {
        println!("postgres {}", server.release());
        server
            .create_database("histories")
            .expect("a database can be made")
    });
    let urls: Vec<String> = urls.collect();
    let (next, seen) = (AtomicU64::new(0), Mutex::new(Seen::new()));
    let failed = Mutex::new(None);
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return;
            }
            match one(&runtime, seed.wrapping_add(place), &urls) {
                Ok(more) => {
                    if (place + 1).is_multiple_of(TOLD) {
                        println!("{} histories", place + 1);
                    }
                    let mut seen = seen.lock().expect("nobody panics with it");
                    for (what, count) in more {
                        *seen.entry(what).or_default() += count;
                    }
                }
                Err(wrong) => {
                    next.store(count, Ordering::Relaxed);
                    let wrong = format!("after {place} histories: {wrong}");
                    failed
                        .lock()
                        .expect("nobody panics with it")
                        .get_or_insert(wrong);
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    if let Some(wrong) = failed.into_inner().expect("nobody panicked with it") {
        panic!("{wrong}");
    }
    seen.into_inner().expect("nobody panicked with it")
}

/// The history of this seed, or what is wrong.
fn one(runtime: &Runtime, seed: u64, urls: &[String]) -> Result<Seen, String> {
    let round = seed / ON_POSTGRES;
    let name = format!("history_{seed}");
    match usize::try_from(round % urls.len().max(1) as u64) {
        Ok(place) if seed.is_multiple_of(ON_POSTGRES) && place < urls.len() => {
            let shelf = runtime.block_on(Postgres::new(&urls[place], &name));
            let shelf = shelf.map_err(|error| format!("{error:#}"))?;
            let mut seen = told(runtime, &name, seed, shelf)?;
            seen.insert("on Postgres".to_owned(), 1);
            Ok(seen)
        }
        _ => told(runtime, &name, seed, Memory::default()),
    }
}

fn told<S: Shelf>(runtime: &Runtime, name: &str, seed: u64, shelf: S) -> Result<Seen, String> {
    let repeat = format!("LAKEFERRY_SEED={seed} LAKEFERRY_HISTORIES=1");
    let history = runtime.block_on(History::new(name, seed, shelf));
    let mut history = history.map_err(|error| format!("{repeat}: {error:#}"))?;
    let run = || {
        let run = async { timeout(ENDLESS, history.run()).await };
        let ended = runtime.block_on(Box::pin(run));
        ended.unwrap_or_else(|_| Err(anyhow!("it has no end")))
    };
    let wrong = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return Ok(history.seen),
        Ok(Err(wrong)) => format!("{wrong:#}"),
        Err(_) => "it panicked".to_owned(),
    };
    let operations: Vec<String> = history
        .operations
        .iter()
        .map(|operation| format!("{operation:?}"))
        .collect();
    Err(format!(
        "{repeat}\n{}\n{}\n{wrong}",
        history.told,
        operations.join("\n")
    ))
}
