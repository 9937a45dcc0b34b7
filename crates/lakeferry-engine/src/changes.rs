//! Changes, of commits or by time alone: read, collapsed to their net effect and applied.

use arrow_array::RecordBatch;
use lakeferry_model::{
    Clock, Commit, CommitOutcome, CommitRange, Content, Effect, Failure, Instant, Progress,
    Reading, Session, Sign, Source, Stage, Standing, Target, Watermark,
};
use tracing::{Instrument, info_span};

use crate::{
    ahead::Ahead,
    attempt::{Attempt, next},
    collapse::{Net, NetRows, Overflow},
    error::RunError,
    meter::Phase,
    net_effect::{Collapsed, may_be_mended},
    plan::{Halt, Plan, Why, plan, rebuilt_at},
    run::{Step, StepKind},
};

/// The step that was taken, if one was, and what is read for the next.
type Changed<'a, P> = (Option<Step<P>>, Option<Ahead<'a, P>>);

impl<'a, S, T, C> Attempt<'a, S, T, C>
where
    S: Source,
    T: Target<Position = S::Position>,
    C: Clock,
{
    /// Applies the changes of a range, `ahead` if those were read already; no step where a smaller range
    /// is to be tried. Meanwhile the next range is read: what this returns besides.
    pub(crate) async fn changes(
        &mut self,
        session: &mut T::Session,
        standing: &Standing<S::Position>,
        (range, reading): (&CommitRange<S::Position>, Reading),
        ahead: Option<Ahead<'a, S::Position>>,
    ) -> Result<Changed<'a, S::Position>, RunError> {
        let now = self.job.clock.now();
        let overflow = self.overflow_of(range);
        let collapsed = match ahead.filter(|ahead| ahead.is(range, reading)) {
            Some(ahead) => {
                self.job.meter.begin_ahead(Phase::Reading, now);
                ahead.collapsed().instrument(info_span!("read")).await?
            }
            None => {
                self.job.meter.begin(Phase::Reading, None, now);
                let reader = self.reader()?;
                let collapsed = reader.range(range, reading, overflow);
                collapsed.instrument(info_span!("read")).await?
            }
        };
        let (net, rows_read) = match collapsed {
            Collapsed::Net(net, rows_read) => (net, rows_read),
            Collapsed::TooLarge(_) if overflow == Overflow::Spilled => {
                let step = self.refresh(session, standing, Why::LargeChanges);
                return Ok((Some(step.await?), None));
            }
            Collapsed::TooLarge(version) => {
                // Which commits too many rows were of is not known where keys are looked up.
                let of_half = self
                    .commits_in(range)
                    .nth(self.commits_in(range).count() / 2);
                let half = of_half.map_or(version, |commit| commit.version);
                let settles = self.job.policy.dedupe_by.is_some();
                self.narrow(range, reading, if settles { half } else { version });
                return Ok((None, None));
            }
            Collapsed::Unreadable(why) => {
                let step = self.refresh(session, standing, why);
                return Ok((Some(step.await?), None));
            }
        };
        self.narrowed = None;
        let mut next = self.next_changes(standing, range)?;
        let step = (range.through(), StepKind::Changes(reading), rows_read);
        let step = self.apply_net(session, standing, net, step, next.as_mut());
        Ok((Some(step.await?), next))
    }

    /// The changes after those of `range`, to be read ahead; none where something else comes then.
    fn next_changes(
        &self,
        standing: &Standing<S::Position>,
        range: &CommitRange<S::Position>,
    ) -> Result<Option<Ahead<'a, S::Position>>, RunError> {
        let through = range.through();
        let survey = self.left_over(through);
        let Some(survey) = survey.filter(|survey| !survey.commits.is_empty()) else {
            return Ok(None);
        };
        let then = Standing {
            progress: Some(Progress {
                watermark: through.clone(),
                fingerprint: self.fingerprint.clone(),
            }),
            ..standing.clone()
        };
        let Plan::Changes { range, reading } = plan(&self.situation(&then), through, &survey)
        else {
            return Ok(None);
        };
        let (reader, overflow) = (self.reader()?, self.overflow_of(&range));
        let (of, what) = (range.clone(), reading);
        let collapsed = async move { reader.range(&of, what, overflow).await };
        Ok(Some(Ahead::new(range, reading, collapsed)))
    }

    /// A range of one commit cannot be narrowed.
    fn overflow_of(&self, range: &CommitRange<S::Position>) -> Overflow {
        match self.commits_in(range).count() {
            0 | 1 => Overflow::Spilled,
            _ => Overflow::Refused,
        }
    }

    /// Applies the rows that came in `range`, as they come: no key is needed to tell them apart, and
    /// none waits in memory.
    pub(crate) async fn append(
        &mut self,
        session: &mut T::Session,
        range: &CommitRange<S::Position>,
    ) -> Result<Step<S::Position>, RunError> {
        let reading = Reading::Files;
        let rows_read = self.stage_added(session, range, reading);
        let rows_read = rows_read.instrument(info_span!("read")).await?;
        let kind = StepKind::Changes(reading);
        self.apply(session, range.through(), kind, rows_read).await
    }

    /// Stages what was added in `range`, and says how many rows that were.
    async fn stage_added(
        &self,
        session: &mut T::Session,
        range: &CommitRange<S::Position>,
        reading: Reading,
    ) -> Result<u64, RunError> {
        let name = || self.job.name();
        let unread = |error: S::Error| match error.is_gone() {
            true => RunError::halted(
                name(),
                &Halt::AppendsOnly {
                    why: Why::PastHorizon,
                },
            ),
            false => RunError::source(name(), error),
        };
        let unwritten = |error| RunError::target(name(), error);
        let changes = self.job.source.changes(range, reading).await;
        let mut changes = changes.map_err(unread)?;
        let columns = self.columns()?;
        let opened = session.stage(Stage::Append, &columns.synced()).await;
        opened.map_err(unwritten)?;
        let mut rows_read = 0;
        let now = self.job.clock.now();
        self.job.meter.begin(Phase::Reading, None, now);
        while let Some(batch) = next(&mut changes).await {
            let batch = batch.map_err(unread)?;
            if batch.sign == Sign::Minus && batch.rows.num_rows() > 0 {
                return Err(self.bug("rows went where files were only added".to_owned()));
            }
            if batch.rows.schema().fields() != self.head.columns.fields() {
                return Err(RunError::columns_moved(name()));
            }
            let rows = columns.of(batch.rows);
            let rows = rows.map_err(|error| self.bug(error.to_string()))?;
            rows_read += rows.num_rows() as u64;
            self.job.meter.add(&rows);
            session
                .put(Effect::Insert, &rows)
                .await
                .map_err(unwritten)?;
        }
        Ok(rows_read)
    }

    /// Applies what time changes at `at` until `until`: as changes of that version.
    pub(crate) async fn move_filter(
        &mut self,
        session: &mut T::Session,
        standing: &Standing<S::Position>,
        at: &Watermark<S::Position>,
        until: Instant,
    ) -> Result<Step<S::Position>, RunError> {
        let now = self.job.clock.now();
        self.job.meter.begin(Phase::Reading, None, now);
        let changes = self.job.source.moved(at, until).await;
        let wanted = |version| version == at.version;
        let moved = Watermark {
            instant: until,
            ..at.clone()
        };
        let reader = self.reader()?;
        let collapsed = reader.net_effect(changes, (&moved, Overflow::Spilled), wanted);
        let why = match collapsed.instrument(info_span!("read")).await? {
            Collapsed::Net(net, rows_read) => {
                let step = (&moved, StepKind::Moved { until }, rows_read);
                let step = self.apply_net(session, standing, net, step, None);
                return step.await;
            }
            Collapsed::TooLarge(_) => Why::LargeChanges,
            Collapsed::Unreadable(why) => why,
        };
        self.refresh(session, standing, why).await
    }

    async fn apply_net(
        &mut self,
        session: &mut T::Session,
        standing: &Standing<S::Position>,
        net: NetRows,
        (watermark, kind, rows_read): (&Watermark<S::Position>, StepKind, u64),
        ahead: Option<&mut Ahead<'a, S::Position>>,
    ) -> Result<Step<S::Position>, RunError> {
        let staged = self.stage(session, net, watermark.version);
        if let Err(why) = staged.instrument(info_span!("stage")).await? {
            return self.refresh(session, standing, why).await;
        }
        let committing = self.commit(session, watermark);
        let outcome = match ahead {
            Some(ahead) => ahead.beside(committing).await,
            None => committing.await,
        };
        match outcome {
            Ok(CommitOutcome::Unmatched) => {
                self.refresh(session, standing, Why::UnkeyedUnmatched).await
            }
            outcome => self.committed(session, outcome, watermark, (kind, rows_read)),
        }
    }

    /// Rebuilds by difference where changes turned out not to do.
    async fn refresh(
        &mut self,
        session: &mut T::Session,
        standing: &Standing<S::Position>,
        why: Why,
    ) -> Result<Step<S::Position>, RunError> {
        let at = rebuilt_at(&self.situation(standing));
        let kind = StepKind::Rebuild(Stage::Refresh, why);
        self.whole(session, &at, Stage::Refresh, kind).await
    }

    /// The commits of `range` that change rows: only they make it large.
    fn commits_in<'b>(
        &'b self,
        range: &'b CommitRange<S::Position>,
    ) -> impl Iterator<Item = &'b Commit<S::Position>> + Clone {
        let commits = self.surveyed.iter();
        let commits = commits.filter(|commit| commit.content != Content::Nothing);
        commits.filter(|commit| range.contains(commit.version))
    }

    /// Makes the next ranges smaller, for this one, which has several commits, was too large at
    /// `version`.
    fn narrow(&mut self, range: &CommitRange<S::Position>, reading: Reading, version: S::Position) {
        if reading == Reading::Files {
            self.range_commits = (self.commits_in(range).count() / 2).max(1);
            return;
        }
        let fitting = self.commits_in(range);
        let fitting = fitting.filter(|commit| commit.version < version);
        let bytes = fitting.clone().map(|commit| commit.size.bytes).sum();
        match fitting.last().map(|commit| commit.version) {
            Some(last) => {
                self.narrowed = Some(last);
                self.range_bytes = self.range_bytes.min(bytes);
            }
            // Its first commit by itself.
            None => self.narrowed = Some(version),
        }
    }

    /// Stages what there is, nothing where nothing changes; or, as the inner error, says why the
    /// snapshot has to be read instead.
    async fn stage(
        &self,
        session: &mut T::Session,
        NetRows { net, mut unkeyed }: NetRows,
        version: S::Position,
    ) -> Result<Result<(), Why>, RunError> {
        let failed = |error| RunError::collapse(self.job.name(), &error);
        let mut is_open = false;
        while let Some((effect, batch)) = unkeyed.next().map_err(failed)? {
            if !is_open {
                self.open_stage(session).await?;
                is_open = true;
            }
            self.put(session, effect, &batch).await?;
        }
        let mut merge = match net {
            Net::Held(net) if net.is_empty() => return Ok(Ok(())),
            Net::Held(net) => {
                if !is_open {
                    self.open_stage(session).await?;
                }
                for (effect, part) in net.parts() {
                    for batch in part {
                        self.put(session, effect, batch).await?;
                    }
                }
                return Ok(Ok(()));
            }
            Net::Spilled(merge) => merge,
        };
        loop {
            let parts = match merge.next() {
                Ok(Some(parts)) => parts,
                Ok(None) => return Ok(Ok(())),
                Err(error) if may_be_mended(&error, version, self.head.version) => {
                    return Ok(Err(Why::KeysMended));
                }
                Err(error) => return Err(failed(error)),
            };
            for (effect, batch) in parts {
                if !is_open {
                    self.open_stage(session).await?;
                    is_open = true;
                }
                self.put(session, effect, &batch).await?;
            }
        }
    }

    async fn open_stage(&self, session: &mut T::Session) -> Result<(), RunError> {
        let columns = self.columns()?.synced();
        let opened = session.stage(Stage::Changes, &columns).await;
        opened.map_err(|error| RunError::target(self.job.name(), error))
    }

    pub(crate) async fn put(
        &self,
        session: &mut T::Session,
        effect: Effect,
        batch: &RecordBatch,
    ) -> Result<(), RunError> {
        let put = session.put(effect, batch).await;
        put.map_err(|error| RunError::target(self.job.name(), error))
    }
}
