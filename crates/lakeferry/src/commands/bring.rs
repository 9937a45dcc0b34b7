//! Brings jobs forward, several at once within bounds. One job's trouble never stops another, and
//! all are told in the order of the file.
//!
//! Ctrl-C drops every session at once: its transaction rolls back, so each target stays a version
//! of its source, and the next sync goes on from there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lakeferry_config::{Config, Job, TargetName};
use lakeferry_engine::{Meter, Report, Request, RunError, drive};
use lakeferry_model::{DeltaVersion, Target as _};
use lakeferry_postgres::RequestKind;
use tokio::{sync::Semaphore, task::JoinHandle};
use tracing::Instrument as _;

use crate::{
    arguments::Format,
    commands::{
        hand_over::Handed,
        outcome::{ByOthers, outcome, told},
        pause::Paused,
    },
    display::Display,
    exit::{Code, Trouble},
    interrupt::Interrupt,
    log,
    output::Done,
    share::{MOST, Share},
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
    /// Whether jobs run also where they are paused.
    pub(crate) even_if_paused: bool,
    pub(crate) format: Format,
}

impl Wish {
    /// `request`, and nothing besides.
    pub(crate) fn to(request: Request, format: Format) -> Self {
        Self {
            request,
            accept_deletes: false,
            even_if_paused: false,
            format,
        }
    }

    /// As somebody else is asked for it.
    fn for_others(self) -> lakeferry_postgres::Request {
        lakeferry_postgres::Request {
            kind: match self.request {
                Request::Sync => RequestKind::Sync,
                Request::Backfill => RequestKind::Backfill,
                Request::Adopt => RequestKind::Adopt,
                Request::RefreshSchema => RequestKind::RefreshSchema,
                Request::Retry => RequestKind::Retry,
            },
            accept_deletes: self.accept_deletes,
            even_if_paused: self.even_if_paused,
        }
    }
}

/// What became of a job.
#[derive(Default)]
struct Brought {
    report: Report<DeltaVersion>,
    /// What others did who worked on it.
    by_others: Option<ByOthers>,
    /// Why nothing was done, where nobody asked for this job.
    paused: Option<Paused>,
    trouble: Option<Trouble>,
}

