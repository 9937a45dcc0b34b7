//! A row that did not change is not written, not even locked.

use lakeferry_model::{Effect, RowCounts, Stage};

use crate::fixture::{Desk, applied, batch, on_each_server, stage};

/// Where each row version lies, who wrote it, and who locked it.
async fn versions(desk: &Desk) -> String {
    desk.ask("SELECT string_agg(format('%s %s %s %s', id, ctid, xmin, xmax), ',' ORDER BY id) FROM target")
        .await
}

#[tokio::test]
async fn equal_rows_are_left_alone() {
    on_each_server(async |desk| {
        let rows = batch(&[(1, Some("a")), (2, None), (3, Some(""))]);
        let mut session = desk.filled(&rows).await;
        let before = versions(&desk).await;
        for (version, kind, effect) in [
            (2, Stage::Refresh, Effect::Insert),
            (3, Stage::Changes, Effect::Update),
        ] {
            stage(&mut session, kind, &[(effect, &rows)]).await.unwrap();
            assert_eq!(applied(&mut session, version).await, RowCounts::default());
            assert_eq!(versions(&desk).await, before, "{kind:?} wrote rows");
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_rows_that_differ_are_written() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        let first = "SELECT format('%s %s', ctid, xmin) FROM target WHERE id = 1";
        let before = desk.ask(first).await;
        let rows = batch(&[(1, Some("a")), (2, None)]);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        assert_eq!(applied(&mut session, 2).await.updated, 1);
        assert_eq!(desk.ask(first).await, before);
        assert_eq!(desk.rows().await, "1:a 2:-");
    })
    .await;
}
