//! Changes that are read while those before them are applied: while the server works, the source
//! would wait, and the other way round.
//!
//! What is decided is decided as ever, once what was applied is known; what was read ahead is used if
//! that is what is to be read then, and dropped otherwise.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use lakeferry_model::{CommitRange, Reading};

use crate::{error::RunError, net_effect::Collapsed};

type Collapsing<'a, P> = Pin<Box<dyn Future<Output = Result<Collapsed<P>, RunError>> + Send + 'a>>;

/// A range that is being read, or was.
pub(crate) struct Ahead<'a, P> {
    range: CommitRange<P>,
    reading: Reading,
    state: State<'a, P>,
}

enum State<'a, P> {
    Reading(Collapsing<'a, P>),
    Read(Result<Collapsed<P>, RunError>),
}

impl<'a, P: PartialEq> Ahead<'a, P> {
    /// Nothing is read before it is polled.
    pub(crate) fn new(
        range: CommitRange<P>,
        reading: Reading,
        collapsing: impl Future<Output = Result<Collapsed<P>, RunError>> + Send + 'a,
    ) -> Self {
        Self {
            range,
            reading,
            state: State::Reading(Box::pin(collapsing)),
        }
    }

    /// Whether it is this.
    pub(crate) fn is(&self, range: &CommitRange<P>, reading: Reading) -> bool {
        (&self.range, self.reading) == (range, reading)
    }

    pub(crate) async fn collapsed(self) -> Result<Collapsed<P>, RunError> {
        match self.state {
            State::Reading(collapsing) => collapsing.await,
            State::Read(collapsed) => collapsed,
        }
    }

    /// Goes on with `first`, and reads whenever that waits.
    pub(crate) async fn beside<F: Future>(&mut self, first: F) -> F::Output {
        let mut first = pin!(first);
        poll_fn(|context| match first.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                self.read(context);
                Poll::Pending
            }
        })
        .await
    }

    fn read(&mut self, context: &mut Context<'_>) {
        if let State::Reading(collapsing) = &mut self.state
            && let Poll::Ready(collapsed) = collapsing.as_mut().poll(context)
        {
            self.state = State::Read(collapsed);
        }
    }
}
