//! What the loop does with runs that end in their own ways.

use std::path::Path;

use lakeferry_config::Tables;

use super::*;

/// Two jobs whose sources and target nobody asks for.
fn daemon() -> Daemon {
    let yaml = "
version: 1
targets: { serving: { url: \"postgresql://nobody@127.0.0.1:1/none\", max_connections: 12,
    control_poll: none } }
jobs:
  bad: { from: ./bad, into: serving.public.bad, key: [id], schedule: EVERY 1 HOUR }
  good: { from: ./good, into: serving.public.good, key: [id], schedule: none }
";
    let loaded = lakeferry_config::load(
        yaml,
        Path::new("lakeferry.yaml"),
        &BTreeMap::new(),
        Tables::Unknown,
    );
    Daemon::new(loaded.unwrap().config)
}

/// Lets a job begin a run that is `run`.
fn begin(daemon: &mut Daemon, job: &str, run: impl Future<Output = Ended> + Send + 'static) {
    let now = daemon.clock.now();
    daemon.roster.ask(job, now);
    let starts = daemon.roster.start(now);
    assert!(starts.iter().any(|start| start.job == job), "{starts:?}");
    let kept = daemon.resting.remove(job).unwrap();
    daemon.spawn(kept.job, run);
}

#[tokio::test]
async fn a_run_that_panics_touches_no_other_job() {
    let mut daemon = daemon();
    let other = daemon.board.jobs().remove("good").unwrap();
    begin(&mut daemon, "bad", async { panic!("out of the blue") });
    let ended = daemon.running.join_next_with_id().await.unwrap();
    assert!(ended.is_err());
    daemon.ended(ended);

    let bad = daemon.board.jobs().remove("bad").unwrap();
    assert_eq!((bad.state, bad.word()), (JobState::Halted, "halted"));
    let trouble = bad.trouble.unwrap();
    assert_eq!(trouble.class, FailureClass::Bug);
    assert!(trouble.reason.contains("out of the blue"), "{trouble:?}");
    assert!(trouble.hint.is_some() && bad.next.is_some());
    let good = daemon.board.jobs().remove("good").unwrap();
    assert_eq!((good.state, good.next), (other.state, other.next));
    assert_eq!(good.trouble, None);
    // Both can run.
    for job in ["bad", "good"] {
        assert!(daemon.resting.contains_key(job), "{job} does not rest");
        let now = daemon.clock.now();
        daemon.roster.ask(job, now);
        let starts = daemon.roster.start(now);
        assert!(starts.iter().any(|start| start.job == job), "{starts:?}");
    }
}
