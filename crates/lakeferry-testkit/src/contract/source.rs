//! What every source keeps, whatever stands behind it: the rules of `lakeferry_model::Source`.
//!
//! The table has a key, a value and the columns of the filter (see [`crate::Row`]); the job's
//! columns are [`crate::columns`], its filter is `hot`; see [`time`] for the one that looks at time.

mod time;

use std::{collections::BTreeMap, future::poll_fn, pin::Pin};

use futures_core::Stream;
use lakeferry_model::{
    AtWatermark, CommitRange, Content, Digest, Head, Instant, Piece, Pieces, Reading, Sign, Source,
    Survey, Watermark,
};

use crate::{Row, batch, columns, rows_of};

/// One source table, and what its writers do to it.
#[allow(
    async_fn_in_trait,
    reason = "only tests call it, and they name the type"
)]
pub trait Harness {
    type Source: Source;

    /// A handle on the table, as another process has one.
    fn source(&self) -> Self::Source;
    /// The same with the filter `hot AND (seen IS NULL OR seen <= now() AND seen > now() −
    /// [`crate::WINDOW`])`, which moves every [`crate::STEP`].
    fn timed(&self) -> Self::Source;
    /// Makes the table, or drops it and makes it anew; its first version is 0.
    async fn create(&self, feed: bool, rows: Vec<Row>);
    /// Adds rows in one commit.
    async fn append(&self, rows: Vec<Row>);
    /// Updates the rows whose key is there, inserts the others, in one commit.
    async fn upsert(&self, rows: Vec<Row>);
    /// Deletes by key in one commit.
    async fn delete(&self, ids: Vec<i64>);
    /// `UPDATE … SET id = id + 1` in one commit.
    async fn shift_ids(&self);
    /// Rewrites files without changing a row, in one commit. The table has several files.
    async fn optimize(&self);
}

type PositionOf<H> = <<H as Harness>::Source as Source>::Position;

/// Runs the whole contract, each part on a fresh table that `make` gives.
pub async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    head_names_the_version(make().await).await;
    snapshot_is_filtered(make().await).await;
    pieces_make_the_snapshot(make().await).await;
    rows_of_keys_are_all_of_them(make().await).await;
    feed_gives_signed_rows(make().await).await;
    added_files_give_their_rows(make().await).await;
    rewritten_files_give_what_differs(make().await).await;
    survey_tells_contents(make().await).await;
    ends_are_verified(make().await).await;
    made_anew_is_another_table(make().await).await;
    time::holds(&make).await;
}

fn row(id: i64, value: &str, hot: impl Into<Option<bool>>) -> Row {
    Row {
        id: Some(id),
        value: Some(value.to_owned()),
        hot: hot.into(),
        seen: None,
        extra: None,
    }
}

async fn drain<T, E: std::error::Error>(
    stream: impl Stream<Item = Result<T, E>> + Unpin,
) -> Result<Vec<T>, E> {
    let mut stream = stream;
    let mut items = Vec::new();
    while let Some(item) = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        items.push(item?);
    }
    Ok(items)
}

async fn head<H: Harness>(harness: &H) -> Head<PositionOf<H>> {
    harness.source().head().await.expect("head works")
}

async fn survey<H: Harness>(
    harness: &H,
    after: &Watermark<PositionOf<H>>,
) -> Survey<PositionOf<H>> {
    let head = head(harness).await;
    harness
        .source()
        .survey(after, &head)
        .await
        .expect("survey works")
}

/// Keys and values, sorted.
type Pairs = Vec<(i64, String)>;

async fn snapshot<H: Harness>(harness: &H) -> Pairs {
    let watermark = head(harness).await.watermark(Instant(0));
    let rows = harness
        .source()
        .snapshot(&watermark)
        .await
        .expect("snapshot opens");
    let batches = drain(rows).await.expect("snapshot reads");
    assert!(
        batches
            .iter()
            .all(|batch| batch.schema().fields() == columns().fields())
    );
    pairs(batches.iter().flat_map(rows_of))
}

fn pairs(rows: impl Iterator<Item = (Option<i64>, Option<String>)>) -> Pairs {
    let mut pairs: Pairs = rows
        .map(|(id, value)| {
            (
                id.expect("the key is set"),
                value.expect("the value is set"),
            )
        })
        .collect();
    pairs.sort();
    pairs
}

