//! The port to what is written.
//!
//! Exactly once rests on three rules that every implementation keeps:
//!
//! 1. Rows and watermark move in one transaction ([`Session::apply`]), and nowhere else.
//! 2. That transaction first locks the job's progress and checks, by compare-and-set, that it is
//!    what the session read when it claimed: epoch, watermark with all its parts, fingerprint,
//!    and that the target table is still the same one. Else it changes nothing: [`CommitOutcome::Fenced`].
//! 3. A claim waits for the end of any transaction of an earlier session on this job, and only
//!    then reads the progress. So what it reads is settled, also after a COMMIT whose answer was
//!    lost.
//!
//! A row with a value that the target cannot hold, or that a constraint of its table refuses, does not
//! stop the others, if the job's settings say so ([`crate::BadRows`]): it is kept aside in the transaction that applies them. Of each key
//! that is in quarantine the target has no row; a change of the key takes it out again, in the same
//! transaction, whatever it was. A job whose quarantine would grow too large is refused.
//!
//! A row with NULL in its key is no row of the target's, and changes no other. It stops the job, or is kept
//! aside too: known by all of its values, and counted, for nothing else tells it from its equals.
//!
//! Where a job keeps deleted rows ([`crate::OwnColumns::deleted_at`]), they stay, marked with the time,
//! and whatever is said here of rows is said of the others: those that live.
//!
//! A first fill is the one case in which rows are kept before they show: each piece is loaded by a
//! transaction of its own ([`Loader::finish`]) into a table that nobody sees, together with the
//! note that it is there and the check of rule 2. A claim waits for these transactions as well.

use std::{fmt, future::Future};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{
    Alteration, BadRowCounts, Differences, Effect, Epoch, Failure, FillPlan, Fingerprint, Holder,
    Instant, Loaded, Position, RowCounts, UnfinishedFill, Watermark,
};

/// The target of one job: a table and the job's state beside it.
pub trait Target: Send + Sync {
    type Position: Position;
    type Error: Failure;
    type Session: Session<Position = Self::Position, Error = Self::Error>;

    /// Names the way in which this target stores rows; part of the fingerprint, so that a new way
    /// refreshes.
    fn encoding(&self) -> &'static str;

    /// What the target has, without a claim: writes nothing, creates nothing, assigns no
    /// transaction id, waits for nobody.
    fn inspect(&self)
    -> impl Future<Output = Result<Standing<Self::Position>, Self::Error>> + Send;

    /// Takes the job's lease with a greater epoch, unless another holder is alive.
    ///
    /// Creates the state that is missing. A holder that is gone (its session ended, however) does
    /// not keep its lease.
    fn claim(
        &self,
        holder: &Holder,
    ) -> impl Future<Output = Result<Claim<Self::Session>, Self::Error>> + Send;
}

/// The answer to a claim.
#[derive(Debug)]
#[must_use]
pub enum Claim<S> {
    Granted(S),
    /// Another holder is alive.
    Held(Holder),
}

/// A lease held, for one run. It ends with [`Session::release`] or by being dropped; whatever was
/// staged and not applied is then gone or of no effect, but for the loaded pieces of a fill.
///
/// After any error the session is of no further use: drop it and claim again.
pub trait Session: Send {
    type Position: Position;
    type Error: Failure;
    type Loader: Loader<Error = Self::Error>;

    /// What the target has, as read under the claim; [`Session::apply`] renews it.
    fn standing(&self) -> &Standing<Self::Position>;

