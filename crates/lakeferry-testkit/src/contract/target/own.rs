//! Columns that a target writes by itself, and rows that stay when they are deleted.

use lakeferry_model::{
    Alteration, Applied, BadRows, COMMIT_VERSION, Claim, CommitOutcome, Effect, Failure,
    FailureClass, Holder, OwnColumns, RowCounts, SYNCED_AT, Session, Stage, Target,
};

use super::{Harness, Rows, SessionOf, applied, fingerprint, refused, rows, rows_batch, staged};
use crate::{Row, batch, columns};

const METADATA: OwnColumns = OwnColumns {
    commit_version: true,
    synced_at: true,
    deleted_at: false,
};

const SOFT: OwnColumns = OwnColumns {
    commit_version: true,
    synced_at: true,
    deleted_at: true,
};

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    metadata_tells_of_what_was_written(make().await).await;
    deleted_rows_stay_and_come_back(make().await).await;
    a_deleted_row_is_not_there(make().await).await;
    rebuilds_mark_and_bring_back(make().await).await;
    what_counts_is_what_lives(make().await).await;
    bad_rows_are_marked(make().await).await;
    refused_rows_stay_deleted(make().await).await;
    rows_begin_to_stay(make().await).await;
    rows_are_adopted(make().await).await;
}

async fn claimed<H: Harness>(harness: &H, own: OwnColumns) -> SessionOf<H> {
    let claim = harness.writing(own, BadRows::HALT);
    match claim.claim(&Holder("first".to_owned())).await {
        Ok(Claim::Granted(session)) => session,
        Ok(Claim::Held(holder)) => panic!("held by {holder}"),
        Err(error) => panic!("{error}"),
    }
}

/// A target that the job filled at version 1.
async fn filled<H: Harness>(harness: &H, own: OwnColumns, pairs: &[(i64, &str)]) -> SessionOf<H> {
    let mut session = claimed(harness, own).await;
    let loaded = super::load(&mut session, &[rows_batch(pairs)]).await;
    loaded.expect("the rows are loaded");
    assert_eq!(applied(&mut session, 1).await.inserted, pairs.len() as u64);
    session
}

fn counts(inserted: u64, updated: u64, deleted: u64) -> RowCounts {
    RowCounts {
        inserted,
        updated,
        deleted,
    }
}

async fn changed<S: Session>(
    session: &mut S,
    version: u64,
    parts: &[(Effect, &[(i64, &str)])],
) -> RowCounts {
    staged(session, Stage::Changes, parts).await;
    applied(session, version).await
}

async fn refreshed<S: Session>(session: &mut S, version: u64, pairs: &[(i64, &str)]) -> RowCounts {
    staged(session, Stage::Refresh, &[(Effect::Insert, pairs)]).await;
    applied(session, version).await
}

