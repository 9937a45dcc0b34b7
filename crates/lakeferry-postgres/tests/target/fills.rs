//! First fills: what stays of one that was cut off, and who may hold it up.

use lakeferry_model::{
    Claim, CommitOutcome, Failure as _, FailureClass, Holder, Loader as _, Session as _, Stage,
    TableStanding, Target as _,
};
use lakeferry_postgres::PostgresLoader;

use crate::fixture::{Desk, Lease, applied, apply, batch, fill_plan, on_each_server, told};

async fn opened(session: &mut Lease, pieces: usize) -> u64 {
    let schema = batch(&[]).schema();
    let loaded = session.fill(&fill_plan(pieces), &schema).await.unwrap();
    loaded.pieces.len() as u64
}

/// A loader with a piece under way.
async fn begun(session: &mut Lease, place: u64) -> PostgresLoader {
    let mut loader = session.loader().await.unwrap();
    loader.begin(place).await.unwrap();
    let id = i64::try_from(place).unwrap();
    loader.put(&batch(&[(id, Some("a"))])).await.unwrap();
    loader
}

async fn loaded(session: &mut Lease, place: u64) {
    begun(session, place).await.finish().await.unwrap();
}

/// Pieces and rows that the next run goes on with.
async fn kept(desk: &Desk) -> Option<(u64, u64)> {
    let standing = desk.target().inspect().await.unwrap();
    standing.unfinished.map(|fill| (fill.loaded, fill.rows))
}

const COPIES: &str = "FROM pg_stat_activity WHERE state = 'active' AND starts_with(query, 'COPY ')";

/// Whatever happens to one loader, the pieces of the others stay, and the session can go on.
#[tokio::test]
async fn a_loader_that_is_cut_off_costs_its_piece() {
    on_each_server(async |desk| {
        let mut session = desk.claim().await;
        assert_eq!(opened(&mut session, 3).await, 0);
        loaded(&mut session, 0).await;
        for end in ["pg_terminate_backend", "pg_cancel_backend"] {
            let mut cut_off = begun(&mut session, 1).await;
            desk.until(&format!("SELECT count(*) = 1 {COPIES}")).await;
            desk.run(&format!("SELECT {end}(pid) {COPIES}")).await;
            let (class, text) = told(&cut_off.finish().await.unwrap_err());
            assert_eq!(class, FailureClass::Transient, "{text}");
            assert!(text.contains("copy rows for public.target"), "{text}");
            assert_eq!(kept(&desk).await, Some((1, 1)), "{end}");
        }
        loaded(&mut session, 1).await;
        loaded(&mut session, 2).await;
        assert_eq!(applied(&mut session, 1).await.inserted, 3);
    })
    .await;
}

/// A piece whose rows are refused is named as ever; the others stay.
#[tokio::test]
async fn a_refused_piece_names_its_table() {
    on_each_server(async |desk| {
        let mut session = desk.claim().await;
        opened(&mut session, 2).await;
        loaded(&mut session, 0).await;
        let mut loader = session.loader().await.unwrap();
        loader.begin(1).await.unwrap();
        loader.put(&batch(&[(1, Some("a\0b"))])).await.unwrap();
        let (class, text) = told(&loader.finish().await.unwrap_err());
        assert_eq!(class, FailureClass::BadRow, "{text}");
        assert!(text.contains("\"value\""), "{text}");
        assert_eq!(kept(&desk).await, Some((1, 1)));
    })
    .await;
}

/// A daemon that stands still in a COPY keeps nobody from going on with its fill.
#[tokio::test]
async fn loaders_that_stand_still_are_ended() {
    on_each_server(async |desk| {
        let mut older = desk.claim().await;
        opened(&mut older, 2).await;
        loaded(&mut older, 0).await;
        let mut still = begun(&mut older, 1).await;
        desk.until(&format!("SELECT count(*) = 1 {COPIES}")).await;
        desk.run("DELETE FROM lakeferry.leases").await;
        let mut newer = desk.claim().await;
        assert_eq!(opened(&mut newer, 2).await, 1);
        loaded(&mut newer, 1).await;
        assert_eq!(applied(&mut newer, 1).await.inserted, 2);
        assert_eq!(desk.rows().await, "0:a 1:a");
        let late = still.finish().await.unwrap_err();
        assert_eq!(late.class(), FailureClass::Transient, "{late:?}");
    })
    .await;
}

