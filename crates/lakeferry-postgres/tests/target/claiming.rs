//! One holder at a time, who reads only what is settled.

use futures_util::future::join_all;
use lakeferry_model::{
    Claim, CommitOutcome, Effect, FailureClass, Holder, Session, Stage, TableStanding, Target,
};
use lakeferry_postgres_testkit::Stop;

use crate::fixture::{applied, apply, batch, on_each_server, stage, told};

#[tokio::test]
async fn many_come_at_once_to_an_empty_database() {
    on_each_server(async |desk| {
        let claims = (0..8).map(|number| {
            let mut settings = desk.settings.clone();
            // Two for each job.
            settings.job.name = format!("job {}", number / 2);
            settings.table.name = format!("table {}", number / 2);
            let target = lakeferry_postgres::PostgresTarget::<u64>::new(settings).unwrap();
            async move { target.claim(&Holder(number.to_string())).await.unwrap() }
        });
        let claims = join_all(claims).await;
        for pair in claims.chunks(2) {
            let granted = pair
                .iter()
                .filter(|claim| matches!(claim, Claim::Granted(_)))
                .count();
            assert_eq!(granted, 1, "{pair:?}");
        }
        assert_eq!(
            desk.ask("SELECT count(*) FROM lakeferry.migrations").await,
            "8"
        );
    })
    .await;
}

