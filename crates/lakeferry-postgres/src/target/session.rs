//! A lease held: one connection, another one that renews the lease where it takes long, the state
//! as it was read under the claim, and at most one open staging. Dropping it closes both
//! connections, and with them ends the lease.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use lakeferry_model::{
    Alteration, CommitOutcome, Effect, FillPlan, Fingerprint, Loaded, Position, Progress, Session,
    Stage, Standing, TableStanding, Watermark,
};
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::Doing,
    target::{
        Job, adopt, alter, append,
        apply::{Apply, Ended},
        aside::Scope,
        changes,
        claim::Claimed,
        fence::Hold,
        fill,
        filling::{Filling, Opener},
        lease::Renewal,
        loader::{PostgresLoader, Worker},
        refresh,
        staging::{Stager, Staging},
        state::bigint,
        unfinished::Note,
    },
};

/// Connections of a session that load nothing: its own, and the one that renews its lease.
const OTHERS: u32 = 2;

/// More loaders do not load faster, and each holds a few batches of rows.
const MOST_LOADERS: usize = 4;

/// The [`Session`] of Postgres.
pub struct PostgresSession<P> {
    link: Link,
    job: Arc<Job>,
    hold: Hold,
    standing: Standing<P>,
    /// Of what has the target's name.
    oid: Option<u32>,
    staging: Option<Staging>,
    filling: Option<Filling<P>>,
    /// Keeps the lease from expiring.
    renewal: Renewal,
    /// A step failed, or was given up half-way: what stands on the wire is not known.
    is_broken: bool,
}

impl<P> std::fmt::Debug for PostgresSession<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("PostgresSession");
        shown
            .field("job", &self.job.settings.job)
            .field("hold", &self.hold);
        shown.finish_non_exhaustive()
    }
}

impl<P: Position> PostgresSession<P> {
    pub(super) fn new(link: Link, job: Arc<Job>, claimed: Claimed<P>) -> Self {
        let epoch = claimed.standing.epoch.0;
        let hold = Hold {
            job_id: claimed.job_id,
            // It was read from a bigint.
            epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        };
        Self {
            renewal: Renewal::start(&job.settings, &job.state, hold),
            link,
            job,
            hold,
            standing: claimed.standing,
            oid: claimed.oid,
            staging: None,
            filling: None,
            is_broken: false,
        }
    }

    /// What a reset needs.
    pub(super) fn parts(&self) -> (&Link, &Job, Hold) {
        (&self.link, &self.job, self.hold)
    }