/// The changes of `(after, head]` by version and sign; checks that versions ascend.
async fn changes<H: Harness>(
    harness: &H,
    after: &Watermark<PositionOf<H>>,
    reading: Reading,
) -> BTreeMap<(String, Sign), Pairs> {
    let through = head(harness).await.watermark(after.instant);
    let range = CommitRange::new(after.clone(), through).expect("there are commits");
    let stream = harness
        .source()
        .changes(&range, reading)
        .await
        .expect("changes open");
    let batches = drain(stream).await.expect("changes read");
    assert!(
        batches.is_sorted_by_key(|batch| batch.version),
        "versions do not ascend"
    );
    assert!(batches.iter().all(|batch| range.contains(batch.version)));
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for batch in batches {
        let rows = found
            .entry((batch.version.to_string(), batch.sign))
            .or_default();
        rows.extend(rows_of(&batch.rows));
    }
    let found = found.into_iter().filter(|(_, rows)| !rows.is_empty());
    found
        .map(|(key, rows)| (key, pairs(rows.into_iter())))
        .collect()
}

/// A version, a sign and the rows that it has.
type Signed<'a> = (&'a str, Sign, &'a [(i64, &'a str)]);

fn expected(of: &[Signed<'_>]) -> BTreeMap<(String, Sign), Pairs> {
    let owned = |rows: &[(i64, &str)]| rows.iter().map(|(id, v)| (*id, (*v).to_owned())).collect();
    of.iter()
        .map(|(version, sign, rows)| (((*version).to_owned(), *sign), owned(rows)))
        .collect()
}

async fn head_names_the_version<H: Harness>(harness: H) {
    harness.create(true, vec![row(1, "a", true)]).await;
    let first = head(&harness).await;
    assert_eq!(first.version.to_string(), "0");
    assert_eq!(first.columns.fields(), columns().fields());
    assert!(first.digest.is_some());
    assert_eq!(
        head(&harness).await.digest,
        first.digest,
        "the digest is not stable"
    );
    harness.append(vec![row(2, "b", true)]).await;
    let second = head(&harness).await;
    assert_eq!(second.version.to_string(), "1");
    assert_eq!(second.table_id, first.table_id);
    assert_ne!(second.digest, first.digest);
}

async fn snapshot_is_filtered<H: Harness>(harness: H) {
    let rows = vec![
        row(1, "in", true),
        row(2, "out", false),
        row(3, "unknown", None),
    ];
    harness.create(true, rows).await;
    assert_eq!(snapshot(&harness).await, [(1, "in".to_owned())]);
    harness
        .upsert(vec![
            row(1, "in", false),
            row(3, "now in", true),
            row(4, "new", true),
        ])
        .await;
    let now = [(3, "now in".to_owned()), (4, "new".to_owned())];
    assert_eq!(snapshot(&harness).await, now);
}

/// The rows of all pieces at `watermark`, read in turns and backwards, and the pieces' list.
async fn pieces<H: Harness>(
    harness: &H,
    watermark: &Watermark<PositionOf<H>>,
) -> (Pairs, Vec<Piece>) {
    let pieces = harness.source().pieces(watermark).await;
    let pieces = pieces.expect("the snapshot is cut");
    let mut streams = Vec::new();
    for place in (0..pieces.list().len()).rev() {
        streams.push(pieces.read(place).await.expect("the piece opens"));
    }
    let mut batches = Vec::new();
    while !streams.is_empty() {
        let mut open = Vec::new();
        for mut stream in streams {
            let next = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await;
            if let Some(batch) = next {
                batches.push(batch.expect("the piece reads"));
                open.push(stream);
            }
        }
        streams = open;
    }
    pieces.confirm().await.expect("the log is as it was");
    let rows = pairs(batches.iter().flat_map(rows_of));
    (rows, pieces.list().to_vec())
}

/// What the filter lets through of these keys is there as often as in the snapshot, and nothing that
/// is not.
async fn rows_of_keys_are_all_of_them<H: Harness>(harness: H) {
    harness
        .create(true, (1..=9).map(|id| row(id, "a", true)).collect())
        .await;
    harness
        .append(vec![row(3, "b", true), row(4, "b", false)])
        .await;
    harness
        .append((10..=200).map(|id| row(id, "c", true)).collect())
        .await;
    let watermark = head(&harness).await.watermark(Instant(0));
    let all = snapshot(&harness).await;
    for ids in [vec![3], vec![4, 404, 4], (5..=150).collect(), vec![1_000]] {
        let keys: Vec<Row> = ids.iter().map(|id| row(*id, "", None)).collect();
        let keys = batch(&keys).project(&[0]).expect("the key is a column");
        let rows = harness.source().rows_of(&watermark, &keys).await;
        let rows = drain(rows.expect("rows open")).await.expect("rows read");
        let found = pairs(rows.iter().flat_map(rows_of));
        let of_keys = |pairs: &Pairs| -> Pairs {
            let of_keys = pairs.iter().filter(|(id, _)| ids.contains(id));
            of_keys.cloned().collect()
        };
        assert_eq!(of_keys(&found), of_keys(&all));
        assert!(found.iter().all(|pair| all.contains(pair)));
    }
}

async fn pieces_make_the_snapshot<H: Harness>(harness: H) {
    harness
        .create(true, vec![row(1, "a", true), row(2, "out", false)])
        .await;
    harness.append(vec![row(3, "c", true)]).await;
    harness
        .append(vec![row(4, "d", true), row(5, "e", None)])
        .await;
    let then = head(&harness).await.watermark(Instant(0));
    let expected = snapshot(&harness).await;
    let (rows, list) = pieces(&harness, &then).await;
    assert_eq!(rows, expected);
    // What comes later changes neither the pieces nor the rows of that version.
    harness.upsert(vec![row(3, "C", true)]).await;
    assert_eq!(pieces(&harness, &then).await, (rows, list.clone()));
    harness.optimize().await;
    assert_eq!(pieces(&harness, &then).await.1, list);
    let now = head(&harness).await.watermark(Instant(0));
    let (rows, other) = pieces(&harness, &now).await;
    assert_eq!(rows, snapshot(&harness).await);
    assert_ne!(other, list, "other rows are the same pieces");
    let forged = Watermark {
        digest: Some(Digest([9; 32])),
        ..now
    };
    let confirmed = match harness.source().pieces(&forged).await {
        Ok(pieces) => pieces.confirm().await,
        Err(error) => Err(error),
    };
    assert!(confirmed.is_err(), "another history was confirmed");
}

async fn feed_gives_signed_rows<H: Harness>(harness: H) {
    let rows = vec![
        row(1, "a", true),
        row(2, "b", false),
        row(3, "c", true),
        row(4, "d", None),
    ];
    harness.create(true, rows).await;
    let after = head(&harness).await.watermark(Instant(0));
    harness
        .upsert(vec![
            row(1, "a2", true),
            row(2, "b2", true),
            row(3, "c2", false),
        ])
        .await;
    harness
        .upsert(vec![
            row(4, "d2", false),
            row(5, "e", true),
            row(6, "f", None),
        ])
        .await;
    harness.delete(vec![1, 4]).await;
    harness.shift_ids().await;
    harness.optimize().await;
    let (plus, minus) = (Sign::Plus, Sign::Minus);
    let wanted = expected(&[
        ("1", minus, &[(1, "a"), (3, "c")]),
        ("1", plus, &[(1, "a2"), (2, "b2")]),
        ("2", plus, &[(5, "e")]),
        ("3", minus, &[(1, "a2")]),
        ("4", minus, &[(2, "b2"), (5, "e")]),
        ("4", plus, &[(3, "b2"), (6, "e")]),
    ]);
    assert_eq!(changes(&harness, &after, Reading::Feed).await, wanted);
}

async fn added_files_give_their_rows<H: Harness>(harness: H) {
    harness.create(false, vec![row(1, "a", true)]).await;
    let after = head(&harness).await.watermark(Instant(0));
    harness
        .append(vec![row(2, "b", true), row(3, "c", None)])
        .await;
    harness.append(vec![row(4, "d", false)]).await;
    harness.append(vec![row(5, "e", true)]).await;
    let contents: Vec<_> = survey(&harness, &after)
        .await
        .commits
        .iter()
        .map(|commit| commit.content)
        .collect();
    assert_eq!(contents, [Content::Added; 3]);
    let wanted = expected(&[("3", Sign::Plus, &[(2, "b"), (5, "e")])]);
    assert_eq!(changes(&harness, &after, Reading::Files).await, wanted);
}

/// Net over the range: what was only copied, or came and went, is not there.
async fn rewritten_files_give_what_differs<H: Harness>(harness: H) {
    let rows = vec![
        row(1, "a", true),
        row(2, "b", false),
        row(3, "c", true),
        row(4, "d", true),
        row(5, "e", None),
    ];
    harness.create(false, rows).await;
    let after = head(&harness).await.watermark(Instant(0));
    harness.append(vec![row(6, "f", true)]).await;
    harness.optimize().await;
    harness
        .upsert(vec![
            row(1, "a2", true),
            row(2, "b2", true),
            row(3, "c", None),
            row(7, "g", true),
        ])
        .await;
    harness.delete(vec![5, 7]).await;
    harness
        .upsert(vec![row(1, "a3", true), row(4, "d", true)])
        .await;
    let (plus, minus) = (Sign::Plus, Sign::Minus);
    let wanted = expected(&[
        ("5", minus, &[(1, "a"), (3, "c")]),
        ("5", plus, &[(1, "a3"), (2, "b2"), (6, "f")]),
    ]);
    assert_eq!(changes(&harness, &after, Reading::Files).await, wanted);
    let now = head(&harness).await.watermark(Instant(0));
    harness.shift_ids().await;
    let wanted = expected(&[
        ("6", minus, &[(1, "a3"), (2, "b2"), (4, "d"), (6, "f")]),
        ("6", plus, &[(2, "a3"), (3, "b2"), (5, "d"), (7, "f")]),
    ]);
    assert_eq!(changes(&harness, &now, Reading::Files).await, wanted);
}

async fn survey_tells_contents<H: Harness>(harness: H) {
    harness.create(true, vec![row(1, "a", true)]).await;
    let start = head(&harness).await;
    let after = start.watermark(Instant(0));
    assert!(survey(&harness, &after).await.commits.is_empty());
    harness.append(vec![row(2, "b", true)]).await;
    harness.delete(vec![1]).await;
    harness.append(vec![row(3, "c", true)]).await;
    harness.optimize().await;
    let now = head(&harness).await;
    let survey_now = survey(&harness, &after).await;
    let digest = start.digest.expect("the first commit has a file");
    assert_eq!(survey_now.at_watermark, AtWatermark::Commit(digest));
    let contents: Vec<_> = survey_now
        .commits
        .iter()
        .map(|commit| commit.content)
        .collect();
    assert_eq!(
        contents,
        [
            Content::Feed,
            Content::Feed,
            Content::Feed,
            Content::Nothing
        ]
    );
    assert_eq!(
        survey_now.commits.last().map(|commit| commit.digest),
        now.digest
    );

    harness
        .create(false, vec![row(1, "a", true), row(2, "b", true)])
        .await;
    let after = head(&harness).await.watermark(Instant(0));
    harness.delete(vec![1]).await;
    let contents: Vec<_> = survey(&harness, &after)
        .await
        .commits
        .iter()
        .map(|commit| commit.content)
        .collect();
    assert_eq!(contents, [Content::Rewritten]);
}

async fn ends_are_verified<H: Harness>(harness: H) {
    harness.create(true, vec![row(1, "a", true)]).await;
    let after = head(&harness).await.watermark(Instant(0));
    harness.append(vec![row(2, "b", true)]).await;
    let through = head(&harness).await.watermark(Instant(0));
    let forged = |watermark: &Watermark<_>| Watermark {
        digest: Some(Digest([9; 32])),
        ..watermark.clone()
    };
    for (after, through) in [
        (forged(&after), through.clone()),
        (after.clone(), forged(&through)),
    ] {
        let range = CommitRange::new(after, through).expect("there are commits");
        let read = match harness.source().changes(&range, Reading::Feed).await {
            Ok(stream) => drain(stream).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(
            read.is_err(),
            "a range of another history was read to its end"
        );
    }
    let read = match harness.source().snapshot(&forged(&through)).await {
        Ok(stream) => drain(stream).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(
        read.is_err(),
        "a version of another history was read to its end"
    );
}

async fn made_anew_is_another_table<H: Harness>(harness: H) {
    harness.create(true, vec![row(1, "a", true)]).await;
    let first = head(&harness).await;
    harness.create(true, vec![row(1, "a", true)]).await;
    let second = head(&harness).await;
    assert_eq!(second.version, first.version);
    assert_ne!(second.table_id, first.table_id);
}
