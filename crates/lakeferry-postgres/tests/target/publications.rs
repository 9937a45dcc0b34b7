//! A target that is published: what goes out is what users chose, and a publication that could not
//! carry a change is told before it is lost.

use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{batch, brought, on_each_server, refused};

const PUBLISHED: &str = "\
SELECT concat_ws(' ', relreplident, relreplident = 'i' AND EXISTS (SELECT FROM pg_index \
        WHERE indrelid = c.oid AND indisreplident), \
    (SELECT string_agg(pubname, ',' ORDER BY pubname) FROM pg_publication_tables)) \
FROM pg_class AS c WHERE oid = 'target'::regclass";

#[tokio::test]
async fn publications_and_replica_identity_stay() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a")), (2, Some("b"))])).await;
        desk.run(
            "CREATE PUBLICATION one FOR TABLE target; CREATE PUBLICATION every FOR ALL TABLES; \
             ALTER TABLE target ADD tag text NOT NULL DEFAULT gen_random_uuid(); \
             CREATE UNIQUE INDEX by_tag ON target (tag)",
        )
        .await;
        let mut version = 1;
        for identity in ["DEFAULT", "FULL", "USING INDEX by_tag"] {
            desk.run(&format!("ALTER TABLE target REPLICA IDENTITY {identity}"))
                .await;
            let before = desk.ask(PUBLISHED).await;
            let parts = [
                (Effect::Delete, &batch(&[(1, None)])),
                (Effect::Update, &batch(&[(2, Some("c"))])),
            ];
            brought(&mut session, version + 1, Stage::Changes, &parts).await;
            let rows = batch(&[(1, Some("a")), (2, Some("b"))]);
            brought(
                &mut session,
                version + 2,
                Stage::Refresh,
                &[(Effect::Insert, &rows)],
            )
            .await;
            assert_eq!(desk.ask(PUBLISHED).await, before);
            version += 2;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_publication_cannot_carry_is_refused() {
    on_each_server(async |desk| {
        desk.run("CREATE TABLE target (id bigint NOT NULL UNIQUE, value text)")
            .await;
        let mut session = desk.claim().await;
        let parts = [(Effect::Insert, &batch(&[(1, Some("a"))]))];
        brought(&mut session, 1, Stage::Refresh, &parts).await;
        drop(session);
        desk.run("CREATE PUBLICATION one FOR TABLE target").await;
        for (publication, hint) in [
            (
                "CREATE PUBLICATION two FOR TABLE target",
                "REPLICA IDENTITY",
            ),
            (
                "ALTER TABLE target REPLICA IDENTITY USING INDEX target_id_key; \
                 CREATE PUBLICATION two FOR TABLE target WHERE (value <> 'x')",
                "REPLICA IDENTITY",
            ),
        ] {
            desk.run(&format!("DROP PUBLICATION IF EXISTS two; {publication}"))
                .await;
            let parts = [(Effect::Update, &batch(&[(1, Some("b"))]))];
            let (class, text) = refused(&mut desk.claim().await, Stage::Changes, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator, "{text}");
            let (_, told) = text.split_once("hint: ").unwrap_or_default();
            assert!(told.contains(hint), "{text}");
            assert_eq!(desk.rows().await, "1:a");
        }
    })
    .await;
}
