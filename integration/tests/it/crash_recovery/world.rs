//! One server, one source, one job: the product is killed in it, and the target is looked at.

mod hunt;
mod proof;

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use lakeferry_postgres_testkit::Version;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::{
    crash_recovery::{
        kill::Kill,
        lake::{Change, Lake},
        oracle::Oracle,
        phase::{Activity, Phase, Work},
        stall::{Lock, connect},
        world::hunt::Stalls,
    },
    deployment::Deployment,
    process::Process,
};

const JOB: &str = "lineitem";

/// What a command may take, or a backend whose client is gone.
const LIMIT: Duration = Duration::from_secs(120);

/// See the module.
pub(super) struct World {
    server: Version,
    scale: f64,
    deployment: Deployment,
    client: Client,
    lake: Lake,
    oracle: Oracle,
    pub(super) random: ChaCha8Rng,
    /// What the target has; nothing before the first fill.
    version: Option<u64>,
    /// Chooses rows that the last increment changes.
    changing: String,
    /// What was killed and not gone on with yet.
    pending: Option<Pending>,
}

/// Work that was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) work: Work,
    /// The furthest phase that was met.
    pub(super) phase: Option<Phase>,
}

/// What a kill met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The process, in a phase or between two.
    Process(Option<Phase>),
    /// It had ended.
    Nobody,
}

impl World {
    /// A server with a source of all of lineitem; nothing was synced yet.
    pub(super) async fn create(server: Version, scale: f64, random: ChaCha8Rng) -> Result<Self> {
        let mut deployment = Deployment::start(server);
        let path = deployment.lake(JOB);
        deployment.job(JOB, &path, &["key: [l_orderkey, l_linenumber]"]);
        let lake = Lake::create(&path, scale).await?;
        let oracle = connect(&deployment.url()).await?;
        Ok(Self {
            server,
            scale,
            client: connect(&deployment.url()).await?,
            oracle: Oracle::load(&deployment, oracle, scale, lake.head()).await?,
            deployment,
            lake,
            random,
            version: None,
            changing: String::new(),
            pending: None,
        })
    }

    /// Another one like it.
    pub(super) async fn create_next(&mut self) -> Result<Self> {
        let random = ChaCha8Rng::seed_from_u64(self.random.random());
        Self::create(self.server, self.scale, random).await
    }

    pub(super) fn release(&self) -> &str {
        self.deployment.release()
    }

    pub(super) fn pending(&self) -> Option<Pending> {
        self.pending
    }

    /// Brings the product to where it is to be killed, kills it, and proves what has to hold
    /// then. Goes on with what was killed before, if anything was.
    pub(super) async fn kill(&mut self, kill: &Kill) -> Result<Met> {
        let before = self.pending.take();
        match kill.work {
            _ if before.is_some() => {}
            Work::Fill => self.reset().await?,
            Work::Increment | Work::Refresh => self.commit().await?,
        }
        let met = self.bring_and_kill(kill, before).await?;
        match met {
            Met::Process(_) if kill.lingers => self.end(kill.work).await?,
            Met::Process(phase) => {
                self.pending = Some(Pending {
                    work: kill.work,
                    phase: phase.max(before.and_then(|before| before.phase)),
                });
            }
            Met::Nobody => self.end(kill.work).await?,
        }
        Ok(met)
    }

    /// Goes on with what was killed, and proves what has to hold after that.
    pub(super) async fn recover(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        self.sync().await?;
        self.end(pending.work).await
    }

    async fn end(&mut self, work: Work) -> Result<()> {
        if work == Work::Refresh {
            // A refresh that was killed when it was done leaves the next sync nothing to do.
            self.commit().await?;
            self.sync().await?;
        }
        self.expect_nothing_left().await
    }

