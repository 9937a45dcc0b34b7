//! The job of a history: the real source and the real engine, over a target of the history's choice.

use std::{path::Path, time::Duration};

use anyhow::Result;
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_engine::{
    DropColumns, Job, Meter, OnSchemaChange, OnSourceReplaced, Policy, Report, Request, Retry,
    RunError, drive,
};
use lakeferry_model::{
    BadRows, Clock, ColumnChoice, DeltaVersion, Holder, Instant, OnNullKey, Target,
};
use lakeferry_testkit::StepClock;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    filter::Filter,
    ledger::{Column, HOT, Keys, NUMBER, SEEN},
    shelf::job_key,
};

/// What the target calls `seen`, if the job wants so.
pub(crate) const RENAMED: &str = "noticed";

/// What the user may want otherwise from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Lists,
    Excludes,
    Renames,
    Ignores,
}

/// What is the user's choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) filter: Filter,
    /// Whether the job lists its columns: `number`, besides the key.
    pub(crate) lists: bool,
    pub(crate) follows_replaced: bool,
    pub(crate) keys: Keys,
    /// Whether it only adds rows.
    pub(crate) appends: bool,
    /// Whether there are many keys.
    pub(crate) is_crowded: bool,
    /// Whether `hot` is excluded.
    pub(crate) excludes: bool,
    /// Whether the target calls `seen` otherwise.
    pub(crate) renames: bool,
    /// Whether other columns of the source are ignored.
    pub(crate) ignores: bool,
    refresh_above: f64,
    memory_bytes: usize,
    always_refreshes: bool,
}

impl Choice {
    pub(crate) fn new(random: &mut ChaCha8Rng) -> Self {
        let filter = Filter::CHOICE[random.random_range(0..Filter::CHOICE.len())];
        let appends = !filter.is_timed() && random.random_bool(0.12);
        let is_crowded = random.random_bool(0.12);
        let excludes = random.random_bool(0.15);
        let lists = random.random_bool(0.15);
        let settles = random.random_bool(if is_crowded { 0.6 } else { 0.3 });
        Self {
            filter,
            appends,
            is_crowded,
            excludes,
            renames: random.random_bool(0.15),
            ignores: !lists && random.random_bool(0.15),
            lists,
            follows_replaced: random.random(),
            keys: Keys {
                settles: settles && !appends,
                without_hot: excludes,
                keeps_null: random.random(),
            },
            refresh_above: if random.random_bool(0.15) {
                1.0
            } else {
                f64::INFINITY
            },
            memory_bytes: [500, 4_000, 1 << 26, 1 << 26, 1 << 26][random.random_range(0..5)],
            always_refreshes: !appends && random.random_bool(0.05),
        }
    }

    /// With this setting the other way round.
    pub(crate) fn turn(&mut self, setting: Setting) {
        let on = match setting {
            Setting::Lists => &mut self.lists,
            Setting::Excludes => &mut self.excludes,
            Setting::Renames => &mut self.renames,
            Setting::Ignores => &mut self.ignores,
        };
        *on = !*on;
        self.keys.without_hot = self.excludes;
    }

    pub(crate) fn columns(&self) -> ColumnChoice {
        let owned = |name: &str| name.to_owned();
        if self.lists {
            return ColumnChoice {
                listed: Some(["id", "number"].map(owned).into()),
                ..ColumnChoice::default()
            };
        }
        let excluded = self.excludes.then(|| owned("hot"));
        let renamed = self.renames.then(|| (owned("seen"), owned(RENAMED)));
        ColumnChoice {
            excluded: excluded.into_iter().collect(),
            renamed: renamed.into_iter().collect(),
            ..ColumnChoice::default()
        }
    }

    /// What the target calls a column of the source.
    pub(crate) fn called<'a>(&self, column: &'a Column) -> &'a str {
        let is_renamed = self.renames && !self.lists && column.identity == SEEN;
        if is_renamed { RENAMED } else { &column.name }
    }

    /// Whether the target is sure to have what the source has in this column.
    pub(crate) fn has(&self, identity: u64) -> bool {
        match identity {
            NUMBER => true,
            HOT if self.excludes => false,
            _ => !self.lists && !self.ignores,
        }
    }

    /// What the target does with rows that it cannot hold.
    pub(crate) fn bad_rows(&self) -> BadRows {
        match self.keys.keeps_null {
            true => BadRows {
                on_null_key: OnNullKey::Quarantine,
                max_rows: u64::MAX,
                ..BadRows::HALT
            },
            false => BadRows::HALT,
        }
    }

    fn policy(&self, name: &str) -> Policy {
        Policy {
            key: job_key(name),
            holder: Holder("a history".to_owned()),
            key_columns: vec!["id".to_owned()],
            dedupe_by: self.keys.settles.then(|| "number".to_owned()),
            on_null_key: self.bad_rows().on_null_key,
            filter: self.filter.sql().map(ToOwned::to_owned),
            timezone: "UTC".to_owned(),
            always_refresh: self.always_refreshes,
            appends: self.appends,
            lists_columns: self.lists,
            excluded: self.columns().excluded,
            own: lakeferry_model::OwnColumns::default(),
            on_source_replaced: match self.follows_replaced {
                true => OnSourceReplaced::Refresh,
                false => OnSourceReplaced::Halt,
            },
            on_schema_change: match self.ignores {
                true => OnSchemaChange::Ignore,
                false => OnSchemaChange::Evolve,
            },
            drop_columns: DropColumns::Detach,
            refresh_above: self.refresh_above,
            collapse_memory_bytes: self.memory_bytes,
            retry: Retry {
                attempts: 3,
                ..Retry::default()
            },
            ignores_pause: false,
        }
    }

    /// Looks at the table at `path`, as a process does that was just started.
    pub(crate) fn source(&self, path: &Path) -> Result<DeltaSource> {
        Ok(DeltaSource::new(Settings {
            location: path.to_string_lossy().into_owned(),
            columns: self.columns(),
            filter: self.filter.sql().map(ToOwned::to_owned),
            filter_every: Some(Duration::from_secs(3600)),
            ..Settings::default()
        })?)
    }
}

/// A clock that stands still while a job runs, but for its waits.
struct Still(StepClock);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(duration)
    }
}

/// Runs the job once, at this moment.
pub(crate) async fn sync<T: Target<Position = DeltaVersion>>(
    (name, choice): (&str, &Choice),
    source: &DeltaSource,
    target: T,
    (now, request): (i64, Request),
) -> Result<Report<DeltaVersion>, RunError> {
    let clock = StepClock::default();
    clock.advance(Duration::from_micros(now.unsigned_abs()));
    let job = Job {
        source: source.clone(),
        target,
        clock: Still(clock),
        policy: choice.policy(name),
        meter: Meter::default(),
    };
    let mut report = Report::default();
    Box::pin(drive(&job, request, &mut report)).await?;
    Ok(report)
}
