//! After each sync the target has exactly the rows of its source, whatever was committed between
//! two syncs, and at no moment in between anything but the rows of a version.
//!
//! The rows of the runways come from an oracle that shares nothing with the product; `LAKEFERRY_LONG`
//! replays the whole history instead of three parts.

use std::thread;

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;
use rand::Rng as _;

use crate::{
    deployment::Deployment,
    moving::Moving,
    replay::{Part, Seen, replay},
    seed::seeded,
};

/// Slow growth, and version 116, which rewrites a third of the rows.
#[tokio::test(flavor = "multi_thread")]
async fn runways_from_0_to_160() {
    let part = Part {
        versions: 0..=160,
        feed: true,
        commits_most: 9,
        stops: &[116],
        readings_least: 10,
    };
    let Some(seen) = replay("runways_from_0_to_160", &part).await else {
        return;
    };
    assert!(seen.readings >= 1_000, "only {} readings", seen.readings);
    assert!(seen.syncs >= 2 * 18, "only {} syncs", seen.syncs);
    assert!(
        seen.rows_compared >= seen.syncs * 17_000,
        "only {} rows",
        seen.rows_compared
    );
}

/// Version 1008 deletes every row, 1009 brings them back.
#[tokio::test(flavor = "multi_thread")]
async fn runways_from_995_to_1040() {
    let part = Part {
        versions: 995..=1040,
        feed: true,
        commits_most: 5,
        stops: &[1008, 1009],
        readings_least: 10,
    };
    let Some(seen) = replay("runways_from_995_to_1040", &part).await else {
        return;
    };
    assert!(seen.syncs >= 2 * 10, "only {} syncs", seen.syncs);
}

/// Version 1298 changes the data of 3,162 rows.
#[tokio::test(flavor = "multi_thread")]
async fn runways_from_1290_to_1300() {
    let part = Part {
        versions: 1290..=1300,
        feed: true,
        commits_most: 2,
        stops: &[1298],
        readings_least: 10,
    };
    let Some(seen) = replay("runways_from_1290_to_1300", &part).await else {
        return;
    };
    assert!(seen.syncs >= 2 * 6, "only {} syncs", seen.syncs);
}

/// Without a feed every commit rewrites files, and most rows of theirs are copies. They never reach
/// Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn runways_without_a_feed() {
    let part = Part {
        versions: 1000..=1030,
        feed: false,
        commits_most: 5,
        stops: &[1008, 1009],
        readings_least: 4,
    };
    let Some(seen) = replay("runways_without_a_feed", &part).await else {
        return;
    };
    assert!(seen.syncs >= 2 * 6, "only {} syncs", seen.syncs);
    few_are_copied(&seen, 100_000);
    // Where nearly all rows changed, all are staged.
    let of_files = |(kind, _): &(&String, &u64)| kind.contains("files that came and went");
    let of_files: u64 = seen
        .steps
        .iter()
        .filter(of_files)
        .map(|(_, count)| count)
        .sum();
    assert!(of_files >= 2 * 6, "{:?}", seen.steps);
}

/// The whole history: a quarter of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn runways_without_a_feed_from_first_to_last() {
    if std::env::var_os("LAKEFERRY_LONG").is_none() {
        println!("skipped: set LAKEFERRY_LONG to replay all 1,476 versions");
        return;
    }
    let part = Part {
        versions: 0..=1475,
        feed: false,
        commits_most: 40,
        stops: &[1008, 1009],
        readings_least: 1,
    };
    if let Some(seen) = replay("runways_without_a_feed_from_first_to_last", &part).await {
        few_are_copied(&seen, 300_000);
    }
}

/// The rows of COPYs are no more than half as many again as those that changed, `least` at least.
fn few_are_copied(seen: &Seen, least: u64) {
    let (copied, changed) = (seen.rows_copied, seen.rows_changed);
    assert!(changed > least, "only {changed} rows changed");
    assert!(
        2 * copied <= 3 * changed,
        "{copied} rows were copied for {changed} that changed"
    );
}

