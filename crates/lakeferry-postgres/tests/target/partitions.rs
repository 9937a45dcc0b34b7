//! Targets in partitions: rows find theirs, and go to another one.

use lakeferry_model::{Effect, FailureClass, Stage, TableStanding, Target};

use crate::fixture::{
    Desk, Lease, applied, apply, batch, brought, on_each_server, refused, stage, told,
};

/// A table in partitions by value, which Postgres wants in the key then.
async fn partitioned(desk: &mut Desk) -> Lease {
    desk.settings.key = vec!["id".to_owned(), "value".to_owned()];
    desk.run(
        "CREATE TABLE target (id bigint, value text, note text, PRIMARY KEY (value, id)) \
            PARTITION BY LIST (value); \
         CREATE TABLE part_a PARTITION OF target FOR VALUES IN ('a'); \
         CREATE TABLE part_b (note text, value text NOT NULL, gone int, id bigint NOT NULL); \
         ALTER TABLE part_b DROP gone; \
         ALTER TABLE target ATTACH PARTITION part_b FOR VALUES IN ('b') ",
    )
    .await;
    let inspected = desk.target().inspect().await.unwrap();
    assert_eq!(inspected.table, TableStanding::Empty);
    let mut session = desk.claim().await;
    let rows = batch(&[(1, Some("a")), (2, Some("b")), (3, Some("a"))]);
    let done = brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
    assert_eq!(done.inserted, 3);
    session
}

/// Which row is in which partition.
async fn places(desk: &Desk) -> String {
    desk.ask(
        "SELECT string_agg(format('%s %s', tableoid::regclass, id), ', ' ORDER BY id) FROM target",
    )
    .await
}

#[tokio::test]
async fn rows_go_from_partition_to_partition() {
    on_each_server(async |mut desk| {
        let mut session = partitioned(&mut desk).await;
        assert_eq!(places(&desk).await, "part_a 1, part_b 2, part_a 3");
        let parts = [
            (Effect::Delete, &batch(&[(1, Some("a")), (2, Some("b"))])),
            (Effect::Insert, &batch(&[(1, Some("b"))])),
        ];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        assert_eq!(places(&desk).await, "part_b 1, part_a 3");
        let rows = batch(&[(1, Some("b")), (3, Some("b")), (4, Some("a"))]);
        brought(&mut session, 3, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        assert_eq!(places(&desk).await, "part_b 1, part_b 3, part_a 4");
    })
    .await;
}

#[tokio::test]
async fn rows_without_a_partition_ask_for_one() {
    on_each_server(async |mut desk| {
        drop(partitioned(&mut desk).await);
        let parts = [(Effect::Insert, &batch(&[(4, Some("c"))]))];
        let (class, text) = refused(&mut desk.claim().await, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("no partition of relation \"target\""),
            "{text}"
        );
        assert!(text.contains("hint: add a partition"), "{text}");
        // One that is attached meanwhile takes it.
        let mut session = desk.claim().await;
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        desk.run("CREATE TABLE part_c PARTITION OF target DEFAULT")
            .await;
        applied(&mut session, 2).await;
        assert_eq!(
            places(&desk).await,
            "part_a 1, part_b 2, part_a 3, part_c 4"
        );
    })
    .await;
}

/// Partitions have indexes and triggers of their own, which are named for them.
#[tokio::test]
async fn what_partitions_have_counts() {
    on_each_server(async |desk| {
        desk.run(
            "CREATE TABLE target (id bigint PRIMARY KEY, value text) PARTITION BY RANGE (id); \
             CREATE TABLE low PARTITION OF target FOR VALUES FROM (0) TO (10); \
             CREATE TABLE high PARTITION OF target FOR VALUES FROM (10) TO (20); \
             CREATE UNIQUE INDEX rival ON low (value)",
        )
        .await;
        let mut session = desk.claim().await;
        let rows = batch(&[(1, Some("a")), (2, Some("b")), (11, Some("a"))]);
        brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        let rows = batch(&[(1, Some("b")), (2, Some("a"))]);
        let done = brought(&mut session, 2, Stage::Changes, &[(Effect::Update, &rows)]).await;
        assert_eq!(done.updated, 2);
        assert_eq!(desk.rows().await, "1:b 2:a 11:a");
        desk.run(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN NEW.value := 'mine'; RETURN NEW; END $$; \
             CREATE TRIGGER held BEFORE UPDATE ON high FOR EACH ROW EXECUTE FUNCTION hold()",
        )
        .await;
        let parts = [(Effect::Update, &batch(&[(11, Some("z"))]))];
        let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("by a trigger of public.target (\"held\")"),
            "{text}"
        );
    })
    .await;
}

/// The target can be a partition of somebody's table.
#[tokio::test]
async fn a_partition_is_a_table() {
    on_each_server(async |desk| {
        desk.run(
            "CREATE TABLE whole (id bigint, value text, PRIMARY KEY (id)) PARTITION BY RANGE (id); \
             CREATE TABLE target PARTITION OF whole FOR VALUES FROM (0) TO (10)",
        )
        .await;
        let mut session = desk.claim().await;
        let parts = [(Effect::Insert, &batch(&[(1, Some("a"))]))];
        brought(&mut session, 1, Stage::Refresh, &parts).await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Insert, &batch(&[(10, None)]))],
        )
        .await
        .unwrap();
        let (class, text) = told(&apply(&mut session, 2).await.unwrap_err());
        assert_eq!(class, FailureClass::BadRow);
        assert!(text.contains("violates partition constraint"), "{text}");
    })
    .await;
}
