//! Delta tables made by the real writer, read through the source.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod contract;
mod expected_changes;
mod feed;
mod figures;
mod filters;
mod foreign_files;
mod logs;
mod nested;
mod parquet;
mod pieces;
mod reading;
mod refusals;
mod rewritten;
mod time;
mod tracked;
mod tracked_at_random;
mod tracked_table;
mod type_fidelity;
mod world;
