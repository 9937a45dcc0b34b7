//! Ends a server whose test was killed. A shell waits at a pipe that only the test's process holds
//! open: when the pipe closes without a word, it stops the server and removes its files.
//!
//! A signal at the parent's death would be simpler and wrong: it is sent when the *thread* that
//! started the server ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
read -r word && exit 0
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
tries=0
while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
if [ -e "$1/data/postmaster.pid" ]; then kill -KILL "$pid"; fi
rm -rf "$1"
"#;

#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over the server whose files are in `folder`, its cluster in `folder/data`.
    pub(crate) fn over(folder: &Path) -> Result<Self> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends the test's process group must not end its watchdog.
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        Ok(Self(child))
    }
}

impl Drop for Watchdog {
    /// The server ended in order: there is nothing left to watch.
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}
