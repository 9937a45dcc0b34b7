//! What a target's columns become, where the contract of the port does not tell.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use lakeferry_model::{
    Alteration, ColumnRole, CommitOutcome, Effect, FailureClass, Fingerprint, Session as _, Stage,
    TargetColumn,
};
use lakeferry_postgres::ConnectSettings;

use crate::fixture::{Desk, Lease, batch, brought, fingerprint, on_each_server, told};

fn add(name: &str, of: DataType) -> Alteration {
    Alteration::Add(Arc::new(Field::new(name, of, true)))
}

fn widen(name: &str, of: DataType) -> Alteration {
    Alteration::Widen(Arc::new(Field::new(name, of, true)))
}

async fn altered(session: &mut Lease, alteration: Alteration) {
    let outcome = session.alter(&[alteration], &fingerprint()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
}

/// Class, message and hint of the error that an alteration meets.
async fn refused(desk: &Desk, alteration: Alteration) -> (FailureClass, String) {
    let mut session = desk.claim().await;
    let outcome = session.alter(&[alteration], &fingerprint()).await;
    told(&outcome.unwrap_err())
}

/// The types of the target's columns, and whether they take NULL.
async fn columns(desk: &Desk) -> String {
    desk.ask(
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) \
            || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY attnum) \
         FROM pg_attribute WHERE attrelid = 'target'::regclass AND attnum > 0 \
            AND NOT attisdropped",
    )
    .await
}

#[tokio::test]
async fn only_what_has_to_be_is_done() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        desk.run("ALTER TABLE target ALTER COLUMN value SET NOT NULL, ADD COLUMN mine int")
            .await;
        altered(&mut session, Alteration::Detach("value".to_owned())).await;
        altered(&mut session, add("n", DataType::Decimal128(10, 2))).await;
        // It is NULL, so it is as good as a new one; its type is the user's choice.
        altered(&mut session, add("mine", DataType::Int16)).await;
        let file = "SELECT pg_relation_filenode('target')";
        let before = desk.ask(file).await;
        altered(&mut session, widen("n", DataType::Decimal128(12, 2))).await;
        altered(&mut session, widen("mine", DataType::Int32)).await;
        assert_eq!(desk.ask(file).await, before, "it was written anew");
        assert_eq!(
            columns(&desk).await,
            "id bigint NOT NULL, value text, mine integer, n numeric(12,2)"
        );
        let runs = "SELECT string_agg(kind, ' ' ORDER BY run_id) FROM lakeferry.runs";
        assert_eq!(desk.ask(runs).await, "fill alter alter alter alter alter");
    })
    .await;
}

#[tokio::test]
async fn a_table_is_written_anew_only_if_that_is_allowed() {
    on_each_server(async |mut desk| {
        drop(desk.filled(&batch(&[(1, Some("a"))])).await);
        desk.run("ALTER TABLE target ADD COLUMN n integer; CREATE VIEW v AS SELECT n FROM target")
            .await;
        let wider = || widen("n", DataType::Int64);
        desk.settings.allow_rewrite = true;
        let (class, text) = refused(&desk, wider()).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("and v read it"), "{text}");
        desk.run("DROP VIEW v").await;
        desk.settings.allow_rewrite = false;
        let (class, text) = refused(&desk, wider()).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("allow_rewrite: true"), "{text}");
        desk.settings.allow_rewrite = true;
        altered(&mut desk.claim().await, wider()).await;
        assert_eq!(
            columns(&desk).await,
            "id bigint NOT NULL, value text, n bigint"
        );
    })
    .await;
}

/// Whoever drops a column that is detached is not asked for it when another one wants its name, or
/// when it comes back.
#[tokio::test]
async fn what_is_detached_need_not_be_there() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        let column = |name: &str, role| TargetColumn {
            name: name.to_owned(),
            identity: "c2".to_owned(),
            of: "Utf8".to_owned(),
            role,
        };
        let made_with = |column| Fingerprint {
            columns: vec![column],
            ..fingerprint()
        };
        let rename = |from: &str, to: &str| Alteration::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let error = session
            .alter(&[rename("gone", "back")], &fingerprint())
            .await;
        assert_eq!(told(&error.unwrap_err()).0, FailureClass::NeedsOperator);
        let evaded = made_with(column("away", ColumnRole::Detached));
        let back = made_with(column("back", ColumnRole::Synced));
        let mut session = desk.claim().await;
        for (alteration, noted) in [
            (rename("gone", "away"), &evaded),
            (rename("away", "back"), &back),
        ] {
            let outcome = session.alter(&[alteration], noted).await.unwrap();
            assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn views_on_partitions_are_told() {
    on_each_server(async |mut desk| {
        desk.settings.allow_rewrite = true;
        desk.run(
            "CREATE TABLE target (id bigint PRIMARY KEY, value text, n integer) \
                PARTITION BY RANGE (id); \
             CREATE TABLE part PARTITION OF target DEFAULT; CREATE VIEW v AS SELECT n FROM part",
        )
        .await;
        let mut session = desk.claim().await;
        let rows = batch(&[(1, Some("a"))]);
        brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        drop(session);
        let (_, text) = refused(&desk, widen("n", DataType::Int64)).await;
        assert!(text.contains("and v read it"), "{text}");
    })
    .await;
}

/// Whoever may write a table may not alter it: what the owner runs is found done.
#[tokio::test]
async fn the_owner_can_do_it() {
    on_each_server(async |mut desk| {
        desk.run("CREATE ROLE ferry LOGIN").await;
        drop(desk.filled(&batch(&[(1, Some("a"))])).await);
        desk.run(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON target TO ferry; \
             GRANT USAGE ON SCHEMA lakeferry TO ferry; \
             GRANT ALL ON ALL TABLES IN SCHEMA lakeferry TO ferry; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA lakeferry TO ferry",
        )
        .await;
        let url = desk.url.replace("postgres@", "ferry@");
        desk.settings.connect = ConnectSettings::parse(&url).unwrap();
        let new = || add("extra", DataType::Utf8);
        let (class, text) = refused(&desk, new()).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        let (_, statement) = text.split_once("let the owner of the table run: ").unwrap();
        let (statement, _) = statement.split_once(';').unwrap();
        desk.run(statement).await;
        altered(&mut desk.claim().await, new()).await;
        assert_eq!(
            columns(&desk).await,
            "id bigint NOT NULL, value text, extra text"
        );
    })
    .await;
}
