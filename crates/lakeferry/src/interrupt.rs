//! Ctrl-C and SIGTERM: the first asks for an end, the second is one.

use std::process;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::exit::Code;

/// Tells whether somebody asked for an end. Clones hear the same.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes both signals over, from now on.
    ///
    /// # Errors
    /// If the system does not let signals be heard.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let (asked, heard) = watch::channel(false);
        tokio::spawn(hear(interrupt, terminate, asked));
        Ok(Self(heard))
    }

    /// Returns once an end is asked for.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}

async fn hear(mut interrupt: Signal, mut terminate: Signal, asked: watch::Sender<bool>) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked.send_replace(true) {
            process::exit(Code::Interrupted as i32);
        }
    }
}
