//! One history: things happen to a table, and now and then its job runs and is held against the
//! ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    iter,
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail, ensure};
use lakeferry_delta::DeltaSource;
use lakeferry_delta_testkit::How;
use lakeferry_engine::{Report, Request, RunError, StepKind, Why};
use lakeferry_model::{DeltaVersion, Target as _, Watermark};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{
    chance::Chance,
    filter::{Filter, MINUTE},
    job::{self, Choice},
    lake::Lake,
    ledger::{Cells, Column, Ledger, NUMBER, State, VALUE},
    operation::{Operation, Which},
    shelf::{self, Shelf},
};

/// What was seen, and how often.
pub(crate) type Seen = BTreeMap<String, u64>;

/// What a target has.
struct Held {
    at: Watermark<DeltaVersion>,
    /// The version that it is.
    state: State,
    /// Of which table.
    table: u64,
    /// Whether the table's storage went back behind it, so that only its commit tells of that.
    is_rewound: bool,
}

/// A history under way.
pub(crate) struct History<S> {
    name: String,
    shelf: S,
    chance: Chance,
    choice: Choice,
    ledger: Ledger,
    lake: Lake,
    path: PathBuf,
    source: DeltaSource,
    /// What the target has.
    held: Option<Held>,
    /// Whether something came since that a job that only adds rows cannot follow.
    is_changed: bool,
    /// Whether the job's settings are others since.
    is_turned: bool,
    /// Columns that a run may have detached since the target was last in step; they may be back.
    detached: BTreeSet<u64>,
    /// Columns as a run may have renamed them since then.
    renamed: Vec<Column>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) seen: Seen,
    /// For those who look into what went wrong.
    pub(crate) told: String,
    _directory: TempDir,
}

