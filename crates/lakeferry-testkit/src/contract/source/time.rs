//! What every source keeps whose filter looks at time.

use std::collections::BTreeMap;

use lakeferry_model::{
    ChangeBatch, CommitRange, Digest, Instant, Pieces as _, Position, Reading, Sign, Source,
    Watermark,
};

use super::{Harness, Pairs, PositionOf, drain, expected, pairs, row};
use crate::{Row, STEP, WINDOW, row::micros, rows_of};

pub(super) async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    instants_come_in_steps(make().await);
    rows_are_those_of_the_instant(make().await).await;
    changes_are_of_the_stored_instant(make().await, true).await;
    changes_are_of_the_stored_instant(make().await, false).await;
    time_moves_rows(make().await).await;
    the_version_is_verified(make().await).await;
}

/// So many lengths of a window after the first of them.
fn windows(count: i64) -> Instant {
    Instant(1_700_000_000_000_000 + count * micros(WINDOW))
}

fn before(instant: Instant, by: i64) -> Instant {
    Instant(instant.0 - by)
}

fn seen(id: i64, value: &str, seen: Instant) -> Row {
    Row {
        seen: Some(seen),
        ..row(id, value, true)
    }
}

/// Rows at the edges of windows, one without a time, and rows that never pass.
fn some_rows() -> Vec<Row> {
    let never = |id, hot| Row {
        hot,
        ..seen(id, "never", windows(1))
    };
    vec![
        seen(1, "first", before(windows(1), 1)),
        seen(2, "edge", windows(1)),
        seen(3, "second", before(windows(2), 1)),
        seen(4, "later", windows(4)),
        row(5, "always", true),
        never(6, Some(false)),
        never(7, None),
    ]
}

async fn at<H: Harness>(harness: &H, instant: Instant) -> Watermark<PositionOf<H>> {
    let head = harness.timed().head().await.expect("head works");
    head.watermark(instant)
}

/// The rows at an instant, as the snapshot and its pieces give them.
async fn rows_at<H: Harness>(harness: &H, instant: Instant) -> Pairs {
    let watermark = at(harness, instant).await;
    let source = harness.timed();
    let rows = source.snapshot(&watermark).await.expect("snapshot opens");
    let batches = drain(rows).await.expect("snapshot reads");
    let rows = pairs(batches.iter().flat_map(rows_of));
    let mut of_pieces = Vec::new();
    let pieces = source.pieces(&watermark).await.expect("it is cut");
    for place in 0..pieces.list().len() {
        let rows = pieces.read(place).await.expect("the piece opens");
        let batches = drain(rows).await.expect("the piece reads");
        of_pieces.extend(batches.iter().flat_map(rows_of));
    }
    assert_eq!(pairs(of_pieces.into_iter()), rows, "pieces at {instant:?}");
    rows
}

/// By version and sign.
type Changed = BTreeMap<(String, Sign), Pairs>;

async fn moved<H: Harness>(harness: &H, from: Instant, until: Instant) -> Changed {
    let watermark = at(harness, from).await;
    let moved = harness.timed().moved(&watermark, until).await;
    let batches = drain(moved.expect("it opens")).await;
    by_sign(batches.expect("it reads"))
}

fn by_sign<P: Position>(batches: Vec<ChangeBatch<P>>) -> Changed {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for batch in batches {
        let rows = rows_of(&batch.rows);
        if !rows.is_empty() {
            let key = (batch.version.to_string(), batch.sign);
            found.entry(key).or_default().extend(rows);
        }
    }
    let found = found.into_iter();
    found
        .map(|(key, rows)| (key, pairs(rows.into_iter())))
        .collect()
}

fn values(rows: &[(i64, &str)]) -> Pairs {
    let owned = rows.iter().map(|(id, value)| (*id, (*value).to_owned()));
    owned.collect()
}

