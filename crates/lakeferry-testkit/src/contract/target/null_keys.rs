//! Rows with NULL in their key: kept aside by all of their values, as often as they are there.

use arrow_array::RecordBatch;
use lakeferry_model::{
    Applied, BadRowCounts, BadRows, Claim, CommitOutcome, Effect, Failure, FailureClass, Holder,
    OnNullKey, RowCounts, Session, Stage, Target,
};

use super::{Harness, SessionOf, fingerprint, load, rows, watermark};
use crate::{Row, batch, columns};

const QUARANTINE: BadRows = BadRows {
    on_null_key: OnNullKey::Quarantine,
    max_rows: 4,
    max_share: 0.0,
    ..BadRows::HALT
};

const HALT: BadRows = BadRows {
    on_null_key: OnNullKey::Halt,
    ..QUARANTINE
};

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    a_fill_counts_them(make().await).await;
    they_come_and_go_one_for_one(make().await).await;
    one_that_is_not_there_cannot_go(make().await).await;
    a_rebuild_counts_them_anew(make().await).await;
    appended_ones_are_added(make().await).await;
    a_retry_leaves_them(make().await).await;
    an_adoption_knows_them(make().await).await;
    too_many_are_refused(make().await).await;
    fenced_ones_leave_no_trace(make().await).await;
}

type Put<'a> = (Effect, Option<i64>, &'a str);

fn of(pairs: &[(Option<i64>, &str)]) -> RecordBatch {
    let row = |(id, value): &(Option<i64>, &str)| Row {
        id: *id,
        value: Some((*value).to_owned()),
        hot: Some(true),
        seen: None,
        extra: None,
    };
    batch(&pairs.iter().map(row).collect::<Vec<_>>())
}

async fn claimed<H: Harness>(harness: &H, bad: BadRows) -> SessionOf<H> {
    let (target, holder) = (harness.tolerant(bad), Holder("first".to_owned()));
    match target.claim(&holder).await.expect("the claim works") {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    }
}

