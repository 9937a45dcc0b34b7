//! What Postgres as a target promises beyond the contract of the port, on each version.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints what it ran on"
)]

mod adopting;
mod altering;
mod asked_types;
mod claiming;
mod column_types;
mod control;
mod existing_tables;
mod fills;
mod fixture;
mod foreign_keys;
mod hazards;
mod inspecting;
mod keyless;
mod leases;
mod leftovers;
mod limits;
mod names;
mod nested;
mod no_op;
mod partitions;
mod privileges;
mod publications;
mod refusals;
mod refused_rows;
mod session_death;
mod spares;
mod status;
mod triggers;
mod type_fidelity;
mod unique_values;
