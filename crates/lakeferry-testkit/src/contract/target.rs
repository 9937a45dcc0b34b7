//! What every target keeps, whatever stands behind it: the rules of `lakeferry_model::Target`.
//!
//! The table is the one of [`crate::columns`], keyed by [`crate::KEY`].

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use lakeferry_model::{
    Applied, BadRows, Claim, ColumnRole, CommitOutcome, Digest, Effect, Epoch, Failure,
    FailureClass, FillPlan, Fingerprint, Holder, Instant, Loader, OwnColumns, Position, RowCounts,
    Session, Stage, TableId, TableStanding, Target, TargetColumn, Watermark,
};

use crate::{KEY, Row, Values, batch, columns};

mod adopt;
mod alter;
mod append;
mod fill;
mod keyless;
mod null_keys;
mod own;
mod pausing;
mod quarantine;

/// Rows by key.
pub type Rows = BTreeMap<i64, Option<String>>;

/// One target table on one server, and what a bystander can do to it.
#[allow(
    async_fn_in_trait,
    reason = "only tests call it, and they name the type"
)]
pub trait Harness {
    type Target: Target;

    /// A handle on the job, as another process has one, with the default guard; bad rows halt it.
    fn target(&self) -> Self::Target;
    /// The same, with no guard, of a job that does this with bad rows.
    fn tolerant(&self, bad: BadRows) -> Self::Target;
    /// The same, with the default guard, of a job that writes these columns by itself.
    fn writing(&self, own: OwnColumns, bad: BadRows) -> Self::Target;
    /// The same, with no guard.
    fn unguarded(&self) -> Self::Target;
    /// A handle on the job as one without a key, with the default guard.
    fn keyless(&self) -> Self::Target;
    /// The keys of rows that are marked as deleted, sorted.
    async fn deleted(&self) -> Vec<i64>;
    /// The live rows that a reader sees; `None` if there is no table.
    async fn rows(&self) -> Option<Rows>;
    /// The keys in quarantine that are not NULL, sorted.
    async fn quarantined(&self) -> Vec<i64>;
    /// What rows in quarantine that have NULL in their key have in the first column after it, sorted.
    async fn unkeyed(&self) -> Vec<Option<String>>;
    /// The same of a table without a key, sorted.
    async fn all_rows(&self) -> Option<Vec<Values>>;
    /// What a reader sees in one column of live rows, as text; `None` if there is no such column.
    async fn cells(&self, column: &str) -> Option<Rows>;
    /// Makes a table under the target's name, keyed and of the right columns, that the job did
    /// not fill.
    async fn make_table(&self, rows: Rows);
    /// Lets the table refuse this value from now on, as a constraint of a user's does.
    async fn refuse(&self, value: &str);
    /// Puts an equal table in the place of the target, which the job did not fill.
    async fn replace_table(&self);
    /// Drops the target table.
    async fn drop_table(&self);
    /// Drops the table that an unfinished fill has loaded.
    async fn drop_fill(&self);
    /// Lets the next claim believe that all sessions ended, though they can still send.
    async fn give_up_sessions(&self);
    /// Lets the lease pass; its holder does nothing meanwhile.
    async fn let_lease_pass(&self);
    /// Somebody called `ana` pauses the job, for this reason.
    async fn pause(&self, reason: Option<&str>);
    /// Lifts the pause.
    async fn resume(&self);
}

type PositionOf<H> = <<H as Harness>::Target as Target>::Position;
type SessionOf<H> = <<H as Harness>::Target as Target>::Session;

/// Runs the whole contract, each part on a fresh target that `make` gives.
pub async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    nothing_yet(make().await).await;
    fill_appears_at_once(make().await).await;
    empty_fill(make().await).await;
    dropped_sessions_leave_nothing(make().await).await;
    one_lease_at_a_time(make().await).await;
    changes_by_effect(make().await).await;
    disagreements_change_nothing(make().await).await;
    refresh_writes_the_difference(make().await).await;
    progress_alone(make().await).await;
    bad_keys_and_values(make().await).await;
    tables_of_others(make().await).await;
    older_epochs_are_fenced(make().await).await;
    mass_deletes_are_refused(make().await).await;
    holders_that_stand_still_lose_the_lease(make().await).await;
    adopt::holds(&make).await;
    alter::holds(&make).await;
    append::holds(&make).await;
    fill::holds(&make).await;
    keyless::holds(&make).await;
    null_keys::holds(&make).await;
    own::holds(&make).await;
    pausing::holds(&make).await;
    quarantine::holds(&make).await;
}

