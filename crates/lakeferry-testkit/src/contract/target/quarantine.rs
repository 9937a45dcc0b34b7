//! Bad rows: kept aside in the transaction of the others, until their key changes.

mod previous;

use lakeferry_model::{
    Applied, BadRowCounts, BadRows, Claim, CommitOutcome, Effect, Failure, FailureClass, Holder,
    OnBadValue, RowCounts, Session, Stage, Target,
};

use super::{Harness, SessionOf, fingerprint, load, rows, rows_batch, watermark};

const QUARANTINE: BadRows = BadRows {
    on_bad_value: OnBadValue::Quarantine,
    max_rows: 3,
    max_share: 0.0,
    ..BadRows::HALT
};

const NULL: BadRows = BadRows {
    on_bad_value: OnBadValue::Null,
    ..QUARANTINE
};

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    a_fill_leaves_them_out(make().await).await;
    changes_go_on_around_them(make().await).await;
    a_refresh_looks_at_all(make().await).await;
    a_retry_brings_them(make().await).await;
    the_nearest_come_instead(make().await).await;
    an_adoption_knows_them(make().await).await;
    too_many_are_refused(make().await).await;
    fenced_ones_leave_no_trace(make().await).await;
    what_only_the_table_refuses(make().await).await;
    what_the_table_refuses_is_null(make().await).await;
    too_many_that_the_table_refuses(make().await).await;
    previous::holds(make).await;
}

const REPLACE: BadRows = BadRows {
    on_bad_value: OnBadValue::Replace,
    ..QUARANTINE
};

/// A row by its effect, bad where its value has a NUL.
type Put<'a> = (Effect, i64, &'a str);

async fn claimed<H: Harness>(harness: &H, bad: BadRows) -> SessionOf<H> {
    let (target, holder) = (harness.tolerant(bad), Holder("first".to_owned()));
    match target.claim(&holder).await.expect("the claim works") {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    }
}