impl<S: Shelf> History<S> {
    pub(crate) async fn new(name: &str, seed: u64, shelf: S) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let choice = Choice::new(&mut random);
        let partition = [None, None, Some("hot"), Some("number")][random.random_range(0..4)];
        let files_at_once = random.random_range(1..3);
        let mut chance = Chance::new(random, choice);
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("table");
        let start = chance.start();
        let writer = (chance.is_mapped, files_at_once);
        let lake = Lake::create(&path, writer, partition, &start).await?;
        let ledger = begun(&lake, start);
        Ok(Self {
            name: name.to_owned(),
            told: format!(
                "{choice:?}, mapped: {}, partition: {partition:?}",
                chance.is_mapped
            ),
            source: choice.source(&path)?,
            shelf,
            chance,
            choice,
            ledger,
            lake,
            path,
            held: None,
            is_changed: false,
            is_turned: false,
            detached: BTreeSet::new(),
            renamed: Vec::new(),
            operations: Vec::new(),
            seen: Seen::new(),
            _directory: directory,
        })
    }

    /// Lets things happen, then brings the target to the head.
    pub(crate) async fn run(&mut self) -> Result<()> {
        if self.chance.is_mapped && self.chance.random.random_bool(0.4) {
            self.happen(Operation::Track).await?;
        }
        if self.chance.random.random_bool(0.7) {
            self.happen(Operation::Sync(Request::Sync)).await?;
        }
        for _ in 0..self.chance.random.random_range(8..26) {
            let operation = self.chance.next(&self.ledger);
            let is_sync = matches!(operation, Operation::Sync(_));
            self.happen(operation).await?;
            // An operator will not wait for ever.
            let waits = self.is_replaced() || (self.choice.appends && self.is_changed);
            if is_sync && waits && self.chance.random.random_bool(0.7) {
                self.happen(Operation::Sync(Request::Backfill)).await?;
            }
        }
        let keys = self.choice.keys;
        let troubled = self.ledger.now().expected(Filter::All, 0, keys).troubled;
        for row in self.ledger.now().rows.clone() {
            if troubled.contains(&row.id) {
                let which = Which::Like(row.id, row.cells.get(&VALUE).cloned());
                let delete = Operation::Delete(which, How::Rewritten);
                self.happen(delete).await?;
            }
        }
        let last = match self.is_replaced() {
            true => Request::Backfill,
            false => Request::Sync,
        };
        self.happen(Operation::Sync(last)).await?;
        // A key with two rows on the way is for an operator.
        match self
            .held
            .as_ref()
            .map(|held| usize::try_from(held.at.version.0))
        {
            Some(Ok(version)) if version == self.ledger.head() => Ok(()),
            _ => self.happen(Operation::Sync(Request::Backfill)).await,
        }
    }

    async fn happen(&mut self, operation: Operation) -> Result<()> {
        *self.seen.entry(operation.kind().to_owned()).or_default() += 1;
        self.operations.push(operation.clone());
        let after = operation.after(&self.ledger);
        self.lake
            .perform(&operation, &self.ledger)
            .await
            .context("the writer failed")?;
        match operation {
            Operation::Replace(_) => {
                self.ledger = begun(&self.lake, after);
                if let Some(held) = &mut self.held {
                    held.is_rewound = false;
                }
            }
            Operation::Rewind(version) => self.rewound(version),
            _ => self
                .ledger
                .reach(self.lake.version(), &after)
                .map_err(anyhow::Error::msg)?,
        }
        self.is_changed |= !operation.only_adds();
        match operation {
            Operation::Vacuum | Operation::CleanLog(_) => {
                self.ledger.restorable = self.ledger.head();
            }
            Operation::Wait(minutes) => self.chance.now += minutes * MINUTE,
            Operation::Want(setting) => {
                self.choice.turn(setting);
                self.is_turned = true;
                self.source = self.choice.source(&self.path)?;
            }
            Operation::Sync(request) => self.sync(request).await?,
            _ => {}
        }
        Ok(())
    }

    /// To a target that has a later version it is another table from now on.
    fn rewound(&mut self, version: usize) {
        self.ledger.versions.truncate(version + 1);
        let is_replaced = self.is_replaced();
        let held = self.held.as_mut();
        if let Some(held) = held.filter(|held| held.at.version.0 > version as u64) {
            held.is_rewound |= !is_replaced;
            self.ledger.table = self.lake.made();
        }
    }

    /// Whether nothing shows any more that the table is another one: the commit is gone that would.
    /// Then it is read as a whole.
    fn looks_the_same(&self) -> bool {
        let restorable = self.ledger.restorable as u64;
        let held = self.held.as_ref();
        held.is_some_and(|held| held.is_rewound && held.at.version.0 < restorable)
    }

    async fn sync(&mut self, request: Request) -> Result<()> {
        if self.chance.random.random() {
            self.source = self.choice.source(&self.path)?;
        }
        self.shelf.disturb(&mut self.chance.random);
        let target = self.shelf.target(self.choice.bad_rows());
        let job = (self.name.as_str(), &self.choice);
        let at = (self.chance.now, request);
        let outcome = job::sync(job, &self.source, target, at).await;
        self.note(&outcome);
        self.judge(request, &outcome)?;
        self.hold(request).await?;
        let held = self.held.iter().flat_map(|held| &held.state.columns);
        let gone = held.filter(|column| self.ledger.now().column(column.identity).is_none());
        self.detached.extend(gone.map(|column| column.identity));
        let held = self.held.as_ref();
        if held.is_some_and(|held| held.table == self.ledger.table) {
            self.renamed.extend_from_slice(&self.ledger.now().columns);
        }
        self.compare(outcome.is_ok()).await?;
        if outcome.is_ok() {
            (self.is_changed, self.is_turned) = (false, false);
            self.detached.clear();
            self.renamed.clear();
        }
        Ok(())
    }

    fn note(&mut self, outcome: &Result<Report<DeltaVersion>, RunError>) {
        let told = match outcome {
            Err(error) => told(error),
            Ok(report) => format!("{:?}", report.steps),
        };
        self.told
            .push_str(&format!("\nversion {}: {told}", self.ledger.head()));
        let steps = outcome.iter().flat_map(|report| &report.steps);
        let mut kinds: Vec<String> = steps.map(|step| kind(&step.kind)).collect();
        if self.choice.keys.settles {
            kinds.iter_mut().for_each(|kind| kind.push_str(", settled"));
        }
        if outcome.is_err() {
            kinds.push("-> halted".to_owned());
        }
        let steps = outcome.iter().flat_map(|report| &report.steps);
        if steps.clone().any(|step| step.bad.quarantined > 0) {
            kinds.push("-> null keys kept aside".to_owned());
        }
        if steps.clone().any(|step| step.bad.released > 0) {
            kinds.push("-> null keys went".to_owned());
        }
        for kind in kinds {
            *self.seen.entry(kind).or_default() += 1;
        }
    }

    /// Whether a run could end in this way.
    fn judge(
        &self,
        request: Request,
        outcome: &Result<Report<DeltaVersion>, RunError>,
    ) -> Result<()> {
        let due = self.due();
        let trouble = self.troubled(self.ledger.head(), due);
        let replaced = self.is_replaced() && !self.choice.follows_replaced;
        match outcome {
            Ok(report) => {
                self.judge_steps(request, report)?;
                ensure!(trouble.is_empty(), "{trouble:?} went through");
                ensure!(
                    !replaced || request == Request::Backfill || self.looks_the_same(),
                    "another table was taken for this one"
                );
            }
            Err(error) => {
                let told = told(error);
                let tells = told.contains("not the one that was read before");
                if replaced && request != Request::Backfill && (tells || !self.looks_the_same()) {
                    ensure!(tells, "{told}");
                } else if self.may_wait(request, &told) {
                } else if trouble.is_empty()
                    && (request == Request::Backfill || !self.was_troubled())
                {
                    bail!("it failed without need: {told}");
                } else {
                    ensure!(told.contains("key") || told.contains("null"), "{told}");
                }
            }
        }
        Ok(())
    }

    /// Whether it waits for an operator by what its job is told to do.
    fn may_wait(&self, request: Request, told: &str) -> bool {
        let held = self.held.as_ref();
        let is_other = held.is_some_and(|held| {
            let from = usize::try_from(held.at.version.0).unwrap_or_default();
            let versions = self.ledger.versions.get(from..).unwrap_or_default();
            self.is_turned
                || self.is_replaced()
                || versions.iter().any(|now| now.columns != held.state.columns)
        });
        let appends = self.choice.appends && self.is_changed;
        request != Request::Backfill
            && ((self.choice.ignores && is_other && told.contains("its columns changed"))
                || (appends && told.contains("its mode is append")))
    }

    /// Whether a run that ended well did no more than it had to.
    fn judge_steps(&self, request: Request, report: &Report<DeltaVersion>) -> Result<()> {
        let rebuilds = report.steps.iter().filter_map(|step| match step.kind {
            StepKind::Rebuild(_, why) => Some(why),
            _ => None,
        });
        let mut columns = self.ledger.versions.iter().map(|version| &version.columns);
        let had_others = columns.any(|columns| *columns != self.ledger.now().columns);
        for why in rebuilds {
            let is_asked = matches!(why, Why::FirstFill) || request == Request::Backfill;
            ensure!(
                is_asked || !self.choice.appends,
                "it appends, and rebuilt for {why:?}"
            );
            ensure!(
                why != Why::UnkeyedUnmatched || had_others || self.is_turned,
                "rows without a key were not known"
            );
        }
        Ok(())
    }

    fn troubled(&self, version: usize, instant: i64) -> BTreeSet<Option<i64>> {
        let state = &self.ledger.versions[version];
        let Choice { filter, keys, .. } = self.choice;
        state.expected(filter, instant, keys).troubled
    }

    /// Whether there was trouble with a key on the way to the head.
    fn was_troubled(&self) -> bool {
        let Some(held) = self.held.as_ref().filter(|_| !self.is_replaced()) else {
            return false;
        };
        let from = usize::try_from(held.at.version.0).unwrap_or_default();
        let instants = [held.at.instant.0, self.due()];
        let is_troubled = |version| {
            instants
                .iter()
                .any(|instant| !self.troubled(version, *instant).is_empty())
        };
        (from..=self.ledger.head()).any(is_troubled)
    }

    /// The instant that a run has to reach.
    fn due(&self) -> i64 {
        let due = self.choice.filter.due(self.chance.now);
        self.held
            .as_ref()
            .map_or(due, |held| held.at.instant.0.max(due))
    }

    /// Whether the target was made from a table that is gone.
    fn is_replaced(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.table != self.ledger.table)
    }

    /// Sees what the target says that it has.
    async fn hold(&mut self, request: Request) -> Result<()> {
        let standing = self.shelf.target(self.choice.bad_rows()).inspect().await?;
        let Some(at) = standing.watermark().cloned() else {
            ensure!(self.held.is_none(), "the target has no watermark any more");
            return Ok(());
        };
        let may_follow =
            request == Request::Backfill || self.choice.follows_replaced || self.looks_the_same();
        let before = self
            .held
            .take()
            .filter(|held| held.at.table_id == at.table_id);
        self.held = Some(match before {
            Some(held) if (held.at.version, held.at.digest) == (at.version, at.digest) => {
                ensure!(held.at.instant <= at.instant, "the instant moved back");
                Held { at, ..held }
            }
            Some(held) if held.table != self.ledger.table && !may_follow => {
                bail!("it moved in a table that is gone: to {at:?}")
            }
            _ => {
                let version = usize::try_from(at.version.0)?;
                let state = self.ledger.versions.get(version);
                let state = state.with_context(|| format!("there is no version of {at:?}"))?;
                Held {
                    state: state.clone(),
                    table: self.ledger.table,
                    is_rewound: false,
                    at,
                }
            }
        });
        Ok(())
    }

    /// Each column of the target has what its source had at the watermark.
    async fn compare(&self, is_done: bool) -> Result<()> {
        let Some(Held {
            at, state, table, ..
        }) = &self.held
        else {
            ensure!(!is_done, "a run ended well, and there is no watermark");
            return Ok(());
        };
        if is_done {
            let is_at_head =
                (*table, at.version.0) == (self.ledger.table, self.ledger.head() as u64);
            ensure!(
                is_at_head,
                "a run ended well at {at:?}, which is not the head"
            );
            let is_in_time = at.instant.0 >= self.due() || !self.choice.filter.is_timed();
            ensure!(
                is_in_time,
                "a run ended well at {at:?}, which is not in time"
            );
        }
        let Choice { filter, keys, .. } = self.choice;
        let expected = state.expected(filter, at.instant.0, keys);
        ensure!(
            expected.troubled.is_empty(),
            "it is at {at:?}, which is no version to be at"
        );
        let unkeyed = self.shelf.unkeyed().await?;
        ensure!(
            unkeyed == expected.unkeyed,
            "{} rows of {at:?} have no key, and {unkeyed} are kept aside",
            expected.unkeyed
        );
        // Columns are in step before rows are, and what was not there has no values yet.
        let is_synced = |column: &&Column| match self.is_turned && !is_done {
            true => column.identity == NUMBER,
            false => self.choice.has(column.identity),
        };
        for column in state.columns.iter().filter(is_synced) {
            let cell = |(id, cells): (&i64, &Cells)| (*id, cells.get(&column.identity).cloned());
            let expected: shelf::Column = expected.rows.iter().map(cell).collect();
            // Its columns are in step before its rows are, so that a run which ends in between
            // leaves the new name.
            let renamed = self.renamed.iter().filter(|_| !is_done);
            let renamed = renamed.filter(|it| it.identity == column.identity);
            let names: BTreeSet<&str> = iter::once(column)
                .chain(renamed)
                .map(|column| self.choice.called(column))
                .collect();
            let mut found = Vec::new();
            for name in names {
                found.push(self.shelf.cells(name, column.of).await?);
            }
            let is_gone = !is_done && self.detached.contains(&column.identity);
            ensure!(
                is_gone || found.contains(&Some(expected.clone())),
                "column {} of {at:?} should be\n{expected:?}\nand is\n{found:?}",
                column.name
            );
        }
        Ok(())
    }
}

/// The ledger of a table that was just made.
fn begun(lake: &Lake, start: State) -> Ledger {
    Ledger {
        table: lake.made(),
        // A writer may need more than one commit for it.
        versions: vec![start; lake.version() + 1],
        restorable: lake.version(),
    }
}

/// An error with all of its causes.
fn told(error: &RunError) -> String {
    let mut told = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push(error.to_string());
        cause = error.source();
    }
    told.join(": ")
}

fn kind(kind: &StepKind) -> String {
    match kind {
        StepKind::Rebuild(stage, why) => format!("-> {stage:?} {why:?}"),
        StepKind::Changes(reading) => format!("-> changes by {reading:?}"),
        StepKind::Alter(_) => "-> columns altered".to_owned(),
        StepKind::Advance => "-> watermark only".to_owned(),
        StepKind::Moved { .. } => "-> moved by time".to_owned(),
        StepKind::Resumed { .. } | StepKind::Retry | StepKind::Adopt => "-> other".to_owned(),
    }
}
