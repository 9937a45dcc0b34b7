//! After each sync the target has exactly the rows of its source, whatever was committed between
//! two syncs, and at no moment in between anything but the rows of a version.
//!
//! The rows of the runways come from an oracle that shares nothing with the product; `LAKEFERRY_LONG`
//! replays the whole history instead of three parts.

use std::{collections::BTreeMap, path::Path, thread};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    deployment::Deployment,
    replay::{Part, replay},
    seed::seeded,
    tables,
};

/// Slow growth, and version 116, which rewrites a third of the rows.
#[tokio::test(flavor = "multi_thread")]
async fn runways_from_0_to_160() {
    let part = Part {
        versions: 0..=160,
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
        commits_most: 2,
        stops: &[1298],
        readings_least: 10,
    };
    let Some(seen) = replay("runways_from_1290_to_1300", &part).await else {
        return;
    };
    assert!(seen.syncs >= 2 * 6, "only {} syncs", seen.syncs);
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

/// Rows of a table whose keys move onto each other, and the Delta table that has them.
struct Moving {
    table: DeltaTable,
    rows: BTreeMap<i64, String>,
}

impl Moving {
    /// Rows enough that a small change is a small part of the table's files.
    async fn create(path: &Path, random: &mut ChaCha8Rng) -> Self {
        Self::create_with(path, NewTable::with_feed(), random).await
    }

    async fn create_with(path: &Path, new: NewTable, random: &mut ChaCha8Rng) -> Self {
        let word = |_| format!("{:032x}", random.random::<u128>());
        let rows: BTreeMap<i64, String> = (0..4_000).zip((0..4_000).map(word)).collect();
        let words: Vec<_> = rows
            .iter()
            .map(|(id, word)| (*id, Some(word.as_str())))
            .collect();
        let table = tables::create(path, new, &words).await;
        Self { table, rows }
    }

    /// One commit: an UPDATE that raises the keys of all rows or of the last ones, a DELETE, or a
    /// MERGE that updates one row and inserts another.
    async fn commit(&mut self, random: &mut ChaCha8Rng) {
        let last = *self.rows.keys().next_back().unwrap();
        match random.random_range(0..6) {
            0 => self.raise(i64::MIN, None).await,
            1..=3 => {
                let from = last - random.random_range(0..200);
                self.raise(from, Some(&format!("id >= {from}"))).await;
            }
            4 => {
                let nth = random.random_range(0..self.rows.len());
                let from = *self.rows.keys().nth(nth).unwrap();
                let gone = from..from + 20;
                let predicate = format!("id >= {} AND id < {}", gone.start, gone.end);
                self.table.delete(Some(&predicate)).await.unwrap();
                self.rows.retain(|id, _| !gone.contains(id));
            }
            _ => {
                let word = format!("{:032x}", random.random::<u128>());
                let puts = [(last, Some(word.as_str())), (last + 1, Some("new"))];
                self.table
                    .merge(&["id"], tables::puts(&puts))
                    .await
                    .unwrap();
                self.rows
                    .extend(puts.map(|(id, word)| (id, word.unwrap().to_owned())));
            }
        }
    }

    /// `UPDATE … SET id = id + 1` where the id is at least `from`.
    async fn raise(&mut self, from: i64, predicate: Option<&str>) {
        self.table
            .update(&[("id", "id + 1")], predicate)
            .await
            .unwrap();
        let raised = self.rows.split_off(&from);
        self.rows
            .extend(raised.into_iter().map(|(id, word)| (id + 1, word)));
    }

    /// Appends one row.
    async fn insert(&mut self, word: &str) {
        let id = self.rows.keys().next_back().unwrap() + 1;
        let row = tables::words(&[(id, Some(word))]);
        self.table.append(row).await.unwrap();
        self.rows.insert(id, word.to_owned());
    }

    fn as_csv(&self) -> String {
        let lines = self.rows.iter().map(|(id, word)| format!("{id},{word}"));
        lines.collect::<Vec<_>>().join("\n")
    }
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
            Moving::create_with(lake.path(), NewTable::without_feed(), &mut random).await;
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
