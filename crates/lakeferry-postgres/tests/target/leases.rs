//! A lease is renewed as long as its holder's process lives, and no longer.

use std::time::Duration;

use lakeferry_model::{Claim, CommitOutcome, Effect, FailureClass, Holder, Stage, Target};
use lakeferry_postgres::{ConnectSettings, PostgresTarget};

use crate::fixture::{Desk, applied, apply, batch, on_each_server, stage, told};

async fn second_claim(desk: &Desk) -> Claim<crate::fixture::Lease> {
    let second = Holder("second".to_owned());
    desk.target().claim(&second).await.unwrap()
}

/// One statement that takes longer than the lease is no sign of death.
#[tokio::test]
async fn a_long_statement_keeps_its_lease() {
    on_each_server(async |mut desk| {
        desk.settings.lease = Duration::from_secs(1);
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        let parts = [(Effect::Delete, &batch(&[(1, None)]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        desk.hold_target().await;
        let apply = tokio::spawn(async move { applied(&mut session, 2).await });
        desk.until_waiting(1).await;
        desk.until("SELECT expires_at > claimed_at + interval '3 s' FROM lakeferry.leases")
            .await;
        let second = second_claim(&desk).await;
        assert!(matches!(second, Claim::Held(_)), "{second:?}");
        desk.let_go().await;
        assert_eq!(apply.await.unwrap().deleted, 1);
    })
    .await;
}

/// Nobody waits for the locks of a holder that stands still.
#[tokio::test]
async fn a_holder_that_stands_still_in_its_apply_is_ended() {
    on_each_server(async |desk| {
        let mut older = desk.filled(&batch(&[(1, Some("a"))])).await;
        let parts = [(Effect::Delete, &batch(&[(1, None)]))];
        stage(&mut older, Stage::Changes, &parts).await.unwrap();
        desk.hold_target().await;
        let older = tokio::spawn(async move { apply(&mut older, 2).await });
        desk.until_waiting(1).await;
        desk.run("UPDATE lakeferry.leases SET expires_at = clock_timestamp()")
            .await;
        let Claim::Granted(mut newer) = second_claim(&desk).await else {
            panic!("held")
        };
        desk.let_go().await;
        let error = older.await.unwrap().unwrap_err();
        let (class, text) = told(&error);
        assert_eq!(class, FailureClass::Transient);
        assert!(text.contains("57P01"), "{text}");
        assert_eq!(desk.rows().await, "1:a");
        stage(&mut newer, Stage::Changes, &parts).await.unwrap();
        let outcome = apply(&mut newer, 2).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
    })
    .await;
}

#[tokio::test]
async fn who_may_not_end_a_holder_says_what_it_takes() {
    on_each_server(async |desk| {
        let session = desk.filled(&batch(&[(1, Some("a"))])).await;
        desk.run(
            "CREATE ROLE ferry LOGIN; GRANT USAGE ON SCHEMA lakeferry TO ferry; \
             GRANT ALL ON ALL TABLES IN SCHEMA lakeferry TO ferry; \
             UPDATE lakeferry.leases SET expires_at = clock_timestamp()",
        )
        .await;
        let mut settings = desk.settings.clone();
        let url = desk.url.replace("postgres@", "ferry@");
        settings.connect = ConnectSettings::parse(&url).unwrap();
        let target = PostgresTarget::<u64>::new(settings).unwrap();
        let claim = target.claim(&Holder("ferry".to_owned())).await;
        let (class, text) = told(&claim.unwrap_err());
        assert_eq!(class, FailureClass::NeedsOperator);
        for part in [
            "cannot end the session of test, whose lease on job test/job has expired",
            "hint: GRANT pg_signal_backend TO \"ferry\"",
        ] {
            assert!(text.contains(part), "{text}");
        }
        drop(session);
    })
    .await;
}
