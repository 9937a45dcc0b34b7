//! Filters that depend on time: what they mean at an instant, and what moves between two.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StructArray, TimestampMicrosecondArray,
};
use futures_util::TryStreamExt as _;
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::NewTable;
use lakeferry_model::{Instant, Sign, Source as _};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use crate::{
    filters::{SOME_TIME, a_table, filter_of},
    world::{World, array, batch, rows_at, texts},
};

const DAY: i64 = 86_400_000_000;

/// 2024-02-29, in days since 1970.
const SOME_DAY: i32 = 19_782;

fn table(ids: Vec<i64>, days: Vec<Option<i32>>, seen: Vec<Option<i64>>) -> RecordBatch {
    let local = TimestampMicrosecondArray::from(seen.clone());
    let seen = TimestampMicrosecondArray::from(seen).with_timezone("UTC");
    batch(&[
        ("id", array::<Int64Array>(ids)),
        ("day", array::<Date32Array>(days)),
        ("seen", array::<TimestampMicrosecondArray>(seen)),
        ("local", array::<TimestampMicrosecondArray>(local)),
    ])
}

fn kept(ids: &[i64]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_that_of_the_instant_however_it_is_spelt() {
    // Now, and 1, 30 and 31 days ago, tomorrow, and never.
    let ago = [Some(0), Some(1), Some(30), Some(31), Some(-1), None];
    let rows = table(
        (1..=6).collect(),
        ago.map(|days| Some(SOME_DAY - days?)).into(),
        ago.map(|days| Some(SOME_TIME - i64::from(days?) * DAY))
            .into(),
    );
    let (world, _table) = World::with(NewTable::without_feed(), rows).await;
    let cases: [(&str, &[i64]); 27] = [
        ("day = CURRENT_DATE", &[1]),
        ("day = current_date()", &[1]),
        ("day = Curdate()", &[1]),
        ("seen = CURRENT_TIMESTAMP", &[1]),
        ("seen = current_timestamp()", &[1]),
        ("seen = now()", &[1]),
        ("local = now()", &[1]),
        ("seen > CURRENT_DATE - INTERVAL 30 DAYS", &[1, 2, 3, 5]),
        ("day > CURRENT_DATE - INTERVAL 30 DAYS", &[1, 2, 5]),
        ("day > CURRENT_DATE - INTERVAL '30' DAY", &[1, 2, 5]),
        ("day > CURRENT_DATE - INTERVAL '30 days'", &[1, 2, 5]),
        ("day > CURRENT_DATE - 30", &[1, 2, 5]),
        ("day > date_sub(current_date(), 30)", &[1, 2, 5]),
        ("day > date_add(current_date(), -30)", &[1, 2, 5]),
        ("day > dateadd(DAY, -30, current_date())", &[1, 2, 5]),
        ("day > date_sub(now(), 30)", &[1, 2, 5]),
        ("day > add_months(current_date(), -1)", &[1, 2, 3, 5]),
        (
            "day > timestampadd(QUARTER, -1, CURRENT_DATE)",
            &[1, 2, 3, 4, 5],
        ),
        (
            "seen > timestampadd(HOUR, -36, current_timestamp())",
            &[1, 2, 5],
        ),
        ("datediff(current_date(), seen) < 30", &[1, 2, 5]),
        ("seen > CURRENT_DATE - INTERVAL 12 HOURS", &[1, 2, 5]),
        ("seen > CURRENT_DATE - INTERVAL 11 HOURS", &[1, 5]),
        ("seen BETWEEN current_date() AND now()", &[1]),
        ("local <= now()", &[1, 2, 3, 4]),
        (
            "CAST(seen AS DATE) IN (current_date(), DATE '2024-01-29')",
            &[1, 4],
        ),
        (
            "day < CURRENT_DATE + INTERVAL 1 MONTH AND seen <> now()",
            &[2, 3, 4, 5],
        ),
        ("(seen < now()) IS NULL", &[6]),
    ];
    for (filter, ids) in cases {
        let source = world.source(Some(&["id"]), Some(filter));
        let rows = rows_at(&source, Instant(SOME_TIME)).await;
        assert_eq!(rows, kept(ids), "{filter}");
        // Only those that ask for nothing but the date move with it.
        let instant = source.filter_instant(Instant(SOME_TIME)).unwrap();
        let is_daily = !(filter.contains("now()") || filter.to_lowercase().contains("stamp()"));
        let is_daily = is_daily && !filter.contains("TIMESTAMP");
        let midnight = i64::from(SOME_DAY) * DAY;
        assert_eq!(instant.0 == midnight, is_daily, "{filter}");
    }
    let source = world.source(None, Some("seen > TIMESTAMP '2024-01-01'"));
    assert_eq!(source.filter_instant(Instant(SOME_TIME)), None);
}

/// In the job's time zone, as Spark reads in that of its session.
#[tokio::test(flavor = "multi_thread")]
async fn dates_are_those_of_the_time_zone() {
    let at = |day: i64, hour: i64, second: i64| {
        Some((i64::from(SOME_DAY) + day) * DAY + (hour * 3_600 + second) * 1_000_000)
    };
    // To the second: the last of 29 February and the first of 1 March in Oslo, and the same of
    // 28 and 29 February in New York.
    let seen = vec![at(0, 22, 3_599), at(0, 23, 0), at(0, 4, 3_599), at(0, 5, 0)];
    let days = [0, 1, -1, 0].map(|days| Some(SOME_DAY + days)).to_vec();
    let (world, mut table_) = World::with(
        NewTable::without_feed(),
        table((1..=4).collect(), days, seen),
    )
    .await;
    let local = vec![
        at(0, 23, 3_599),
        at(0, 23, 1_800),
        at(1, 0, 1_800),
        at(0, 18, 1_801),
    ];
    let others = table((5..=8).collect(), vec![None; 4], vec![None; 4]);
    let local = array::<TimestampMicrosecondArray>(TimestampMicrosecondArray::from(local));
    let mut columns = others.columns().to_vec();
    columns[3] = local;
    let others = RecordBatch::try_new(others.schema(), columns).unwrap();
    table_.append(others).await.unwrap();
    let now = Instant(at(0, 23, 1_800).unwrap());
    let zones = [
        chrono_tz::Tz::UTC,
        chrono_tz::Tz::Europe__Oslo,
        chrono_tz::Tz::America__New_York,
    ];
    let cases: [(&str, [&[i64]; 3]); 9] = [
        ("seen >= CURRENT_DATE", [&[1, 2, 3, 4], &[2], &[1, 2, 4]]),
        (
            "CAST(seen AS DATE) = CURRENT_DATE",
            [&[1, 2, 3, 4], &[2], &[1, 2, 4]],
        ),
        ("datediff(CURRENT_DATE, seen) = 1", [&[], &[1, 3, 4], &[3]]),
        ("day = CURRENT_DATE", [&[1, 4], &[2], &[1, 4]]),
        (
            "seen >= TIMESTAMP '2024-02-29 23:00:00'",
            [&[2], &[1, 2], &[]],
        ),
        ("seen >= '2024-02-29 23:00:00'", [&[2], &[1, 2], &[]]),
        (
            "id > 4 AND local <= CURRENT_TIMESTAMP",
            [&[6, 8], &[5, 6, 7, 8], &[]],
        ),
        ("seen = day", [&[], &[2], &[4]]),
        ("day IN (seen, DATE '2024-02-28')", [&[3], &[2, 3], &[3, 4]]),
    ];
    for (filter, wanted) in cases {
        for (timezone, ids) in zones.into_iter().zip(wanted) {
            let settings = Settings {
                timezone,
                ..world.settings(Some(&["id"]), Some(filter))
            };
            let source = DeltaSource::new(settings).unwrap();
            let rows = rows_at(&source, now).await;
            assert_eq!(rows, kept(ids), "{filter} in {timezone}");
        }
    }
}

/// What would be read in UTC, or not as in Spark, is refused by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_zone_cannot_have_is_refused() {
    let rows = table(vec![1], vec![None], vec![None]);
    let times = rows.schema().field(2).clone();
    let nested = StructArray::from(vec![(Arc::new(times), rows.column(2).clone())]);
    let mut columns: Vec<(&str, ArrayRef)> = vec![("nested", Arc::new(nested))];
    let names = ["id", "day", "seen", "local"];
    columns.extend(names.into_iter().zip(rows.columns().iter().cloned()));
    let (world, _table) = World::with(NewTable::without_feed(), batch(&columns)).await;
    let in_oslo = |filter| {
        let timezone = chrono_tz::Tz::Europe__Oslo;
        let settings = world.settings(None, Some(filter));
        DeltaSource::new(Settings {
            timezone,
            ..settings
        })
        .unwrap()
    };
    // What the filter does not read may be as it likes.
    in_oslo("seen > now()").check().await.unwrap();
    let mut told = Vec::new();
    for filter in [
        "date_trunc('day', seen) = CURRENT_DATE",
        "extract(year FROM seen) = 2024",
        "CAST(seen AS TIMESTAMP) < local",
        "coalesce(seen, CURRENT_DATE) > now()",
        "to_timestamp('2024-01-01') < seen",
        "nested.seen > now()",
    ] {
        world.source(None, Some(filter)).check().await.unwrap();
        let error = in_oslo(filter).check().await.unwrap_err();
        told.push(format!("{filter}\n{}", world.told(&error)));
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

/// Comparisons with the time, at instants of `SOME_TIME` and a few steps or days before or after.
fn some_moment() -> impl Strategy<Value = String> {
    let ops = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let pairs = prop_oneof![
        (-3_i64..3, prop::sample::select(vec!["ts", "ntz"])).prop_map(|(step, column)| {
            (
                column,
                format!("now() + INTERVAL '{} MICROSECONDS'", step * 400),
            )
        }),
        (-2_i32..3).prop_map(|days| {
            let days = SOME_DAY + days;
            ("day", format!("CURRENT_DATE - INTERVAL {days} DAYS"))
        }),
        Just((
            "long",
            "datediff(CURRENT_DATE, DATE '2024-02-29')".to_owned()
        )),
    ];
    (pairs, ops).prop_map(|((column, value), op)| format!("{column} {op} {value}"))
}

/// What moves between two instants is what the rows at them differ by, whatever may be skipped.
#[tokio::test(flavor = "multi_thread")]
async fn skipping_costs_no_row_that_moves() {
    let mut runner = TestRunner::new(Config::default());
    let (mut skipped, mut moved) = (0, 0);
    for partitions in [&[][..], &["part", "num"], &["day"]] {
        for _ in 0..4 {
            let (world, mut table) = a_table(&mut runner, partitions).await;
            if runner.rng().random_bool(0.5) {
                table.checkpoint().await.unwrap();
            }
            for _ in 0..60 {
                let filter = filter_of(some_moment())
                    .new_tree(&mut runner)
                    .unwrap()
                    .current();
                let steps = (-4_i64..4, 0_i64..5, -1_i64..2, 0_i64..2);
                let steps = steps.new_tree(&mut runner).unwrap().current();
                let from = SOME_TIME + steps.0 * 400 + steps.2 * DAY;
                let until = from + steps.1 * 400 + steps.3 * DAY;
                let some = compare(&world, &filter, Instant(from), Instant(until)).await;
                skipped += some.0;
                moved += some.1;
            }
        }
    }
    println!("{moved} kinds of rows moved, {skipped} files were skipped");
    assert!(
        skipped > 0 && moved > 0,
        "nothing moved, or nothing was skipped"
    );
}

/// Files that are skipped and rows that move; panics if one of these is wrong.
async fn compare(world: &World, filter: &str, from: Instant, until: Instant) -> (u64, usize) {
    let source = world.source(None, Some(filter));
    // CASE is opaque to skipping and TRUE exactly where the filter is.
    let hidden = format!("CASE WHEN abs(long) < 0 THEN NULL ELSE ({filter}) END");
    let plain = world.source(None, Some(&hidden));
    let mut wanted = BTreeMap::<String, i64>::new();
    for (instant, step) in [(from, -1), (until, 1)] {
        for row in rows_at(&plain, instant).await {
            *wanted.entry(row).or_default() += step;
        }
    }
    wanted.retain(|_, count| *count != 0);
    let head = source.head().await.unwrap();
    let watermark = head.watermark(from);
    let moved = source.moved(&watermark, until).await.unwrap();
    let moved: Vec<_> = moved.try_collect().await.unwrap();
    let mut found = BTreeMap::<String, i64>::new();
    for batch in moved {
        for row in texts(&batch.rows) {
            let step = if batch.sign == Sign::Plus { 1 } else { -1 };
            *found.entry(row).or_default() += step;
        }
    }
    found.retain(|_, count| *count != 0);
    assert_eq!(found, wanted, "{filter} from {from:?} until {until:?}");
    let read = source.moved_size(&watermark, until).await.unwrap();
    let skipped = head.size.files - read.files;
    // Where nothing depends on time all is skipped, which says nothing.
    (if found.is_empty() { 0 } else { skipped }, found.len())
}