/// The whole history: about an hour.
#[tokio::test(flavor = "multi_thread")]
async fn runways_from_first_to_last() {
    if std::env::var_os("LAKEFERRY_LONG").is_none() {
        println!("skipped: set LAKEFERRY_LONG to replay all 1,476 versions");
        return;
    }
    let part = Part {
        versions: 0..=1475,
        feed: true,
        commits_most: 12,
        stops: &[1008, 1009],
        readings_least: 4,
    };
    let Some(seen) = replay("runways_from_first_to_last", &part).await else {
        return;
    };
    assert!(seen.readings >= 1_000, "only {} readings", seen.readings);
    assert!(seen.syncs >= 2 * 123, "only {} syncs", seen.syncs);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_move_onto_each_other() {
    const SYNCS: u64 = 20;
    let mut random = seeded("keys_that_move_onto_each_other");
    let lake = tempfile::tempdir().unwrap();
    let mut moving = Moving::create(lake.path(), &mut random).await;
    let deployments: Vec<_> = servers()
        .into_iter()
        .map(|version| {
            let mut deployment = Deployment::start(version);
            deployment.job("moving", lake.path(), &[]);
            deployment
        })
        .collect();
    for round in 0..SYNCS {
        for _ in 0..random.random_range(1..=3) {
            moving.commit(&mut random).await;
        }
        if round == SYNCS / 2 {
            moving.raise(i64::MIN, None).await;
        }
        for deployment in &deployments {
            deployment.sync();
            let found = deployment.dump("moving");
            assert_eq!(
                found,
                moving.as_csv(),
                "at version {}",
                moving.table.version()
            );
        }
    }
    println!(
        "{SYNCS} syncs, the last at version {} with {} rows",
        moving.table.version(),
        moving.rows.len()
    );
    for deployment in &deployments {
        let kinds = deployment.run_kinds();
        for kind in ["changes", "refresh"] {
            let count = kinds.iter().filter(|found| *found == kind).count();
            println!("postgres {}: {count} × {kind}", deployment.release());
            assert!(count > 0, "no {kind} among {kinds:?}");
        }
    }
}

/// Two processes sync one job at the same time: what there is to apply is applied once, by one of
/// them, the first fill included.
#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_apply_each_change_once() {
    const ROUNDS: usize = 8;
    let mut random = seeded("two_at_once_apply_each_change_once");
    for version in servers() {
        let lake = tempfile::tempdir().unwrap();
        let mut moving = Moving::create(lake.path(), &mut random).await;
        let mut deployment = Deployment::start(version);
        deployment.job("moving", lake.path(), &[]);
        for _ in 0..ROUNDS {
            let sync = || deployment.run(&["sync"]);
            let both = thread::scope(|scope| {
                [scope.spawn(sync), scope.spawn(sync)].map(|it| it.join().unwrap())
            });
            for said in both {
                let [job] = said.jobs_done().try_into().unwrap();
                assert_eq!(job.through, Some(moving.table.version()), "{said}");
            }
            assert_eq!(deployment.dump("moving"), moving.as_csv());
            moving.commit(&mut random).await;
        }
        let kinds = deployment.run_kinds();
        assert_eq!(kinds.len(), ROUNDS, "{kinds:?}");
    }
}

/// A feed that is turned on later: what was committed before is read from files.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_can_be_turned_on_and_off() {
    for version in servers() {
        let lake = tempfile::tempdir().unwrap();
        let mut random = seeded("a_feed_can_be_turned_on_and_off");
        let mut moving =
            Moving::create_with(lake.path(), NewTable::without_feed(), 4_000, &mut random).await;
        let mut deployment = Deployment::start(version);
        deployment.job("moving", lake.path(), &["refresh_above: 100%"]);
        deployment.sync();
        for on in [true, false] {
            let feed = [(
                "delta.enableChangeDataFeed",
                if on { "true" } else { "false" },
            )];
            moving.insert("before").await;
            moving.table.set_properties(&feed).await.unwrap();
            moving.insert("after").await;
            let done = deployment.sync();
            assert!(
                done.steps
                    .iter()
                    .all(|step| step.kind.contains("apply the changes")),
                "{done:?}"
            );
            assert_eq!(deployment.dump("moving"), moving.as_csv());
        }
    }
}