/// Rule 3 of the port: a claim waits for the end of an earlier session's transaction.
#[tokio::test]
async fn a_claim_waits_for_an_apply_under_way() {
    on_each_server(async |desk| {
        let mut older = desk.filled(&batch(&[(1, Some("a"))])).await;
        stage(
            &mut older,
            Stage::Changes,
            &[(Effect::Delete, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        desk.hold_target().await;
        let apply = tokio::spawn(async move { applied(&mut older, 2).await });
        desk.until_waiting(1).await;
        desk.run("DELETE FROM lakeferry.leases").await;
        let target = desk.target();
        let claim = tokio::spawn(async move { target.claim(&Holder("newer".to_owned())).await });
        desk.until_waiting(2).await;
        desk.let_go().await;
        assert_eq!(apply.await.unwrap().deleted, 1);
        let Claim::Granted(newer) = claim.await.unwrap().unwrap() else {
            panic!("held")
        };
        assert_eq!(newer.standing().watermark().unwrap().version.0, 2);
    })
    .await;
}

#[tokio::test]
async fn a_late_fill_changes_nothing() {
    on_each_server(async |desk| {
        let mut older = desk.claim().await;
        stage(
            &mut older,
            Stage::Fill,
            &[(Effect::Insert, &batch(&[(1, Some("late"))]))],
        )
        .await
        .unwrap();
        desk.run("DELETE FROM lakeferry.leases").await;
        let mut newer = desk.claim().await;
        // It goes on with what the older one loaded.
        let rows = batch(&[(1, Some("a"))]);
        stage(&mut newer, Stage::Fill, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        assert_eq!(apply(&mut older, 1).await.unwrap(), CommitOutcome::Fenced);
        assert_eq!(applied(&mut newer, 1).await.inserted, 1);
        assert_eq!(desk.rows().await, "1:late");
    })
    .await;
}

#[tokio::test]
async fn another_table_of_the_name_is_fenced() {
    on_each_server(async |desk| {
        for kind in [Stage::Changes, Stage::Refresh] {
            desk.run("DROP TABLE IF EXISTS target").await;
            let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
            let parts = [(Effect::Insert, &batch(&[(2, Some("b"))]))];
            stage(&mut session, kind, &parts).await.unwrap();
            desk.run("CREATE TABLE copy AS TABLE target; DROP TABLE target; ALTER TABLE copy RENAME TO target")
                .await;
            assert_eq!(apply(&mut session, 2).await.unwrap(), CommitOutcome::Fenced);
            assert_eq!(desk.rows().await, "1:a");
            let inspected = desk.target().inspect().await.unwrap();
            assert_eq!(inspected.table, TableStanding::Replaced);
            assert_eq!(inspected.watermark().unwrap().version.0, 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_taken_name_stops_a_fill() {
    on_each_server(async |desk| {
        let mut session = desk.claim().await;
        stage(
            &mut session,
            Stage::Fill,
            &[(Effect::Insert, &batch(&[(1, None)]))],
        )
        .await
        .unwrap();
        desk.run("CREATE TABLE target (id bigint)").await;
        let (class, text) = told(&apply(&mut session, 1).await.unwrap_err());
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.starts_with("public.target was created by somebody else"),
            "{text}"
        );
        assert_eq!(desk.ask("SELECT count(*) FROM target").await, "0");
    })
    .await;
}

#[tokio::test]
async fn one_table_has_one_job_and_one_job_one_table() {
    on_each_server(async |mut desk| {
        let session = desk.filled(&batch(&[(1, None)])).await;
        desk.settings.job.name = "second".to_owned();
        let error = desk
            .target()
            .claim(&Holder("x".to_owned()))
            .await
            .unwrap_err();
        let (class, text) = told(&error);
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("cannot write public.target: it belongs to job test/job"),
            "{text}"
        );
        session.release().await.unwrap();
        desk.settings.job.name = "job".to_owned();
        desk.settings.table.name = "elsewhere".to_owned();
        let error = desk
            .target()
            .claim(&Holder("x".to_owned()))
            .await
            .unwrap_err();
        let (class, text) = told(&error);
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.starts_with("job test/job filled public.target, and its settings"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_newer_state_is_refused_by_name() {
    on_each_server(async |desk| {
        desk.filled(&batch(&[(1, None)])).await;
        desk.run("INSERT INTO lakeferry.migrations VALUES (999, 'later', '9.9.9')")
            .await;
        let looked = desk.target().inspect().await.unwrap_err();
        let claimed = desk
            .target()
            .claim(&Holder("x".to_owned()))
            .await
            .unwrap_err();
        for error in [looked, claimed] {
            let (class, text) = told(&error);
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(
                text.starts_with("schema lakeferry is at migration 999 of lakeferry 9.9.9"),
                "{text}"
            );
        }
    })
    .await;
}

/// The job of a table is who filled it, not who came first.
#[tokio::test]
async fn a_table_that_nobody_filled_is_given_away() {
    on_each_server(async |mut desk| {
        desk.settings.table.name = "mistaken".to_owned();
        let mut first = desk.claim().await;
        let rows = batch(&[(1, Some("a"))]);
        stage(&mut first, Stage::Fill, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        drop(first);
        desk.settings.table.name = "target".to_owned();
        let standing = desk.target().inspect().await.unwrap();
        assert_eq!(standing.table, TableStanding::Absent);
        drop(desk.claim().await);
        let tables = "SELECT string_agg(name || ' ' || target_table, ',') FROM lakeferry.jobs";
        assert_eq!(desk.ask(tables).await, "job target");
        // Another job, without and with a row of its own.
        desk.settings.job.name = "second".to_owned();
        drop(desk.claim().await);
        assert_eq!(desk.ask(tables).await, "second target");
        desk.settings.job.name = "job".to_owned();
        desk.settings.table.name = "mistaken".to_owned();
        let alive = desk.claim().await;
        desk.settings.job.name = "second".to_owned();
        let error = desk
            .target()
            .claim(&Holder("x".to_owned()))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("it belongs to job test/job"),
            "{error}"
        );
        drop(alive);
        desk.settings.job.name = "job".to_owned();
        desk.settings.table.name = "target".to_owned();
        desk.filled(&rows).await;
        assert_eq!(desk.ask(tables).await, "job target");
        assert_eq!(desk.rows().await, "1:a");
    })
    .await;
}

/// After a restart of the server, another backend may have the number of one that held a lease.
#[tokio::test]
async fn another_backend_of_the_same_number_holds_nothing() {
    on_each_server(async |desk| {
        let session = desk.claim().await;
        let held = desk.target().claim(&Holder("x".to_owned())).await.unwrap();
        assert!(matches!(held, Claim::Held(_)), "{held:?}");
        desk.run(
            "UPDATE lakeferry.leases SET (backend_pid, backend_start) = \
                (SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
        )
        .await;
        let again = desk.claim().await;
        assert!(again.standing().epoch > session.standing().epoch);
    })
    .await;
}

/// The lease of a server's crash is gone with its backends.
#[tokio::test]
async fn a_crash_ends_every_lease() {
    on_each_server(async |mut desk| {
        let session = desk.filled(&batch(&[(1, Some("a"))])).await;
        desk.server.restart(Stop::Immediate).unwrap();
        desk.client = crate::fixture::connect(&desk.url).await;
        let again = desk.claim().await;
        assert_eq!(again.standing().watermark().unwrap().version.0, 1);
        assert!(again.standing().epoch > session.standing().epoch);
    })
    .await;
}
