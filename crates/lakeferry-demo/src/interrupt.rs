//! Ctrl-C, SIGTERM and the end of the terminal. The first asks for an orderly end; the second ends
//! the process at once, and the server's watchdog takes away what is left.

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// As a shell counts a process that SIGINT ended.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// From here on these signals end nothing by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                    _ = hung_up.recv() => {}
                }
                if tell.send_replace(true) {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        Ok(Self(told))
    }

    /// Returns once there was one.
    pub(crate) async fn came(&self) {
        let mut told = self.0.clone();
        // The sender lives as long as the runtime: it cannot be gone.
        let _ = told.wait_for(|came| *came).await;
    }
}