fn rows(pairs: &[(i64, &str)]) -> Rows {
    pairs
        .iter()
        .map(|(id, value)| (*id, Some((*value).to_owned())))
        .collect()
}

fn rows_batch(pairs: &[(i64, &str)]) -> RecordBatch {
    let row = |(id, value): &(i64, &str)| Row {
        id: Some(*id),
        value: Some((*value).to_owned()),
        hot: Some(true),
        seen: None,
        extra: None,
    };
    batch(&pairs.iter().map(row).collect::<Vec<_>>())
}

fn watermark<P: Position>(version: u64) -> Watermark<P> {
    Watermark {
        table_id: TableId("a-table".to_owned()),
        version: P::from_number(version),
        digest: Some(Digest([u8::try_from(version).expect("small versions"); 32])),
        instant: Instant(7),
    }
}

/// What a target is made from that has all of `columns`.
fn made_from(columns: &Schema) -> Vec<TargetColumn> {
    let column = |field: &FieldRef| TargetColumn {
        name: field.name().clone(),
        identity: field.name().clone(),
        of: field.data_type().to_string(),
        role: ColumnRole::Synced,
    };
    columns.fields().iter().map(column).collect()
}

fn fingerprint() -> Fingerprint {
    Fingerprint {
        key: vec![KEY.to_owned()],
        rows: "one".to_owned(),
        columns: made_from(&columns()),
        columns_made: 0,
    }
}

async fn claimed<H: Harness>(harness: &H) -> SessionOf<H> {
    match harness
        .target()
        .claim(&Holder("first".to_owned()))
        .await
        .expect("the claim works")
    {
        Claim::Granted(session) => session,
        Claim::Held(holder) => panic!("held by {holder}"),
    }
}

async fn applied<S: Session>(session: &mut S, version: u64) -> RowCounts {
    match session
        .apply(&watermark(version), &fingerprint())
        .await
        .expect("the apply works")
    {
        CommitOutcome::Applied(Applied { rows, .. }) => rows,
        outcome => panic!("{outcome:?}"),
    }
}

async fn staged<S: Session>(session: &mut S, stage: Stage, parts: &[(Effect, &[(i64, &str)])]) {
    session
        .stage(stage, &columns())
        .await
        .expect("the stage opens");
    for (effect, pairs) in parts {
        session
            .put(*effect, &rows_batch(pairs))
            .await
            .expect("the rows are taken");
    }
}

fn plan<P: Position>(version: u64, pieces: u64) -> FillPlan<P> {
    FillPlan {
        watermark: watermark(version),
        fingerprint: fingerprint(),
        pieces,
        pieces_digest: Digest([9; 32]),
    }
}

/// Opens the fill of version 1 and loads each batch as a piece.
async fn load<S: Session>(session: &mut S, pieces: &[RecordBatch]) -> Result<(), S::Error> {
    session
        .fill(&plan(1, pieces.len() as u64), &columns())
        .await?;
    let mut loader = session.loader().await?;
    for (place, rows) in (0..).zip(pieces) {
        loader.begin(place).await?;
        loader.put(rows).await?;
        loader.finish().await?;
    }
    Ok(())
}

async fn filled<H: Harness>(harness: &H, pairs: &[(i64, &str)]) -> SessionOf<H> {
    let mut session = claimed(harness).await;
    let loaded = load(&mut session, &[rows_batch(pairs)]).await;
    loaded.expect("the rows are loaded");
    let counts = applied(&mut session, 1).await;
    assert_eq!(
        counts,
        RowCounts {
            inserted: pairs.len() as u64,
            ..RowCounts::default()
        }
    );
    session
}

/// The class of the error that staging and applying `parts` meets.
async fn refused<S: Session>(
    session: &mut S,
    stage: Stage,
    parts: &[(Effect, RecordBatch)],
) -> FailureClass {
    let result = async {
        session.stage(stage, &columns()).await?;
        for (effect, rows) in parts {
            session.put(*effect, rows).await?;
        }
        session.apply(&watermark(2), &fingerprint()).await
    };
    match result.await {
        Ok(outcome) => panic!("not refused: {outcome:?}"),
        Err(error) => error.class(),
    }
}

