//! Writes Postgres tables: COPY, staging, apply, state.

pub mod encode;
mod error;
mod sql;
mod type_map;

pub use error::{Error, Report};
pub use sql::Table;