    /// Opens an empty staging for rows of `columns`; what an earlier attempt left is removed.
    ///
    /// The target table must exist. [`Stage::Fill`] is opened by [`Session::fill`] alone.
    fn stage(
        &mut self,
        stage: Stage,
        columns: &SchemaRef,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Adds rows to the open staging. All but changes take inserts only. Returns once the
    /// rows are taken over, not once they are stored: back-pressure is by waiting here.
    fn put(
        &mut self,
        effect: Effect,
        rows: &RecordBatch,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Opens the fill of `plan` for rows of `columns`, and says which pieces it has.
    ///
    /// It has some only if [`Standing::unfinished`] is a fill of an equal plan; any other fill, and
    /// what else an earlier attempt left, is removed. The target table must not exist.
    fn fill(
        &mut self,
        plan: &FillPlan<Self::Position>,
        columns: &SchemaRef,
    ) -> impl Future<Output = Result<Loaded, Self::Error>> + Send;

    /// How many loaders may be at work at once; at least one.
    fn loaders(&self) -> usize;

    /// One more loader for the open fill.
    fn loader(&mut self) -> impl Future<Output = Result<Self::Loader, Self::Error>> + Send;

    /// The one transaction: the fence, the staged rows (if a stage is open), the progress.
    ///
    /// * Nothing staged: only the progress moves.
    /// * `Fill`: the loaded pieces become the target table; all of them must be there, and
    ///   watermark and fingerprint must be those of the plan.
    /// * `Refresh`: rows whose key is not staged go; staged rows that differ or are new come. Of a
    ///   job without a key: rows that the target has more often than they are staged go, those that
    ///   are staged more often come.
    /// * `Changes`: each effect is applied and must find its key there (delete, update) or not
    ///   there (insert), else nothing is changed and an error says how many keys disagree. A key
    ///   in quarantine counts as there.
    /// * `Append`: staged rows come, whatever rows are there; a key that is there is an error.
    /// * `Retry`: staged rows whose key is in quarantine come into the target, as far as it can hold
    ///   them now; others are left out. The watermark is the one that the target has.
    /// * `Adopt`: no row is written. Where the table's rows are the staged ones, equal in every
    ///   staged column, it becomes the table that the job filled; else nothing is changed:
    ///   [`CommitOutcome::Differs`]. Nobody else's rows come or go between the look and the commit.
    ///
    /// Rows that are in the target already, equal in every column, are not written.
    ///
    /// Of rows with NULL in their key, each that is inserted comes into quarantine, and each that is
    /// deleted leaves it, one for one; they are put so that at no moment more have gone than came. Where
    /// one goes that is not there, nothing is changed: [`CommitOutcome::Unmatched`]. A retry leaves them
    /// where they are.
    fn apply(
        &mut self,
        watermark: &Watermark<Self::Position>,
        fingerprint: &Fingerprint,
    ) -> impl Future<Output = Result<CommitOutcome, Self::Error>> + Send;

    /// Alters the table that the job filled and notes `fingerprint`, in one transaction behind the
    /// fence of [`Session::apply`]; the watermark stays. Nothing may be staged. What is so already,
    /// by somebody's hand for instance, is not done again.
    ///
    /// # Errors
    /// [`crate::FailureClass::NeedsOperator`], with nothing changed, where that would take away what
    /// is not the job's, or more than was allowed.
    fn alter(
        &mut self,
        alterations: &[Alteration],
        fingerprint: &Fingerprint,
    ) -> impl Future<Output = Result<CommitOutcome, Self::Error>> + Send;

    /// Gives the lease back.
    fn release(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Loads pieces of an open fill, one after the other. Dropping it takes the piece under way back.
///
/// After any error the loader is of no further use.
pub trait Loader: Send {
    type Error: Failure;

    /// Begins the piece at `place` of the plan's list.
    fn begin(&mut self, place: u64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Adds rows to the piece. Back-pressure is by waiting here; an error may show later only.
    fn put(&mut self, rows: &RecordBatch) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The transaction of the piece: its rows, the note that it is there, and the check that this
    /// session still holds the lease, all or nothing. Once it returns, the piece is loaded and
    /// outlives the session.
    ///
    /// # Errors
    /// Transient if the lease is another session's: then the piece is not loaded. Where the
    /// answer to COMMIT was lost it may be; the next session sees.
    fn finish(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What rows are staged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The first fill of a table that does not exist.
    Fill,
    /// A rebuild by difference of a table that does.
    Refresh,
    /// The net changes of a commit range.
    Changes,
    /// Rows that only come.
    Append,
    /// A check of a table that the job did not fill, against all rows that it should have.
    Adopt,
    /// Another try with the rows in quarantine.
    Retry,
}

/// What became of an apply. Only `Applied` says that the progress moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CommitOutcome {
    Applied(Applied),
    /// The progress is not what this session read: somebody else moved the job. Nothing was
    /// changed.
    Fenced,
    /// The connection broke after COMMIT was sent. The next claim shows what became of it: this,
    /// or nothing.
    Unknown(Applied),
    /// The table is not the one to adopt. Nothing was changed, and the session is still of use.
    Differs(Differences),
    /// A row with NULL in its key went that is not in quarantine as it went, in other columns perhaps.
    /// Nothing was changed, and the session is still of use.
    Unmatched,
}

/// What an apply wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub rows: RowCounts,
    pub bad: BadRowCounts,
}

/// What a target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<P> {
    /// The job's progress; absent before its first apply.
    pub progress: Option<Progress<P>>,
    /// The epoch of the newest claim; zero before the first.
    pub epoch: Epoch,
    pub table: TableStanding,
    /// A fill that can be gone on with; absent where the target table exists.
    pub unfinished: Option<UnfinishedFill<P>>,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Somebody wants the job left alone. Set and lifted beside all else: no session is fenced by it.
    pub paused: Option<Pause>,
}

/// That a job is not to run, until somebody lifts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: Instant,
    /// Who paused it, as they call themselves.
    pub by: String,
    pub reason: Option<String>,
}

/// As messages say it: by whom, and why.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {}", self.by)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl<P> Standing<P> {
    /// The watermark, where there is one.
    pub fn watermark(&self) -> Option<&Watermark<P>> {
        self.progress.as_ref().map(|progress| &progress.watermark)
    }
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<P> {
    pub watermark: Watermark<P>,
    pub fingerprint: Fingerprint,
}

/// How a job's target table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableStanding {
    /// There is no table of that name.
    Absent,
    /// There is one that this job never filled, without rows.
    Empty,
    /// There is one that this job never filled, with rows: it is not touched.
    Foreign,
    /// The table that this job filled.
    Filled,
    /// Another table than the one that this job filled has its name now.
    Replaced,
}