async fn nothing_yet<H: Harness>(harness: H) {
    let standing = harness.target().inspect().await.expect("inspect works");
    assert_eq!(standing.progress, None);
    assert_eq!(standing.epoch, Epoch(0));
    assert_eq!(standing.table, TableStanding::Absent);
    assert_eq!(harness.rows().await, None);
}

async fn fill_appears_at_once<H: Harness>(harness: H) {
    let mut session = claimed(&harness).await;
    let pairs = [(1, "a"), (2, ""), (3, "ü🦆")];
    let loaded = load(&mut session, &[rows_batch(&pairs)]).await;
    loaded.expect("the rows are loaded");
    assert_eq!(harness.rows().await, None, "loaded rows are visible");
    assert_eq!(applied(&mut session, 1).await.inserted, 3);
    assert_eq!(harness.rows().await, Some(rows(&pairs)));
    let after_apply = session.standing().clone();
    assert_eq!(after_apply.watermark(), Some(&watermark(1)));
    assert_eq!(after_apply.table, TableStanding::Filled);
    session.release().await.expect("the release works");
    let inspected = harness.target().inspect().await.expect("inspect works");
    assert_eq!(inspected, after_apply);
    let again = claimed(&harness).await;
    assert_eq!(again.standing().progress, after_apply.progress);
    assert!(
        again.standing().epoch > after_apply.epoch,
        "the epoch did not grow"
    );
}

async fn empty_fill<H: Harness>(harness: H) {
    let session = filled(&harness, &[]).await;
    assert_eq!(session.standing().table, TableStanding::Filled);
    assert_eq!(harness.rows().await, Some(Rows::new()));
}

async fn dropped_sessions_leave_nothing<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a"), (2, "b")]).await;
    staged(
        &mut session,
        Stage::Refresh,
        &[(Effect::Insert, &[(9, "lost")])],
    )
    .await;
    drop(session);
    let mut session = claimed(&harness).await;
    staged(
        &mut session,
        Stage::Changes,
        &[(Effect::Delete, &[(1, "a")])],
    )
    .await;
    drop(session);
    assert_eq!(harness.rows().await, Some(rows(&[(1, "a"), (2, "b")])));
    let mut session = claimed(&harness).await;
    assert_eq!(session.standing().watermark(), Some(&watermark(1)));
    staged(
        &mut session,
        Stage::Refresh,
        &[(Effect::Insert, &[(2, "b")])],
    )
    .await;
    assert_eq!(
        applied(&mut session, 2).await.deleted,
        1,
        "an earlier staging had rows left"
    );
}

async fn one_lease_at_a_time<H: Harness>(harness: H) {
    let session = claimed(&harness).await;
    let second = harness.target().claim(&Holder("second".to_owned())).await;
    match second.expect("the claim works") {
        Claim::Held(holder) => assert_eq!(holder, Holder("first".to_owned())),
        Claim::Granted(_) => panic!("two sessions hold the lease"),
    }
    session.release().await.expect("the release works");
    claimed(&harness).await;
}

async fn changes_by_effect<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]).await;
    let parts: [(Effect, &[(i64, &str)]); 3] = [
        (Effect::Delete, &[(1, "a"), (4, "old")]),
        (Effect::Update, &[(2, "b"), (3, "C")]),
        (Effect::Insert, &[(5, "e")]),
    ];
    staged(&mut session, Stage::Changes, &parts).await;
    let counts = applied(&mut session, 2).await;
    assert_eq!(
        counts,
        RowCounts {
            inserted: 1,
            updated: 1,
            deleted: 2
        }
    );
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(2, "b"), (3, "C"), (5, "e")]))
    );
    staged(
        &mut session,
        Stage::Changes,
        &[(Effect::Insert, &[(1, "back")])],
    )
    .await;
    assert_eq!(
        applied(&mut session, 3).await.inserted,
        1,
        "a session applies more than once"
    );
    assert_eq!(session.standing().watermark(), Some(&watermark(3)));
}

