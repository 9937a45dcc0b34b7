//! The promises of Lakeferry, kept by the built binary on real input.
//!
//! Each module is named for a promise. Tests write, wait for a condition, stop, and assert.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a test shows its seed and its figures")]

// What the tests stand on.
mod deployment;
mod fake_clock;
mod lakeferry;
mod moving;
mod oracle;
mod process;
mod proxy;
mod reader;
mod replay;
mod scene;
mod seed;
mod tables;

// The promises.
mod adopting;
mod appending;
mod asked_types;
mod backfill;
mod commands;
mod connections;
mod crash_recovery;
mod daemon;
mod deletes;
mod delivery;
mod duplicates;
mod exactly_once;
mod filters;
mod filters_in_time;
mod guards;
mod interrupts;
mod keyless;
mod nothing_to_do;
mod ordinary_tables;
mod own_columns;
mod plan_warnings;
mod quarantine;
mod refusals;
mod resilience;
mod schema_evolution;
mod two_daemons;
mod type_fidelity;
mod upgrades;
mod wrong_things;
