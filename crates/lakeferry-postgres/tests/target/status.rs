//! What `status` shows of the jobs of a deployment.

use lakeferry_model::{Effect, Holder, Instant, RowCounts, Session, Stage};
use lakeferry_postgres::read_status;

use crate::fixture::{Desk, applied, batch, on_each_server, stage, watermark};

async fn status(desk: &Desk) -> Vec<lakeferry_postgres::JobStatus> {
    read_status(&desk.settings.connect, "lakeferry", "test")
        .await
        .unwrap()
}

#[tokio::test]
async fn jobs_with_their_progress_lease_and_last_run() {
    on_each_server(async |mut desk| {
        assert_eq!(status(&desk).await, []);
        let mut session = desk.filled(&batch(&[(1, Some("a"))])).await;
        stage(
            &mut session,
            Stage::Changes,
            &[(Effect::Insert, &batch(&[(2, None)]))],
        )
        .await
        .unwrap();
        applied(&mut session, 4).await;
        // It moves the watermark and is no run.
        applied(&mut session, 5).await;
        desk.settings.job.name = "another".to_owned();
        desk.settings.table.name = "another".to_owned();
        desk.claim().await.release().await.unwrap();
        let [another, job] = &status(&desk).await[..] else {
            panic!("two jobs")
        };
        assert_eq!(
            (another.name.as_str(), another.version, another.epoch),
            ("another", None, 1)
        );
        assert_eq!((&another.holder, &another.last_run), (&None, &None));
        assert_eq!(
            (job.version, &job.holder),
            (Some(5), &Some(Holder("test".to_owned())))
        );
        drop(session);
        let backend = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
            WHERE application_name = 'lakeferry/job')";
        desk.until(backend).await;
        assert_eq!(status(&desk).await[1].holder, None, "it is gone");
        assert_eq!(job.instant, Some(watermark(1).instant));
        let run = job.last_run.as_ref().unwrap();
        let expected = RowCounts {
            inserted: 1,
            ..RowCounts::default()
        };
        assert_eq!((run.kind.as_str(), run.rows), ("changes", expected));
        assert_eq!((run.from_version, run.through_version), (Some(1), 4));
        let Instant(micros) = run.finished_at;
        assert!(run.started_at <= run.finished_at && job.updated_at.unwrap() >= run.started_at);
        assert!(micros > 1_700_000_000_000_000);
    })
    .await;
}