    async fn bring_and_kill(&mut self, kill: &Kill, before: Option<Pending>) -> Result<Met> {
        let resumed = before.and_then(|before| before.phase);
        let mut stalls = Stalls::default();
        let mut process = self.start_held_up(kill, resumed, &mut stalls).await?;
        let is_there = self.bring(kill, resumed, &mut process, &mut stalls).await?;
        if !is_there || !process.freeze()? {
            stalls.end().await?;
            self.wait_for_no_backend().await?;
            self.expect_end(process).await?;
            return Ok(Met::Nobody);
        }
        let phase = self
            .activities(kill.work)
            .await?
            .iter()
            .filter_map(|it| it.phase)
            .max();
        let version = match phase {
            // It cannot have moved, and who reads may have to wait.
            Some(Phase::Start) | None => self.version,
            Some(_) => self.standing_version().await?,
        };
        process.kill()?;
        if kill.lingers {
            self.expect_version(phase, version, true).await?;
            self.recover_beside_the_dead(&mut stalls).await?;
        } else {
            stalls.end().await?;
            self.wait_for_no_backend().await?;
            self.expect_version(phase, version, false).await?;
        }
        Ok(Met::Process(phase))
    }

    /// Two syncs at once, the first held up inside its apply: the second says who has the job and
    /// waits. Where the first goes on, it finds all done; where the first is killed, it does the
    /// work. Neither spoils the target.
    pub(super) async fn second_sync(&mut self) -> Result<()> {
        for first_goes_on in [false, true] {
            self.commit().await?;
            let version = self.version;
            let held = self.take(Lock::Row).await?;
            let mut first = self.start("sync")?;
            let is_blocked = |it: &Activity| it.is_blocked && it.phase == Some(Phase::Apply);
            let is_there = self
                .wait_for(Work::Increment, &mut first, is_blocked)
                .await?;
            ensure!(is_there, "the first sync was not held up");
            let mut second = self.start("sync")?;
            second
                .until_said(&format!("process {} ", first.id()), LIMIT)
                .await?;
            self.expect_version(Some(Phase::Apply), version, true)
                .await?;
            ensure!(
                !second.has_ended()?,
                "the second sync did not wait: {}",
                second.said()?
            );
            if first_goes_on {
                held.release().await?;
                self.expect_end(first).await?;
            } else {
                first.kill()?;
                held.release().await?;
            }
            self.expect_end(second).await?;
            self.expect_nothing_left().await?;
        }
        Ok(())
    }

    /// Fills the target, or brings it to the head.
    pub(super) async fn sync(&mut self) -> Result<()> {
        let process = self.start("sync")?;
        self.expect_end(process).await
    }

    fn start(&self, command: &str) -> Result<Process> {
        let config = self.deployment.config();
        let folder = config.parent().unwrap_or(Path::new("."));
        Process::start(&config, folder, &[command, JOB])
    }

    /// Removes all that the product ever made.
    async fn reset(&mut self) -> Result<()> {
        self.version = None;
        let sql = "DROP TABLE IF EXISTS public.lineitem; DROP SCHEMA IF EXISTS lakeferry CASCADE";
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Adds commits to the source.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if self.version.is_none() {
            self.sync().await?;
        }
        let changes = self.lake.choose(&mut self.random);
        self.changing = changes.first().map(Change::predicate).unwrap_or_default();
        for change in &changes {
            let before = self.lake.head();
            let version = self.lake.commit(change).await?;
            // A change of no row makes no commit.
            if version > before {
                self.oracle.commit(change, version).await?;
            }
        }
        Ok(())
    }

    /// Starts the next sync while the backend of the dead one is held up; then lets that go.
    async fn recover_beside_the_dead(&mut self, stalls: &mut Stalls) -> Result<()> {
        let dead = self.pids().await?;
        let mut process = self.start("sync")?;
        let is_new = |it: &Activity| !dead.contains(&it.pid);
        let has_come = self.wait_for(Work::Increment, &mut process, is_new).await?;
        ensure!(has_come, "a sync ended without having looked at its target");
        let longest_millis = 600;
        let wait = self.random.random_range(0..longest_millis);
        sleep(Duration::from_millis(wait)).await;
        stalls.end().await?;
        self.expect_end(process).await
    }
}
