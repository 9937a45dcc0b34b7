//! Where rows wait inside the target. Those of a refresh, or to be held against a table that is
//! adopted, wait in a table of its own in the target's schema,
//! whose name holds the epoch: so no session ever touches the staging of another one, however
//! late it comes. Changes wait in a temporary table of the one transaction that applies them. What
//! a fill loads is another matter: see `filling`.
//!
//! The staging of a refresh is UNLOGGED rather than temporary: more than one connection can load
//! it, parallel workers can read it, and no write-ahead log is spent on it.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use lakeferry_model::{BadRows, Effect, OwnColumns, Stage};

use crate::{
    error::Error,
    link::Link,
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        aside::{Aside, Parted, without_unkeyed},
        columns::Columns,
        copy::Copy,
        fence::Hold,
        reserved, shape,
        state::{Moment, StateSchema},
    },
};

/// The column of staged changes that says what a row does.
pub(super) const EFFECT: &str = "_lakeferry_effect";

/// An open staging.
pub(super) struct Staging {
    pub(super) stage: Stage,
    pub(super) columns: Columns,
    pub(super) place: StagedIn,
    /// When it was opened, by the server's clock.
    pub(super) started: Moment,
    copy: Copy,
    counts: EffectCounts,
    aside: Aside,
    /// Of rows set aside from a rebuild, NULL but for the key, if their previous ones are to stay.
    bad_keys: Vec<RecordBatch>,
}

/// The table that holds staged rows.
#[derive(Clone, Debug)]
pub(super) enum StagedIn {
    Reserved(Table),
    Temporary,
}

impl StagedIn {
    pub(super) fn sql(&self) -> Sql {
        match self {
            Self::Reserved(table) => table.sql(),
            Self::Temporary => Sql::of("pg_temp.{}", &[&Sql::name("_lakeferry_changes")]),
        }
    }
}

/// What was staged, all of it stored.
pub(super) struct Staged {
    pub(super) columns: Columns,
    pub(super) place: StagedIn,
    pub(super) started: Moment,
    pub(super) counts: EffectCounts,
    pub(super) aside: Aside,
    /// As in [`Staging`].
    pub(super) bad_keys: Vec<RecordBatch>,
}

/// Rows by effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EffectCounts {
    pub(super) deletes: u64,
    pub(super) updates: u64,
    pub(super) inserts: u64,
}

impl EffectCounts {
    fn add(&mut self, effect: Effect, rows: usize) {
        *match effect {
            Effect::Delete => &mut self.deletes,
            Effect::Update => &mut self.updates,
            Effect::Insert => &mut self.inserts,
        } += rows as u64;
    }

    pub(super) fn total(self) -> u64 {
        self.deletes + self.updates + self.inserts
    }
}

/// How an effect stands in the column [`EFFECT`].
pub(super) fn mark(effect: Effect) -> u8 {
    match effect {
        Effect::Delete => b'd',
        Effect::Update => b'u',
        Effect::Insert => b'i',
    }
}

/// Makes the staging tables of one session.
pub(super) struct Stager<'a> {
    pub(super) link: &'a Link,
    pub(super) table: &'a Table,
    pub(super) key: &'a [String],
    pub(super) hold: Hold,
    /// Of the target.
    pub(super) oid: Option<u32>,
    pub(super) state: &'a StateSchema,
    pub(super) own: OwnColumns,
    pub(super) allows: BadRows,
    /// Rows in quarantine.
    pub(super) quarantined: u64,
}

