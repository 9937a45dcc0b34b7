//! A job that is paused does not run, whenever that comes; one that runs ends its run.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod policy;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use lakeferry_engine::{Job, Meter, Report, Request, RunError, run};
use lakeferry_model::{Clock, Failure as _, Instant, Pause, Sign};
use lakeferry_testkit::{History, Kind, MemoryServer, MemorySource, MemoryTarget, Row, StepClock};

type MemoryJob = Job<MemorySource<u64>, MemoryTarget<u64>, Steps>;

struct Steps(StepClock);

impl Clock for Steps {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(time)
    }
}

/// A source with one row, and a job that brings it to `server`.
fn job(server: &MemoryServer<u64>) -> MemoryJob {
    let source = MemorySource::new(History::default());
    let row = Row {
        id: Some(1),
        value: Some("one".to_owned()),
        hot: Some(true),
        seen: None,
        extra: None,
    };
    source.with_history(|history| history.commit(Kind::Feed, vec![(Sign::Plus, row)]));
    Job {
        source,
        target: server.target(),
        clock: Steps(StepClock::default()),
        policy: policy::policy(),
        meter: Meter::default(),
    }
}

fn pause() -> Pause {
    Pause {
        since: Instant(1),
        by: "ana".to_owned(),
        reason: Some("the table moves".to_owned()),
    }
}

/// Runs the job, which is paused after so many steps; says also whether it came so far.
fn paused_after(
    steps: u32,
    server: &MemoryServer<u64>,
    job: &MemoryJob,
) -> (Result<(), RunError>, bool) {
    let mut report = Report::default();
    let mut running = pin!(run(job, Request::Sync, &mut report));
    let mut context = Context::from_waker(Waker::noop());
    for step in 0.. {
        if step == steps {
            server.pause(Some(pause()));
        }
        if let Poll::Ready(result) = running.as_mut().poll(&mut context) {
            return (result, step >= steps);
        }
    }
    unreachable!("it ends")
}

#[test]
fn a_pause_counts_until_the_claim() {
    let (mut refused, mut done) = (0, 0);
    for steps in 0.. {
        let server = MemoryServer::default();
        let job = job(&server);
        let (result, was_paused) = paused_after(steps, &server, &job);
        if !was_paused {
            break;
        }
        match result {
            Ok(()) => {
                done += 1;
                assert!(server.rows().is_some());
            }
            Err(RunError::Paused { pause: found, .. }) => {
                refused += 1;
                assert_eq!((found, done), (pause(), 0));
                assert_eq!(server.rows(), None);
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Before the look, and between it and the claim.
    assert!(refused >= 2 && done >= 1, "{refused} refused, {done} done");
}

#[test]
fn who_was_told_to_runs_a_paused_job() {
    let server = MemoryServer::default();
    server.pause(Some(pause()));
    let mut job = job(&server);
    job.policy.ignores_pause = true;
    let (result, _) = paused_after(u32::MAX, &server, &job);
    result.unwrap();
    assert!(server.rows().is_some());
    assert_eq!(server.standing().paused, Some(pause()));
}

#[test]
fn a_refusal_says_who_why_and_what_to_do() {
    let server = MemoryServer::default();
    let (result, _) = paused_after(0, &server, &job(&server));
    let error = result.unwrap_err();
    let told = error.to_string();
    assert_eq!(told, "job behind: paused by ana: the table moves");
    let hint = error.hint().unwrap();
    assert!(hint.contains("lakeferry resume behind"), "{hint}");
}
