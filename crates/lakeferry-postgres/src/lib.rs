//! Writes Postgres tables: COPY, staging, apply, state.
