//! A table that the job did not fill is adopted as it is, or left as it is.

use lakeferry_model::{
    Applied, CommitOutcome, Differences, DifferingKeys, Effect, FailureClass, RowCounts, Session,
    Stage, TableStanding, Target,
};

use super::{
    Harness, PositionOf, Rows, SessionOf, applied, claimed, filled, fingerprint, refused, rows,
    rows_batch, staged, watermark,
};

pub(super) async fn holds<H: Harness>(make: impl AsyncFn() -> H) {
    equal_rows_are_adopted_as_they_are(make().await).await;
    no_rows_are_no_difference(make().await).await;
    differences_are_counted_and_change_nothing(make().await).await;
    a_table_in_the_place_of_the_jobs_own(make().await).await;
    what_cannot_be_staged(make().await).await;
    older_epochs_adopt_nothing(make().await).await;
}

/// What an apply of `pairs`, staged to be adopted at version 5, comes to.
async fn adopted<S: Session>(session: &mut S, pairs: &[(i64, &str)]) -> CommitOutcome {
    staged(session, Stage::Adopt, &[(Effect::Insert, pairs)]).await;
    let outcome = session.apply(&watermark(5), &fingerprint()).await;
    outcome.expect("the apply works")
}

fn nothing_written() -> CommitOutcome {
    let rows = RowCounts::default();
    CommitOutcome::Applied(Applied {
        rows,
        ..Applied::default()
    })
}

fn keys(all: &[i64]) -> DifferingKeys {
    DifferingKeys {
        count: all.len() as u64,
        examples: all.iter().take(5).map(ToString::to_string).collect(),
    }
}

async fn table_now<H: Harness>(harness: &H) -> TableStanding {
    let standing = harness.target().inspect().await;
    standing.expect("inspect works").table
}

/// After it, the session goes on as with a table of the job's own.
async fn equal_rows_are_adopted_as_they_are<H: Harness>(harness: H) {
    let pairs = [(3, ""), (1, "a"), (2, "b")];
    harness.make_table(rows(&pairs)).await;
    let mut session = claimed(&harness).await;
    assert_eq!(session.standing().table, TableStanding::Foreign);
    assert_eq!(adopted(&mut session, &pairs).await, nothing_written());
    assert_eq!(session.standing().table, TableStanding::Filled);
    assert_eq!(session.standing().watermark(), Some(&watermark(5)));
    assert_eq!(harness.rows().await, Some(rows(&pairs)));
    let parts: [(Effect, &[(i64, &str)]); 2] =
        [(Effect::Update, &[(1, "A")]), (Effect::Insert, &[(4, "d")])];
    staged(&mut session, Stage::Changes, &parts).await;
    let counts = applied(&mut session, 6).await;
    assert_eq!((counts.inserted, counts.updated), (1, 1));
    let after = session.standing().clone();
    session.release().await.expect("the release works");
    let inspected = harness.target().inspect().await.expect("inspect works");
    assert_eq!(inspected, after);
}

async fn no_rows_are_no_difference<H: Harness>(harness: H) {
    harness.make_table(Rows::new()).await;
    let mut session = claimed(&harness).await;
    assert_eq!(adopted(&mut session, &[]).await, nothing_written());
    assert_eq!(session.standing().table, TableStanding::Filled);
}

/// What is there, and how it differs from the three rows that are wanted.
fn different() -> [(&'static [(i64, &'static str)], Differences); 4] {
    let none = Differences::default();
    let missing = Differences {
        missing: keys(&[1]),
        ..none.clone()
    };
    let surplus = Differences {
        surplus: keys(&[10, 11, 12, 13, 14, 15, 16]),
        ..none.clone()
    };
    let unlike = Differences {
        unlike: keys(&[2, 3]),
        ..none
    };
    let all = Differences {
        missing: keys(&[2, 3]),
        surplus: keys(&[4]),
        unlike: keys(&[1]),
    };
    [
        (&[(2, "b"), (3, "c")], missing),
        (&TOO_MANY, surplus),
        (&[(1, "a"), (2, "B"), (3, "c ")], unlike),
        (&[(1, "A"), (4, "c")], all),
    ]
}