    /// Begins a step, which [`Self::ended`] ends. One that is given up half-way never ends.
    fn begun(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.is_broken, true) {
            let job = &self.job.settings.job;
            return Err(Error::bug(format!(
                "the session of job {job} was used after an error"
            )));
        }
        Ok(())
    }

    /// An error closes the connection at once, so that no lock outlives it.
    fn ended<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.is_broken = false,
            Err(_) => self.link.abort(),
        }
        result
    }

    async fn open_staging(&mut self, stage: Stage, columns: &SchemaRef) -> Result<(), Error> {
        self.discard_staging().await?;
        self.filling = None;
        self.check_stage(stage)?;
        let stager = Stager {
            link: &self.link,
            table: &self.job.settings.table,
            key: &self.job.settings.key,
            hold: self.hold,
            oid: self.oid,
            state: &self.job.state,
            own: self.job.settings.own,
            allows: self.job.settings.bad_rows,
            quarantined: self.standing.quarantined,
        };
        self.staging = Some(stager.open(stage, columns).await?);
        Ok(())
    }

    async fn open_fill(
        &mut self,
        plan: &FillPlan<P>,
        columns: &SchemaRef,
    ) -> Result<Loaded, Error> {
        self.discard_staging().await?;
        self.check_stage(Stage::Fill)?;
        let opener = Opener {
            link: &self.link,
            settings: &self.job.settings,
            state: &self.job.state,
            hold: self.hold,
        };
        let read = self.standing.unfinished.as_ref();
        let (filling, loaded) = opener.open(plan, columns, read).await?;
        self.filling = Some(filling);
        Ok(loaded)
    }

    async fn open_loader(&self) -> Result<PostgresLoader, Error> {
        let Job {
            settings, state, ..
        } = self.job.as_ref();
        let Some(filling) = &self.filling else {
            let job = &settings.job;
            return Err(Error::bug(format!("job {job} has no open fill to load")));
        };
        Ok(PostgresLoader::start(Worker {
            link: settings.connect.connect(&settings.job.name).await?,
            state: state.clone(),
            target: settings.table.clone(),
            columns: filling.columns.clone(),
            note: Note {
                hold: self.hold,
                backend_pid: filling.backend_pid,
                reserved: filling.reserved.clone(),
            },
            allows: settings.bad_rows,
            version: bigint(filling.plan.watermark.version)?,
        }))
    }

    async fn discard_staging(&mut self) -> Result<(), Error> {
        match self.staging.take() {
            Some(staging) => staging.discard(&self.link).await,
            None => Ok(()),
        }
    }

    /// # Errors
    /// [`Error::NeedsOperator`] if there is a table that is not to be touched, [`Error::Bug`] if
    /// the stage does not fit in another way.
    fn check_stage(&self, stage: Stage) -> Result<(), Error> {
        let (table, job) = (&self.job.settings.table, &self.job.settings.job);
        let standing = self.standing.table;
        let refused = match (stage, standing) {
            (Stage::Fill, TableStanding::Absent)
            | (Stage::Refresh, TableStanding::Empty)
            | (
                Stage::Refresh | Stage::Changes | Stage::Append | Stage::Retry,
                TableStanding::Filled,
            )
            | (
                Stage::Adopt,
                TableStanding::Empty | TableStanding::Foreign | TableStanding::Replaced,
            ) => return Ok(()),
            (_, TableStanding::Foreign) => "has rows that the job did not write",
            (_, TableStanding::Replaced) => "is another table than the one that the job filled",
            _ => {
                let what = format!("{stage:?} was staged for job {job} while {table} is");
                return Err(Error::bug(format!("{what} {standing:?}")));
            }
        };
        Err(
            Error::needs_operator(format!("job {job} does not touch {table}: it {refused}"))
                .advise(format!(
                    "if it has the rows of the source: lakeferry adopt {}; else drop or rename \
                     the table, or give the job another one",
                    job.name
                )),
        )
    }

    fn applying<'a>(&'a self, after: (&'a Watermark<P>, &'a Fingerprint)) -> Apply<'a, P> {
        Apply {
            link: &self.link,
            settings: &self.job.settings,
            state: &self.job.state,
            hold: self.hold,
            before: self.standing.progress.as_ref(),
            after,
            oid: self.oid,
            is_filled: self.standing.table == TableStanding::Filled,
        }
    }

    async fn alter_table(
        &self,
        alterations: &[Alteration],
        fingerprint: &Fingerprint,
    ) -> Result<(Watermark<P>, Ended), Error> {
        let job = &self.job.settings.job;
        let (Some(watermark), TableStanding::Filled, None, None) = (
            self.standing.watermark(),
            self.standing.table,
            &self.staging,
            &self.filling,
        ) else {
            let what = format!("a table that job {job} did not fill, or is filling, was altered");
            return Err(Error::bug(what));
        };
        let ended = alter::alter(&self.applying((watermark, fingerprint)), alterations).await?;
        Ok((watermark.clone(), ended))
    }

    /// What a transaction came to that would have led to this progress.
    fn settled(&mut self, ended: Ended, progress: Progress<P>, has_rows: bool) -> CommitOutcome {
        match ended {
            Ended::Fenced => CommitOutcome::Fenced,
            Ended::Differs(differences) => CommitOutcome::Differs(differences),
            Ended::Unmatched => CommitOutcome::Unmatched,
            Ended::Unknown { applied } => {
                self.is_broken = true;
                CommitOutcome::Unknown(applied)
            }
            Ended::Applied {
                applied,
                oid,
                quarantined,
            } => {
                self.standing.progress = Some(progress);
                self.oid = oid;
                if has_rows {
                    self.standing.unfinished = None;
                    self.standing.table = TableStanding::Filled;
                }
                if let Some(quarantined) = quarantined {
                    self.standing.quarantined = quarantined;
                }
                CommitOutcome::Applied(applied)
            }
        }
    }

    async fn apply_staging(
        &self,
        staging: Option<Staging>,
        filling: Option<Filling<P>>,
        after: (&Watermark<P>, &Fingerprint),
    ) -> Result<Ended, Error> {
        let apply = self.applying(after);
        if let Some(filling) = filling {
            return fill::apply(&apply, &filling).await;
        }
        let Some(staging) = staging else {
            return apply.progress_only().await;
        };
        let stage = staging.stage;
        let mut staged = staging.finish(&self.link).await?;
        match stage {
            Stage::Refresh => refresh::apply(&apply, &mut staged).await,
            Stage::Adopt => adopt::apply(&apply, &mut staged).await,
            Stage::Append => append::apply(&apply, &mut staged).await,
            Stage::Retry => changes::apply(&apply, &mut staged, ("retry", Scope::Retried)).await,
            Stage::Fill | Stage::Changes => {
                let version = after.0.version;
                let moved = self
                    .standing
                    .watermark()
                    .is_some_and(|had| had.version == version);
                let kind = if moved { "moved" } else { "changes" };
                changes::apply(&apply, &mut staged, (kind, Scope::Changed)).await
            }
        }
    }
}

