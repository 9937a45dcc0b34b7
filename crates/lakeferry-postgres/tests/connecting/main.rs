//! Connections as libpq takes them, to servers of each version: who is who, who may come in, and
//! what is said where that fails.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints what it ran on"
)]

mod certificates;
mod passwords;
mod pooling;
mod probe;
mod servers;
mod tls;
