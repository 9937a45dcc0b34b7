//! The daemon: a loop that asks the roster what is to start, starts it, and tells the roster what came
//! of it. What runs when is decided there; here it is done.
//!
//! Each run is a task of its own: one that fails or panics ends alone. What a job keeps between runs
//! goes with the task and comes back at its end.

mod board;
mod budgets;
mod control;
mod http;
mod kept_job;
mod metrics;
mod reload;
mod series;
mod watch;

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use lakeferry_config::{Config, Job, Mode, Schedule, TargetName};
use lakeferry_engine::{Cadence, JobState, Member, Meter, Retry, Roster};
use lakeferry_model::{Clock as _, FailureClass, Instant};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, unbounded_channel},
        watch as watched,
    },
    task::{Id, JoinError, JoinSet},
    time::{Instant as Moment, timeout_at},
};

pub(crate) use self::reload::Files;
use self::{
    board::{Board, Place, Row},
    budgets::Budgets,
    control::{Controls, Given, Looked, Obeyed},
    http::{Access, Server, Told},
    kept_job::{Ended, KeptJob, Report, Rest, Shared},
    metrics::Metrics,
    reload::Rereads,
    series::Series,
    watch::Watch,
};
use crate::{
    arenas,
    commands::wording::counted,
    exit::{Code, Trouble},
    interrupt::Interrupt,
    system_clock::SystemClock,
    wiring,
};

/// The longest sleep: a clock that is set, or a machine that slept, is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// A job that somebody else works on is looked at again so soon, in case they go away in the middle.
const HELD_LOOK: Duration = Duration::from_secs(5);

/// So long after a run memory is given back, once for all that end meanwhile.
const TRIM_AFTER: Duration = Duration::from_secs(30);

/// All jobs of a configuration.
pub(crate) struct Daemon {
    shared: Arc<Shared>,
    clock: SystemClock,
    roster: Roster,
    budgets: Budgets,
    /// Jobs that do not run.
    resting: BTreeMap<String, KeptJob>,
    running: JoinSet<Ended>,
    /// Those that do, by their tasks.
    names: HashMap<Id, Job>,
    /// Jobs whose sources moved.
    woken: UnboundedReceiver<String>,
    /// What others in this process want of jobs.
    orders: UnboundedReceiver<Given>,
    obeyed: Obeyed,
    controls: Controls,
    /// Looks at what is wanted of the jobs of a target, and when the next ones are due.
    looks: JoinSet<Looked>,
    looks_due: BTreeMap<TargetName, Instant>,
    /// Configurations that are being read again, and who asks which one counts.
    rereads: Rereads,
    current: watched::Sender<Arc<Shared>>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    series: Arc<Series>,
    /// When what ended runs had of memory is given back, if there was one since the last time.
    trim_due: Option<Instant>,
}

impl Daemon {
    /// Nothing runs yet.
    pub(crate) fn new(config: Config) -> Self {
        let (watch, woken) = Watch::new();
        let shared = Arc::new(Shared::first(config, watch));
        let clock = SystemClock;
        let board = Arc::new(Board::new(BTreeMap::new(), clock.now()));
        let (ask, orders) = unbounded_channel();
        let current = watched::Sender::new(Arc::clone(&shared));
        let controls = Controls {
            current: current.subscribe(),
            board: Arc::clone(&board),
            orders: ask,
        };
        let mut daemon = Self {
            clock,
            roster: Roster::default(),
            budgets: Budgets::default(),
            resting: BTreeMap::new(),
            running: JoinSet::new(),
            names: HashMap::new(),
            woken,
            orders,
            obeyed: Obeyed::default(),
            controls,
            looks: JoinSet::new(),
            looks_due: BTreeMap::new(),
            rereads: JoinSet::new(),
            current,
            board,
            metrics: Arc::new(Metrics::new(clock.now())),
            series: Arc::default(),
            trim_due: None,
            shared: Arc::clone(&shared),
        };
        daemon.share_out();
        for job in &shared.config.jobs {
            daemon.add(job.name.as_str());
        }
        daemon.look_at_all();
        daemon
    }

