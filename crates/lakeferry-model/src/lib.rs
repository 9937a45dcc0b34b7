//! The words of Lakeferry and the ports that join its parts.
//!
//! One word has one meaning, in code, messages, metrics and documents alike:
//!
//! | word | meaning |
//! |---|---|
//! | source, target | what is read, what is written |
//! | job | one declared pair of source and target |
//! | run | one attempt to bring a job forward |
//! | commit version | the number of a commit in the Delta log; a [`Position`] in general |
//! | head | the newest commit version seen |
//! | horizon | the oldest commit version whose changes can still be read |
//! | commit range | the commits `(after, through]`: a [`CommitRange`] |
//! | snapshot | the whole source at one version |
//! | change | a row with a [`Sign`]: `−` it was there, `+` it is there now |
//! | collapse | the net effect of changes on each key: [`NetChanges`] |
//! | key | the columns that identify a row in the target |
//! | staging | where rows wait inside the target |
//! | apply | the one transaction that moves rows and watermark together |
//! | watermark | what the target has: a [`Watermark`], kept in the target |
//! | instant | the moment at which time in a filter is evaluated: an [`Instant`] |
//! | fingerprint | what the rows of a target depend on besides its source: a [`Fingerprint`] |
//! | backfill | the first fill of a target |
//! | piece | a part of a snapshot that a fill reads and loads on its own: a [`Piece`] |
//! | refresh | a rebuild by difference |
//! | adopt | take over a table that has the source's rows already, without writing one |
//! | quarantine | bad rows kept aside: [`BadRows`] |
//! | halted | waits for an operator, with reason and hint |
//! | lease, fence, epoch | who may write: the [`Claim`], the check inside apply, its [`Epoch`] |
//! | lag | head minus watermark, in versions and seconds |
//! | alteration | one step that brings the columns of a target in step: an [`Alteration`] |
//! | detached column | a column of the target that is no longer in the source |
//! | own column | a column that the target writes by itself: [`OwnColumns`] |
//! | live row | one that is not marked as deleted, where deleted rows stay |
//! | column left out | a column of the source that the target does not have |
//! | export | the way from Postgres to Delta |
//!
//! "Checkpoint", "cursor" and "offset" are never used: Delta and Postgres own them.
//!
//! The two ports are [`Source`] and [`Target`]. Both are generic over the position, so that both
//! directions are one loop with the adapters swapped. The way of the data is one street:
//! `head → plan → CommitRange → read → filter → collapse → stage → apply`; only the watermark
//! flows back, and it is read from the target.

mod change;
mod clock;
mod column_choice;
mod column_type;
mod differences;
mod failure;
mod fill;
mod guard;
mod head;
mod identity;
mod own_columns;
mod position;
mod quarantine;
mod source;
mod survey;
mod target;
mod target_column;
mod watermark;

pub use change::{ChangeBatch, Effect, NetChanges, RowCounts, Sign};
pub use clock::{Calendar, Clock};
pub use column_choice::{ColumnChoice, Naming, SOURCE_NAME, source_name};
pub use column_type::{ASKED_TYPE, COLUMN_TYPES, ColumnType, NoColumnType, asked_type};
pub use differences::{Differences, DifferingKeys, MOST_EXAMPLES};
pub use failure::{Failure, FailureClass};
pub use fill::{FillPlan, Loaded, Piece, UnfinishedFill};
pub use guard::{Guard, MassDelete};
pub use head::{
    COLUMN_IDENTITY, COLUMN_NUMBER, COLUMNS_MADE, FILTER_COLUMNS, Head, JSON, Size, WIDENS,
};
pub use identity::{Epoch, Fingerprint, Holder, JobKey};
pub use own_columns::{COMMIT_VERSION, DELETED_AT, OwnColumns, SYNCED_AT};
pub use position::{DeltaVersion, Position};
pub use quarantine::{BadRowCounts, BadRows, OnBadValue, OnNullKey, TooManyBad};
pub use source::{Pieces, Source};
pub use survey::{AtWatermark, Commit, Content, Reading, Survey};
pub use target::{
    Applied, Claim, CommitOutcome, Loader, Pause, Progress, Session, Stage, Standing,
    TableStanding, Target,
};
pub use target_column::{Alteration, ColumnRole, TargetColumn};
pub use watermark::{CommitRange, Digest, Instant, NotAfter, TableId, Watermark};
