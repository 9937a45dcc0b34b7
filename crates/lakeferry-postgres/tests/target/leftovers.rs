//! What a run left behind is dropped by the next one, and only that.

use lakeferry_model::{Effect, Session, Stage};

use crate::fixture::{Desk, applied, batch, fill_plan, on_each_server, stage};

async fn reserved(desk: &Desk) -> String {
    desk.ask(
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
        WHERE relkind = 'r' AND starts_with(relname, '_lakeferry_')",
    )
    .await
}

#[tokio::test]
async fn only_our_leftovers_are_dropped() {
    on_each_server(async |mut desk| {
        desk.run("CREATE TABLE _lakeferry_fill_mine (x int)").await;
        let rows = batch(&[(1, Some("a"))]);
        desk.settings.job.name = "other".to_owned();
        desk.settings.table.name = "other".to_owned();
        let mut other = desk.claim().await;
        stage(&mut other, Stage::Fill, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        desk.settings.job.name = "job".to_owned();
        desk.settings.table.name = "target".to_owned();
        let mut first = desk.claim().await;
        stage(&mut first, Stage::Fill, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        drop(first);
        let all = "_lakeferry_fill_1_other _lakeferry_fill_1_target _lakeferry_fill_mine";
        assert_eq!(reserved(&desk).await, all);
        let mut second = desk.filled(&rows).await;
        assert_eq!(
            reserved(&desk).await,
            "_lakeferry_fill_1_other _lakeferry_fill_mine"
        );
        applied(&mut other, 1).await;
        stage(&mut second, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        applied(&mut second, 2).await;
        assert_eq!(reserved(&desk).await, "_lakeferry_fill_mine");
    })
    .await;
}

/// A backup holds what an interrupted fill left: another fill is done all the same.
#[tokio::test]
async fn a_backup_does_not_stop_a_fill() {
    on_each_server(async |desk| {
        let rows = batch(&[(1, Some("a"))]);
        let mut first = desk.claim().await;
        let mut other = fill_plan(1);
        other.pieces_digest.0[0] = 1;
        first.fill(&other, &rows.schema()).await.unwrap();
        drop(first);
        desk.hold("TABLE _lakeferry_fill_1_target").await;
        let mut session = desk.filled(&rows).await;
        assert_eq!(desk.rows().await, "1:a");
        assert_eq!(reserved(&desk).await, "_lakeferry_fill_1_target");
        desk.let_go().await;
        let parts = [(Effect::Insert, &batch(&[(2, None)]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        assert_eq!(reserved(&desk).await, "NULL");
        applied(&mut session, 2).await;
    })
    .await;
}

/// Somebody looks at the staging of a refresh for a long time: the refresh is done all the same.
#[tokio::test]
async fn a_staging_in_use_is_left_to_the_next_run() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        let rows = batch(&[(1, Some("b"))]);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        desk.hold("TABLE _lakeferry_refresh_1_target").await;
        assert_eq!(applied(&mut session, 2).await.updated, 1);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        let both = "_lakeferry_refresh_1.1_target _lakeferry_refresh_1_target";
        assert_eq!(reserved(&desk).await, both);
        applied(&mut session, 3).await;
        desk.let_go().await;
        assert_eq!(reserved(&desk).await, "_lakeferry_refresh_1_target");
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        applied(&mut session, 4).await;
        assert_eq!(reserved(&desk).await, "NULL");
    })
    .await;
}