/// A backup reads the table that is to get its name: the rename waits for it, trying again, and
/// keeps nobody waiting.
#[tokio::test]
async fn a_rename_has_patience() {
    on_each_server(async |desk| {
        let mut session = desk.claim().await;
        opened(&mut session, 1).await;
        loaded(&mut session, 0).await;
        // The key is there already, as after a run that was killed just then.
        desk.run("ALTER TABLE _lakeferry_fill_1_target ADD PRIMARY KEY (id)")
            .await;
        desk.hold("TABLE _lakeferry_fill_1_target").await;
        let renamed = tokio::spawn(async move { apply(&mut session, 1).await });
        desk.until_waiting(1).await;
        // It gave up, and waits for the next try outside of any transaction.
        let pauses = "SELECT count(*) = 1 FROM pg_stat_activity \
            WHERE application_name LIKE 'lakeferry/%' AND query LIKE '%pg_sleep(1)%' \
                AND state = 'active' AND backend_xid IS NULL";
        desk.until(pauses).await;
        desk.run("UPDATE lakeferry.progress SET epoch = epoch")
            .await;
        desk.let_go().await;
        let outcome = renamed.await.unwrap().unwrap();
        assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
        assert_eq!(desk.rows().await, "0:a");
        assert_eq!(kept(&desk).await, None);
        assert_eq!(desk.ask("SELECT count(*) FROM lakeferry.fills").await, "0");
    })
    .await;
}

/// The table is made in the target's own schema: whoever may read new tables there may read it.
#[tokio::test]
async fn default_privileges_apply() {
    on_each_server(async |desk| {
        desk.run(
            "CREATE ROLE reader LOGIN; \
             ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
        )
        .await;
        drop(desk.filled(&batch(&[(1, Some("a"))])).await);
        let granted = "SELECT has_table_privilege('reader', 'target', 'SELECT') \
            AND NOT has_table_privilege('reader', 'target', 'INSERT')";
        assert_eq!(desk.ask(granted).await, "true");
        let kind = "SELECT relpersistence FROM pg_class WHERE relname = 'target'";
        assert_eq!(desk.ask(kind).await, "p");
    })
    .await;
}

#[tokio::test]
async fn a_reset_removes_what_a_fill_left_and_no_more() {
    on_each_server(async |desk| {
        let target = desk.target();
        let holder = Holder("operator".to_owned());
        let reset = async |forget| match Box::pin(target.reset(&holder, forget)).await.unwrap() {
            Claim::Granted(removed) => Some(removed),
            Claim::Held(_) => None,
        };
        // Nothing was ever there: nothing is made.
        assert!(reset(true).await.unwrap().is_nothing());
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'lakeferry'";
        assert_eq!(desk.ask(schemas).await, "0");
        let mut session = desk.claim().await;
        opened(&mut session, 2).await;
        loaded(&mut session, 0).await;
        assert!(reset(false).await.is_none(), "a holder is alive");
        drop(session);
        let removed = reset(false).await.unwrap();
        assert_eq!((removed.pieces, removed.tables.len()), (Some(1), 1));
        assert_eq!(kept(&desk).await, None);
        assert!(reset(false).await.unwrap().is_nothing(), "twice");
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        session
            .stage(Stage::Refresh, &batch(&[]).schema())
            .await
            .unwrap();
        drop(session);
        let removed = reset(false).await.unwrap();
        assert_eq!((removed.pieces, removed.tables.len()), (None, 1));
        assert!(!removed.progress);
        assert_eq!(desk.rows().await, "1:a");
        let removed = reset(true).await.unwrap();
        assert!(removed.progress);
        let standing = desk.target().inspect().await.unwrap();
        assert_eq!(standing.progress, None);
        assert_eq!(standing.table, TableStanding::Foreign);
        assert_eq!(desk.rows().await, "1:a");
        assert!(reset(true).await.unwrap().is_nothing(), "twice");
    })
    .await;
}
