//! What holds the product up in a phase, from outside, by means that everybody with a connection
//! or an administrator's rights has.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{Client, NoTls};

use crate::{
    crash_recovery::phase::{Phase, Work},
    process::PAUSE,
};

/// What a session holds, so that the product has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// The state's schema, made but not committed: the product waits to make it.
    Schema,
    /// Against readers of the progress.
    Progress,
    /// Against a claim.
    Claim,
    /// Against the lease's row, when the claim is half done.
    Lease,
    /// Of a reader of the reserved table of a first fill.
    Reserved,
    /// Against writers of the target.
    Table,
    /// One row of the target that changes: the apply is half done.
    Row,
    /// Against the record of the run, the last that an apply writes.
    Runs,
}

impl Lock {
    /// In which phase it is taken; nothing: before the product is started. `resumed` is how far
    /// the work had come: what it locks may be there already.
    pub(super) fn is_taken_in(self, work: Work, resumed: Option<Phase>) -> Option<Phase> {
        let phase = match (self, work) {
            (Self::Reserved, _) => Phase::KeyBuild,
            (Self::Runs, Work::Fill) => Phase::FirstCopy,
            _ => return None,
        };
        // The key is kept once it is built, and a fill that began has made the state.
        let is_over = match self {
            Self::Reserved => resumed > Some(phase),
            _ => resumed >= Some(phase),
        };
        (!is_over).then_some(phase)
    }

    /// Whether the target and its progress can be read meanwhile.
    pub(super) fn lets_readers_pass(self) -> bool {
        !matches!(self, Self::Schema | Self::Progress)
    }

    /// `changing` chooses rows of the target that the increment changes, `reserved` is the name
    /// of the reserved table.
    fn sql(self, changing: &str, reserved: &str) -> String {
        match self {
            Self::Schema => "CREATE SCHEMA lakeferry".to_owned(),
            Self::Progress => "LOCK TABLE lakeferry.progress IN ACCESS EXCLUSIVE MODE".to_owned(),
            Self::Claim => "LOCK TABLE lakeferry.progress IN EXCLUSIVE MODE".to_owned(),
            Self::Lease => "LOCK TABLE lakeferry.leases IN EXCLUSIVE MODE".to_owned(),
            Self::Reserved => format!("LOCK TABLE public.\"{reserved}\" IN ACCESS SHARE MODE"),
            Self::Table => "LOCK TABLE public.lineitem IN SHARE MODE".to_owned(),
            Self::Row => format!(
                "SELECT FROM public.lineitem WHERE {changing} \
                 ORDER BY hashint8(l_orderkey), l_linenumber LIMIT 1 FOR UPDATE"
            ),
            Self::Runs => "LOCK TABLE lakeferry.runs IN EXCLUSIVE MODE".to_owned(),
        }
    }
}

const RESERVED: &str = "\
SELECT coalesce(max(relname::text), '') FROM pg_class \
WHERE starts_with(relname, '_lakeferry_fill_') AND relkind = 'r'";

/// A session that holds a [`Lock`].
#[derive(Debug)]
pub(super) struct Held {
    session: Client,
}

impl Held {
    /// Takes the lock; waits for who has it.
    pub(super) async fn take(url: &str, lock: Lock, changing: &str) -> Result<Self> {
        let session = connect(url).await?;
        let reserved: String = session.query_typed(RESERVED, &[]).await?[0].get(0);
        let sql = format!("BEGIN; {}", lock.sql(changing, &reserved));
        session
            .batch_execute(&sql)
            .await
            .with_context(|| format!("take {lock:?}"))?;
        Ok(Self { session })
    }

    pub(super) async fn release(self) -> Result<()> {
        Ok(self.session.batch_execute("ROLLBACK").await?)
    }
}

/// A server whose commits wait for a standby that does not exist: durable, and not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    session: Client,
    /// A commit of ours that waits.
    waits: JoinHandle<()>,
}

const FIRST_WAIT: Duration = Duration::from_secs(30);

impl Unanswered {
    /// From its end on, no commit that writes is answered.
    pub(super) async fn begin(url: &str) -> Result<Self> {
        let session = connect(url).await?;
        session
            .batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            .await?;
        session.batch_execute("SELECT pg_reload_conf()").await?;
        let other = connect(url).await?;
        let pid: i32 = other.query_typed("SELECT pg_backend_pid()", &[]).await?[0].get(0);
        // Commits until one waits: then the setting is in force.
        let waits = tokio::spawn(async move {
            let write = "SELECT pg_logical_emit_message(true, 'a commit', '')";
            while other.batch_execute(write).await.is_ok() {
                sleep(PAUSE).await;
            }
        });
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity \
            WHERE pid = $1 AND wait_event = 'SyncRep')";
        let is_waiting = async {
            while !session.query_one(sql, &[&pid]).await?.get::<_, bool>(0) {
                sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        timeout(FIRST_WAIT, is_waiting)
            .await
            .context("no commit waits for a standby")??;
        Ok(Self { session, waits })
    }

    /// Lets the commits go.
    pub(super) async fn end(self) -> Result<()> {
        self.session
            .batch_execute("ALTER SYSTEM RESET synchronous_standby_names")
            .await?;
        self.session
            .batch_execute("SELECT pg_reload_conf()")
            .await?;
        self.waits.abort();
        Ok(())
    }
}

/// Opens a connection of the test's own.
pub(super) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
