//! Writes Postgres tables: COPY, staging, apply, state.
//!
//! [`PostgresTarget`] is the port that the engine drives; [`ddl_for`], [`read_status`] and
//! [`read_history`] are for commands that only look. The way of a row is `type_map → encode → target`. SQL is built in
//! `sql` alone, and what the server refuses becomes an [`Error`] in `sqlstate` alone.

mod connect;
mod decode;
pub mod encode;
mod error;
mod limits;
mod link;
mod spares;
mod sql;
mod sqlstate;
mod target;
mod type_map;

pub use connect::{ConnectSettings, PasswordSource};
pub use error::{Error, Report};
pub use limits::free_connections;
pub use link::open_connections;
pub use spares::Spares;
pub use sql::Table;
pub use target::{
    Answer, Control, Followed, JobControl, JobStatus, PostgresLoader, PostgresSession,
    PostgresTarget, QuarantinedRow, Removed, Request, RequestKind, Run, Taken, TargetSettings,
    Wanted, check_types, ddl_for, ddl_of, drop_quarantined, read_history, read_quarantine,
    read_status,
};
