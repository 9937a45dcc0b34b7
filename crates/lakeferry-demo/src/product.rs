//! The product, as a user runs it: the binary beside this one, and a configuration.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

/// `lakeferry --config FILE …`.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    binary: PathBuf,
    config: PathBuf,
    /// The environment's settings of Postgres that must not reach it.
    hidden: Vec<OsString>,
}

impl Product {
    /// The binary that lies beside this one, with a configuration. With a server of our own
    /// nothing that the environment says of another one counts.
    pub(crate) fn beside_us(config: &Path, own_server: bool) -> Result<Self> {
        let here = std::env::current_exe()?;
        let binary = here.with_file_name("lakeferry");
        ensure!(binary.exists(), "there is no {}", binary.display());
        let is_hidden = |name: &OsString| own_server && name.to_string_lossy().starts_with("PG");
        let names = std::env::vars_os().map(|(name, _)| name);
        Ok(Self {
            binary,
            config: config.to_owned(),
            hidden: names.filter(is_hidden).collect(),
        })
    }

    /// Runs `lakeferry sync` with our own output, or what it prints to stdout on stderr.
    pub(crate) async fn sync_aloud(&self, on_stderr: bool) -> Result<()> {
        let mut command = self.command();
        if on_stderr {
            command.stdout(std::io::stderr());
        }
        let status = command.status().await.context("cannot run lakeferry")?;
        // It has said why.
        ensure!(status.success(), "lakeferry sync ended with {status}");
        Ok(())
    }

    /// Runs `lakeferry sync`; what it says counts only if it fails.
    pub(crate) async fn sync(&self) -> Result<()> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.context("cannot run lakeferry")?;
        if !status.success() {
            let (stdout, stderr) = (
                String::from_utf8_lossy(&stdout),
                String::from_utf8_lossy(&stderr),
            );
            bail!("lakeferry sync ended with {status}\n{stdout}{stderr}");
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command
            .arg("--config")
            .arg(&self.config)
            .arg("sync")
            .stdin(Stdio::null())
            // An interrupt at the terminal is for us, who then end it.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}
