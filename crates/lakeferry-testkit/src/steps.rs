//! Steps: the moments between which a simulation switches tasks, crashes them or moves time.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicI64, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use lakeferry_model::{Clock, Instant};

use crate::row::micros;

/// Gives the simulation a moment to switch: pending once, then ready.
pub async fn yield_step() {
    struct Once(bool);
    impl Future for Once {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if self.0 {
                return Poll::Ready(());
            }
            self.0 = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Once(false).await;
}

/// A clock that moves by sleeping and by hand only; a sleep is one step long.
#[derive(Debug, Default)]
pub struct StepClock(AtomicI64);

impl StepClock {
    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(micros(duration), Ordering::Relaxed);
    }

    /// Sets the clock back.
    pub fn set_back(&self, duration: Duration) {
        self.0.fetch_sub(micros(duration), Ordering::Relaxed);
    }
}

impl Clock for StepClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        yield_step().await;
        self.advance(duration);
    }
}
