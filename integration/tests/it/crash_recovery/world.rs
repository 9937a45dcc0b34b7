//! One server, one source, one job: the product is killed in it, and the target is looked at.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lakeferry_postgres_testkit::Version;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::{
    crash_recovery::{
        kill::{Aim, Kill},
        lake::{Change, Lake},
        oracle::{Oracle, target_content_sql},
        phase::{Activity, Phase, Work, look},
        process::{PAUSE, Process},
        stall::{Held, Lock, Unanswered, connect},
    },
    deployment::Deployment,
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
}

/// What a kill met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The process, in a phase or between two.
    Process(Option<Phase>),
    /// It had ended.
    Nobody,
}

/// What holds the product up.
#[derive(Debug, Default)]
struct Stalls {
    held: Option<Held>,
    unanswered: Option<Unanswered>,
}

impl Stalls {
    async fn end(&mut self) -> Result<()> {
        if let Some(held) = self.held.take() {
            held.release().await?;
        }
        if let Some(unanswered) = self.unanswered.take() {
            unanswered.end().await?;
        }
        Ok(())
    }
}

/// What a reader finds: the version, and the rows.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    version: Option<u64>,
    content: Option<String>,
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

    /// Brings the product to where it is to be killed, kills it, and proves what has to hold
    /// then and after the next sync.
    pub(super) async fn kill(&mut self, kill: &Kill) -> Result<Met> {
        match kill.work {
            Work::Fill => self.reset().await?,
            Work::Increment | Work::Refresh => self.commit().await?,
        }
        let met = self.kill_and_recover(kill).await?;
        if kill.work == Work::Refresh {
            // A refresh that was killed when it was done leaves the next sync nothing to do.
            self.commit().await?;
            self.sync().await?;
        }
        self.expect_nothing_left().await?;
        Ok(met)
    }

    async fn kill_and_recover(&mut self, kill: &Kill) -> Result<Met> {
        let mut stalls = Stalls::default();
        let mut process = self.start_held_up(kill, &mut stalls).await?;
        let is_there = self.bring(kill, &mut process, &mut stalls).await?;
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
            self.sync().await?;
        }
        Ok(Met::Process(phase))
    }

    /// Two syncs at once, the first held up inside its apply: while it is, the second ends and
    /// says who has the job; when it goes on, the second waits for it. Neither spoils the target.
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
            let of_first = self.pids().await?;
            let mut second = self.start("sync")?;
            let is_second = |it: &Activity| !of_first.contains(&it.pid);
            let has_come = self
                .wait_for(Work::Increment, &mut second, is_second)
                .await?;
            ensure!(
                has_come,
                "the second sync ended without a look at its target"
            );
            if first_goes_on {
                held.release().await?;
                self.expect_end(second).await?;
            } else {
                let ended = second.end(LIMIT).await?;
                let names_first = ended.said.contains(&format!("process {} ", first.id()));
                ensure!(
                    ended.code == Some(1) && names_first,
                    "the second sync: {ended:?}"
                );
                self.expect_version(Some(Phase::Apply), version, true)
                    .await?;
                held.release().await?;
            }
            self.expect_end(first).await?;
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

    async fn start_held_up(&self, kill: &Kill, stalls: &mut Stalls) -> Result<Process> {
        if let Aim::Blocked(_, lock) | Aim::Unanswered(lock) = kill.aim
            && lock.is_taken_in(kill.work).is_none()
        {
            stalls.held = Some(self.take(lock).await?);
        }
        self.start(if kill.work == Work::Refresh {
            "backfill"
        } else {
            "sync"
        })
    }

    /// Waits until the process is where it is to be killed; false if it ended before.
    async fn bring(&self, kill: &Kill, process: &mut Process, stalls: &mut Stalls) -> Result<bool> {
        let (Aim::Blocked(_, lock) | Aim::Unanswered(lock)) = kill.aim else {
            return self.bring_to_moment(kill, process).await;
        };
        let blocked = match kill.aim {
            Aim::Blocked(phase, _) => phase,
            _ => Phase::Apply,
        };
        if let Some(phase) = lock.is_taken_in(kill.work) {
            if !self
                .wait_for(kill.work, process, |it| it.phase == Some(phase))
                .await?
            {
                return Ok(false);
            }
            stalls.held = Some(self.take(lock).await?);
        }
        let is_blocked = |it: &Activity| it.is_blocked && it.phase == Some(blocked);
        if !self.wait_for(kill.work, process, is_blocked).await? {
            return Ok(false);
        }
        if matches!(kill.aim, Aim::Blocked(..)) {
            return Ok(true);
        }
        stalls.unanswered = Some(Unanswered::begin(&self.deployment.url()).await?);
        if let Some(held) = stalls.held.take() {
            held.release().await?;
        }
        self.wait_for(kill.work, process, |it| {
            it.phase == Some(Phase::AfterCommit)
        })
        .await
    }

    async fn bring_to_moment(&self, kill: &Kill, process: &mut Process) -> Result<bool> {
        let wait = match kill.aim {
            Aim::During(phase, wait) => {
                if !self
                    .wait_for(kill.work, process, |it| it.phase == Some(phase))
                    .await?
                {
                    return Ok(false);
                }
                wait
            }
            Aim::Anytime(wait) => wait,
            Aim::Blocked(..) | Aim::Unanswered(_) => bail!("{kill:?} is no moment"),
        };
        sleep(wait).await;
        Ok(true)
    }

    /// Waits for an activity of the product; false if it ended before.
    async fn wait_for(
        &self,
        work: Work,
        process: &mut Process,
        is_it: impl Fn(&Activity) -> bool,
    ) -> Result<bool> {
        let wait = async {
            loop {
                if self.activities(work).await?.iter().any(&is_it) {
                    return Ok(true);
                }
                if process.has_ended()? {
                    return Ok(false);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(LIMIT, wait)
            .await
            .context("the product does not come to its phase")?
    }

    async fn activities(&self, work: Work) -> Result<Vec<Activity>> {
        look(&self.client, work).await
    }

    /// The backends of the product.
    async fn pids(&self) -> Result<Vec<i32>> {
        let all = self.activities(Work::Increment).await?;
        Ok(all.iter().map(|it| it.pid).collect())
    }

    async fn take(&self, lock: Lock) -> Result<Held> {
        Held::take(&self.deployment.url(), lock, &self.changing).await
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

    /// Waits until the server has noticed that the client is gone.
    async fn wait_for_no_backend(&self) -> Result<()> {
        let wait = async {
            while !self.pids().await?.is_empty() {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(LIMIT, wait)
            .await
            .context("the backend of a dead client does not end")?
    }

    /// After a kill: the target is the version that its progress names, and not before `version`,
    /// which it had when it was killed.
    async fn expect_version(
        &mut self,
        phase: Option<Phase>,
        version: Option<u64>,
        is_held_up: bool,
    ) -> Result<()> {
        let standing = self.standing().await?;
        let expected = standing
            .version
            .map(|version| self.oracle.content_at(version));
        let expected = expected.transpose()?.cloned();
        ensure!(
            standing.content == expected,
            "{standing:?}, expected {expected:?}"
        );
        let has_moved = standing.version > version;
        ensure!(
            standing.version >= version,
            "went back from {version:?}: {standing:?}"
        );
        match phase {
            Some(Phase::AfterCommit) if !is_held_up => {
                ensure!(has_moved, "a durable commit is lost: {standing:?}");
            }
            Some(_) => ensure!(
                !has_moved,
                "moved from {version:?} without COMMIT: {standing:?}"
            ),
            None => {}
        }
        self.version = standing.version;
        Ok(())
    }

    /// A sync ends well, with the target at the head.
    async fn expect_end(&mut self, process: Process) -> Result<()> {
        let ended = process.end(LIMIT).await?;
        ensure!(ended.code == Some(0), "sync failed: {ended:?}");
        let head = self.lake.head();
        let expected = Standing {
            version: Some(head),
            content: Some(self.oracle.content_at(head)?.clone()),
        };
        let standing = self.standing().await?;
        ensure!(
            standing == expected,
            "{standing:?} after a sync, expected {expected:?}"
        );
        self.version = Some(head);
        Ok(())
    }

    /// There is the target and nothing else, and its recorded runs follow each other.
    async fn expect_nothing_left(&self) -> Result<()> {
        let left: String = self.client.query_typed(RELATIONS, &[]).await?[0].get(0);
        ensure!(
            left == "public.lineitem, public.lineitem_pkey",
            "left behind: {left}"
        );
        let chain: bool = self.client.query_typed(RUNS_CHAIN, &[]).await?[0].get(0);
        ensure!(chain, "the recorded runs do not follow each other");
        Ok(())
    }

    /// One look: version and rows of the same moment.
    async fn standing(&mut self) -> Result<Standing> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.client.batch_execute(begin).await?;
        let version = self.standing_version().await?;
        let content = if exists(&self.client, "public.lineitem").await? {
            Some(self.client.query_typed(&target_content_sql(), &[]).await?[0].get(0))
        } else {
            None
        };
        self.client.batch_execute("COMMIT").await?;
        Ok(Standing { version, content })
    }

    async fn standing_version(&self) -> Result<Option<u64>> {
        if !exists(&self.client, "lakeferry.progress").await? {
            return Ok(None);
        }
        let rows = self
            .client
            .query_typed("SELECT version FROM lakeferry.progress", &[])
            .await?;
        ensure!(rows.len() <= 1, "the one job has {} progresses", rows.len());
        let version: Option<i64> = rows.first().and_then(|row| row.get(0));
        Ok(version.map(u64::try_from).transpose()?)
    }
}

/// All relations that are neither the system's, nor the state's, nor the test's.
const RELATIONS: &str = "\
SELECT coalesce(string_agg(concat(nspname, '.', relname), ', ' ORDER BY relname), '') \
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'lakeferry', 'oracle')";

/// Whether each run that was recorded began where the one before had ended.
const RUNS_CHAIN: &str = "\
SELECT coalesce(bool_and(from_version IS NOT DISTINCT FROM before), true) \
FROM (SELECT from_version, lag(through_version) OVER (ORDER BY run_id) AS before \
    FROM lakeferry.runs) AS run";

/// Whether a table exists, in the snapshot of the transaction.
async fn exists(client: &Client, table: &str) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE concat(nspname, '.', relname) = '{table}')"
    );
    Ok(client.query_typed(&sql, &[]).await?[0].get(0))
}
