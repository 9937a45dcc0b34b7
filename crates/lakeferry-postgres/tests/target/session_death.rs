//! A backend that dies at any moment leaves the target as it was.

use lakeferry_model::{CommitOutcome, Effect, FailureClass, Session, Stage, Target};

use crate::fixture::{Desk, applied, apply, batch, on_each_server, stage, told};

const OURS: &str = "application_name = 'lakeferry/job'";

async fn kill_backend(desk: &Desk) {
    desk.run(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
    ))
    .await;
    desk.until(&format!(
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS})"
    ))
    .await;
}

async fn unchanged(desk: &Desk) {
    assert_eq!(desk.rows().await, "1:a 2:b");
    let standing = desk.target().inspect().await.unwrap();
    assert_eq!(standing.watermark().unwrap().version.0, 1);
}

#[tokio::test]
async fn while_it_stages() {
    on_each_server(async |desk| {
        for kind in [Stage::Refresh, Stage::Changes] {
            desk.run("DROP TABLE IF EXISTS target").await;
            let rows = batch(&[(1, Some("a")), (2, Some("b"))]);
            let mut session = desk.filled(&rows).await;
            let parts = [(Effect::Insert, &batch(&[(3, Some("c"))]))];
            stage(&mut session, kind, &parts).await.unwrap();
            kill_backend(&desk).await;
            let error = apply(&mut session, 2).await.unwrap_err();
            assert_eq!(told(&error).0, FailureClass::Transient, "{error}");
            unchanged(&desk).await;
        }
    })
    .await;
}

#[tokio::test]
async fn while_it_waits_behind_the_fence() {
    on_each_server(async |desk| {
        for kind in [Stage::Refresh, Stage::Changes] {
            desk.run("DROP TABLE IF EXISTS target").await;
            let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
            let parts = [(Effect::Insert, &batch(&[(3, Some("c"))]))];
            stage(&mut session, kind, &parts).await.unwrap();
            desk.hold_target().await;
            let apply = tokio::spawn(async move { apply(&mut session, 2).await });
            desk.until_waiting(1).await;
            kill_backend(&desk).await;
            desk.let_go().await;
            let error = apply.await.unwrap().unwrap_err();
            assert_eq!(told(&error).0, FailureClass::Transient, "{error}");
            unchanged(&desk).await;
        }
    })
    .await;
}

#[tokio::test]
async fn while_it_commits() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        // Its foreign key is checked at COMMIT, and waits for who is about to delete the row.
        desk.run(
            "CREATE TABLE child (id bigint REFERENCES target DEFERRABLE); \
             INSERT INTO child VALUES (1)",
        )
        .await;
        desk.hold("DELETE FROM child").await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        let apply = tokio::spawn(async move { apply(&mut session, 2).await });
        desk.until_waiting(1).await;
        kill_backend(&desk).await;
        let outcome = apply.await.unwrap().unwrap();
        assert!(matches!(outcome, CommitOutcome::Unknown(_)), "{outcome:?}");
        desk.let_go().await;
        unchanged(&desk).await;
        let mut session = desk.claim().await;
        assert_eq!(session.standing().watermark().unwrap().version.0, 1);
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        assert_eq!(applied(&mut session, 2).await.deleted, 1);
    })
    .await;
}

/// A dropped session does not keep its backend, even in a long statement.
#[tokio::test]
async fn a_dropped_session_ends_its_backend() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        drop(session);
        desk.until(&format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS})"
        ))
        .await;
        unchanged(&desk).await;
        let mut session = desk.claim().await;
        desk.hold_target().await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        let apply = tokio::spawn(async move { apply(&mut session, 2).await });
        desk.until_waiting(1).await;
        apply.abort();
        // The server looks for its client every few seconds.
        desk.until(&format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS})"
        ))
        .await;
        desk.let_go().await;
        unchanged(&desk).await;
    })
    .await;
}
