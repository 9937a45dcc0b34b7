//! Brings jobs forward, several at once within bounds. One job's trouble never stops another, and
//! all are told in the order of the file.
//!
//! Ctrl-C drops every session at once: its transaction rolls back, so each target stays a version
//! of its source, and the next sync goes on from there.

use std::{sync::Arc, time::Duration};

use lakeferry_config::{Config, Job};
use lakeferry_engine::{Meter, Report, Request, drive};
use lakeferry_model::{DeltaVersion, Target as _};
use tokio::{sync::Semaphore, task::JoinHandle};
use tracing::Instrument as _;

use crate::{
    arguments::Format,
    commands::outcome::{outcome, told},
    display::Display,
    exit::{Code, Trouble},
    interrupt::Interrupt,
    log,
    output::Done,
    wiring::{self, WiredJob},
};

/// How many jobs run at once: each takes its memory, and the machine is not ours alone.
const AT_ONCE: usize = 4;

/// How long a look at where a job stands may take after Ctrl-C.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// What is to be done to jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) request: Request,
    /// Whether guards against mass deletes are off.
    pub(crate) accept_deletes: bool,
    pub(crate) format: Format,
}

/// What became of a job.
struct Brought {
    report: Report<DeltaVersion>,
    result: Result<(), Trouble>,
}

/// Brings the named jobs forward, or all.
pub(crate) async fn bring(config: Config, names: &[String], wish: Wish) -> Result<Done, Trouble> {
    let interrupt = Interrupt::listen().map_err(Trouble::environment)?;
    let jobs: Vec<Job> = wiring::chosen(&config, names)?
        .into_iter()
        .map(|job| allowed(job, wish.accept_deletes))
        .collect();
    let config = Arc::new(shared_out(config, &jobs));
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let meters: Vec<Meter> = jobs.iter().map(|_| Meter::default()).collect();
    let mut running = Vec::new();
    for (job, meter) in jobs.iter().zip(&meters) {
        let one = One {
            config: Arc::clone(&config),
            job: job.clone(),
            request: wish.request,
            meter: meter.clone(),
            turns: Arc::clone(&turns),
            interrupt: interrupt.clone(),
        };
        running.push(tokio::spawn(Box::pin(one.bring())));
    }
    let names = jobs.iter().map(|job| job.name.to_string());
    let display = Display::new(wish.format, names.zip(meters).collect());
    let brought = shown(running, display).await;
    Ok(done(&jobs, brought, wish.request))
}

/// Waits for all jobs while they are shown.
async fn shown(
    running: Vec<JoinHandle<Brought>>,
    display: Option<Display>,
) -> Vec<Result<Brought, Trouble>> {
    let all = async {
        let mut brought = Vec::new();
        for job in running {
            brought.push(job.await.map_err(|error| {
                Trouble::new(Code::Failed, format!("the run broke off: {error}"))
                    .hint("please report this")
            }));
        }
        brought
    };
    let Some(mut display) = display else {
        return all.await;
    };
    tokio::select! {
        brought = all => brought,
        () = display.show() => Vec::new(),
    }
}

fn done(jobs: &[Job], brought: Vec<Result<Brought, Trouble>>, request: Request) -> Done {
    let mut text = String::new();
    let mut outcomes = Vec::new();
    let mut troubles = Vec::new();
    for (job, brought) in jobs.iter().zip(brought) {
        let (report, result) = match brought {
            Ok(Brought { report, result }) => (report, result),
            Err(trouble) => (Report::default(), Err(trouble.about(job))),
        };
        if result.is_ok() || !report.steps.is_empty() {
            text.push_str(&told(job, &report, request));
        }
        outcomes.push(outcome(job, &report, result.as_ref().err()));
        troubles.extend(result.err());
    }
    let done = Done::new(text, &outcomes);
    Done { troubles, ..done }
}

/// The job, with its guards off where that was said.
fn allowed(job: &Job, accept_deletes: bool) -> Job {
    let mut job = job.clone();
    if accept_deletes {
        (job.allow_empty, job.max_delete_share) = (true, 1.0);
    }
    job
}

/// The configuration in which each of `jobs` has its share of the connections of its target.
fn shared_out(mut config: Config, jobs: &[Job]) -> Config {
    for (name, target) in &mut config.targets {
        let here = jobs.iter().filter(|job| job.target.target == *name).count();
        let at_once = u32::try_from(here.clamp(1, AT_ONCE)).unwrap_or(1);
        target.max_connections = (target.max_connections / at_once).max(1);
    }
    config
}

/// One job on its way.
struct One {
    config: Arc<Config>,
    job: Job,
    request: Request,
    meter: Meter,
    turns: Arc<Semaphore>,
    interrupt: Interrupt,
}

impl One {
    async fn bring(self) -> Brought {
        let span = log::of_run(self.job.name.as_str(), 1);
        Box::pin(self.bring_once()).instrument(span).await
    }

    async fn bring_once(mut self) -> Brought {
        let mut report = Report::default();
        let mut interrupt = self.interrupt.clone();
        let mut wired = None;
        let ended = tokio::select! {
            biased;
            () = interrupt.asked() => None,
            result = self.run(&mut wired, &mut report) => Some(result),
        };
        let result = match ended {
            Some(result) => result,
            // The session was dropped with the run.
            None => Err(self.interrupted(wired.as_ref(), &mut report).await),
        };
        Brought { report, result }
    }

    async fn run(
        &mut self,
        wired: &mut Option<WiredJob>,
        report: &mut Report<DeltaVersion>,
    ) -> Result<(), Trouble> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let mut job = wiring::job(&self.config, &self.job).await?;
        job.meter = self.meter.clone();
        let done = Box::pin(drive(wired.insert(job), self.request, report)).await;
        done.map_err(|error| Trouble::from(error).about(&self.job))
    }

    /// Where a job stands that was stopped on its way.
    async fn interrupted(
        &self,
        wired: Option<&WiredJob>,
        report: &mut Report<DeltaVersion>,
    ) -> Trouble {
        let standing = match wired {
            Some(wired) => tokio::time::timeout(LAST_LOOK, wired.target.inspect())
                .await
                .ok(),
            None => None,
        };
        let place = match standing {
            Some(Ok(standing)) => {
                report.through = standing.watermark().map(|watermark| watermark.version);
                match report.through {
                    Some(version) => format!("at version {version}"),
                    None => "not filled yet".to_owned(),
                }
            }
            _ if wired.is_none() => "as it was".to_owned(),
            _ => "at a version that the server did not tell in time".to_owned(),
        };
        let reason = format!("stopped by a signal; it is {place}");
        let trouble = Trouble::new(Code::Interrupted, reason).about(&self.job);
        let name = &self.job.name;
        trouble.hint(match self.request {
            Request::Adopt => format!("lakeferry adopt {name} starts again"),
            Request::Retry => format!("lakeferry quarantine retry {name} goes on from there"),
            Request::Sync | Request::Backfill | Request::RefreshSchema => {
                format!("the next lakeferry sync {name} goes on from there")
            }
        })
    }
}
