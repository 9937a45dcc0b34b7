//! The part of the contract that is about first fills: pieces are loaded whole or not at all, by
//! the holder of the lease alone, and outlive their session.

use lakeferry_model::{
    CommitOutcome, Failure, FailureClass, Loaded, Loader, Position, Session, Target,
};

use super::{
    Harness, applied, claimed, columns, fingerprint, load, plan, rows, rows_batch, watermark,
};

pub(super) async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    pieces_show_together(make().await).await;
    pieces_outlive_their_session(make().await).await;
    another_plan_starts_anew(make().await).await;
    older_epochs_load_nothing(make().await).await;
    a_dropped_fill_starts_anew(make().await).await;
    refused_rows_end_a_fill(make().await).await;
    missing_pieces_are_missed(make().await).await;
    a_piece_is_loaded_once(make().await).await;
}

const PIECES: [&[(i64, &str)]; 3] = [&[(1, "a"), (2, "b")], &[], &[(3, "c")]];

fn kept(pieces: &[u64], rows: u64) -> Loaded {
    Loaded {
        pieces: pieces.iter().copied().collect(),
        rows,
    }
}

async fn opened<S: Session>(session: &mut S, version: u64) -> Loaded {
    let opened = session.fill(&plan(version, 3), &columns()).await;
    opened.expect("the fill opens")
}

/// Begins a piece and puts its rows, but does not finish it.
async fn begun<S: Session>(session: &mut S, place: u64) -> S::Loader {
    let mut loader = session.loader().await.expect("a loader comes");
    loader.begin(place).await.expect("the piece begins");
    let rows = PIECES[usize::try_from(place).expect("few pieces")];
    let put = loader.put(&rows_batch(rows)).await;
    put.expect("the rows are taken");
    loader
}

async fn loaded<S: Session>(session: &mut S, place: u64) {
    let mut loader = begun(session, place).await;
    loader.finish().await.expect("the piece is loaded");
}

/// What can be gone on with, seen without a claim.
async fn unfinished<H: Harness>(harness: &H) -> Option<(u64, u64, u64)> {
    let standing = harness.target().inspect().await.expect("inspect works");
    let unfinished = standing.unfinished?;
    let version = unfinished.plan.watermark.version.to_number();
    assert_eq!(unfinished.plan, plan(version, 3));
    Some((version, unfinished.loaded, unfinished.rows))
}

async fn pieces_show_together<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    assert_eq!(opened(&mut session, 1).await, Loaded::default());
    assert_eq!(unfinished(&harness).await, Some((1, 0, 0)));
    // Two at once, and the later piece first.
    let mut second = begun(&mut session, 2).await;
    let mut first = begun(&mut session, 0).await;
    second.finish().await.expect("the piece is loaded");
    assert_eq!(unfinished(&harness).await, Some((1, 1, 1)));
    first.finish().await.expect("the piece is loaded");
    first.begin(1).await.expect("a loader takes more than one");
    first
        .finish()
        .await
        .expect("a piece without rows is loaded");
    assert_eq!(unfinished(&harness).await, Some((1, 3, 3)));
    assert_eq!(harness.rows().await, None, "loaded rows are visible");
    assert_eq!(applied(&mut session, 1).await.inserted, 3);
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a"), (2, "b"), (3, "c")]))
    );
    assert_eq!(unfinished(&harness).await, None);
    assert_eq!(session.standing().unfinished, None);
}

async fn pieces_outlive_their_session<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    opened(&mut session, 1).await;
    loaded(&mut session, 0).await;
    let half = begun(&mut session, 2).await;
    drop((half, session));
    assert_eq!(unfinished(&harness).await, Some((1, 1, 2)));
    let mut session = claimed(&harness).await;
    let read = session.standing().unfinished.as_ref();
    assert_eq!(read.map(|fill| (fill.loaded, fill.rows)), Some((1, 2)));
    assert_eq!(opened(&mut session, 1).await, kept(&[0], 2));
    loaded(&mut session, 1).await;
    session.release().await.expect("the release works");
    let mut session = claimed(&harness).await;
    assert_eq!(opened(&mut session, 1).await, kept(&[0, 1], 2));
    loaded(&mut session, 2).await;
    assert_eq!(harness.rows().await, None);
    assert_eq!(applied(&mut session, 1).await.inserted, 3);
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a"), (2, "b"), (3, "c")]))
    );
}