async fn disagreements_change_nothing<H: Harness>(harness: H) {
    let start = [(1, "a"), (2, "b")];
    drop(filled(&harness, &start).await);
    for (effect, pair) in [
        (Effect::Insert, (1, "A")),
        (Effect::Update, (7, "x")),
        (Effect::Delete, (7, "x")),
    ] {
        let mut session = claimed(&harness).await;
        let parts = [
            (Effect::Delete, rows_batch(&[(2, "b")])),
            (effect, rows_batch(&[pair])),
        ];
        let class = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator, "{effect:?}");
        drop(session);
        assert_eq!(
            harness.rows().await,
            Some(rows(&start)),
            "{effect:?} changed rows"
        );
        let standing = harness.target().inspect().await.expect("inspect works");
        assert_eq!(
            standing.watermark(),
            Some(&watermark(1)),
            "{effect:?} moved the watermark"
        );
    }
}

async fn refresh_writes_the_difference<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let wanted: [(i64, &str); 3] = [(2, "b"), (3, "C"), (4, "d")];
    staged(&mut session, Stage::Refresh, &[(Effect::Insert, &wanted)]).await;
    let counts = applied(&mut session, 2).await;
    assert_eq!(
        counts,
        RowCounts {
            inserted: 1,
            updated: 1,
            deleted: 1
        }
    );
    assert_eq!(harness.rows().await, Some(rows(&wanted)));
    staged(&mut session, Stage::Refresh, &[(Effect::Insert, &wanted)]).await;
    assert_eq!(
        applied(&mut session, 3).await,
        RowCounts::default(),
        "equal rows were written"
    );
    assert_eq!(session.standing().watermark(), Some(&watermark(3)));
}

async fn progress_alone<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    assert_eq!(applied(&mut session, 2).await, RowCounts::default());
    assert_eq!(session.standing().watermark(), Some(&watermark(2)));
    assert_eq!(harness.rows().await, Some(rows(&[(1, "a")])));
}

async fn bad_keys_and_values<H: Harness>(harness: H) {
    let null = batch(&[Row {
        id: None,
        value: None,
        hot: Some(true),
        seen: None,
        extra: None,
    }]);
    let twice = rows_batch(&[(1, "a"), (1, "b")]);
    let nul = rows_batch(&[(1, "a\0b")]);
    let cases = [
        (null, FailureClass::NeedsOperator),
        (twice, FailureClass::NeedsOperator),
        (nul, FailureClass::BadRow),
    ];
    for (rows, class) in &cases {
        let mut session = claimed(&harness).await;
        let refused = async {
            load(&mut session, std::slice::from_ref(rows)).await?;
            session.apply(&watermark(1), &fingerprint()).await
        };
        let refused = refused.await.map_err(|error| error.class());
        assert_eq!(refused, Err(*class));
        assert_eq!(harness.rows().await, None);
    }
    drop(filled(&harness, &[(5, "e")]).await);
    for (bad, class) in &cases {
        let parts = [(Effect::Insert, bad.clone())];
        let mut session = claimed(&harness).await;
        assert_eq!(refused(&mut session, Stage::Refresh, &parts).await, *class);
        assert_eq!(harness.rows().await, Some(rows(&[(5, "e")])));
    }
}

async fn tables_of_others<H: Harness>(harness: H) {
    let table_now = async || {
        harness
            .target()
            .inspect()
            .await
            .expect("inspect works")
            .table
    };
    harness.make_table(rows(&[(1, "theirs")])).await;
    assert_eq!(table_now().await, TableStanding::Foreign);
    harness.drop_table().await;
    harness.make_table(Rows::new()).await;
    assert_eq!(table_now().await, TableStanding::Empty);
    let mut session = claimed(&harness).await;
    staged(
        &mut session,
        Stage::Refresh,
        &[(Effect::Insert, &[(1, "ours")])],
    )
    .await;
    assert_eq!(applied(&mut session, 1).await.inserted, 1);
    assert_eq!(session.standing().table, TableStanding::Filled);
    session.release().await.expect("the release works");
    harness.drop_table().await;
    assert_eq!(table_now().await, TableStanding::Absent);
    harness.make_table(rows(&[(1, "theirs")])).await;
    assert_eq!(table_now().await, TableStanding::Replaced);
    harness.drop_table().await;
    drop(filled(&harness, &[(2, "anew")]).await);
    assert_eq!(table_now().await, TableStanding::Filled);
}

