//! Where a bad row leaves the row alone that its key had before.

use lakeferry_model::{BadRows, Effect, OnBadValue, RowCounts, Stage};

use super::{NULL, Put, QUARANTINE, applied, claimed, counts, fill_as, has};
use crate::contract::target::{Harness, SessionOf};

const KEEP: BadRows = BadRows {
    on_bad_value: OnBadValue::KeepPrevious,
    ..QUARANTINE
};

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    rows_stay_until_their_key_changes(make().await).await;
    a_refresh_leaves_them(make().await).await;
    a_retry_takes_their_place(make().await).await;
    what_only_the_table_refuses(make().await).await;
    they_go_once_they_are_not_to_stay(make().await).await;
}

/// Keys 1 to 3, of which 2 has turned bad and 3 is so from the beginning.
async fn turned<H: Harness>(harness: &H) -> SessionOf<H> {
    let first = [(1, "a"), (2, "b"), (3, "c\0")];
    let (mut session, filled) = fill_as(harness, KEEP, &first).await;
    assert_eq!(filled.bad, counts(1, 0));
    let puts: [Put<'_>; 1] = [(Effect::Update, 2, "B\0")];
    let now = applied(&mut session, Stage::Changes, &puts, 2).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), counts(1, 0)));
    has(harness, &[(1, "a"), (2, "b")], &[2, 3]).await;
    session
}

async fn rows_stay_until_their_key_changes<H: Harness>(harness: H) {
    drop(turned(&harness).await);
    // Sessions that did not see them come.
    let mut session = claimed(&harness, KEEP).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 2, "again\0"),
        (Effect::Update, 3, "again\0"),
        (Effect::Insert, 4, "d\0"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), counts(1, 0)));
    has(&harness, &[(1, "a"), (2, "b")], &[2, 3, 4]).await;
    drop(session);
    let mut session = claimed(&harness, KEEP).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 2, "B"),
        (Effect::Update, 3, "C"),
        (Effect::Delete, 4, "d\0"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 4).await;
    let wanted = RowCounts {
        inserted: 1,
        updated: 1,
        deleted: 0,
    };
    assert_eq!((now.rows, now.bad), (wanted, counts(0, 3)));
    has(&harness, &[(1, "a"), (2, "B"), (3, "C")], &[]).await;
    let puts: [Put<'_>; 1] = [(Effect::Update, 2, "\0")];
    applied(&mut session, Stage::Changes, &puts, 5).await;
    let puts: [Put<'_>; 1] = [(Effect::Delete, 2, "\0")];
    let now = applied(&mut session, Stage::Changes, &puts, 6).await;
    assert_eq!((now.rows.deleted, now.bad), (1, counts(0, 1)));
    has(&harness, &[(1, "a"), (3, "C")], &[]).await;
}

async fn a_refresh_leaves_them<H: Harness>(harness: H) {
    let mut session = turned(&harness).await;
    let puts: [Put<'_>; 4] = [
        (Effect::Insert, 1, "\0"),
        (Effect::Insert, 2, "B\0"),
        (Effect::Insert, 4, "d"),
        (Effect::Insert, 5, "e\0"),
    ];
    let now = applied(&mut session, Stage::Refresh, &puts, 3).await;
    assert_eq!((now.rows.inserted, now.rows.deleted), (1, 0));
    assert_eq!(now.bad, counts(2, 1));
    has(&harness, &[(1, "a"), (2, "b"), (4, "d")], &[1, 2, 5]).await;
    // What stayed is known to be there.
    drop(session);
    let mut session = claimed(&harness, KEEP).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 1, "A"),
        (Effect::Delete, 2, ""),
        (Effect::Update, 5, "E"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 4).await;
    assert_eq!(now.bad, counts(0, 3));
    has(&harness, &[(1, "A"), (4, "d"), (5, "E")], &[]).await;
}

async fn a_retry_takes_their_place<H: Harness>(harness: H) {
    let mut session = turned(&harness).await;
    let all: [Put<'_>; 3] = [
        (Effect::Insert, 1, "a"),
        (Effect::Insert, 2, "B\0"),
        (Effect::Insert, 3, "c\0"),
    ];
    let now = applied(&mut session, Stage::Retry, &all, 2).await;
    assert_eq!((now.rows, now.bad), (RowCounts::default(), counts(0, 0)));
    has(&harness, &[(1, "a"), (2, "b")], &[2, 3]).await;
    drop(session);
    let mut session = claimed(&harness, NULL).await;
    let now = applied(&mut session, Stage::Retry, &all, 2).await;
    assert_eq!((now.rows.inserted, now.rows.updated), (1, 1));
    assert_eq!((now.bad.released, now.bad.nulled), (2, 2));
    let held = harness.rows().await.expect("there is a table");
    let wanted = [(1, Some("a".to_owned())), (2, None), (3, None)];
    assert_eq!(held, wanted.into());
}

async fn what_only_the_table_refuses<H: Harness>(harness: H) {
    let mut session = turned(&harness).await;
    harness.refuse("x").await;
    drop(session);
    session = claimed(&harness, KEEP).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 1, "x"),
        (Effect::Update, 2, "x"),
        (Effect::Update, 3, "c"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!((now.rows.inserted, now.bad), (1, counts(1, 1)));
    has(&harness, &[(1, "a"), (2, "b"), (3, "c")], &[1, 2]).await;
    let puts: [Put<'_>; 4] = [
        (Effect::Insert, 1, "A"),
        (Effect::Insert, 2, "x"),
        (Effect::Insert, 3, "x"),
        (Effect::Insert, 4, "x"),
    ];
    let now = applied(&mut session, Stage::Refresh, &puts, 4).await;
    assert_eq!((now.rows.updated, now.bad), (1, counts(2, 1)));
    has(&harness, &[(1, "A"), (2, "b"), (3, "c")], &[2, 3, 4]).await;
    let puts: [Put<'_>; 3] = [
        (Effect::Update, 2, "B"),
        (Effect::Delete, 3, "x"),
        (Effect::Update, 4, "d"),
    ];
    let now = applied(&mut session, Stage::Changes, &puts, 5).await;
    assert_eq!(now.bad, counts(0, 3));
    has(&harness, &[(1, "A"), (2, "B"), (4, "d")], &[]).await;
}

async fn they_go_once_they_are_not_to_stay<H: Harness>(harness: H) {
    drop(turned(&harness).await);
    let mut session = claimed(&harness, QUARANTINE).await;
    let puts: [Put<'_>; 1] = [(Effect::Update, 2, "again\0")];
    let now = applied(&mut session, Stage::Changes, &puts, 3).await;
    assert_eq!((now.rows.deleted, now.bad), (1, counts(0, 0)));
    has(&harness, &[(1, "a")], &[2, 3]).await;
    let puts: [Put<'_>; 1] = [(Effect::Update, 2, "B")];
    applied(&mut session, Stage::Changes, &puts, 4).await;
    has(&harness, &[(1, "a"), (2, "B")], &[3]).await;
}
