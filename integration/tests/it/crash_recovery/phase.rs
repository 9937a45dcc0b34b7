//! The phases in which the product is killed, read from what `pg_stat_activity` shows of its
//! backend.

use std::fmt;

use anyhow::Result;
use tokio_postgres::Client;

/// What the product was sent out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// The first fill of a table that does not exist.
    Fill,
    /// Commits onto a table that was filled.
    Increment,
    /// A rebuild by difference of a table that was filled.
    Refresh,
}

/// A phase of a run, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Connected, and reading or claiming the job's state.
    Start,
    /// The COPY of a first fill.
    FirstCopy,
    /// Of the table that is filled, or of the staging of a refresh.
    KeyBuild,
    Rename,
    /// The COPY of an increment or a refresh.
    Staging,
    /// A statement of the apply, before COMMIT.
    Apply,
    /// COMMIT is durable and waits to be answered.
    AfterCommit,
}

impl Phase {
    pub(super) const ALL: [Self; 7] = [
        Self::Start,
        Self::FirstCopy,
        Self::KeyBuild,
        Self::Rename,
        Self::Staging,
        Self::Apply,
        Self::AfterCommit,
    ];

    /// The phase that a backend is in; none between two statements, or in one that is part of no
    /// phase.
    fn of(work: Work, query: &str, waits_for_standby: bool) -> Option<Self> {
        let begins = |starts: &[&str]| starts.iter().any(|start| query.starts_with(start));
        if begins(&["COMMIT"]) {
            return waits_for_standby.then_some(Self::AfterCommit);
        }
        // A piece of a fill is noted in the transaction that copied it.
        if begins(&["COPY ", "WITH held AS "]) {
            return Some(match work {
                Work::Fill => Self::FirstCopy,
                Work::Increment | Work::Refresh => Self::Staging,
            });
        }
        let adds_key = query.contains(" PRIMARY KEY (") && begins(&["ALTER TABLE "]);
        if adds_key || begins(&["CREATE UNIQUE INDEX ON "]) {
            return Some(Self::KeyBuild);
        }
        if query.contains(" RENAME TO ") {
            return Some(Self::Rename);
        }
        if begins(&APPLY) {
            return Some(Self::Apply);
        }
        let is_of_state = query.contains("\"lakeferry\"");
        (begins(&SETTINGS) || is_of_state && begins(&STATE)).then_some(Self::Start)
    }
}

/// How the statements of an apply begin.
const APPLY: [&str; 9] = [
    "UPDATE \"lakeferry\".\"progress\" ",
    "LOCK TABLE \"public\".",
    "DELETE FROM \"public\".",
    "DELETE FROM ONLY \"public\".",
    "UPDATE \"public\".",
    "UPDATE ONLY \"public\".",
    "INSERT INTO \"public\".",
    "UPDATE \"lakeferry\".\"jobs\" ",
    "INSERT INTO \"lakeferry\".\"runs\" ",
];

/// How the first statement of every connection begins.
const SETTINGS: [&str; 1] = ["SET row_security "];

/// How the statements begin that read or claim the state.
const STATE: [&str; 4] = ["SELECT ", "WITH ", "CREATE SCHEMA ", "CREATE TABLE "];

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::FirstCopy => "first COPY",
            Self::KeyBuild => "key build",
            Self::Rename => "rename",
            Self::Staging => "staging",
            Self::Apply => "apply before COMMIT",
            Self::AfterCommit => "after COMMIT before its answer",
        })
    }
}

/// What one backend of the product is at.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub(super) pid: i32,
    pub(super) phase: Option<Phase>,
    /// Whether it waits for a lock.
    pub(super) is_blocked: bool,
}

const ACTIVITY: &str = "\
SELECT pid, coalesce(state = 'active', false), coalesce(wait_event_type = 'Lock', false), \
    coalesce(wait_event = 'SyncRep', false), query \
FROM pg_stat_activity \
WHERE application_name LIKE 'lakeferry/%' AND datname = current_database() ORDER BY pid";

/// The backends of the product, also those whose client is gone.
pub(super) async fn look(client: &Client, work: Work) -> Result<Vec<Activity>> {
    let rows = client.query_typed(ACTIVITY, &[]).await?;
    let activities = rows.iter().map(|row| {
        let is_active: bool = row.get(1);
        let phase = Phase::of(work, row.get(4), row.get(3));
        Activity {
            pid: row.get(0),
            phase: phase.filter(|_| is_active),
            is_blocked: row.get(2),
        }
    });
    Ok(activities.collect())
}
