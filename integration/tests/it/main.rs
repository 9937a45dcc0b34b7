//! The promises of Lakeferry, kept by the built binary on real input.
//!
//! Each module is named for a promise. Tests write, wait for a condition, stop, and assert.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
