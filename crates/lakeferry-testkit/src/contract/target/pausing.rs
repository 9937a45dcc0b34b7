//! A pause: seen by every look and every claim, from before the first claim on, and fencing nobody.

use lakeferry_model::{Effect, Pause, Session, Stage, Target};

use super::{Harness, applied, claimed, filled, rows, staged};

pub(super) async fn holds<H: Harness>(make: &impl AsyncFn() -> H) {
    a_pause_is_seen_until_it_is_lifted(make().await).await;
    a_pause_fences_nobody(make().await).await;
}

async fn paused<H: Harness>(harness: &H) -> Option<Pause> {
    let standing = harness.target().inspect().await;
    standing.expect("inspect works").paused
}

/// Whose it is and why.
fn told(pause: Option<Pause>) -> Option<(String, Option<String>)> {
    pause.map(|pause| (pause.by, pause.reason))
}

async fn a_pause_is_seen_until_it_is_lifted<H: Harness>(harness: H) {
    assert_eq!(paused(&harness).await, None);
    harness.pause(Some("the table moves")).await;
    let expected = Some(("ana".to_owned(), Some("the table moves".to_owned())));
    let seen = paused(&harness).await;
    assert_eq!(told(seen.clone()), expected);
    let session = claimed(&harness).await;
    assert_eq!(session.standing().paused, seen);
    drop(session);
    harness.resume().await;
    assert_eq!(paused(&harness).await, None);
    assert_eq!(claimed(&harness).await.standing().paused, None);
    harness.pause(None).await;
    assert_eq!(told(paused(&harness).await), Some(("ana".to_owned(), None)));
}

async fn a_pause_fences_nobody<H: Harness>(harness: H) {
    let mut session = filled(&harness, &[(1, "a")]).await;
    staged(
        &mut session,
        Stage::Changes,
        &[(Effect::Insert, &[(2, "b")])],
    )
    .await;
    harness.pause(None).await;
    assert_eq!(applied(&mut session, 2).await.inserted, 1);
    assert_eq!(harness.rows().await, Some(rows(&[(1, "a"), (2, "b")])));
}
