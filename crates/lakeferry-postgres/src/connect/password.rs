//! Where a password comes from: it is asked for at each connect, for it may have changed.

use std::{fmt, sync::Arc};

use crate::error::Error;

/// Gives the password as it is now; may block for as long as a command takes.
type Read = dyn Fn() -> Result<String, Error> + Send + Sync;

/// A way to get a password, which shows nothing of it.
#[derive(Clone)]
pub struct PasswordSource(Arc<Read>);

impl PasswordSource {
    /// `read` is called at each connect, on a thread that may wait; [`Error::no_password`] says
    /// why there is none.
    pub fn new(read: impl Fn() -> Result<String, Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) async fn read(&self) -> Result<String, Error> {
        let read = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || read());
        reading
            .await
            .map_err(|error| Error::bug("a password was not read to its end").caused_by(error))?
    }
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordSource(***)")
    }
}