impl<P: Position> Session for PostgresSession<P> {
    type Position = P;
    type Error = Error;
    type Loader = PostgresLoader;

    fn standing(&self) -> &Standing<P> {
        &self.standing
    }

    async fn stage(&mut self, stage: Stage, columns: &SchemaRef) -> Result<(), Error> {
        self.begun()?;
        let staged = self.open_staging(stage, columns).await;
        self.ended(staged)
    }

    async fn put(&mut self, effect: Effect, rows: &RecordBatch) -> Result<(), Error> {
        self.begun()?;
        let table = &self.job.settings.table;
        let taken = match &mut self.staging {
            Some(staging) => staging.put(&self.link, table, effect, rows).await,
            None => Err(Error::bug(format!(
                "rows for {table} were put before a stage"
            ))),
        };
        self.ended(taken)
    }

    async fn fill(&mut self, plan: &FillPlan<P>, columns: &SchemaRef) -> Result<Loaded, Error> {
        self.begun()?;
        let opened = self.open_fill(plan, columns).await;
        self.ended(opened)
    }

    fn loaders(&self) -> usize {
        let free = self.job.settings.max_connections.saturating_sub(OTHERS);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        usize::try_from(free)
            .unwrap_or(1)
            .clamp(1, cores.clamp(2, MOST_LOADERS))
    }

    /// Does not touch the session's own connection: where it fails, the session stays of use.
    async fn loader(&mut self) -> Result<PostgresLoader, Error> {
        self.open_loader().await
    }

    async fn apply(
        &mut self,
        watermark: &Watermark<P>,
        fingerprint: &Fingerprint,
    ) -> Result<CommitOutcome, Error> {
        self.begun()?;
        let (staging, filling) = (self.staging.take(), self.filling.take());
        let is_staged = staging.is_some() || filling.is_some();
        let after = (watermark, fingerprint);
        let ended = Box::pin(self.apply_staging(staging, filling, after)).await;
        let ended = self.ended(ended)?;
        let progress = Progress {
            watermark: watermark.clone(),
            fingerprint: fingerprint.clone(),
        };
        Ok(self.settled(ended, progress, is_staged))
    }

    async fn alter(
        &mut self,
        alterations: &[Alteration],
        fingerprint: &Fingerprint,
    ) -> Result<CommitOutcome, Error> {
        self.begun()?;
        let altered = self.alter_table(alterations, fingerprint).await;
        let (watermark, ended) = self.ended(altered)?;
        let progress = Progress {
            watermark,
            fingerprint: fingerprint.clone(),
        };
        Ok(self.settled(ended, progress, false))
    }

    async fn release(mut self) -> Result<(), Error> {
        self.begun()?;
        self.discard_staging().await?;
        let doing = Doing::new(format!("release job {}", self.job.settings.job));
        let sql = "DELETE FROM {} WHERE job_id = $1 AND epoch = $2";
        let sql = Sql::of(sql, &[&self.job.state.table("leases")]);
        let params: [_; 2] = [
            (&self.hold.job_id as _, Type::UUID),
            (&self.hold.epoch as _, Type::INT8),
        ];
        drop(self.renewal);
        self.link.execute(&sql, &params, &doing).await?;
        self.job.spares.keep(self.link).await;
        Ok(())
    }
}