    /// Runs jobs until an end is asked for; says which runs were taken back then.
    ///
    /// # Errors
    /// If the address of its HTTP server cannot be had.
    pub(crate) async fn run(
        mut self,
        mut interrupt: Interrupt,
        mut files: Files,
    ) -> Result<Vec<String>, Trouble> {
        let _servers = self.serve().await?;
        let jobs = &self.shared.config.jobs;
        let by_command = jobs.iter().filter(|job| {
            let cadence = cadence(job);
            matches!(cadence, Cadence::OnCommand)
        });
        tracing::info!(
            "{} to run, {} of them by command only",
            counted(jobs.len() as u64, "job"),
            by_command.count()
        );
        loop {
            self.board.came_round(self.clock.now());
            self.sample();
            self.trim();
            self.start();
            self.tell_late();
            self.look();
            let wait = self.until_next();
            tokio::select! {
                biased;
                () = interrupt.asked() => break,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                cue = files.cue() => self.reread(cue, &files),
                Some(Ok(reread)) = self.rereads.join_next() => self.reload(reread, &mut files),
                Some(Ok(looked)) = self.looks.join_next() => self.looked(looked),
                Some(order) = self.orders.recv() => self.obey(order),
                Some(job) = self.woken.recv() => self.roster.wake(&job, self.clock.now()),
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.board.stop();
        Ok(self.stop().await)
    }

    async fn serve(&self) -> Result<Vec<Server>, Trouble> {
        let told = Told {
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            series: Arc::clone(&self.series),
            history: Arc::default(),
            controls: self.controls.clone(),
        };
        let http = &self.shared.config.http;
        let access = |address| Access::new(address, http.token.clone());
        let mut servers = Vec::new();
        for (setting, address, access, what) in [
            ("listen", http.listen, http.listen.map(access), ""),
            ("probes", http.probes, None, " for probes"),
        ] {
            let Some(address) = address else {
                continue;
            };
            if access.as_ref().is_some_and(Access::is_closed) {
                let hint = "give http a token to open them";
                tracing::info!(hint, "status page and API are closed on {address}");
            }
            let started = Server::start(address, told.clone(), access).await;
            let (server, address) = started.map_err(|error| {
                let what = format!("cannot listen on {address}: {error}");
                let hint =
                    format!("choose another address by http: {{ {setting}: ADDRESS }}, or none");
                Trouble::new(Code::Environment, what).hint(hint)
            })?;
            tracing::info!("listening{what} on http://{address}");
            servers.push(server);
        }
        Ok(servers)
    }

    /// Gives the runs on each target what falls to them.
    fn share_out(&mut self) {
        let config = &self.shared.config;
        self.roster.set_room(self.budgets.room(config));
        let shares = config.targets.values().map(|target| {
            let share = self.budgets.share(config, target);
            self.shared.share_out(&target.name, share);
            (target.name.as_str(), share.connections)
        });
        self.metrics.share_out(shares);
    }

    fn sample(&self) {
        let now = self.clock.now();
        if self.series.is_due(now) {
            self.series.sample(&self.board.jobs(), now);
        }
    }

    /// Gives memory back that runs had.
    fn trim(&mut self) {
        if self.trim_due.is_some_and(|due| due <= self.clock.now()) {
            self.trim_due = None;
            drop(tokio::task::spawn_blocking(arenas::trim));
        }
    }

    /// Says which jobs exceed their max_lag, and which do so no more.
    fn tell_late(&self) {
        for (job, is_late) in self.board.turned_late(self.clock.now()) {
            match is_late {
                true => tracing::warn!(job, "it exceeds its max_lag"),
                false => tracing::info!(job, "it is within its max_lag again"),
            }
        }
    }

    fn start(&mut self) {
        for start in self.roster.start(self.clock.now()) {
            let Some(mut kept) = self.resting.remove(&start.job) else {
                continue;
            };
            kept.obeyed = self.obeyed.count();
            if let Some(late) = start.late {
                let (job, passed) = (&start.job, start.passed);
                tracing::info!(job, ?late, passed, "it starts late");
            }
            self.metrics.started(&start);
            self.board.show(&start.job, &self.roster, None);
            let job = kept.job.clone();
            self.spawn(job, Box::pin(kept.run(start.is_asked)));
        }
    }

    fn spawn(&mut self, job: Job, run: impl Future<Output = Ended> + Send + 'static) {
        let task = self.running.spawn(run);
        self.names.insert(task.id(), job);
    }

    fn until_next(&self) -> Duration {
        let now = self.clock.now();
        let next = [self.roster.next(), self.next_look(now)];
        let Some(Instant(next)) = next.into_iter().flatten().min() else {
            return LONGEST_SLEEP;
        };
        let micros = u64::try_from(next - now.0).unwrap_or(0);
        Duration::from_micros(micros).min(LONGEST_SLEEP)
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(panicked(error))),
        };
        let Some(job) = self.names.remove(&id) else {
            return;
        };
        let (name, shared) = (job.name.to_string(), Arc::clone(&self.shared));
        let ended = ended.unwrap_or_else(|trouble| {
            let row = self.board.jobs().remove(&name);
            let (meter, place) = row.map(|row| (row.meter, row.place)).unwrap_or_default();
            Ended {
                kept: KeptJob::new(Arc::clone(&shared), job.clone(), meter),
                report: Report::default(),
                result: Err(trouble),
                rest: None,
                place,
                took: Duration::ZERO,
                waits: Vec::new(),
                span: tracing::Span::none(),
                controls: None,
            }
        });
        let _said = ended.span.clone().entered();
        self.trim_due
            .get_or_insert_with(|| later(self.clock.now(), TRIM_AFTER));
        self.metrics.ended(&name, &ended);
        self.series.ended(&name, &ended, self.clock.now());
        let Ended {
            kept,
            report,
            result,
            place,
            rest,
            controls,
            ..
        } = ended;
        tell(&name, &report);
        let before = self.roster.place(&name).and_then(|place| place.trouble);
        let before = before.map(|trouble| trouble.reason.clone());
        let result = result.map_err(|trouble| {
            let trouble = trouble.about(&job);
            lakeferry_engine::Trouble {
                class: trouble.class,
                reason: trouble.in_one_line(),
                hint: trouble.hint.map(String::from),
            }
        });
        self.roster.ended(&name, self.clock.now(), result);
        self.board.show(&name, &self.roster, Some(place));
        self.tell_trouble(&name, before.as_deref());
        let obeyed = kept.obeyed;
        match (rest, self.board.paused(&name)) {
            (Some(Rest::Paused(pause)), _) => self.found_paused(&job, &pause, obeyed),
            // It was looked at all the same, and nothing says that it is not.
            (_, Some(pause)) => self.pause(&job, &pause),
            (Some(Rest::Held(holder)), None) => {
                tracing::debug!(job = name, %holder, "somebody else works on it");
                self.roster.wake(&name, later(self.clock.now(), HELD_LOOK));
            }
            (None, None) => {}
        }
        self.settle(&name, kept);
        if let Some(found) = controls {
            self.control(&job.target.target, &found, obeyed);
        }
    }