async fn metadata_tells_of_what_was_written<H: Harness>(harness: H) {
    let mut session = filled(&harness, METADATA, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let versions = async || harness.cells(COMMIT_VERSION).await;
    assert_eq!(
        versions().await,
        Some(rows(&[(1, "1"), (2, "1"), (3, "1")]))
    );
    let update = [
        (Effect::Update, &[(1, "a"), (2, "bb")][..]),
        (Effect::Insert, &[(4, "d")]),
    ];
    assert_eq!(changed(&mut session, 5, &update).await, counts(1, 1, 0));
    let after = rows(&[(1, "1"), (2, "5"), (3, "1"), (4, "5")]);
    assert_eq!(versions().await, Some(after));
    let all = [(1, "a"), (2, "bb"), (3, "cc"), (5, "e")];
    assert_eq!(refreshed(&mut session, 7, &all).await, counts(1, 1, 1));
    let after = rows(&[(1, "1"), (2, "5"), (3, "7"), (5, "7")]);
    assert_eq!(versions().await, Some(after));
    let times = harness
        .cells(SYNCED_AT)
        .await
        .expect("it has such a column");
    assert!(times.values().all(Option::is_some), "{times:?}");
    assert_eq!(harness.deleted().await, [0; 0]);
}

async fn deleted_rows_stay_and_come_back<H: Harness>(harness: H) {
    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let delete = [(Effect::Delete, &[(1, "a"), (2, "b")][..])];
    assert_eq!(changed(&mut session, 2, &delete).await, counts(0, 0, 2));
    assert_eq!(harness.rows().await, Some(rows(&[(3, "c")])));
    assert_eq!(harness.deleted().await, [1, 2]);
    // One comes back as it was, one as another, and one is new.
    let insert = [(Effect::Insert, &[(1, "a"), (2, "bb"), (4, "d")][..])];
    assert_eq!(changed(&mut session, 3, &insert).await, counts(3, 0, 0));
    let all = rows(&[(1, "a"), (2, "bb"), (3, "c"), (4, "d")]);
    assert_eq!(harness.rows().await, Some(all));
    assert_eq!(harness.deleted().await, [0; 0]);
    let versions = rows(&[(1, "3"), (2, "3"), (3, "1"), (4, "3")]);
    assert_eq!(harness.cells(COMMIT_VERSION).await, Some(versions));
}

async fn a_deleted_row_is_not_there<H: Harness>(harness: H) {
    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let delete = [(Effect::Delete, &[(1, "a")][..])];
    assert_eq!(changed(&mut session, 2, &delete).await, counts(0, 0, 1));
    drop(session);
    for (effect, id) in [
        (Effect::Delete, 1),
        (Effect::Update, 1),
        (Effect::Insert, 2),
    ] {
        let mut session = claimed(&harness, SOFT).await;
        let parts = [
            (effect, rows_batch(&[(id, "x")])),
            (Effect::Update, rows_batch(&[(3, "x")])),
        ];
        let class = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator, "{effect:?} of {id}");
        drop(session);
        assert_eq!(harness.rows().await, Some(rows(&[(2, "b"), (3, "c")])));
        assert_eq!(harness.deleted().await, [1]);
    }
}

async fn rebuilds_mark_and_bring_back<H: Harness>(harness: H) {
    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let some = [(1, "a"), (3, "cc")];
    assert_eq!(refreshed(&mut session, 2, &some).await, counts(0, 1, 1));
    assert_eq!(harness.deleted().await, [2]);
    // What is marked is not marked again.
    assert_eq!(refreshed(&mut session, 3, &some).await, counts(0, 0, 0));
    let all = [(1, "a"), (2, "b"), (3, "c"), (4, "d")];
    assert_eq!(refreshed(&mut session, 4, &all).await, counts(2, 1, 0));
    assert_eq!(harness.rows().await, Some(rows(&all)));
    assert_eq!(harness.deleted().await, [0; 0]);
    let versions = rows(&[(1, "1"), (2, "4"), (3, "4"), (4, "4")]);
    assert_eq!(harness.cells(COMMIT_VERSION).await, Some(versions));
}

/// Rows that stay do not make up for those that go.
async fn what_counts_is_what_lives<H: Harness>(harness: H) {
    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b")]).await;
    let delete = [(Effect::Delete, &[(1, "a")][..])];
    assert_eq!(changed(&mut session, 2, &delete).await, counts(0, 0, 1));
    drop(session);
    for stage in [Stage::Changes, Stage::Refresh] {
        let parts = match stage {
            Stage::Changes => vec![(Effect::Delete, rows_batch(&[(2, "b")]))],
            _ => Vec::new(),
        };
        let mut session = claimed(&harness, SOFT).await;
        let class = refused(&mut session, stage, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator, "{stage:?}");
        drop(session);
        assert_eq!(harness.rows().await, Some(rows(&[(2, "b")])));
    }
}

async fn bad_rows_are_marked<H: Harness>(harness: H) {
    drop(filled(&harness, SOFT, &[(1, "a"), (2, "b")]).await);
    let bad = Row {
        id: Some(1),
        value: Some("a\0".to_owned()),
        hot: Some(true),
        seen: None,
        extra: None,
    };
    let target = harness.writing(SOFT, BadRows::default());
    let Ok(Claim::Granted(mut session)) = target.claim(&Holder("first".to_owned())).await else {
        panic!("the claim fails");
    };
    let opened = session.stage(Stage::Changes, &columns()).await;
    opened.expect("the stage opens");
    let put = session.put(Effect::Update, &batch(&[bad])).await;
    put.expect("the rows are taken");
    let Ok(CommitOutcome::Applied(Applied { rows: written, bad })) =
        session.apply(&super::watermark(2), &fingerprint()).await
    else {
        panic!("the apply fails");
    };
    assert_eq!((written, bad.quarantined), (counts(0, 0, 1), 1));
    assert_eq!(harness.rows().await, Some(rows(&[(2, "b")])));
    assert_eq!(harness.deleted().await, [1]);
    let good = [(Effect::Update, &[(1, "good")][..])];
    assert_eq!(changed(&mut session, 3, &good).await, counts(1, 0, 0));
    assert_eq!(harness.rows().await, Some(rows(&[(1, "good"), (2, "b")])));
    assert_eq!(harness.deleted().await, [0; 0]);
}

