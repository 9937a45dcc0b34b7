//! Time, as a port: runs can be replayed and tests need not wait.

use std::{fmt::Debug, future::Future, time::Duration};

use crate::Instant;

/// The only way to learn the time or to wait.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Instant;
    /// Returns after `duration` has passed.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Times that come around, such as those of cron in a time zone.
pub trait Calendar: Debug + Send + Sync {
    /// The first of them after `after`; none if there are no more.
    fn next_after(&self, after: Instant) -> Option<Instant>;
}
