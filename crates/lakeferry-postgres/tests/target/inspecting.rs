//! Looking leaves no trace: no transaction id, no schema, no wait.

use lakeferry_model::{Effect, FailureClass, Stage, TableStanding, Target};
use lakeferry_postgres::read_status;

use crate::fixture::{applied, batch, on_each_server, stage, told};

#[tokio::test]
async fn looking_assigns_no_transaction_id() {
    on_each_server(async |desk| {
        desk.server.reload(&[("autovacuum", "off")]).unwrap();
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
        for round in ["without state", "with state"] {
            let before = desk.ask(next).await;
            desk.target().inspect().await.unwrap();
            read_status(&desk.settings.connect, "lakeferry", "test")
                .await
                .unwrap();
            assert_eq!(desk.ask(next).await, before, "{round}");
            if round == "without state" {
                assert_eq!(
                    desk.ask("SELECT to_regnamespace('lakeferry')").await,
                    "NULL"
                );
                desk.filled(&batch(&[(1, None)])).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn looking_waits_for_no_apply() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        desk.hold_target().await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        let apply = tokio::spawn(async move { applied(&mut session, 2).await });
        desk.until_waiting(1).await;
        let standing = desk.target().inspect().await.unwrap();
        assert_eq!(standing.table, TableStanding::Filled);
        assert_eq!(standing.watermark().unwrap().version.0, 1);
        desk.let_go().await;
        assert_eq!(apply.await.unwrap().deleted, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_table_is_said() {
    on_each_server(async |desk| {
        for (make, kind, drop) in [
            (
                "CREATE VIEW target AS SELECT 1 WHERE false",
                "a view",
                "DROP VIEW target",
            ),
            (
                "CREATE SEQUENCE target",
                "a sequence",
                "DROP SEQUENCE target",
            ),
            (
                "CREATE TABLE x (i int); CREATE INDEX target ON x (i)",
                "an index",
                "DROP INDEX target",
            ),
        ] {
            desk.run(make).await;
            let (class, text) = told(&desk.target().inspect().await.unwrap_err());
            assert_eq!(class, FailureClass::NeedsOperator);
            let message = format!("public.target is {kind} and no table; hint: drop or rename");
            assert!(text.starts_with(&message), "{text}");
            desk.run(drop).await;
        }
    })
    .await;
}