/// A row that would be back, and that only the server refuses.
async fn refused_rows_stay_deleted<H: Harness>(harness: H) {
    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let delete = [(Effect::Delete, &[(1, "a"), (2, "b")][..])];
    changed(&mut session, 2, &delete).await;
    drop(session);
    harness.refuse("refused").await;
    for (stage, version) in [(Stage::Changes, 3), (Stage::Refresh, 4)] {
        let target = harness.writing(SOFT, BadRows::default());
        let Ok(Claim::Granted(mut session)) = target.claim(&Holder("first".to_owned())).await
        else {
            panic!("the claim fails");
        };
        let wanted = match stage {
            Stage::Changes => vec![(1, "refused"), (2, "bb"), (4, "d")],
            _ => vec![(1, "refused"), (2, "bb"), (3, "c"), (4, "d")],
        };
        staged(&mut session, stage, &[(Effect::Insert, &wanted)]).await;
        applied(&mut session, version).await;
        assert_eq!(harness.quarantined().await, [1], "{stage:?}");
        let live = rows(&[(2, "bb"), (3, "c"), (4, "d")]);
        assert_eq!(harness.rows().await, Some(live), "{stage:?}");
        assert_eq!(harness.deleted().await, [1], "{stage:?}");
    }
}

/// A job whose rows went until now gets the columns by an alteration.
async fn rows_begin_to_stay<H: Harness>(harness: H) {
    let none = OwnColumns::default();
    drop(filled(&harness, none, &[(1, "a"), (2, "b")]).await);
    let mut session = claimed(&harness, SOFT).await;
    let add: Vec<_> = SOFT.fields().into_iter().map(Alteration::Add).collect();
    let altered = session.alter(&add, &fingerprint()).await;
    assert!(
        matches!(altered, Ok(CommitOutcome::Applied(_))),
        "{altered:?}"
    );
    let untold: Rows = [(1, None), (2, None)].into();
    assert_eq!(harness.cells(COMMIT_VERSION).await, Some(untold));
    let delete = [(Effect::Delete, &[(1, "a")][..])];
    assert_eq!(changed(&mut session, 2, &delete).await, counts(0, 0, 1));
    assert_eq!(harness.deleted().await, [1]);
    drop(session);
    // And go again.
    let mut session = claimed(&harness, none).await;
    assert_eq!(
        refreshed(&mut session, 3, &[(2, "b")]).await,
        counts(0, 0, 1)
    );
    assert_eq!(harness.deleted().await, [0; 0]);
}

/// A table that lacks the columns is not touched; one that has them is held against the rows that
/// live.
async fn rows_are_adopted<H: Harness>(harness: H) {
    harness.make_table(rows(&[(1, "a")])).await;
    let mut session = claimed(&harness, SOFT).await;
    let refused = session.stage(Stage::Adopt, &columns()).await;
    let class = refused.err().map(|error| error.class());
    assert_eq!(class, Some(FailureClass::NeedsOperator));
    drop(session);
    harness.drop_table().await;

    let mut session = filled(&harness, SOFT, &[(1, "a"), (2, "b")]).await;
    let delete = [(Effect::Delete, &[(1, "a")][..])];
    changed(&mut session, 2, &delete).await;
    session.release().await.expect("the release works");
    harness.replace_table().await;
    for (wanted, is_same) in [(&[(1, "a"), (2, "b")][..], false), (&[(2, "b")], true)] {
        let mut session = claimed(&harness, SOFT).await;
        staged(&mut session, Stage::Adopt, &[(Effect::Insert, wanted)]).await;
        match session.apply(&super::watermark(2), &fingerprint()).await {
            Ok(CommitOutcome::Applied(_)) => assert!(is_same),
            Ok(CommitOutcome::Differs(differences)) => {
                assert!(!is_same);
                assert_eq!(differences.missing.count, 1);
                assert_eq!(differences.surplus.count + differences.unlike.count, 0);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(harness.deleted().await, [1]);
    }
}