    /// Says what is wrong with a job, once.
    fn tell_trouble(&self, job: &str, before: Option<&str>) {
        let Some(place) = self.roster.place(job) else {
            return;
        };
        let Some(trouble) = place.trouble else {
            return;
        };
        let (reason, hint) = (trouble.reason.as_str(), trouble.hint.as_deref());
        match place.state {
            _ if before == Some(reason) => tracing::debug!(job, reason, "as before"),
            JobState::Halted => tracing::error!(job, reason, hint, "halted"),
            _ => tracing::warn!(job, reason, hint, "trying again"),
        }
    }

    /// Starts nothing more, and waits for what runs; says what had to be taken back.
    async fn stop(mut self) -> Vec<String> {
        self.roster.stop();
        let limit = self.shared.config.daemon.stop_within;
        if !self.running.is_empty() {
            let runs = counted(self.running.len() as u64, "run");
            tracing::info!(?limit, "stopping: {runs} under way");
        }
        let until = Moment::now() + limit;
        while let Ok(Some(ended)) = timeout_at(until, self.running.join_next_with_id()).await {
            self.ended(ended);
        }
        // Their sessions are dropped with them, so that the server rolls back.
        self.running.shutdown().await;
        let jobs = self.names.into_values();
        let mut taken_back: Vec<String> = jobs.map(|job| job.name.to_string()).collect();
        taken_back.sort();
        taken_back
    }
}

fn member(job: &Job) -> Member {
    let mut hasher = DefaultHasher::new();
    (job.name.as_str(), wiring::holder().0).hash(&mut hasher);
    Member {
        target: job.target.target.to_string(),
        cadence: cadence(job),
        retry: Retry {
            gives_up: false,
            ..Retry::default()
        },
        seed: hasher.finish(),
    }
}

fn row(job: &Job, meter: Meter) -> Row {
    Row {
        target: job.target.target.to_string(),
        state: JobState::Idle,
        next: None,
        trouble: None,
        place: Place::default(),
        meter,
        paused: None,
        max_lag: job.max_lag,
        stuck_since: None,
    }
}

/// So long after a moment.
fn later(at: Instant, wait: Duration) -> Instant {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Instant(at.0.saturating_add(micros))
}

fn cadence(job: &Job) -> Cadence {
    match &job.schedule {
        _ if job.mode == Mode::Continuous => Cadence::Continuous,
        Schedule::OnCommand => Cadence::OnCommand,
        Schedule::Every(interval) => Cadence::Every(*interval),
        Schedule::Cron(cron) => {
            Cadence::Calendar(Arc::new(wiring::Cron(cron.clone(), job.timezone)))
        }
    }
}

/// Says what a run did, if anything.
fn tell(job: &str, report: &Report) {
    if report.steps.is_empty() {
        return;
    }
    let rows = report.steps.iter().fold([0; 4], |[read, i, u, d], step| {
        let rows = step.rows;
        [
            read + step.rows_read,
            i + rows.inserted,
            u + rows.updated,
            d + rows.deleted,
        ]
    });
    let [read, inserted, updated, deleted] = rows;
    let number = |version: Option<lakeferry_model::DeltaVersion>| version.map(|version| version.0);
    let (from, through) = (number(report.from), number(report.through));
    tracing::info!(
        job, from, through, read, inserted, updated, deleted, "synced"
    );
}

/// A run that ended by a panic, which the panic's own message has told already.
fn panicked(error: JoinError) -> Trouble {
    let what = match error.try_into_panic() {
        Ok(payload) => format!("the run broke off: {}", message(payload.as_ref())),
        Err(error) => format!("the run broke off: {error}"),
    };
    let mut trouble = Trouble::new(Code::Failed, what).hint("please report this");
    trouble.class = FailureClass::Bug;
    trouble
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests;
