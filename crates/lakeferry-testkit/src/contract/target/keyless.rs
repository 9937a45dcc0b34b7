//! The part of the contract that is about jobs without a key: the target has each row as often as
//! the source, and a row of which there are enough is not written.

use arrow_array::RecordBatch;
use lakeferry_model::{
    Claim, CommitOutcome, Effect, Failure, FailureClass, Holder, RowCounts, Session, Stage, Target,
};

use super::{Harness, SessionOf, applied, columns, fingerprint, load, refused, watermark};
use crate::{Row, Values, batch};

pub(super) async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    equal_rows_are_all_there(make().await).await;
    a_refresh_counts_equal_rows(make().await).await;
    an_empty_table_is_filled(make().await).await;
    changes_are_refused(make().await).await;
    adoption_is_refused(make().await).await;
    values_are_refused(make().await).await;
    older_epochs_are_fenced(make().await).await;
    lost_rows_are_guarded(make().await).await;
}

/// A row and how often it is there.
type Times = (Option<i64>, Option<&'static str>, usize);

const FIRST: [Times; 4] = [
    (None, None, 2),
    (None, Some("x"), 1),
    (Some(1), Some("a"), 3),
    (Some(2), None, 1),
];

fn values(times: &[Times]) -> Vec<Values> {
    let repeated =
        |(id, value, times): &Times| std::iter::repeat_n((*id, value.map(str::to_owned)), *times);
    times.iter().flat_map(repeated).collect()
}

fn rows(times: &[Times]) -> RecordBatch {
    let row = |(id, value)| Row {
        id,
        value,
        hot: Some(true),
        seen: None,
        extra: None,
    };
    batch(&values(times).into_iter().map(row).collect::<Vec<_>>())
}

async fn claimed<H: Harness>(harness: &H) -> SessionOf<H> {
    let claim = harness.keyless().claim(&Holder("first".to_owned())).await;
    match claim.expect("the claim works") {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    }
}

async fn filled<H: Harness>(harness: &H, times: &[Times]) -> SessionOf<H> {
    let mut session = claimed(harness).await;
    let half = rows(times);
    let (first, second) = (half.num_rows() / 2, half.num_rows().div_ceil(2));
    let pieces = [half.slice(0, first), half.slice(first, second)];
    let loaded = load(&mut session, &pieces).await;
    loaded.expect("the rows are loaded");
    let counts = applied(&mut session, 1).await;
    assert_eq!(counts.inserted, half.num_rows() as u64);
    session
}

async fn refreshed<S: Session>(session: &mut S, version: u64, times: &[Times]) -> RowCounts {
    let opened = session.stage(Stage::Refresh, &columns()).await;
    opened.expect("the stage opens");
    let put = session.put(Effect::Insert, &rows(times)).await;
    put.expect("the rows are taken");
    applied(session, version).await
}

async fn equal_rows_are_all_there<H: Harness>(harness: H) {
    drop(filled(&harness, &FIRST).await);
    assert_eq!(harness.all_rows().await, Some(values(&FIRST)));
}

async fn a_refresh_counts_equal_rows<H: Harness>(harness: H) {
    let mut session = filled(&harness, &FIRST).await;
    let wanted = [
        (None, None, 3),
        (None, Some("x"), 1),
        (Some(1), Some("a"), 1),
        (Some(2), Some("b"), 2),
    ];
    let counts = refreshed(&mut session, 2, &wanted).await;
    let expected = RowCounts {
        inserted: 3,
        updated: 0,
        deleted: 3,
    };
    assert_eq!(counts, expected);
    assert_eq!(harness.all_rows().await, Some(values(&wanted)));
    let again = refreshed(&mut session, 3, &wanted).await;
    assert_eq!(again, RowCounts::default(), "equal rows were written");
    assert_eq!(session.standing().watermark(), Some(&watermark(3)));
}

async fn an_empty_table_is_filled<H: Harness>(harness: H) {
    harness.make_table(super::Rows::new()).await;
    let mut session = claimed(&harness).await;
    let wanted = [(Some(1), Some("a"), 1), (Some(2), Some("a"), 1)];
    assert_eq!(refreshed(&mut session, 1, &wanted).await.inserted, 2);
    assert_eq!(harness.all_rows().await, Some(values(&wanted)));
}

async fn changes_are_refused<H: Harness>(harness: H) {
    drop(filled(&harness, &FIRST).await);
    let mut session = claimed(&harness).await;
    let parts = [(Effect::Insert, rows(&[(Some(7), None, 1)]))];
    let class = refused(&mut session, Stage::Changes, &parts).await;
    assert_eq!(class, FailureClass::Bug);
    drop(session);
    assert_eq!(harness.all_rows().await, Some(values(&FIRST)));
}

async fn adoption_is_refused<H: Harness>(harness: H) {
    harness.make_table(super::rows(&[(1, "theirs")])).await;
    let mut session = claimed(&harness).await;
    let parts = [(Effect::Insert, rows(&[(Some(1), Some("theirs"), 1)]))];
    let class = refused(&mut session, Stage::Adopt, &parts).await;
    assert_eq!(class, FailureClass::NeedsOperator);
    assert_eq!(session.standing().progress, None);
}

async fn values_are_refused<H: Harness>(harness: H) {
    drop(filled(&harness, &FIRST).await);
    let mut session = claimed(&harness).await;
    let parts = [(Effect::Insert, rows(&[(None, Some("a\0b"), 1)]))];
    let class = refused(&mut session, Stage::Refresh, &parts).await;
    assert_eq!(class, FailureClass::BadRow);
    drop(session);
    assert_eq!(harness.all_rows().await, Some(values(&FIRST)));
}

async fn older_epochs_are_fenced<H: Harness>(harness: H) {
    let mut older = filled(&harness, &FIRST).await;
    let opened = older.stage(Stage::Refresh, &columns()).await;
    opened.expect("the stage opens");
    harness.give_up_sessions().await;
    let newer = claimed(&harness).await;
    let outcome = older.apply(&watermark(2), &fingerprint()).await;
    let outcome = outcome.expect("the fence is an outcome");
    assert_eq!(outcome, CommitOutcome::Fenced);
    assert_eq!(harness.all_rows().await, Some(values(&FIRST)));
    assert_eq!(newer.standing().watermark(), Some(&watermark(1)));
}

/// A row that changed goes and comes: only what is missing in the end counts.
async fn lost_rows_are_guarded<H: Harness>(harness: H) {
    let all = [(Some(1), Some("a"), 1_500)];
    let mut session = filled(&harness, &all).await;
    let changed = [(Some(1), Some("b"), 1_500)];
    assert_eq!(refreshed(&mut session, 2, &changed).await.deleted, 1_500);
    drop(session);
    for left in [0, 1_199] {
        let mut session = claimed(&harness).await;
        let parts = [(Effect::Insert, rows(&[(Some(1), Some("c"), left)]))];
        let refused = async {
            session.stage(Stage::Refresh, &columns()).await?;
            for (effect, rows) in &parts {
                session.put(*effect, rows).await?;
            }
            session.apply(&watermark(3), &fingerprint()).await
        };
        let class = refused.await.map_err(|error| error.class());
        assert_eq!(class, Err(FailureClass::NeedsOperator), "{left} left");
        drop(session);
        assert_eq!(harness.all_rows().await, Some(values(&changed)));
    }
    let mut session = claimed(&harness).await;
    let left = [(Some(1), Some("c"), 1_200)];
    let counts = refreshed(&mut session, 3, &left).await;
    assert_eq!((counts.deleted, counts.inserted), (1_500, 1_200));
}