/// Brings the named jobs forward, or all.
pub(crate) async fn bring(config: Config, names: &[String], wish: Wish) -> Result<Done, Trouble> {
    let interrupt = Interrupt::listen().map_err(Trouble::environment)?;
    let jobs: Vec<Job> = wiring::chosen(&config, names)?
        .into_iter()
        .map(|job| wiring::allowed(job, wish.accept_deletes))
        .collect();
    let (config, turns) = shared_out(config, &jobs);
    let (config, at_all) = (Arc::new(config), Arc::new(Semaphore::new(AT_ONCE)));
    let meters: Vec<Meter> = jobs.iter().map(|_| Meter::default()).collect();
    let mut running = Vec::new();
    for (job, meter) in jobs.iter().zip(&meters) {
        let one = One {
            config: Arc::clone(&config),
            job: job.clone(),
            wish,
            is_named: !names.is_empty(),
            handed: None,
            meter: meter.clone(),
            turns: turns
                .get(&job.target.target)
                .into_iter()
                .chain([&at_all])
                .cloned()
                .collect(),
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
        let brought = brought.unwrap_or_else(|trouble| Brought {
            trouble: Some(trouble.about(job)),
            ..Brought::default()
        });
        let Brought {
            report,
            by_others,
            paused,
            trouble,
        } = brought;
        if let Some(paused) = &paused {
            let (name, paused) = (&job.name, paused.told());
            text.push_str(&format!("{name}: not done, it is {paused}\n"));
        } else if let Some(by_others) = &by_others {
            text.push_str(&by_others.told(job));
        } else if trouble.is_none() || !report.steps.is_empty() {
            text.push_str(&told(job, &report, request));
        }
        let mut outcome = outcome(job, &report, trouble.as_ref());
        (outcome.by_others, outcome.paused) = (by_others, paused);
        outcomes.push(outcome);
        troubles.extend(trouble);
    }
    let done = Done::new(text, &outcomes);
    Done { troubles, ..done }
}

/// The configuration in which each of `jobs` has its share of the connections of its target, and how many
/// may have theirs at once.
fn shared_out(mut config: Config, jobs: &[Job]) -> (Config, BTreeMap<TargetName, Arc<Semaphore>>) {
    let mut turns = BTreeMap::new();
    for (name, target) in &mut config.targets {
        let here = jobs.iter().filter(|job| job.target.target == *name).count();
        let here = u32::try_from(here.clamp(1, AT_ONCE)).unwrap_or(1);
        let share = Share::of(target.max_connections.unwrap_or(MOST), here);
        target.max_connections = Some(share.per_run);
        let runs = Arc::new(Semaphore::new(share.runs as usize));
        turns.insert(name.clone(), runs);
    }
    (config, turns)
}

/// One job on its way.
struct One {
    config: Arc<Config>,
    job: Job,
    wish: Wish,
    /// Whether it was asked for by its name.
    is_named: bool,
    /// To whoever works on the job.
    handed: Option<Handed>,
    meter: Meter,
    /// On its target, and at all.
    turns: Vec<Arc<Semaphore>>,
    interrupt: Interrupt,
}

impl One {
    async fn bring(self) -> Brought {
        let span = log::of_run(self.job.name.as_str(), 1);
        Box::pin(self.bring_once()).instrument(span).await
    }

    async fn bring_once(mut self) -> Brought {
        let mut brought = Brought::default();
        let mut interrupt = self.interrupt.clone();
        let mut wired = None;
        let ended = tokio::select! {
            biased;
            () = interrupt.asked() => None,
            result = self.run(&mut wired, &mut brought) => Some(result),
        };
        brought.trouble = match ended {
            Some(result) => result.err(),
            // The session was dropped with the run.
            None => Some(self.interrupted(wired.as_ref(), &mut brought.report).await),
        };
        brought
    }

    async fn run(
        &mut self,
        wired: &mut Option<WiredJob>,
        brought: &mut Brought,
    ) -> Result<(), Trouble> {
        let mut turn = Vec::new();
        for turns in &self.turns {
            // It is never closed.
            turn.push(turns.acquire().await);
        }
        let mut job = wiring::job(&self.config, &self.job).await?;
        job.meter = self.meter.clone();
        job.policy.ignores_pause = self.wish.even_if_paused;
        let job = wired.insert(job);
        loop {
            let done = Box::pin(drive(job, self.wish.request, &mut brought.report)).await;
            let holder = match done {
                Ok(()) => return Ok(()),
                Err(RunError::Held { holder, .. }) => holder,
                Err(RunError::Paused { pause, .. }) if !self.is_named => {
                    brought.paused = Some(Paused::of(&pause));
                    return Ok(());
                }
                Err(error) => return Err(Trouble::from(error).about(&self.job)),
            };
            let request = self.wish.for_others();
            let handed = Handed::to(&holder, &self.config, &self.job, request).await?;
            let answer = self.handed.insert(handed).followed().await?;
            self.handed = None;
            if let Some(answer) = answer {
                let by_others = ByOthers::of(&holder, answer);
                return by_others
                    .map(|done| brought.by_others = Some(done))
                    .map_err(|error| error.about(&self.job));
            }
        }
    }

    /// Where a job stands that was stopped on its way.
    async fn interrupted(
        &self,
        wired: Option<&WiredJob>,
        report: &mut Report<DeltaVersion>,
    ) -> Trouble {
        if let Some(handed) = &self.handed {
            // What is being done goes on.
            let _ = tokio::time::timeout(LAST_LOOK, handed.withdraw()).await;
        }
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
        trouble.hint(match self.wish.request {
            Request::Adopt => format!("lakeferry adopt {name} starts again"),
            Request::Retry => format!("lakeferry quarantine retry {name} goes on from there"),
            Request::Sync | Request::Backfill | Request::RefreshSchema => {
                format!("the next lakeferry sync {name} goes on from there")
            }
        })
    }
}