async fn put<S: Session>(session: &mut S, stage: Stage, puts: &[Put<'_>]) {
    let opened = session.stage(stage, &crate::columns()).await;
    opened.expect("a stage opens");
    for (effect, id, value) in puts {
        let batch = rows_batch(&[(*id, *value)]);
        session.put(*effect, &batch).await.expect("rows are taken");
    }
}

/// Stages and applies as version `version`.
async fn applied<S: Session>(
    session: &mut S,
    stage: Stage,
    puts: &[Put<'_>],
    version: u64,
) -> Applied {
    put(session, stage, puts).await;
    match session.apply(&watermark(version), &fingerprint()).await {
        Ok(CommitOutcome::Applied(applied)) => applied,
        other => panic!("not applied: {other:?}"),
    }
}

/// Fills a new target.
async fn fill<H: Harness>(harness: &H, pairs: &[(i64, &str)]) -> (SessionOf<H>, Applied) {
    fill_as(harness, QUARANTINE, pairs).await
}

async fn fill_as<H: Harness>(
    harness: &H,
    bad: BadRows,
    pairs: &[(i64, &str)],
) -> (SessionOf<H>, Applied) {
    let mut session = claimed(harness, bad).await;
    load(&mut session, &[rows_batch(pairs)])
        .await
        .expect("the fill loads");
    let outcome = session.apply(&watermark(1), &fingerprint()).await;
    match outcome.expect("the fill is applied") {
        CommitOutcome::Applied(applied) => (session, applied),
        other => panic!("not applied: {other:?}"),
    }
}

async fn has<H: Harness>(harness: &H, held: &[(i64, &str)], quarantined: &[i64]) {
    assert_eq!(harness.rows().await, Some(rows(held)));
    assert_eq!(harness.quarantined().await, quarantined);
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.quarantined, quarantined.len() as u64);
}

fn counts(quarantined: u64, released: u64) -> BadRowCounts {
    BadRowCounts {
        quarantined,
        released,
        ..BadRowCounts::default()
    }
}

async fn a_fill_leaves_them_out<H: Harness>(harness: H) {
    let (session, applied) = fill(&harness, &[(1, "a"), (2, "b\0"), (3, "c"), (4, "\0")]).await;
    assert_eq!(applied.rows.inserted, 2);
    assert_eq!(applied.bad, counts(2, 0));
    assert_eq!(session.standing().quarantined, 2);
    has(&harness, &[(1, "a"), (3, "c")], &[2, 4]).await;
}

async fn changes_go_on_around_them<H: Harness>(harness: H) {
    let (mut session, _) = fill(&harness, &[(1, "a"), (2, "b"), (3, "c\0")]).await;
    // One turns bad, one comes bad, a good one comes.
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 2, "B\0"),
        (Effect::Insert, 4, "d\0"),
        (Effect::Insert, 5, "e"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    assert_eq!(now.bad, counts(2, 0));
    assert_eq!((now.rows.deleted, now.rows.inserted), (1, 1));
    assert_eq!(session.standing().quarantined, 3);
    has(&harness, &[(1, "a"), (5, "e")], &[2, 3, 4]).await;
    // A good change, another bad one, a delete; in a session that did not see them come.
    drop(session);
    let mut session = claimed(&harness, QUARANTINE).await;
    let puts: [Put<'_>; 4] = [
        (Effect::Delete, 3, "c\0"),
        (Effect::Update, 2, "B"),
        (Effect::Update, 4, "D\0"),
        (Effect::Update, 1, "A"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!(now.bad, counts(0, 2));
    let wanted = RowCounts {
        inserted: 1,
        updated: 1,
        deleted: 0,
    };
    assert_eq!(now.rows, wanted);
    has(&harness, &[(1, "A"), (2, "B"), (5, "e")], &[4]).await;
    // What only comes and goes in quarantine.
    let gone = applied(&mut session, Stage::Changes, &[(Effect::Delete, 4, "")], 4).await;
    assert_eq!((gone.rows, gone.bad), (RowCounts::default(), counts(0, 1)));
    has(&harness, &[(1, "A"), (2, "B"), (5, "e")], &[]).await;
}

async fn a_refresh_looks_at_all<H: Harness>(harness: H) {
    let (mut session, _) = fill(&harness, &[(1, "a"), (2, "b\0"), (3, "c"), (4, "d\0")]).await;
    let puts: [Put<'_>; 4] = [
        (Effect::Insert, 1, "a\0"),
        (Effect::Insert, 2, "b"),
        (Effect::Insert, 3, "c"),
        (Effect::Insert, 5, "e\0"),
    ];
    let now = applied(&mut session, Stage::Refresh, &puts, 2).await;
    assert_eq!(now.bad, counts(2, 2));
    has(&harness, &[(2, "b"), (3, "c")], &[1, 5]).await;
}

async fn a_retry_brings_them<H: Harness>(harness: H) {
    let (session, _) = fill(&harness, &[(1, "a"), (2, "b\0"), (3, "c\0")]).await;
    drop(session);
    let all: [Put<'_>; 3] = [
        (Effect::Insert, 1, "a"),
        (Effect::Insert, 2, "b\0"),
        (Effect::Insert, 3, "c\0"),
    ];
    let mut session = claimed(&harness, QUARANTINE).await;
    let now = applied(&mut session, Stage::Retry, &all, 1).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), counts(0, 0)));
    has(&harness, &[(1, "a")], &[2, 3]).await;
    drop(session);
    let mut session = claimed(&harness, NULL).await;
    let now = applied(&mut session, Stage::Retry, &all, 1).await;
    assert_eq!(now.rows.inserted, 2);
    let wanted = BadRowCounts {
        released: 2,
        nulled: 2,
        ..BadRowCounts::default()
    };
    assert_eq!(now.bad, wanted);
    assert_eq!(harness.quarantined().await, [0; 0]);
    let held = harness.rows().await.expect("there is a table");
    let wanted = [(1, Some("a".to_owned())), (2, None), (3, None)];
    assert_eq!(held, wanted.into());
}