async fn older_epochs_are_fenced<H: Harness>(harness: H) {
    let mut older = filled(&harness, &[(1, "a")]).await;
    staged(&mut older, Stage::Changes, &[(Effect::Delete, &[(1, "a")])]).await;
    harness.give_up_sessions().await;
    let mut newer = claimed(&harness).await;
    let outcome = older.apply(&watermark(2), &fingerprint()).await;
    assert_eq!(
        outcome.expect("the fence is an outcome"),
        CommitOutcome::Fenced
    );
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a")])),
        "a fenced apply changed rows"
    );
    staged(&mut newer, Stage::Changes, &[(Effect::Update, &[(1, "b")])]).await;
    assert_eq!(applied(&mut newer, 2).await.updated, 1);
    assert_eq!(
        newer.standing().watermark(),
        Some(&watermark::<PositionOf<H>>(2))
    );
}

async fn holders_that_stand_still_lose_the_lease<H: Harness>(harness: H) {
    let mut older = filled(&harness, &[(1, "a")]).await;
    staged(&mut older, Stage::Changes, &[(Effect::Delete, &[(1, "a")])]).await;
    let second = harness.target().claim(&Holder("second".to_owned())).await;
    let second = second.expect("the claim works");
    assert!(matches!(second, Claim::Held(_)), "taken before its time");
    harness.let_lease_pass().await;
    let mut newer = claimed(&harness).await;
    assert!(newer.standing().epoch > older.standing().epoch);
    match older.apply(&watermark(2), &fingerprint()).await {
        Ok(outcome) => assert_eq!(outcome, CommitOutcome::Fenced),
        Err(error) => assert_eq!(error.class(), FailureClass::Transient, "{error}"),
    }
    drop(older);
    assert_eq!(
        harness.rows().await,
        Some(rows(&[(1, "a")])),
        "a holder that lost the lease changed rows"
    );
    staged(&mut newer, Stage::Changes, &[(Effect::Update, &[(1, "b")])]).await;
    assert_eq!(applied(&mut newer, 2).await.updated, 1);
    let third = harness.target().claim(&Holder("third".to_owned())).await;
    let third = third.expect("the claim works");
    assert!(matches!(third, Claim::Held(_)), "the lease began expired");
}

/// Ids from 1 through `count`.
fn ids(count: i64) -> Vec<(i64, &'static str)> {
    (1..=count).map(|id| (id, "a")).collect()
}

async fn mass_deletes_are_refused<H: Harness>(harness: H) {
    let all = ids(1_500);
    drop(filled(&harness, &all).await);
    let untouched = async |what: &str| {
        let count = harness.rows().await.map(|rows| rows.len());
        assert_eq!(count, Some(all.len()), "{what} changed rows");
        let standing = harness.target().inspect().await.expect("inspect works");
        assert_eq!(standing.watermark(), Some(&watermark(1)), "{what} moved");
    };
    for (deleted, inserted) in [(1_500, 0), (1_500, 1_500), (301, 0), (301, 1_000)] {
        let come: Vec<_> = (2_001..=2_000 + inserted).map(|id| (id, "new")).collect();
        let parts = [
            (Effect::Delete, rows_batch(&ids(deleted))),
            (Effect::Insert, rows_batch(&come)),
        ];
        let mut session = claimed(&harness).await;
        let class = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        drop(session);
        untouched(&format!("{deleted} deletes and {inserted} inserts")).await;

        let stay = all.iter().skip(usize::try_from(deleted).unwrap_or(0));
        let wanted: Vec<_> = stay.chain(&come).copied().collect();
        let mut session = claimed(&harness).await;
        let parts = [(Effect::Insert, rows_batch(&wanted))];
        let class = refused(&mut session, Stage::Refresh, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        drop(session);
        untouched(&format!("a refresh without {deleted} rows")).await;
    }
    let mut session = claimed(&harness).await;
    let few = [(Effect::Delete, &ids(300)[..])];
    staged(&mut session, Stage::Changes, &few).await;
    assert_eq!(applied(&mut session, 2).await.deleted, 300);
    drop(session);
    let Ok(Claim::Granted(mut session)) =
        harness.unguarded().claim(&Holder("first".to_owned())).await
    else {
        panic!("the claim fails");
    };
    staged(&mut session, Stage::Refresh, &[]).await;
    assert_eq!(applied(&mut session, 3).await.deleted, 1_200);
}
