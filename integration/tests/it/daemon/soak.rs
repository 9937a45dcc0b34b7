//! Years in an hour: fifty jobs of all modes, three daemons, and all that happens to them again and
//! again. In short for five minutes; `LAKEFERRY_LONG=1` is an hour, `LAKEFERRY_MINUTES=n` another time.

mod series;
mod source;

use std::{collections::BTreeMap, path::Path, time::Duration};

use lakeferry_postgres_testkit::{Settings, Stop, Version};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use self::{
    series::{Sampler, versions},
    source::{JOBS, Source},
};
use super::Daemon;
use crate::{
    deployment::Deployment,
    process::Process,
    scene::{LIMIT, as_long, on_each_server},
};

/// Between two commits to any of the tables, and between two events.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
const EVENT_EVERY: Duration = Duration::from_secs(12);

/// The recorded runs that began before the end of the one of their job before. Commits that change no
/// row are in no run.
const BROKEN_CHAINS: &str = "\
SELECT * FROM (SELECT *, lag(through_version) OVER (PARTITION BY job_id ORDER BY run_id) AS before \
    FROM lakeferry.runs) AS run \
WHERE from_version < before OR (from_version IS NULL) <> (before IS NULL)";

/// Three daemons on one configuration; the first of them lives through it all.
struct World {
    deployment: Deployment,
    sources: Vec<Source>,
    steady: Daemon,
    others: [Process; 2],
    random: ChaCha8Rng,
    /// How often each event happened.
    events: BTreeMap<&'static str, u32>,
    /// How many runs the configuration allows at once; changes with each reload.
    max_runs: u32,
}

#[test]
fn whatever_happens_for_long_every_target_equals_its_source() {
    on_each_server("soak", async |version, random| {
        let minutes = std::env::var("LAKEFERRY_MINUTES").ok();
        let minutes = minutes.map_or_else(|| as_long(5, 60), |text| text.parse().unwrap());
        let time = Duration::from_secs(60 * minutes as u64);
        let mut world = World::start(version, random).await;
        let sampler = Sampler::start(&world.deployment, world.steady.process.id());
        world.live(time).await;
        world.settle().await;
        let series = sampler.end().await;
        series.keep(world.deployment.release());
        println!(
            "postgres {}: {:?}",
            world.deployment.release(),
            world.events
        );
        world.end().await;
        series.judge(time);
    });
}

impl World {
    async fn start(version: Version, mut random: ChaCha8Rng) -> Self {
        let settings = Settings::quick().with("log_min_messages", "error");
        let mut deployment = Deployment::start_with(version, &settings);
        deployment.target_option("lease: 5s");
        deployment.config_line("http: { listen: \"127.0.0.1:0\" }");
        let mut sources = Vec::new();
        for number in 0..JOBS {
            let source = Source::create(number, &deployment, &mut random).await;
            deployment.raw_job(&source.declared());
            sources.push(source);
        }
        let steady = Daemon::start(&deployment).await;
        let others = [0; 2].map(|_| begin(&deployment));
        let world = Self {
            deployment,
            sources,
            steady,
            others,
            random,
            events: BTreeMap::new(),
            max_runs: 4,
        };
        world.settle().await;
        world
    }

    /// Commits and events, for as long as said.
    async fn live(&mut self, time: Duration) {
        let (began, mut event_at) = (Instant::now(), Instant::now());
        let mut commits = 0_u32;
        while began.elapsed() < time {
            let chosen = self.random.random_range(0..self.sources.len());
            self.sources[chosen].commit(&mut self.random).await;
            commits += 1;
            if event_at.elapsed() > EVENT_EVERY {
                self.happen().await;
                event_at = Instant::now();
            }
            sleep(COMMIT_EVERY).await;
        }
        println!("{commits} commits");
    }

    async fn happen(&mut self) {
        let which = self.random.random_range(0..self.others.len());
        let what = match self.random.random_range(0..6) {
            0 | 1 => {
                let next = begin(&self.deployment);
                let old = std::mem::replace(&mut self.others[which], next);
                old.kill().unwrap();
                "killed"
            }
            2 => {
                let next = begin(&self.deployment);
                let old = std::mem::replace(&mut self.others[which], next);
                old.signal(Signal::TERM).unwrap();
                let ended = old.end(LIMIT).await.unwrap();
                assert_eq!(ended.code, Some(0), "{}", ended.said);
                "stopped"
            }
            3 => {
                self.deployment.server().restart(Stop::Fast).unwrap();
                "server restarted"
            }
            4 => {
                self.deployment.server().restart(Stop::Immediate).unwrap();
                "server crashed"
            }
            _ => {
                self.reload();
                "reloaded"
            }
        };
        *self.events.entry(what).or_default() += 1;
    }

    /// Another configuration: one number of the daemon's, and what one of the jobs does.
    fn reload(&mut self) {
        self.max_runs = 7 - self.max_runs;
        let turned = self.random.random_range(0..self.sources.len());
        self.sources[turned].turn();
        self.deployment.forget_jobs();
        let jobs: String = self.sources.iter().map(Source::declared).collect();
        let daemon = format!("daemon: {{ max_runs: {} }}", self.max_runs);
        self.deployment.replace_line("daemon:", &daemon);
        self.deployment.raw_job(&jobs);
        // Who does not see the file change is told.
        self.steady.process.signal(Signal::HUP).unwrap();
    }

    /// Waits until every target has the newest version of its source.
    async fn settle(&self) {
        let heads: BTreeMap<String, u64> = self
            .sources
            .iter()
            .map(|source| (source.name.clone(), source.head()))
            .collect();
        let wait = async {
            while versions(&self.deployment.connect().await)
                .await
                .unwrap_or_default()
                != heads
            {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(LIMIT, wait).await.is_err() {
            let found = versions(&self.deployment.connect().await).await.unwrap();
            let late = heads
                .iter()
                .filter(|(name, head)| found.get(*name) != Some(head));
            let late: Vec<_> = late.collect();
            panic!("behind: {late:?}; {}", self.steady.process.said().unwrap());
        }
    }

    /// Ends all daemons, and holds every target against its source.
    async fn end(self) {
        for process in self.others.into_iter().chain([self.steady.process]) {
            process.signal(Signal::TERM).unwrap();
            let ended = process.end(LIMIT).await.unwrap();
            assert_eq!(ended.code, Some(0), "{}", ended.said);
        }
        for source in &self.sources {
            let found = self.deployment.sql(&source.question());
            assert!(
                found == source.as_csv(),
                "{} is not its source",
                source.name
            );
        }
        assert_eq!(self.deployment.sql(BROKEN_CHAINS), "");
    }
}

fn begin(deployment: &Deployment) -> Process {
    let config = deployment.config();
    let folder = config.parent().unwrap_or(Path::new("."));
    Process::start(&config, folder, &["run"]).unwrap()
}