async fn another_plan_starts_anew<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    opened(&mut session, 1).await;
    loaded(&mut session, 0).await;
    assert_eq!(opened(&mut session, 2).await, Loaded::default());
    loaded(&mut session, 2).await;
    drop(session);
    assert_eq!(unfinished(&harness).await, Some((2, 1, 1)));
    let mut session = claimed(&harness).await;
    let mut other = plan(2, 3);
    other.fingerprint.rows = "two".to_owned();
    let opened = session.fill(&other, &columns()).await;
    assert_eq!(opened.expect("the fill opens"), Loaded::default());
    for place in 0..3 {
        loaded(&mut session, place).await;
    }
    let outcome = session.apply(&watermark(2), &other.fingerprint).await;
    let applied = outcome.expect("the apply works");
    assert!(matches!(applied, CommitOutcome::Applied(_)), "{applied:?}");
    let all = rows(&[(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(harness.rows().await, Some(all));
}

async fn older_epochs_load_nothing<H: Harness>(harness: H) {
    let mut older = claimed(&harness).await;
    opened(&mut older, 1).await;
    loaded(&mut older, 1).await;
    let mut late = begun(&mut older, 0).await;
    harness.give_up_sessions().await;
    let mut newer = claimed(&harness).await;
    let late = late.finish().await.map_err(|error| error.class());
    assert_eq!(late, Err(FailureClass::Transient), "a stale piece");
    assert_eq!(opened(&mut newer, 1).await, kept(&[1], 0));
    // Neither does it take the fill away from the newer one.
    let reopened = older.fill(&plan(1, 3), &columns()).await;
    let reopened = reopened.map_err(|error| error.class());
    assert_eq!(reopened, Err(FailureClass::Transient), "a stale fill");
    loaded(&mut newer, 0).await;
    loaded(&mut newer, 2).await;
    assert_eq!(applied(&mut newer, 1).await.inserted, 3);
}

async fn a_dropped_fill_starts_anew<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    opened(&mut session, 1).await;
    loaded(&mut session, 0).await;
    drop(session);
    harness.drop_fill().await;
    assert_eq!(unfinished(&harness).await, None);
    let mut session = claimed(&harness).await;
    assert_eq!(opened(&mut session, 1).await, Loaded::default());
}

/// Else the next run would go on with rows that will never do, though the source was mended since.
async fn refused_rows_end_a_fill<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    let twice = [rows_batch(&[(1, "a")]), rows_batch(&[(1, "b")])];
    load(&mut session, &twice)
        .await
        .expect("the rows are taken");
    let refused = session.apply(&watermark(1), &fingerprint()).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    drop(session);
    assert_eq!(harness.rows().await, None);
    assert_eq!(unfinished(&harness).await, None);
}

async fn missing_pieces_are_missed<H: Harness>(harness: H) {
    for (version, places) in [(1, 0..2), (2, 2..3)] {
        let mut session = claimed(&harness).await;
        opened(&mut session, 1).await;
        for place in places {
            loaded(&mut session, place).await;
        }
        let refused = session.apply(&watermark(version), &fingerprint()).await;
        let refused = refused.map_err(|error| error.class());
        assert_eq!(refused, Err(FailureClass::Bug), "version {version}");
        drop(session);
        assert_eq!(harness.rows().await, None);
    }
}

async fn a_piece_is_loaded_once<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    opened(&mut session, 1).await;
    loaded(&mut session, 2).await;
    let mut again = begun(&mut session, 2).await;
    assert!(again.finish().await.is_err(), "a piece came twice");
    drop((again, session));
    let mut session = claimed(&harness).await;
    assert_eq!(opened(&mut session, 1).await, kept(&[2], 1));
}
