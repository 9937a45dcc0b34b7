//! Writes Postgres tables: COPY, staging, apply, state.

mod connect;
pub mod encode;
mod error;
mod link;
mod sql;
mod sqlstate;
mod type_map;

pub use connect::ConnectSettings;
pub use error::{Error, Report};
pub use sql::Table;
