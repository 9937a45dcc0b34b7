//! Pauses and requests: set from anywhere, by commands and by plain SQL.

use lakeferry_model::{Holder, RowCounts, Session as _, Target as _};
use lakeferry_postgres::{Answer, Control, Followed, JobControl, Request, RequestKind, Spares};

use crate::fixture::{Desk, on_each_server};

const SYNC: Request = Request {
    kind: RequestKind::Sync,
    accept_deletes: false,
    even_if_paused: false,
};

fn control(desk: &Desk) -> Control {
    let connect = desk.settings.connect.clone();
    Control::new(connect, Spares::default(), "lakeferry", "test").unwrap()
}

fn holder(name: &str) -> Holder {
    Holder(name.to_owned())
}

#[tokio::test]
async fn a_job_is_paused_before_anything_is_there() {
    on_each_server(async |desk| {
        let control = control(&desk);
        assert_eq!(control.look().await.unwrap(), []);
        let pause = control.pause("job", "ana", None).await.unwrap();
        let again = control.pause("job", "bob", Some("it moves")).await.unwrap();
        assert_eq!((again.since, again.by.as_str()), (pause.since, "ana"));
        assert_eq!(again.reason.as_deref(), Some("it moves"));
        let seen = desk.target().inspect().await.unwrap().paused;
        assert_eq!(seen.as_ref(), Some(&again));
        let expected = JobControl {
            job: "job".to_owned(),
            paused: seen,
            is_requested: false,
        };
        assert_eq!(control.look().await.unwrap(), [expected]);
        assert!(control.resume("job").await.unwrap());
        assert_eq!(desk.target().inspect().await.unwrap().paused, None);
        assert_eq!(control.look().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn plain_sql_pauses_and_asks() {
    on_each_server(async |mut desk| {
        desk.settings.job.deployment = "default".to_owned();
        desk.claim().await.release().await.unwrap();
        desk.run("INSERT INTO lakeferry.pauses (job, reason) VALUES ('job', 'by hand')")
            .await;
        desk.run("INSERT INTO lakeferry.requests (job) VALUES ('job'), ('another')")
            .await;
        let connect = desk.settings.connect.clone();
        let control = Control::new(connect, Spares::default(), "lakeferry", "default").unwrap();
        let mut seen = control.look().await.unwrap();
        seen.sort_by(|a, b| a.job.cmp(&b.job));
        let [another, job] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(another.is_requested && another.paused.is_none());
        let user = desk.ask("SELECT session_user::text").await;
        let pause = job.paused.as_ref().unwrap();
        assert!(job.is_requested);
        assert_eq!(
            (pause.by.as_str(), pause.reason.as_deref()),
            (&*user, Some("by hand"))
        );
        desk.run("DELETE FROM lakeferry.pauses WHERE job = 'job'")
            .await;
        assert_eq!(desk.target().inspect().await.unwrap().paused, None);
        let taken = control.take("job", &holder("one")).await.unwrap().unwrap();
        assert_eq!(taken.request, SYNC);
    })
    .await;
}

#[tokio::test]
async fn a_request_is_done_by_one_and_told_to_who_asked() {
    on_each_server(async |desk| {
        let control = control(&desk);
        let backfill = Request {
            kind: RequestKind::Backfill,
            accept_deletes: true,
            even_if_paused: true,
        };
        let first = control.request("job", backfill, "ana").await.unwrap();
        let second = control.request("job", SYNC, "bob").await.unwrap();
        assert_eq!(control.follow(first).await.unwrap(), Followed::Free);
        let taken = control.take("job", &holder("one")).await.unwrap().unwrap();
        assert_eq!(taken.request, backfill);
        assert_eq!(control.follow(first).await.unwrap(), Followed::UnderWay);
        assert!(!control.withdraw(first).await.unwrap());
        // What one does, another one does not; who does it may look again.
        let other = control.take("job", &holder("two")).await.unwrap().unwrap();
        assert_eq!(other.request, SYNC);
        assert_eq!(control.take("job", &holder("three")).await.unwrap(), None);
        assert_eq!(
            control.take("job", &holder("one")).await.unwrap(),
            Some(taken)
        );
        assert_eq!(control.look().await.unwrap(), []);
        let answer = Answer {
            error: None,
            version: Some(7),
            rows: RowCounts {
                inserted: 1,
                updated: 2,
                deleted: 3,
            },
        };
        control.end(taken, &answer).await.unwrap();
        assert_eq!(
            control.follow(first).await.unwrap(),
            Followed::Ended(answer)
        );
        let refused = Answer {
            error: Some("no such table".to_owned()),
            ..Answer::default()
        };
        control.end(other, &refused).await.unwrap();
        assert_eq!(
            control.follow(second).await.unwrap(),
            Followed::Ended(refused)
        );
        assert_eq!(control.take("job", &holder("one")).await.unwrap(), None);
        assert_eq!(control.follow(1_000).await.unwrap(), Followed::Gone);
    })
    .await;
}

/// Whoever took it and went away does not keep it; whoever still works on the job does.
#[tokio::test]
async fn a_request_whose_taker_is_gone_is_taken_by_another() {
    on_each_server(async |desk| {
        let control = control(&desk);
        let id = control.request("job", SYNC, "ana").await.unwrap();
        let session = desk.claim().await;
        // Untaken, but somebody works on the job, and may look.
        assert_eq!(control.follow(id).await.unwrap(), Followed::UnderWay);
        control.take("job", &holder("one")).await.unwrap().unwrap();
        let later = "UPDATE lakeferry.requests SET taken_at = taken_at - interval '2 minutes'";
        desk.run(later).await;
        assert_eq!(control.take("job", &holder("two")).await.unwrap(), None);
        session.release().await.unwrap();
        assert_eq!(control.follow(id).await.unwrap(), Followed::Free);
        assert!(control.take("job", &holder("two")).await.unwrap().is_some());
        assert!(!control.withdraw(id).await.unwrap());
        desk.run(later).await;
        assert!(control.withdraw(id).await.unwrap());
        assert_eq!(control.follow(id).await.unwrap(), Followed::Gone);
    })
    .await;
}

#[tokio::test]
async fn old_answers_go_where_a_request_comes() {
    on_each_server(async |desk| {
        let control = control(&desk);
        let old = control.request("job", SYNC, "ana").await.unwrap();
        desk.run("UPDATE lakeferry.requests SET ended_at = now() - interval '8 days'")
            .await;
        let new = control.request("job", SYNC, "ana").await.unwrap();
        assert_eq!(control.follow(old).await.unwrap(), Followed::Gone);
        assert_eq!(control.follow(new).await.unwrap(), Followed::Free);
    })
    .await;
}
