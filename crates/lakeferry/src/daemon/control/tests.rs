//! Orders against what was read before them.

use std::path::Path;

use lakeferry_config::Tables;
use lakeferry_engine::JobState;

use super::*;
use crate::daemon::{
    board::Place,
    kept_job::{Ended, Report, Rest},
};

/// Two jobs that are never due, whose sources and target nobody asks for.
fn daemon() -> Daemon {
    daemon_that_polls("none")
}

fn daemon_that_polls(every: &str) -> Daemon {
    let yaml = "
version: 1
targets: { serving: { url: \"postgresql://nobody@127.0.0.1:1/none\", max_connections: 12,
    control_poll: POLL } }
jobs:
  words: { from: ./words, into: serving.public.words, key: [id], schedule: none }
  other: { from: ./other, into: serving.public.other, key: [id], schedule: none }
";
    let origin = Path::new("lakeferry.yaml");
    let yaml = yaml.replace("POLL", every);
    let loaded = lakeferry_config::load(&yaml, origin, &BTreeMap::new(), Tables::Unknown);
    Daemon::new(loaded.unwrap().config)
}

fn pause_by(by: &str) -> Pause {
    Pause {
        since: Instant(0),
        by: by.to_owned(),
        reason: None,
    }
}

/// The end of a look that finds `jobs` paused.
fn looked(daemon: &mut Daemon, jobs: &[&str], obeyed: u64) {
    let paused = |job: &&str| JobControl {
        job: (*job).to_owned(),
        paused: Some(pause_by("psql")),
        is_requested: false,
    };
    let target = daemon.shared.config.targets.values().next().cloned();
    daemon.looked(Looked {
        target: target.unwrap(),
        is_held: true,
        free: None,
        found: Ok(jobs.iter().map(paused).collect()),
        obeyed,
    });
}

fn obey(daemon: &mut Daemon, order: Order) {
    let (heard, mut obeyed) = oneshot::channel();
    daemon.obey((order, heard));
    obeyed.try_recv().unwrap();
}

fn pauser(daemon: &Daemon, job: &str) -> Option<String> {
    Some(daemon.board.paused(job)?.by)
}

#[tokio::test]
async fn a_look_that_began_before_an_order_does_not_undo_it() {
    let mut daemon = daemon();
    let before = daemon.obeyed.count();
    obey(
        &mut daemon,
        Order::Pause("words".to_owned(), pause_by("ana")),
    );
    // It read the state before the pause stood there.
    looked(&mut daemon, &["other"], before);
    assert_eq!(pauser(&daemon, "words").as_deref(), Some("ana"));
    assert_eq!(pauser(&daemon, "other").as_deref(), Some("psql"));
    // And this one after it had gone.
    let now = daemon.obeyed.count();
    looked(&mut daemon, &[], now);
    assert_eq!(pauser(&daemon, "words"), None);
    assert_eq!(pauser(&daemon, "other"), None);

    let before = daemon.obeyed.count();
    obey(&mut daemon, Order::Resume("words".to_owned()));
    looked(&mut daemon, &["words"], before);
    assert_eq!(pauser(&daemon, "words"), None);
}

/// A run of `words` that finds it paused, while `meanwhile` is obeyed.
async fn run_that_finds_a_pause(daemon: &mut Daemon, meanwhile: Vec<Order>) {
    let now = daemon.clock.now();
    daemon.roster.ask("words", now);
    let mut kept = daemon.resting.remove("words").unwrap();
    assert_eq!(daemon.roster.start(now).len(), 1);
    kept.obeyed = daemon.obeyed.count();
    let job = kept.job.clone();
    let task = daemon.running.spawn(async {
        Ended {
            kept,
            report: Report::default(),
            result: Ok(()),
            rest: Some(Rest::Paused(pause_by("psql"))),
            place: Place::default(),
            took: Duration::ZERO,
            waits: Vec::new(),
            span: tracing::Span::none(),
            controls: None,
        }
    });
    daemon.names.insert(task.id(), job);
    for order in meanwhile {
        obey(daemon, order);
    }
    let ended = daemon.running.join_next_with_id().await.unwrap();
    daemon.ended(ended);
}

#[tokio::test]
async fn a_pause_that_a_run_found_and_that_is_over_keeps_the_job_from_nothing() {
    let name = || "words".to_owned();
    for (meanwhile, paused_by, is_due) in [
        (vec![], Some("psql"), false),
        (vec![Order::Resume(name())], None, true),
        (
            vec![Order::Resume(name()), Order::Pause(name(), pause_by("ana"))],
            Some("ana"),
            false,
        ),
    ] {
        let mut daemon = daemon();
        run_that_finds_a_pause(&mut daemon, meanwhile).await;
        assert_eq!(pauser(&daemon, "words").as_deref(), paused_by);
        let place = daemon.roster.place("words").unwrap();
        assert_eq!(
            (place.state, place.is_paused),
            (JobState::Idle, paused_by.is_some())
        );
        assert_eq!(place.next.is_some(), is_due, "{:?}", place.next);
    }
}

/// Where nothing else would see that it is over, a run of the job does, if there is something to run for.
#[tokio::test]
async fn a_paused_job_with_news_is_looked_at_again() {
    for (polls, has_news, is_looked_at) in [
        ("none", true, true),
        ("none", false, false),
        // The look at all jobs sees it.
        ("60s", true, false),
    ] {
        let mut daemon = daemon_that_polls(polls);
        obey(
            &mut daemon,
            Order::Pause("words".to_owned(), pause_by("ana")),
        );
        if has_news {
            daemon.roster.wake("words", daemon.clock.now());
        }
        let (next, now) = (
            daemon.roster.place("words").unwrap().next,
            daemon.clock.now(),
        );
        assert_eq!(next.is_some(), is_looked_at, "{polls}, {has_news}");
        assert!(next.is_none_or(|next| now < next && next <= later(now, PAUSED_LOOK)));
    }
}
