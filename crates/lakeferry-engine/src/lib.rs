//! Decides what a job has to do and drives it, knowing neither Delta nor Postgres.
//!
//! * [`plan`]: what to do next, decided purely from what source and target say. All rules about
//!   which commit range is read how stand in its table.
//! * [`evolve`]: what it takes when the source has other columns, decided purely as well.
//! * `collapse`: the net effect of signed changes on each key.
//! * [`run`]: one attempt to bring a job forward; the only place that calls the ports.
//! * [`Meter`]: how far a run is, for whoever looks on.
//! * [`JobState`]: what follows an attempt, decided purely; [`drive`] acts on it.
//! * [`Roster`]: which of many jobs runs when, decided purely; a daemon acts on it.

mod ahead;
mod attempt;
mod cadence;
mod changes;
mod collapse;
mod columns;
mod drive;
mod error;
mod evolve;
mod fill;
mod fingerprint;
mod job;
mod job_state;
mod meter;
mod net_effect;
mod plan;
mod roster;
mod run;
mod unanswered;

pub use cadence::Cadence;
pub use drive::drive;
pub use error::RunError;
pub use evolve::{Evolution, evolve};
pub use fingerprint::fingerprint;
pub use job::{DropColumns, Job, OnSchemaChange, OnSourceReplaced, Policy, Request, Retry};
pub use job_state::{Event, JobState};
pub use meter::{Meter, Phase, Seen, Spent, Totals};
pub use plan::{Halt, Look, Plan, Situation, Why, adopt, first_look, plan, resume};
pub use roster::{Member, Place, Room, Roster, Start, Trouble};
pub use run::{Preview, Report, Step, StepKind, preview, run};