async fn the_nearest_come_instead<H: Harness>(harness: H) {
    let replaced = |replaced| BadRowCounts {
        replaced,
        ..BadRowCounts::default()
    };
    let mut session = claimed(&harness, REPLACE).await;
    let pieces = [
        rows_batch(&[(1, "a"), (2, "\0b\0c")]),
        rows_batch(&[(3, "\0")]),
    ];
    load(&mut session, &pieces).await.expect("the fill loads");
    match session.apply(&watermark(1), &fingerprint()).await {
        Ok(CommitOutcome::Applied(now)) => assert_eq!(now.bad, replaced(2)),
        other => panic!("not applied: {other:?}"),
    }
    has(&harness, &[(1, "a"), (2, "bc"), (3, "")], &[]).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 1, "A\0"),
        (Effect::Delete, 3, "\0"),
        (Effect::Insert, 4, "d"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    assert_eq!(now.bad, replaced(1));
    has(&harness, &[(1, "A"), (2, "bc"), (4, "d")], &[]).await;
    let all: [Put<'_>; 3] = [
        (Effect::Insert, 1, "A\0"),
        (Effect::Insert, 2, "b\0c"),
        (Effect::Insert, 4, "d"),
    ];
    let now = applied(&mut session, Stage::Refresh, &all, 3).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), replaced(2)));
}

async fn an_adoption_knows_them<H: Harness>(harness: H) {
    harness.make_table(rows(&[(1, "a")])).await;
    let mut session = claimed(&harness, QUARANTINE).await;
    let all: [Put<'_>; 2] = [(Effect::Insert, 1, "a"), (Effect::Insert, 2, "b\0")];
    let now = applied(&mut session, Stage::Adopt, &all, 1).await;
    assert_eq!(now.bad, counts(1, 0));
    has(&harness, &[(1, "a")], &[2]).await;
    // From here on it is a table as any other.
    let puts: [Put<'_>; 1] = [(Effect::Update, 2, "b")];
    applied(&mut session, Stage::Changes, &puts, 2).await;
    has(&harness, &[(1, "a"), (2, "b")], &[]).await;
}

async fn too_many_are_refused<H: Harness>(harness: H) {
    let bad: Vec<(i64, &str)> = (1..=4).map(|id| (id, "\0")).collect();
    let mut session = claimed(&harness, QUARANTINE).await;
    let refused = async {
        load(&mut session, &[rows_batch(&bad)]).await?;
        session.apply(&watermark(1), &fingerprint()).await
    };
    let refused = refused.await.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    assert_eq!(harness.rows().await, None);
    drop(session);
    // A larger share of a larger table is few; one more is too many, and nothing moved.
    let tenth = BadRows {
        max_rows: 0,
        max_share: 0.1,
        ..QUARANTINE
    };
    let mut session = claimed(&harness, tenth).await;
    let good: Vec<(i64, &str)> = (5..=31).map(|id| (id, "a")).collect();
    let all = [rows_batch(&bad[..3]), rows_batch(&good)];
    load(&mut session, &all).await.expect("the fill loads");
    let outcome = session.apply(&watermark(1), &fingerprint()).await;
    assert!(
        matches!(outcome, Ok(CommitOutcome::Applied(_))),
        "{outcome:?}"
    );
    put(&mut session, Stage::Changes, &[(Effect::Insert, 4, "\0")]).await;
    let refused = session.apply(&watermark(2), &fingerprint()).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    has(&harness, &good, &[1, 2, 3]).await;
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.watermark(), Some(&watermark(1)));
}

async fn fenced_ones_leave_no_trace<H: Harness>(harness: H) {
    let (mut older, _) = fill(&harness, &[(1, "a"), (2, "b\0")]).await;
    let puts: [Put<'_>; 2] = [(Effect::Update, 1, "\0"), (Effect::Update, 2, "b")];
    put(&mut older, Stage::Changes, &puts).await;
    harness.give_up_sessions().await;
    let newer = claimed(&harness, QUARANTINE).await;
    let outcome = older.apply(&watermark(2), &fingerprint()).await;
    assert_eq!(
        outcome.expect("the fence is an outcome"),
        CommitOutcome::Fenced
    );
    drop(newer);
    has(&harness, &[(1, "a")], &[2]).await;
}

/// A table filled with three good rows, which holds no `x` from now on.
async fn strict<H: Harness>(harness: &H) -> SessionOf<H> {
    let (session, _) = fill(harness, &[(1, "a"), (2, "b"), (3, "c")]).await;
    harness.refuse("x").await;
    session
}

async fn what_only_the_table_refuses<H: Harness>(harness: H) {
    let session = strict(&harness).await;
    drop(session);
    let mut session = claimed(&harness, QUARANTINE).await;
    let puts: [Put<'_>; 5] = [
        (Effect::Delete, 3, "c"),
        (Effect::Update, 1, "A"),
        (Effect::Update, 2, "x"),
        (Effect::Insert, 4, "x"),
        (Effect::Insert, 5, "e"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    let wanted = RowCounts {
        inserted: 1,
        updated: 1,
        deleted: 2,
    };
    assert_eq!((now.rows, now.bad), (wanted, counts(2, 0)));
    assert_eq!(session.standing().quarantined, 2);
    has(&harness, &[(1, "A"), (5, "e")], &[2, 4]).await;
    // A session that did not see them come: one turns good, one goes, one is told by its values.
    drop(session);
    let mut session = claimed(&harness, QUARANTINE).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Delete, 2, "x"),
        (Effect::Update, 4, "d"),
        (Effect::Insert, 6, "\0"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!(now.bad, counts(1, 2));
    has(&harness, &[(1, "A"), (4, "d"), (5, "e")], &[6]).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Insert, 1, "x"),
        (Effect::Insert, 4, "D"),
        (Effect::Insert, 7, "x"),
    ];
    let now = applied(&mut session, Stage::Refresh, &puts, 4).await;
    assert_eq!(now.bad, counts(2, 1));
    has(&harness, &[(4, "D")], &[1, 7]).await;
    // Another try with what is refused as before.
    let now = applied(&mut session, Stage::Retry, &puts, 4).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), counts(0, 0)));
    has(&harness, &[(4, "D")], &[1, 7]).await;
}