impl Stager<'_> {
    /// Opens an empty staging; what earlier sessions of the job left is dropped.
    pub(super) async fn open(&self, stage: Stage, schema: &SchemaRef) -> Result<Staging, Error> {
        let mut columns = Columns::new(schema, self.key)?;
        if let Some(oid) = self.oid {
            shape::check(self.link, self.table, oid, (&mut columns, self.own)).await?;
        }
        let left = reserved::drop_leftovers(self.link, self.table, self.hold.job_id, None).await?;
        let (place, names) = match stage {
            Stage::Fill => {
                return Err(Error::bug(format!("a fill of {} was staged", self.table)));
            }
            Stage::Changes | Stage::Retry if !columns.has_key() => {
                let what = format!("changes of {}, which has no key, were staged", self.table);
                return Err(Error::bug(what));
            }
            Stage::Adopt if !columns.has_key() => return Err(adopted_by_key(self.table)),
            Stage::Refresh | Stage::Adopt => {
                (self.reserve(&columns, &left.kept).await?, columns.names())
            }
            Stage::Changes | Stage::Append | Stage::Retry => {
                let effect = Sql::name(EFFECT);
                let names = Sql::of("{}, {}", &[&effect, &columns.names()]);
                (self.temporary(&columns).await?, names)
            }
        };
        let (job_id, state) = (self.hold.job_id, (self.link, self.state));
        let aside = Aside::read(self.allows, state, job_id, self.quarantined).await?;
        let doing = Doing::rows(format!("copy rows for {}", self.table));
        let started = "SELECT pg_catalog.clock_timestamp()";
        let started = self
            .link
            .query_one(&started.into(), &[], &doing)
            .await?
            .get(0);
        let copy = Copy::open(self.link, &place.sql(), &names, columns.encoder()?, doing).await?;
        Ok(Staging {
            stage,
            columns,
            place,
            started,
            copy,
            counts: EffectCounts::default(),
            aside,
            bad_keys: Vec::new(),
        })
    }

    async fn reserve(&self, columns: &Columns, kept: &[Table]) -> Result<StagedIn, Error> {
        let name = |attempt| reserved::name("refresh", self.hold.epoch, attempt, &self.table.name);
        let mut tables = (0..).map(|attempt| self.table.sibling(name(attempt)));
        let free = tables.find(|table| !kept.contains(table));
        let table = free.ok_or_else(|| Error::bug("no name for a staging is free"))?;
        let schema = Sql::name(&self.table.schema);
        let doing = Doing::new(format!("create a table in schema {}", self.table.schema))
            .needs(format!("CREATE, USAGE ON SCHEMA {}", schema.as_str()));
        let comment = Sql::text(&reserved::comment(self.hold.job_id));
        let name = table.sql();
        let parts = [&name, &columns.definitions(), &name, &comment];
        let create = Sql::of(REFRESH, &parts);
        self.link.batch(&create, &doing).await?;
        Ok(StagedIn::Reserved(table))
    }

    /// Begins the transaction that will apply the changes.
    async fn temporary(&self, columns: &Columns) -> Result<StagedIn, Error> {
        let database = Sql::name(&self.link.place().database);
        let doing = Doing::new("create a temporary table")
            .needs(format!("TEMPORARY ON DATABASE {}", database.as_str()));
        let place = StagedIn::Temporary;
        let parts = [&place.sql(), &Sql::name(EFFECT), &columns.definitions()];
        self.link.batch(&Sql::of(CHANGES, &parts), &doing).await?;
        Ok(place)
    }
}

/// Rows without a key can be counted, but not told from each other.
fn adopted_by_key(table: &Table) -> Error {
    Error::needs_operator(format!("{table} cannot be adopted by a job without a key"))
        .advise("give the job a key to adopt it by, or another table to fill")
}

const REFRESH: &str = "\
CREATE UNLOGGED TABLE {} ({}) WITH (autovacuum_enabled = off); COMMENT ON TABLE {} IS {}";

const CHANGES: &str = "\
BEGIN; SET LOCAL lock_timeout = '30s'; CREATE TEMPORARY TABLE {} ({} \"char\" NOT NULL, {}) ON COMMIT DROP";

