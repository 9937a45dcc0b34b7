//! The built binary as a process: started, frozen to be looked at, killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::time::{sleep, timeout};

/// How often a condition is looked at.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// A command under way; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it writes what it says.
    said: PathBuf,
}

/// How a command ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Process {
    /// Starts `lakeferry --config CONFIG ARGUMENTS`; what it says goes to a file in `folder`.
    pub(crate) fn start(config: &Path, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let said = tempfile::Builder::new()
            .prefix("said-")
            .tempfile_in(folder)?;
        let (file, said) = said.keep()?;
        let child = Command::new(env!("CARGO_BIN_EXE_lakeferry"))
            .arg("--config")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::try_clone(&file)?)
            .stderr(file)
            .spawn()
            .context("cannot start lakeferry")?;
        Ok(Self { child, said })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Stops it where it is; false if it has ended.
    pub(crate) fn freeze(&mut self) -> Result<bool> {
        if self.has_ended()? {
            return Ok(false);
        }
        let pid = self.pid()?;
        // It may end just now: that is seen below.
        let _ = kill_process(pid, Signal::STOP);
        let events = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), events)?.context("a wait without an answer")?;
        Ok(status.stopped())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid()?, Signal::CONT)?)
    }

    /// Waits until it has said `text`.
    pub(crate) async fn until_said(&mut self, text: &str, limit: Duration) -> Result<()> {
        let waiting = timeout(limit, async {
            while !self.said()?.contains(text) {
                ensure!(!self.has_ended()?, "it ended");
                sleep(PAUSE).await;
            }
            Ok(())
        });
        let waited = waiting.await.context("it did not in time").flatten();
        waited.with_context(|| format!("waited for {text:?}; {}", self.said().unwrap_or_default()))
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        kill_process(self.pid()?, Signal::KILL)?;
        let status = self.child.wait()?;
        ensure!(
            status.code().is_none(),
            "lakeferry ended by itself: {status}"
        );
        fs::remove_file(&self.said)?;
        Ok(())
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(mut self, limit: Duration) -> Result<Ended> {
        let ended = timeout(limit, async {
            while !self.has_ended()? {
                sleep(PAUSE).await;
            }
            self.child.wait().context("cannot wait for lakeferry")
        });
        let Ok(status) = ended.await else {
            bail!(
                "lakeferry did not end within {limit:?}; it said: {}",
                self.said()?
            );
        };
        let (code, said) = (status?.code(), self.said()?);
        fs::remove_file(&self.said)?;
        Ok(Ended { code, said })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.said)?)
    }

    fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id())?;
        Pid::from_raw(pid).context("a process without id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
