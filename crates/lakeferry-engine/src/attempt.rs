//! An attempt under way: decides step by step, and does each step.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use futures_core::Stream;
use lakeferry_model::{
    Alteration, Applied, AtWatermark, Clock, ColumnRole, Commit, CommitOutcome, Effect, Epoch,
    Failure, Fingerprint, Head, Instant, Position, Progress, Session, Source, Stage, Standing,
    Survey, TableStanding, Target, Watermark,
};
use tracing::{Instrument, info_span};

use crate::{
    collapse::greatest::Greatest,
    columns::Columns,
    error::RunError,
    evolve::{Evolution, evolve, evolve_replaced},
    fingerprint::fingerprint,
    job::{Job, Request},
    meter::Phase,
    net_effect::Reader,
    plan::{Look, Plan, Situation, adopt, first_look, plan, resume},
    run::{Report, Step, StepKind},
    unanswered::Unanswered,
};

/// An attempt under way.
pub(crate) struct Attempt<'a, S: Source, T, C> {
    pub(crate) job: &'a Job<S, T, C>,
    pub(crate) request: Request,
    pub(crate) head: Head<S::Position>,
    /// What the target should have, as of the last decision.
    pub(crate) fingerprint: Fingerprint,
    evolution: Evolution,
    /// See [`Situation::now`]: one for all of the attempt, as the head is.
    now: Instant,
    /// See [`Situation::timed`].
    timed: bool,
    /// The commits that the last survey showed.
    pub(crate) surveyed: Vec<Commit<S::Position>>,
    /// See [`Situation::narrowed`].
    pub(crate) narrowed: Option<S::Position>,
    /// See [`Situation::range_commits`]; learned from ranges that were too large.
    pub(crate) range_commits: usize,
    /// What this attempt sent last, if that was not answered.
    pub(crate) unanswered: Option<Unanswered<S::Position>>,
    /// See [`Situation::range_bytes`]; learned from ranges that were too large.
    pub(crate) range_bytes: u64,
    /// See [`Situation::fills_anew`].
    pub(crate) fills_anew: bool,
    /// See [`Situation::adopts_head`].
    pub(crate) adopts_head: bool,
}

