//! What has to hold after a kill and after a sync.

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use crate::{
    crash_recovery::{
        oracle::target_content_sql,
        phase::Phase,
        world::{LIMIT, World},
    },
    process::Process,
};

/// What a reader finds: the version, and the rows.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    version: Option<u64>,
    content: Option<String>,
}

impl World {
    /// After a kill: the target is the version that its progress names, and not before `version`,
    /// which it had when it was killed.
    pub(super) async fn expect_version(
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
    pub(super) async fn expect_end(&mut self, process: Process) -> Result<()> {
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
    pub(super) async fn expect_nothing_left(&self) -> Result<()> {
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

    pub(super) async fn standing_version(&self) -> Result<Option<u64>> {
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
