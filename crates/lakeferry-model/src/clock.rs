//! Time, as a port: runs can be replayed and tests need not wait.

use std::{future::Future, time::Duration};

use crate::Instant;

/// The only way to learn the time or to wait.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Instant;
    /// Returns after `duration` has passed.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