fn instants_come_in_steps<H: Harness>(harness: H) {
    let (source, step) = (harness.timed(), micros(STEP));
    for now in [0, 1, step - 1, step, -1, windows(1).0 + 7].map(Instant) {
        let cut = source.filter_instant(now).expect("the filter has time");
        let is_cut = cut <= now && now.0 - cut.0 < step;
        assert!(is_cut, "{now:?} is cut to {cut:?}");
        assert_eq!(source.filter_instant(cut), Some(cut), "{now:?}");
    }
    let timeless = harness.source().filter_instant(windows(1));
    assert_eq!(timeless, None, "a filter without time has an instant");
}

async fn rows_are_those_of_the_instant<H: Harness>(harness: H) {
    harness.create(true, some_rows()).await;
    let none = values(&[(5, "always")]);
    assert_eq!(rows_at(&harness, windows(0)).await, none);
    let first = values(&[(1, "first"), (2, "edge"), (5, "always")]);
    assert_eq!(rows_at(&harness, windows(1)).await, first);
    let second = values(&[(3, "second"), (5, "always")]);
    assert_eq!(rows_at(&harness, windows(2)).await, second);
}

/// Whatever the time is by now.
async fn changes_are_of_the_stored_instant<H: Harness>(harness: H, feed: bool) {
    harness.create(feed, some_rows()).await;
    let after = at(&harness, windows(1)).await;
    harness
        .upsert(vec![
            seen(1, "first, changed", before(windows(1), 2)),
            seen(2, "no longer", before(windows(0), 1)),
            seen(4, "later, changed", windows(4)),
            seen(8, "new", windows(1)),
            seen(9, "not yet", windows(2)),
        ])
        .await;
    let through = at(&harness, windows(1)).await;
    let range = CommitRange::new(after, through).expect("there is a commit");
    let reading = if feed { Reading::Feed } else { Reading::Files };
    let changes = harness.timed().changes(&range, reading).await;
    let changes = drain(changes.expect("changes open")).await;
    let wanted = expected(&[
        ("1", Sign::Minus, &[(1, "first"), (2, "edge")]),
        ("1", Sign::Plus, &[(1, "first, changed"), (8, "new")]),
    ]);
    assert_eq!(by_sign(changes.expect("changes read")), wanted);
}

async fn time_moves_rows<H: Harness>(harness: H) {
    harness.create(true, some_rows()).await;
    let (plus, minus) = (Sign::Plus, Sign::Minus);
    let both = expected(&[
        ("0", minus, &[(1, "first"), (2, "edge")]),
        ("0", plus, &[(3, "second")]),
    ]);
    assert_eq!(moved(&harness, windows(1), windows(2)).await, both);
    let only_came = expected(&[("0", plus, &[(1, "first"), (2, "edge")])]);
    assert_eq!(moved(&harness, windows(0), windows(1)).await, only_came);
    // What came and went in between is nothing.
    let nothing = expected(&[]);
    assert_eq!(moved(&harness, windows(0), windows(3)).await, nothing);
    let moment = before(windows(1), -1);
    assert_eq!(moved(&harness, windows(1), moment).await, nothing);
    // What moves is of the version, whatever commits led there.
    harness.delete(vec![1]).await;
    let more = seen(10, "more", before(windows(2), 5));
    harness.append(vec![more]).await;
    let both = expected(&[
        ("2", minus, &[(2, "edge")]),
        ("2", plus, &[(3, "second"), (10, "more")]),
    ]);
    assert_eq!(moved(&harness, windows(1), windows(2)).await, both);
}

async fn the_version_is_verified<H: Harness>(harness: H) {
    harness.create(true, some_rows()).await;
    let forged = Watermark {
        digest: Some(Digest([9; 32])),
        ..at(&harness, windows(1)).await
    };
    let read = match harness.timed().moved(&forged, windows(2)).await {
        Ok(moved) => drain(moved).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(read.is_err(), "what moved in another history was read");
}