const WANTED: [(i64, &str); 3] = [(1, "a"), (2, "b"), (3, "c")];
const TOO_MANY: [(i64, &str); 10] = [
    (1, "a"),
    (2, "b"),
    (3, "c"),
    (10, "x"),
    (11, "x"),
    (12, "x"),
    (13, "x"),
    (14, "x"),
    (15, "x"),
    (16, "x"),
];

async fn differences_are_counted_and_change_nothing<H: Harness>(harness: H) {
    for (there, differences) in different() {
        harness.make_table(rows(there)).await;
        let mut session = claimed(&harness).await;
        let outcome = adopted(&mut session, &WANTED).await;
        assert_eq!(outcome, CommitOutcome::Differs(differences));
        assert_eq!(session.standing().progress, None, "the watermark moved");
        assert_eq!(harness.rows().await, Some(rows(there)));
        assert_eq!(table_now(&harness).await, TableStanding::Foreign);
        drop(session);
        harness.drop_table().await;
    }
    // The session is still of use, and nothing is left of what it staged before.
    harness.make_table(rows(&WANTED[..2])).await;
    let mut session = claimed(&harness).await;
    let outcome = adopted(&mut session, &WANTED).await;
    assert!(matches!(outcome, CommitOutcome::Differs(_)), "{outcome:?}");
    let outcome = adopted(&mut session, &WANTED[..2]).await;
    assert_eq!(outcome, nothing_written());
}

async fn a_table_in_the_place_of_the_jobs_own<H: Harness>(harness: H) {
    drop(filled(&harness, &[(1, "a")]).await);
    harness.drop_table().await;
    harness.make_table(rows(&[(1, "a")])).await;
    assert_eq!(table_now(&harness).await, TableStanding::Replaced);
    let mut session = claimed(&harness).await;
    assert_eq!(adopted(&mut session, &[(1, "a")]).await, nothing_written());
    assert_eq!(session.standing().watermark(), Some(&watermark(5)));
    drop(session);
    assert_eq!(table_now(&harness).await, TableStanding::Filled);
}

async fn what_cannot_be_staged<H: Harness>(harness: H) {
    harness.make_table(rows(&[(1, "a")])).await;
    let twice = (Effect::Insert, rows_batch(&[(1, "a"), (1, "a")]));
    let mut session = claimed(&harness).await;
    let class = refused(&mut session, Stage::Adopt, &[twice]).await;
    assert_eq!(class, FailureClass::NeedsOperator);
    drop(session);
    let delete = (Effect::Delete, rows_batch(&[(1, "a")]));
    let mut session = claimed(&harness).await;
    let class = refused(&mut session, Stage::Adopt, &[delete]).await;
    assert_eq!(class, FailureClass::Bug);
    drop(session);
    let mut session = claimed(&harness).await;
    assert_eq!(adopted(&mut session, &[(1, "a")]).await, nothing_written());
    let own = (Effect::Insert, rows_batch(&[(1, "a")]));
    let class = refused(&mut session, Stage::Adopt, &[own]).await;
    assert_eq!(class, FailureClass::Bug, "the job's own table is adopted");
}

async fn older_epochs_adopt_nothing<H: Harness>(harness: H) {
    let pairs = [(1, "a")];
    harness.make_table(rows(&pairs)).await;
    let mut older = claimed(&harness).await;
    staged(&mut older, Stage::Adopt, &[(Effect::Insert, &pairs)]).await;
    harness.give_up_sessions().await;
    let mut newer: SessionOf<H> = claimed(&harness).await;
    let outcome = older.apply(&watermark(5), &fingerprint()).await;
    assert_eq!(
        outcome.expect("the fence is an outcome"),
        CommitOutcome::Fenced
    );
    assert_eq!(table_now(&harness).await, TableStanding::Foreign);
    assert_eq!(adopted(&mut newer, &pairs).await, nothing_written());
    let at = newer.standing().watermark();
    assert_eq!(at, Some(&watermark::<PositionOf<H>>(5)));
}
