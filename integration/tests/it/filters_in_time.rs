//! Filters that depend on time: the target is the source at one version and one instant, and time
//! alone moves exactly the rows that the predicate says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_postgres_testkit::{Version, servers};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    deployment::Deployment, fake_clock::FakeClock, lakeferry::JobDone, scene::on_each_server,
    seed::seeded, tables,
};

const JOB: &str = "seen";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The beginning of 2024-01-16 in Berlin, where it was an hour later than in UTC all winter.
const MIDNIGHT: i64 = 1_705_359_600;

/// Moments, in seconds.
fn moments(seconds: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    let micros = seconds.into_iter().map(|at| Some(at? * 1_000_000));
    Arc::new(
        micros
            .collect::<TimestampMicrosecondArray>()
            .with_timezone("UTC"),
    )
}

#[derive(Clone, Debug)]
struct Customer {
    id: i64,
    is_active: Option<bool>,
    last_seen_at: Option<i64>,
}

impl Customer {
    fn some(id: i64, day: i64, random: &mut ChaCha8Rng) -> Self {
        let at = MIDNIGHT + HOUR + day * DAY + random.random_range(0..DAY);
        Self {
            id,
            is_active: [Some(true), Some(true), Some(false), None][random.random_range(0..4)],
            last_seen_at: random.random_bool(0.9).then_some(at),
        }
    }

    /// From 30 days before the date in Berlin until its end.
    fn passes(&self, midnight: i64) -> bool {
        let begins = midnight - 30 * DAY;
        let in_time = self
            .last_seen_at
            .is_some_and(|at| at > begins && at < midnight + DAY);
        self.is_active == Some(true) && in_time
    }
}

fn customers(rows: &[Customer]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id)));
    let active: BooleanArray = rows.iter().map(|row| row.is_active).collect();
    tables::batch([
        ("id", ids, false),
        ("is_active", Arc::new(active) as ArrayRef, true),
        (
            "last_seen_at",
            moments(rows.iter().map(|row| row.last_seen_at)),
            true,
        ),
    ])
}

/// The data files of a table.
fn data_files(lake: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(lake)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|of| of == "parquet"));
    files.collect()
}

/// A file for each day from 45 days before midnight on: all rows, and the files that can hold one
/// which moves then.
async fn days(lake: &Path, random: &mut ChaCha8Rng) -> (Vec<Customer>, BTreeSet<PathBuf>) {
    let mut rows = Vec::new();
    let mut readable = BTreeSet::new();
    let schema = customers(&[]).schema();
    let mut table = DeltaTable::create(lake, &schema, NewTable::with_feed())
        .await
        .unwrap();
    for day in -45..5 {
        let first = rows.len() as i64;
        let more: Vec<_> = (first..first + 20)
            .map(|id| Customer::some(id, day, random))
            .collect();
        let before = data_files(lake);
        table.append(customers(&more)).await.unwrap();
        let times = || more.iter().filter_map(|row| row.last_seen_at);
        let (least, most) = (times().min().unwrap(), times().max().unwrap());
        let can_go = most > MIDNIGHT - 31 * DAY && least <= MIDNIGHT - 30 * DAY;
        let can_come = most >= MIDNIGHT && least < MIDNIGHT + DAY;
        if can_go || can_come {
            readable.extend(data_files(lake).difference(&before).cloned());
        }
        rows.extend(more);
    }
    (rows, readable)
}