impl<'a, S, T, C> Attempt<'a, S, T, C>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    pub(crate) fn new(job: &'a Job<S, T, C>, request: Request, head: Head<S::Position>) -> Self {
        let now = job.clock.now();
        let instant = job.source.filter_instant(now);
        Self {
            now: instant.unwrap_or(now),
            timed: instant.is_some(),
            fingerprint: fingerprint(&job.policy, &head.columns, job.target.encoding()),
            evolution: Evolution::default(),
            range_bytes: job.policy.collapse_memory_bytes as u64,
            surveyed: Vec::new(),
            narrowed: None,
            range_commits: usize::MAX,
            unanswered: None,
            fills_anew: false,
            adopts_head: false,
            job,
            request,
            head,
        }
    }

    /// Applies step by step until there is nothing left to do.
    pub(crate) async fn work(
        &mut self,
        session: &mut T::Session,
        report: &mut Report<S::Position>,
    ) -> Result<(), RunError> {
        let mut ahead = None;
        loop {
            // What is not used now is of no use any more.
            let had = ahead.take();
            let standing = session.standing().clone();
            let watermark = standing.watermark();
            report.through = watermark.map(|watermark| watermark.version);
            let version = report.through.map(Position::to_number);
            let (head, now) = (self.head.version.to_number(), self.job.clock.now());
            self.job.meter.at(version, head, now);
            let step = match self.decide(&standing).await? {
                Plan::UpToDate => {
                    report.watermark = watermark.cloned();
                    report.quarantined = standing.quarantined;
                    return Ok(());
                }
                Plan::Halt(halt) => return Err(RunError::halted(self.job.name(), &halt)),
                Plan::Broken(broken) => return Err(self.bug(broken.to_string())),
                Plan::Alter {
                    alterations,
                    fingerprint,
                } => Some(self.alter(session, alterations, fingerprint).await?),
                Plan::Rebuild {
                    at,
                    stage: Stage::Fill,
                    why,
                } => self.fill(session, at, Some(why)).await?,
                Plan::Resume { unfinished } => {
                    self.fill(session, unfinished.plan.watermark, None).await?
                }
                Plan::Rebuild { at, stage, why } => {
                    let kind = StepKind::Rebuild(stage, why);
                    Some(self.whole(session, &at, stage, kind).await?)
                }
                Plan::Adopt { at } => self.adopt(session, &at).await?,
                Plan::Retry { at } => {
                    let (stage, kind) = (Stage::Retry, StepKind::Retry);
                    Some(self.whole(session, &at, stage, kind).await?)
                }
                Plan::Advance { range } => Some(
                    self.apply(session, range.through(), StepKind::Advance, 0)
                        .await?,
                ),
                Plan::Changes { range, .. } if self.job.policy.appends => {
                    Some(self.append(session, &range).await?)
                }
                Plan::Changes { range, reading } => {
                    let changes = self.changes(session, &standing, (&range, reading), had);
                    let step;
                    (step, ahead) = changes.await?;
                    step
                }
                Plan::Move { at, until } => {
                    Some(self.move_filter(session, &standing, &at, until).await?)
                }
            };
            report.steps.extend(step);
        }
    }

    pub(crate) fn situation<'b>(
        &'b self,
        standing: &'b Standing<S::Position>,
    ) -> Situation<'b, S::Position> {
        Situation {
            request: self.request,
            policy: &self.job.policy,
            standing,
            head: &self.head,
            fingerprint: &self.fingerprint,
            evolution: &self.evolution,
            now: self.now,
            timed: self.timed,
            narrowed: self.narrowed,
            range_commits: self.range_commits,
            range_bytes: self.range_bytes,
            fills_anew: self.fills_anew,
            adopts_head: self.adopts_head,
        }
    }

    pub(crate) async fn decide(
        &mut self,
        standing: &Standing<S::Position>,
    ) -> Result<Plan<S::Position>, RunError> {
        self.follow(standing);
        match first_look(&self.situation(standing)) {
            Look::Decided(plan) => Ok(plan),
            Look::Unfinished { unfinished, why } => {
                let survey = self.survey(&unfinished.plan.watermark).await?;
                let situation = self.situation(standing);
                Ok(resume(&situation, &unfinished, why, &survey))
            }
            Look::Copied(watermark) => {
                let survey = self.survey(&watermark).await?;
                Ok(adopt(&self.situation(standing), &watermark, &survey))
            }
            Look::Behind(watermark) => {
                let survey = match self.left_over(&watermark) {
                    Some(survey) => survey,
                    None => self.survey(&watermark).await?,
                };
                let plan = plan(&self.situation(standing), &watermark, &survey);
                self.surveyed = survey.commits;
                Ok(plan)
            }
        }
    }

    /// Finds out what the target should have, and what that takes.
    fn follow(&mut self, standing: &Standing<S::Position>) {
        let (policy, columns) = (&self.job.policy, &self.head.columns);
        self.fingerprint = fingerprint(policy, columns, self.job.target.encoding());
        let table = standing.table;
        let had = standing
            .progress
            .as_ref()
            .filter(|_| table != TableStanding::Absent);
        self.evolution = match had {
            Some(had) => {
                let made = &mut self.fingerprint.columns_made;
                *made = had.fingerprint.columns_made.max(*made);
                let held_against = match had.watermark.table_id == self.head.table_id {
                    true => evolve,
                    false => evolve_replaced,
                };
                held_against(&had.fingerprint, columns, policy, self.request)
            }
            None => Evolution {
                columns: self.fingerprint.columns.clone(),
                key: self.fingerprint.key.clone(),
                ..Evolution::default()
            },
        };
        self.fingerprint.columns.clone_from(&self.evolution.columns);
    }

    /// The places of the columns that are synced among those of the source; nothing if all are.
    fn places(&self) -> Option<Vec<usize>> {
        let columns = self.evolution.columns.iter().enumerate();
        let of_source = columns.take(self.head.columns.fields().len());
        let synced = of_source.filter(|(_, column)| column.role == ColumnRole::Synced);
        let places: Vec<usize> = synced.map(|(place, _)| place).collect();
        (places.len() < self.head.columns.fields().len()).then_some(places)
    }

    pub(crate) fn columns(&self) -> Result<Columns, RunError> {
        let columns = Columns::new(Arc::clone(&self.head.columns), self.places());
        columns.map_err(|error| self.bug(error.to_string()))
    }

    /// What reads changes for it.
    pub(crate) fn reader(&self) -> Result<Reader<'a, S, T, C>, RunError> {
        Ok(Reader {
            job: self.job,
            columns: self.columns()?,
            head: self.head.version,
        })
    }

    async fn survey(
        &self,
        watermark: &Watermark<S::Position>,
    ) -> Result<Survey<S::Position>, RunError> {
        let survey = self.job.source.survey(watermark, &self.head).await;
        survey.map_err(|error| RunError::source(self.job.name(), error))
    }

    /// What an earlier survey of this attempt says about `watermark`, if it led here. Every read
    /// of changes compares the digests at both ends once more.
    pub(crate) fn left_over(
        &self,
        watermark: &Watermark<S::Position>,
    ) -> Option<Survey<S::Position>> {
        let here = |commit: &Commit<S::Position>| commit.version == watermark.version;
        let here = self.surveyed.iter().position(here)?;
        let digest = self.surveyed[here].digest;
        let at_watermark = AtWatermark::Commit(digest);
        Some(Survey {
            at_watermark,
            commits: self.surveyed[here + 1..].to_vec(),
        })
    }

    /// Brings the target's columns in step.
    async fn alter(
        &mut self,
        session: &mut T::Session,
        alterations: Vec<Alteration>,
        fingerprint: Fingerprint,
    ) -> Result<Step<S::Position>, RunError> {
        let had = session.standing().watermark().cloned();
        let Some(watermark) = had else {
            return Err(self.bug("a target without a watermark was to be altered".to_owned()));
        };
        let altered = session.alter(&alterations, &fingerprint);
        let outcome = altered.instrument(info_span!("alter")).await;
        let epoch = session.standing().epoch;
        let progress = Progress {
            watermark,
            fingerprint,
        };
        self.ended(outcome, StepKind::Alter(alterations), 0, (progress, epoch))
    }

    /// Applies all rows of the source at `at`, as `stage` does.
    pub(crate) async fn whole(
        &mut self,
        session: &mut T::Session,
        at: &Watermark<S::Position>,
        stage: Stage,
        kind: StepKind,
    ) -> Result<Step<S::Position>, RunError> {
        let rows_read = match self.stage_all(session, at, stage).await? {
            Ok(rows_read) => rows_read,
            Err(gone) => return Err(RunError::source(self.job.name(), gone)),
        };
        let step = self.apply(session, at, kind, rows_read).await?;
        // Once all rows were looked at, what is left to do is an ordinary sync.
        self.request = Request::Sync;
        Ok(step)
    }

    /// Holds the table against the source at `at`. No step where that version can no longer be
    /// read, and the head is to be taken instead.
    async fn adopt(
        &mut self,
        session: &mut T::Session,
        at: &Watermark<S::Position>,
    ) -> Result<Option<Step<S::Position>>, RunError> {
        match self.stage_all(session, at, Stage::Adopt).await? {
            Ok(rows_read) => {
                let step = self.apply(session, at, StepKind::Adopt, rows_read).await?;
                Ok(Some(step))
            }
            Err(_) if at.version != self.head.version => {
                self.adopts_head = true;
                Ok(None)
            }
            Err(gone) => Err(RunError::source(self.job.name(), gone)),
        }
    }

    /// Stages all rows of the source at `at`, and says how many these are; or, as the inner error,
    /// that they are gone.
    async fn stage_all(
        &self,
        session: &mut T::Session,
        at: &Watermark<S::Position>,
        stage: Stage,
    ) -> Result<Result<u64, S::Error>, RunError> {
        self.begin_loading();
        let load = async {
            let mut rows_read = 0;
            let mut rows = match self.job.source.snapshot(at).await {
                Ok(rows) => rows,
                Err(error) => return self.unless_gone(error),
            };
            let columns = self.columns()?;
            let opened = session.stage(stage, &columns.synced()).await;
            opened.map_err(|error| RunError::target(self.job.name(), error))?;
            let mut greatest = self.greatest(at)?;
            let failed = |error| RunError::collapse(self.job.name(), &error);
            while let Some(batch) = next(&mut rows).await {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => return self.unless_gone(error),
                };
                let batch = columns.of(batch);
                let batch = batch.map_err(|error| self.bug(error.to_string()))?;
                rows_read += batch.num_rows() as u64;
                self.job.meter.add(&batch);
                match &mut greatest {
                    Some(greatest) => greatest.push(batch).map_err(failed)?,
                    None => self.put(session, Effect::Insert, &batch).await?,
                }
            }
            if let Some(greatest) = greatest {
                let mut ranked = greatest.finish().map_err(failed)?;
                while let Some(batch) = ranked.next().map_err(failed)? {
                    self.put(session, Effect::Insert, &batch).await?;
                }
            }
            Ok(Ok(rows_read))
        };
        load.instrument(info_span!("load")).await
    }

    /// What settles the duplicate keys of all rows at `at`, where the job does.
    pub(crate) fn greatest(
        &self,
        at: &Watermark<S::Position>,
    ) -> Result<Option<Greatest<S::Position>>, RunError> {
        let policy = &self.job.policy;
        let Some(by) = &policy.dedupe_by else {
            return Ok(None);
        };
        let (ranks, limit) = (
            (&policy.key_columns[..], by.as_str()),
            policy.collapse_memory_bytes,
        );
        let greatest = Greatest::new(at.version, self.columns()?.synced(), ranks, limit);
        let greatest = greatest.map_err(|error| RunError::collapse(self.job.name(), &error))?;
        Ok(Some(greatest.on_null_key(policy.on_null_key)))
    }

    fn unless_gone(&self, error: S::Error) -> Result<Result<u64, S::Error>, RunError> {
        match error.is_gone() {
            true => Ok(Err(error)),
            false => Err(RunError::source(self.job.name(), error)),
        }
    }

    pub(crate) async fn apply(
        &mut self,
        session: &mut T::Session,
        watermark: &Watermark<S::Position>,
        kind: StepKind,
        rows_read: u64,
    ) -> Result<Step<S::Position>, RunError> {
        let outcome = self.commit(session, watermark).await;
        self.committed(session, outcome, watermark, (kind, rows_read))
    }

    /// Applies what is staged, and says what became of it.
    pub(crate) async fn commit(
        &self,
        session: &mut T::Session,
        watermark: &Watermark<S::Position>,
    ) -> Result<CommitOutcome, T::Error> {
        self.job.meter.turn(Phase::Applying, self.job.clock.now());
        let applied = session.apply(watermark, &self.fingerprint);
        applied.instrument(info_span!("apply")).await
    }

    /// The step that an apply was.
    pub(crate) fn committed(
        &mut self,
        session: &T::Session,
        outcome: Result<CommitOutcome, T::Error>,
        watermark: &Watermark<S::Position>,
        (kind, rows_read): (StepKind, u64),
    ) -> Result<Step<S::Position>, RunError> {
        let epoch = session.standing().epoch;
        let progress = Progress {
            watermark: watermark.clone(),
            fingerprint: self.fingerprint.clone(),
        };
        self.ended(outcome, kind, rows_read, (progress, epoch))
    }

    /// What became of a transaction that would have led to a progress, under an epoch.
    fn ended(
        &mut self,
        outcome: Result<CommitOutcome, T::Error>,
        kind: StepKind,
        rows_read: u64,
        (progress, epoch): (Progress<S::Position>, Epoch),
    ) -> Result<Step<S::Position>, RunError> {
        let version = progress.watermark.version;
        let at = self.job.clock.now();
        let step = |Applied { rows, bad }: Applied| Step {
            kind,
            through: version,
            rows_read,
            rows,
            bad,
            at,
        };
        match outcome.map_err(|error| RunError::target(self.job.name(), error))? {
            CommitOutcome::Applied(applied) => {
                let step = step(applied);
                let Step {
                    through,
                    rows,
                    bad,
                    kind,
                    ..
                } = &step;
                tracing::info!(%through, rows_read, ?rows, ?bad, ?kind, "applied");
                Ok(step)
            }
            CommitOutcome::Fenced => Err(RunError::Fenced {
                job: self.job.name(),
            }),
            CommitOutcome::Differs(differences) => Err(RunError::Differs {
                job: self.job.name(),
                version: version.to_number(),
                differences: Box::new(differences),
            }),
            CommitOutcome::Unmatched => Err(self.bug("rows went where none were to go".to_owned())),
            CommitOutcome::Unknown(applied) => {
                self.unanswered = Some(Unanswered {
                    step: step(applied),
                    progress,
                    epoch,
                });
                Err(RunError::Unsettled {
                    job: self.job.name(),
                })
            }
        }
    }

    /// All rows of the source come, as far as is known.
    pub(crate) fn begin_loading(&self) {
        // What a filter leaves nobody knows.
        let all = self.job.policy.filter.is_none();
        let rows = self.head.size.rows.filter(|_| all);
        let now = self.job.clock.now();
        self.job.meter.begin(Phase::Loading, rows, now);
    }

    pub(crate) fn bug(&self, reason: String) -> RunError {
        RunError::bug(self.job.name(), reason)
    }
}

pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
