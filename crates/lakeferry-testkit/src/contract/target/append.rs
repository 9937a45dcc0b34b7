//! The part of the contract that is about rows that only come.

use lakeferry_model::{
    BadRows, Claim, CommitOutcome, Effect, FailureClass, Holder, OnBadValue, RowCounts, Session,
    Stage, Target,
};

use super::{
    Harness, SessionOf, applied, columns, fingerprint, load, refused, rows, rows_batch, staged,
    watermark,
};
use crate::Values;

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    with_a_key_each_comes_once(make().await).await;
    without_a_key_each_comes_as_often(make().await).await;
    bad_ones_are_kept_aside(make().await).await;
    fenced_ones_do_not_come(make().await).await;
}

const NOTHING: RowCounts = RowCounts {
    inserted: 0,
    updated: 0,
    deleted: 0,
};

async fn begun<T: Target>(target: T, pairs: &[(i64, &str)]) -> T::Session {
    let claim = target.claim(&Holder("first".to_owned())).await;
    let mut session = match claim.expect("the claim works") {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    };
    let loaded = load(&mut session, &[rows_batch(pairs)]).await;
    loaded.expect("the rows are loaded");
    applied(&mut session, 1).await;
    session
}

/// Appends rows as version `version`.
async fn appended<S: Session>(session: &mut S, pairs: &[(i64, &str)], version: u64) {
    staged(session, Stage::Append, &[(Effect::Insert, pairs)]).await;
    let wanted = RowCounts {
        inserted: pairs.len() as u64,
        ..NOTHING
    };
    assert_eq!(applied(session, version).await, wanted);
}

async fn with_a_key_each_comes_once<H: Harness>(harness: H) {
    let mut session = begun(harness.target(), &[(1, "a")]).await;
    appended(&mut session, &[(2, "b"), (3, "c")], 2).await;
    appended(&mut session, &[], 3).await;
    let parts = [(Effect::Insert, rows_batch(&[(4, "d"), (2, "b")]))];
    let class = refused(&mut session, Stage::Append, &parts).await;
    assert_eq!(class, FailureClass::NeedsOperator);
    drop(session);
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a"), (2, "b"), (3, "c")]))
    );
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.watermark(), Some(&watermark(3)));
}

async fn without_a_key_each_comes_as_often<H: Harness>(harness: H) {
    let mut session = begun(harness.keyless(), &[(1, "a"), (1, "a")]).await;
    appended(&mut session, &[(1, "a"), (2, "b"), (2, "b")], 2).await;
    let value = |id, text: &str| -> Values { (Some(id), Some(text.to_owned())) };
    let mut wanted = vec![value(1, "a"); 3];
    wanted.extend(vec![value(2, "b"); 2]);
    assert_eq!(harness.all_rows().await, Some(wanted));
}

async fn bad_ones_are_kept_aside<H: Harness>(harness: H) {
    let bad = BadRows {
        on_bad_value: OnBadValue::Quarantine,
        max_rows: 3,
        max_share: 0.0,
        ..BadRows::HALT
    };
    let mut session = begun(harness.tolerant(bad), &[(1, "a")]).await;
    harness.refuse("x").await;
    let parts: [(Effect, &[(i64, &str)]); 1] = [(Effect::Insert, &[(2, "b"), (3, "\0"), (4, "x")])];
    staged(&mut session, Stage::Append, &parts).await;
    assert_eq!(applied(&mut session, 2).await.inserted, 1);
    assert_eq!(harness.quarantined().await, [3, 4]);
    assert_eq!(session.standing().quarantined, 2);
    // A good row of such a key is one that comes.
    appended(&mut session, &[(3, "c")], 3).await;
    assert_eq!(harness.quarantined().await, [4]);
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a"), (2, "b"), (3, "c")]))
    );
}

async fn fenced_ones_do_not_come<H: Harness>(harness: H) {
    let mut older: SessionOf<H> = begun(harness.keyless(), &[(1, "a")]).await;
    let opened = older.stage(Stage::Append, &columns()).await;
    opened.expect("the stage opens");
    let put = older.put(Effect::Insert, &rows_batch(&[(1, "a")])).await;
    put.expect("the rows are taken");
    harness.give_up_sessions().await;
    let claim = harness.keyless().claim(&Holder("second".to_owned())).await;
    let newer = claim.expect("the claim works");
    let outcome = older.apply(&watermark(2), &fingerprint()).await;
    assert_eq!(
        outcome.expect("the fence is an outcome"),
        CommitOutcome::Fenced
    );
    drop(newer);
    let all = harness.all_rows().await.expect("there is a table");
    assert_eq!(all.len(), 1);
}