/// Over midnight exactly the rows that the predicate says move, while all data files that cannot
/// hold them are unreadable. Before, after, and with a clock that was set back, nothing happens.
#[test]
fn over_midnight_only_what_moves_is_read() {
    let mut random = seeded("over_midnight_only_what_moves_is_read");
    for version in servers() {
        let Some(clock) = FakeClock::find(MIDNIGHT - 10) else {
            return;
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(over_midnight(version, clock, &mut random));
    }
}

async fn over_midnight(version: Version, mut clock: FakeClock, random: &mut ChaCha8Rng) {
    let mut deployment = Deployment::start(version);
    let lake = deployment.lake(JOB);
    let filter = "filter: is_active = true AND last_seen_at > CURRENT_DATE - INTERVAL 30 DAYS \
        AND last_seen_at < date_add(current_date(), 1)";
    deployment.job(JOB, &lake, &["timezone: Europe/Berlin", filter]);
    let (rows, readable) = days(&lake, random).await;
    let passing = |midnight: i64| -> BTreeMap<i64, &Customer> {
        let passing = rows.iter().filter(|row| row.passes(midnight));
        passing.map(|row| (row.id, row)).collect()
    };
    let (before, after) = (passing(MIDNIGHT - DAY), passing(MIDNIGHT));
    let ids = |rows: &BTreeMap<i64, &Customer>| -> String {
        rows.keys().map(|id| format!("{id}\n")).collect()
    };
    let kept = || deployment.sql("SELECT id FROM seen ORDER BY id") + "\n";

    deployment.sync_at(&clock).assert_only("fill the table");
    assert_eq!(kept(), ids(&before));
    let idle = |clock: &FakeClock| {
        let transaction = deployment.next_transaction();
        assert_eq!(deployment.sync_at(clock).steps.len(), 0, "{clock:?}");
        assert_eq!(deployment.next_transaction(), transaction, "{clock:?}");
    };
    clock.now = MIDNIGHT - 2;
    idle(&clock);

    let files = data_files(&lake);
    for file in files.difference(&readable) {
        fs::set_permissions(file, fs::Permissions::from_mode(0o0)).unwrap();
    }
    let refused = deployment.run_at(&["backfill", JOB], &clock).failure(3);
    assert!(refused.contains("ermission denied"), "{refused}");
    clock.now = MIDNIGHT;
    let plan = deployment.run_at(&["plan"], &clock).result();
    assert_eq!(plan[0]["files"], readable.len(), "{plan}");
    assert_eq!(plan[0]["filter_time"]["at"], "2024-01-15", "{plan}");
    assert_eq!(plan[0]["filter_time"]["due"], "2024-01-16", "{plan}");
    let done = deployment.sync_at(&clock);
    done.assert_only("move the filter to 2024-01-16");
    let come = after.keys().filter(|id| !before.contains_key(id)).count();
    let gone = before.keys().filter(|id| !after.contains_key(id)).count();
    assert!(come > 0 && gone > 0, "{come} came, {gone} went");
    assert_eq!(done.rows(), [come as u64, 0, gone as u64]);
    assert_eq!(kept(), ids(&after));
    let history = deployment.run_at(&["history"], &clock).result();
    let kinds = [&history[0]["kind"], &history[1]["kind"]];
    assert_eq!(kinds, ["moved", "fill"]);
    let status = deployment.run_at(&["status"], &clock).result();
    let time = &status[0]["filter_time"];
    assert_eq!(
        (&time["at"], &time["due"]),
        (&"2024-01-16".into(), &serde_json::Value::Null)
    );
    for now in [MIDNIGHT + DAY - 60, MIDNIGHT - 3 * DAY] {
        clock.now = now;
        idle(&clock);
    }
    println!(
        "{} of {} files readable; {come} rows came, {gone} went",
        readable.len(),
        files.len()
    );
}

/// From when until when a row passes.
type Span = (Option<i64>, Option<i64>);

fn puts(rows: &BTreeMap<i64, Span>) -> RecordBatch {
    let ops = StringArray::from_iter_values(rows.values().map(|_| "put"));
    let op: (&str, ArrayRef, bool) = (OP_COLUMN, Arc::new(ops), false);
    tables::batch([op].into_iter().chain(spans(rows)))
}

fn spans(rows: &BTreeMap<i64, Span>) -> [(&'static str, ArrayRef, bool); 3] {
    let ids = Int64Array::from_iter_values(rows.keys().copied());
    [
        ("id", Arc::new(ids), false),
        ("starts_at", moments(rows.values().map(|span| span.0)), true),
        ("ends_at", moments(rows.values().map(|span| span.1)), true),
    ]
}

fn some_span(now: i64, random: &mut ChaCha8Rng) -> Span {
    let mut some = || {
        let at = now + random.random_range(-8 * HOUR..16 * HOUR);
        // Often at the very beginning of a step.
        let at = if random.random() {
            at - at.rem_euclid(HOUR)
        } else {
            at
        };
        random.random_bool(0.85).then_some(at)
    };
    (some(), some())
}

/// Commits and hours that pass, in any order, and clocks that are set back: after each sync the
/// target has the rows of the newest version at the latest instant, cut to the hour.
#[test]
fn versions_and_time_move_in_turns() {
    if FakeClock::find(0).is_none() {
        return;
    }
    let counts = on_each_server(
        "versions_and_time_move_in_turns",
        async |version, random| in_turns(version, random).await,
    );
    for [syncs, moves, rows] in counts {
        println!("{syncs} syncs, {moves} by time, {rows} rows moved by it");
        assert!(moves > 0 && rows > 0);
    }
}

async fn in_turns(version: Version, mut random: ChaCha8Rng) -> [u64; 3] {
    let mut clock = FakeClock::find(MIDNIGHT).unwrap();
    let mut deployment = Deployment::start(version);
    let lake = deployment.lake(JOB);
    let filter =
        "filter: starts_at <= current_timestamp() AND (ends_at > now() OR ends_at IS NULL)";
    deployment.job(JOB, &lake, &[filter, "filter_every: 1h"]);
    // So that a commit is a small part of the table.
    let mut rows: BTreeMap<i64, Span> = (0..2_000).map(|id| (id, (Some(0), None))).collect();
    let new = match random.random() {
        true => NewTable::with_feed(),
        false => NewTable::without_feed(),
    };
    let all = tables::batch(spans(&rows));
    let mut table = DeltaTable::create_with(&lake, all, new).await.unwrap();
    let (mut instant, mut counts) = (i64::MIN, [0; 3]);
    for _ in 0..25 {
        let commits = random.random_range(0..3);
        for _ in 0..commits {
            let changed: BTreeMap<i64, Span> = (0..random.random_range(1..20))
                .map(|_| {
                    (
                        random.random_range(1_950..2_100),
                        some_span(clock.now, &mut random),
                    )
                })
                .collect();
            table.merge(&["id"], puts(&changed)).await.unwrap();
            rows.extend(changed);
        }
        clock.now += match random.random_range(0..6) {
            0 => 0,
            1 => random.random_range(-10 * HOUR..0),
            _ => random.random_range(0..12 * HOUR),
        };
        instant = instant.max(clock.now - clock.now.rem_euclid(HOUR));
        let done = deployment.sync_at(&clock);
        let passes = |span: &Span| {
            let ends = span.1.is_none_or(|ends| instant < ends);
            span.0.is_some_and(|starts| starts <= instant) && ends
        };
        let passing = rows.iter().filter(|(_, span)| passes(span));
        let passing: String = passing.map(|(id, _)| format!("{id}\n")).collect();
        let found = deployment.sql("SELECT id FROM seen ORDER BY id") + "\n";
        assert_eq!(found, passing, "{done:?}");
        count(&done, &mut counts);
    }
    counts
}

/// Time moves last, and once.
fn count(done: &JobDone, [syncs, moves, rows]: &mut [u64; 3]) {
    let by_time = |kind: &str| kind.starts_with("move the filter");
    *syncs += 1;
    for (place, step) in done.steps.iter().enumerate() {
        if by_time(&step.kind) {
            assert_eq!(place + 1, done.steps.len(), "{done:?}");
            *moves += 1;
            *rows += step.inserted + step.updated + step.deleted;
        }
    }
}