async fn what_the_table_refuses_is_null<H: Harness>(harness: H) {
    drop(strict(&harness).await);
    let mut session = claimed(&harness, NULL).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 2, "x"),
        (Effect::Update, 3, "C"),
        (Effect::Insert, 4, "x"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    let wanted = BadRowCounts {
        nulled: 2,
        ..BadRowCounts::default()
    };
    assert_eq!(now.bad, wanted);
    assert_eq!((now.rows.inserted, now.rows.updated), (1, 2));
    let held = harness.rows().await.expect("there is a table");
    let text = |text: &str| Some(text.to_owned());
    let wanted = [(1, text("a")), (2, None), (3, text("C")), (4, None)];
    assert_eq!(held, wanted.into());
}

async fn too_many_that_the_table_refuses<H: Harness>(harness: H) {
    let mut session = strict(&harness).await;
    let all: Vec<Put<'_>> = (4..=7).map(|id| (Effect::Insert, id, "x")).collect();
    put(&mut session, Stage::Changes, &all).await;
    let refused = session.apply(&watermark(2), &fingerprint()).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    drop(session);
    has(&harness, &[(1, "a"), (2, "b"), (3, "c")], &[]).await;
    let mut session = claimed(&harness, BadRows::HALT).await;
    put(&mut session, Stage::Changes, &all[..1]).await;
    let refused = session.apply(&watermark(2), &fingerprint()).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::BadRow));
    drop(session);
    has(&harness, &[(1, "a"), (2, "b"), (3, "c")], &[]).await;
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.watermark(), Some(&watermark(1)));
}