async fn put<S: Session>(session: &mut S, stage: Stage, puts: &[Put<'_>]) -> Result<(), S::Error> {
    session.stage(stage, &columns()).await?;
    for (effect, id, value) in puts {
        session.put(*effect, &of(&[(*id, *value)])).await?;
    }
    Ok(())
}

/// Stages and applies as version `version`.
async fn ended<S: Session>(
    session: &mut S,
    stage: Stage,
    puts: &[Put<'_>],
    version: u64,
) -> Result<CommitOutcome, S::Error> {
    put(session, stage, puts).await?;
    session.apply(&watermark(version), &fingerprint()).await
}

async fn applied<S: Session>(
    session: &mut S,
    stage: Stage,
    puts: &[Put<'_>],
    version: u64,
) -> Applied {
    match ended(session, stage, puts, version).await {
        Ok(CommitOutcome::Applied(applied)) => applied,
        other => panic!("not applied: {other:?}"),
    }
}

/// Fills a new target by two pieces: a row with a key, and of those without two that are equal.
async fn filled<H: Harness>(harness: &H) -> (SessionOf<H>, Applied) {
    let mut session = claimed(harness, QUARANTINE).await;
    let pieces = [
        of(&[(None, "a"), (Some(1), "one")]),
        of(&[(None, "a"), (None, "b")]),
    ];
    load(&mut session, &pieces).await.expect("the fill loads");
    let outcome = session.apply(&watermark(1), &fingerprint()).await;
    match outcome.expect("the fill is applied") {
        CommitOutcome::Applied(applied) => (session, applied),
        other => panic!("not applied: {other:?}"),
    }
}

async fn has<H: Harness>(harness: &H, held: &[(i64, &str)], unkeyed: &[&str]) {
    assert_eq!(harness.rows().await, Some(rows(held)));
    let found = harness.unkeyed().await;
    let found: Vec<&str> = found.iter().flatten().map(String::as_str).collect();
    assert_eq!(found, unkeyed);
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.quarantined, unkeyed.len() as u64);
}

fn counts(quarantined: u64, released: u64) -> BadRowCounts {
    BadRowCounts {
        quarantined,
        released,
        ..BadRowCounts::default()
    }
}

const NOTHING: RowCounts = RowCounts {
    inserted: 0,
    updated: 0,
    deleted: 0,
};

async fn a_fill_counts_them<H: Harness>(harness: H) {
    let (session, now) = filled(&harness).await;
    assert_eq!((now.rows.inserted, now.bad), (1, counts(3, 0)));
    assert_eq!(session.standing().quarantined, 3);
    has(&harness, &[(1, "one")], &["a", "a", "b"]).await;
}

async fn they_come_and_go_one_for_one<H: Harness>(harness: H) {
    let (session, _) = filled(&harness).await;
    drop(session);
    let mut session = claimed(&harness, QUARANTINE).await;
    // Of two equal ones one goes; one changes; one comes; one gets a key, and a row loses its own.
    let puts: [Put<'_>; 6] = [
        (Effect::Insert, None, "c"),
        (Effect::Insert, None, "d"),
        (Effect::Delete, None, "a"),
        (Effect::Delete, None, "b"),
        (Effect::Delete, Some(1), "one"),
        (Effect::Insert, Some(2), "b"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    assert_eq!(now.bad, counts(2, 2));
    assert_eq!((now.rows.inserted, now.rows.deleted), (1, 1));
    assert_eq!(session.standing().quarantined, 3);
    has(&harness, &[(2, "b")], &["a", "c", "d"]).await;
    // One more of those that are there, others that come and go at once, and some that come again.
    let puts: [Put<'_>; 6] = [
        (Effect::Insert, None, "a"),
        (Effect::Insert, None, "e"),
        (Effect::Delete, None, "e"),
        (Effect::Delete, None, "c"),
        (Effect::Delete, None, "d"),
        (Effect::Insert, None, "d"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!((now.rows, now.bad), (NOTHING, counts(1, 1)));
    has(&harness, &[(2, "b")], &["a", "a", "d"]).await;
    drop(session);
    // A job that halts from now on lets them go, but none come.
    let mut session = claimed(&harness, HALT).await;
    let gone: [Put<'_>; 2] = [(Effect::Delete, None, "a"), (Effect::Delete, None, "a")];
    let now = applied(&mut session, Stage::Changes, &gone, 4).await;
    assert_eq!(now.bad, counts(0, 2));
    has(&harness, &[(2, "b")], &["d"]).await;
    let refused = ended(
        &mut session,
        Stage::Changes,
        &[(Effect::Insert, None, "f")],
        5,
    )
    .await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    drop(session);
    has(&harness, &[(2, "b")], &["d"]).await;
}

async fn one_that_is_not_there_cannot_go<H: Harness>(harness: H) {
    let (mut session, _) = filled(&harness).await;
    let unknown: [Put<'_>; 2] = [
        (Effect::Delete, Some(1), "one"),
        (Effect::Delete, None, "z"),
    ];
    let too_many: [Put<'_>; 3] = [
        (Effect::Delete, None, "b"),
        (Effect::Insert, None, "c"),
        (Effect::Delete, None, "b"),
    ];
    for puts in [&unknown[..], &too_many] {
        let outcome = ended(&mut session, Stage::Changes, puts, 2).await;
        assert_eq!(outcome.expect("it is an outcome"), CommitOutcome::Unmatched);
        has(&harness, &[(1, "one")], &["a", "a", "b"]).await;
        let standing = harness.target().inspect().await.expect("inspect works");
        assert_eq!(standing.watermark(), Some(&watermark(1)));
    }
    // The session is still of use.
    let all: [Put<'_>; 1] = [(Effect::Insert, None, "b")];
    let now = applied(&mut session, Stage::Refresh, &all, 2).await;
    assert_eq!((now.rows.deleted, now.bad), (1, counts(0, 2)));
    has(&harness, &[], &["b"]).await;
}

async fn a_rebuild_counts_them_anew<H: Harness>(harness: H) {
    let (mut session, _) = filled(&harness).await;
    let all: [Put<'_>; 4] = [
        (Effect::Insert, None, "a"),
        (Effect::Insert, Some(1), "one"),
        (Effect::Insert, None, "c"),
        (Effect::Insert, None, "c"),
    ];
    let now = applied(&mut session, Stage::Refresh, &all, 2).await;
    assert_eq!((now.rows, now.bad), (NOTHING, counts(2, 2)));
    assert_eq!(session.standing().quarantined, 3);
    has(&harness, &[(1, "one")], &["a", "c", "c"]).await;
    let now = applied(&mut session, Stage::Refresh, &all, 3).await;
    assert_eq!((now.rows, now.bad), (NOTHING, counts(0, 0)));
    has(&harness, &[(1, "one")], &["a", "c", "c"]).await;
    drop(session);
    let mut session = claimed(&harness, HALT).await;
    let refused = ended(&mut session, Stage::Refresh, &all, 4).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
}

async fn appended_ones_are_added<H: Harness>(harness: H) {
    let (session, _) = filled(&harness).await;
    drop(session);
    let mut session = claimed(&harness, QUARANTINE).await;
    let puts: [Put<'_>; 2] = [
        (Effect::Insert, None, "b"),
        (Effect::Insert, Some(2), "two"),
    ];
    let now = applied(&mut session, Stage::Append, &puts, 2).await;
    assert_eq!((now.rows.inserted, now.bad), (1, counts(1, 0)));
    assert_eq!(session.standing().quarantined, 4);
    has(&harness, &[(1, "one"), (2, "two")], &["a", "a", "b", "b"]).await;
}

async fn a_retry_leaves_them<H: Harness>(harness: H) {
    let (session, _) = filled(&harness).await;
    drop(session);
    let all: [Put<'_>; 4] = [
        (Effect::Insert, None, "a"),
        (Effect::Insert, None, "a"),
        (Effect::Insert, None, "b"),
        (Effect::Insert, Some(1), "one"),
    ];
    for bad in [QUARANTINE, HALT] {
        let mut session = claimed(&harness, bad).await;
        let now = applied(&mut session, Stage::Retry, &all, 1).await;
        assert_eq!((now.rows, now.bad), (NOTHING, counts(0, 0)));
        assert_eq!(session.standing().quarantined, 3);
        has(&harness, &[(1, "one")], &["a", "a", "b"]).await;
    }
}

async fn an_adoption_knows_them<H: Harness>(harness: H) {
    harness.make_table(rows(&[(1, "one")])).await;
    let mut session = claimed(&harness, QUARANTINE).await;
    let all: [Put<'_>; 2] = [
        (Effect::Insert, Some(1), "one"),
        (Effect::Insert, None, "a"),
    ];
    let now = applied(&mut session, Stage::Adopt, &all, 1).await;
    assert_eq!(now.bad, counts(1, 0));
    has(&harness, &[(1, "one")], &["a"]).await;
    let gone = [(Effect::Delete, None, "a")];
    applied(&mut session, Stage::Changes, &gone, 2).await;
    has(&harness, &[(1, "one")], &[]).await;
}

async fn too_many_are_refused<H: Harness>(harness: H) {
    let (mut session, _) = filled(&harness).await;
    // Equal ones count as often as they are there.
    let more: [Put<'_>; 2] = [(Effect::Insert, None, "a"), (Effect::Insert, None, "b")];
    let refused = ended(&mut session, Stage::Changes, &more, 2).await;
    let refused = refused.map_err(|error| error.class());
    assert_eq!(refused, Err(FailureClass::NeedsOperator));
    drop(session);
    has(&harness, &[(1, "one")], &["a", "a", "b"]).await;
    let mut session = claimed(&harness, QUARANTINE).await;
    applied(&mut session, Stage::Changes, &more[..1], 2).await;
    has(&harness, &[(1, "one")], &["a", "a", "a", "b"]).await;
}

async fn fenced_ones_leave_no_trace<H: Harness>(harness: H) {
    let (mut older, _) = filled(&harness).await;
    let puts: [Put<'_>; 2] = [(Effect::Insert, None, "c"), (Effect::Delete, None, "b")];
    put(&mut older, Stage::Changes, &puts)
        .await
        .expect("rows are taken");
    harness.give_up_sessions().await;
    let newer = claimed(&harness, QUARANTINE).await;
    let outcome = older.apply(&watermark(2), &fingerprint()).await;
    assert_eq!(
        outcome.expect("the fence is an outcome"),
        CommitOutcome::Fenced
    );
    drop(newer);
    has(&harness, &[(1, "one")], &["a", "a", "b"]).await;
}
