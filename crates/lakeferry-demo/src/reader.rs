//! A reader of the target: another session, which knows nothing of the sync and asks for rows.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use tokio_postgres::Client;

use crate::{lake::Commit, postgres::connect};

const PAUSE: Duration = Duration::from_millis(2);
/// After which rows count as not coming.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Reader(Client);

impl Reader {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let client = connect(url).await.context("the reader cannot connect")?;
        Ok(Self(client))
    }

    /// How many rows the target has.
    pub(crate) async fn rows(&self) -> Result<u64> {
        let rows = self.count("SELECT count(*) FROM lineitem").await?;
        Ok(u64::try_from(rows)?)
    }

    /// Waits until the rows of a commit are there; how long after it they were.
    pub(crate) async fn lag(&self, commit: &Commit) -> Result<Duration> {
        let (sql, rows) = &commit.probe;
        let patience = tokio::time::Instant::now() + PATIENCE;
        while self.count(sql).await? != *rows {
            if tokio::time::Instant::now() > patience {
                bail!("version {} did not arrive in {PATIENCE:?}", commit.version);
            }
            tokio::time::sleep(PAUSE).await;
        }
        // A file's time may be ahead of the clock by a tick.
        Ok(now().duration_since(commit.at).unwrap_or_default())
    }

    async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.0.query_one(sql, &[]).await;
        let row = row.context("the reader cannot read the target")?;
        Ok(row.try_get(0)?)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is held against the time of a file, and never replayed"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