impl Staging {
    pub(super) async fn put(
        &mut self,
        link: &Link,
        table: &Table,
        effect: Effect,
        rows: &RecordBatch,
    ) -> Result<(), Error> {
        if self.stage != Stage::Changes && effect != Effect::Insert {
            let stage = self.stage;
            return Err(Error::bug(format!(
                "{effect:?} was put into {stage:?} for {table}"
            )));
        }
        let keyed = match self.stage {
            Stage::Retry => without_unkeyed(&self.columns, rows)?,
            _ => {
                let columns = (&self.columns, table);
                self.aside.take_unkeyed(columns, effect, rows)?
            }
        };
        let rows = keyed.as_ref().unwrap_or(rows);
        if !(self.has_effects() && self.columns.has_key()) {
            return self.load(link, effect, rows).await;
        }
        let is_retry = self.stage == Stage::Retry;
        let Some(parted) = self.aside.part_known(&self.columns, rows)? else {
            return match is_retry {
                true => Ok(()),
                false => self.load(link, effect, rows).await,
            };
        };
        let Parted {
            absent,
            previous,
            others,
        } = parted;
        if is_retry {
            self.load(link, Effect::Update, &previous).await?;
        } else {
            self.load(link, effect, &others).await?;
            self.load(link, effect, &previous).await?;
        }
        match effect {
            // There is no row: none to delete, and none to update.
            Effect::Delete => Ok(()),
            Effect::Insert | Effect::Update => self.load(link, Effect::Insert, &absent).await,
        }
    }

    /// Whether rows are staged with what they do.
    fn has_effects(&self) -> bool {
        matches!(self.stage, Stage::Changes | Stage::Append | Stage::Retry)
    }

    /// Copies `rows` but for the bad ones; where these were to be updates, their keys go, or stay.
    async fn load(&mut self, link: &Link, effect: Effect, rows: &RecordBatch) -> Result<(), Error> {
        if effect == Effect::Delete {
            return self.load_deletes(link, rows).await;
        }
        let mark = self.has_effects().then(|| mark(effect));
        let copy = (link, &mut self.copy);
        let (count, bad) = self.aside.put(copy, &self.columns, rows, mark).await?;
        self.counts.add(effect, count);
        let keeps_previous = self.aside.allows().keeps_previous();
        for rows in bad {
            match (self.stage, effect) {
                (Stage::Refresh, _) if keeps_previous && self.columns.has_key() => {
                    self.bad_keys.push(self.columns.only_key(&rows)?);
                }
                (_, Effect::Update) if keeps_previous => {
                    self.aside.keep_previous(&self.columns, &rows)?;
                }
                (_, Effect::Update) => self.load_deletes(link, &rows).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn load_deletes(&mut self, link: &Link, rows: &RecordBatch) -> Result<(), Error> {
        // What else they held does not matter, not even whether Postgres could hold it.
        let keys = self.columns.only_key(rows)?;
        let faults = self
            .copy
            .put(link, &keys, Some(mark(Effect::Delete)))
            .await?;
        if let Some(fault) = faults.first() {
            return Err(self.columns.refusal(fault));
        }
        self.counts.add(Effect::Delete, rows.num_rows());
        Ok(())
    }

    /// Waits until all rows are stored.
    pub(super) async fn finish(self, link: &Link) -> Result<Staged, Error> {
        let stored = self.copy.finish(link).await?;
        let put = self.counts.total();
        if stored != put {
            return Err(Error::bug(format!(
                "{put} rows were put and {stored} stored"
            )));
        }
        Ok(Staged {
            columns: self.columns,
            place: self.place,
            started: self.started,
            counts: self.counts,
            aside: self.aside,
            bad_keys: self.bad_keys,
        })
    }

    /// Takes all of it back; the session can stage anew.
    /// What is in use is left to the next run.
    pub(super) async fn discard(self, link: &Link) -> Result<(), Error> {
        let Self { copy, place, .. } = self;
        // A COPY that is not finished fails.
        drop(copy);
        let doing = Doing::new("take back what was staged");
        match &place {
            StagedIn::Reserved(table) => reserved::drop(link, table, &doing).await.map(drop),
            StagedIn::Temporary => link.batch(&"ROLLBACK".into(), &doing).await,
        }
    }
}
