//! One throwaway server: its cluster, its process, and the few things a test asks of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::port::Port;
use crate::settings::{Settings, quote_literal, quote_name};
use crate::small_disk::SmallDisk;
use crate::version::Version;
use crate::watchdog::Watchdog;

const PAUSE: Duration = Duration::from_millis(10);
/// How often a condition is looked at before it counts as not coming: 60 seconds.
const LOOKS: u32 = 6_000;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Rolls back what runs and shuts down in order.
    Fast,
    /// Ends at once, as after a crash; the next start recovers from the write-ahead log.
    Immediate,
}

/// A server that lives as long as this value.
#[derive(Debug)]
pub struct Server {
    version: Version,
    binaries: Binaries,
    account: Account,
    port: Port,
    small_disk: Option<SmallDisk>,
    process: Mutex<Option<Child>>,
    folder: TempDir,
    // After `process` and `folder`: it is told only when there is nothing left to end.
    _watchdog: Watchdog,
}

impl Server {
    /// Starts a new, empty server with [`Settings::quick`].
    ///
    /// # Errors
    /// When the version is not installed or the server does not come up; its log is in the message.
    pub fn start(version: Version) -> Result<Self> {
        Self::start_with(version, &Settings::quick())
    }

    /// Starts a new, empty server.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(version: Version, settings: &Settings) -> Result<Self> {
        let installed = match settings.speaks_tls() {
            true => Binaries::find_with_tls(version)?,
            false => Binaries::find(version)?,
        };
        let server = Self::without_cluster(version, installed, settings.small_disk())?;
        server.create_cluster(settings)?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts a hot standby that follows this server; for its copy, the server is stopped and
    /// started again.
    ///
    /// # Errors
    /// When either does not come up, or the standby does not receive the primary's log.
    pub fn start_standby(&self) -> Result<Self> {
        let standby = Self::without_cluster(self.version, self.binaries.clone(), None)?;
        self.stop(Stop::Fast)?;
        let copied = Command::new("cp")
            .arg("-a")
            .args([self.data_folder(), standby.data_folder()])
            .status()
            .context("cannot run cp")?;
        self.start_again()?;
        ensure!(copied.success(), "cannot copy {:?}", self.data_folder());
        let primary = format!("host=127.0.0.1 port={} user=postgres", self.port());
        let port = standby.port();
        let lines = format!(
            "port = {port}\nprimary_conninfo = {}\n",
            quote_literal(&primary)
        );
        // What ALTER SYSTEM wrote, in this life or an earlier one as a standby, would win.
        standby.configure("postgresql.auto.conf", &lines)?;
        File::create(standby.data_folder().join("standby.signal"))?;
        standby.start_again()?;
        standby.wait_for(
            "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')",
        )?;
        Ok(standby)
    }

    /// Lets a standby fall behind: it receives no more of its primary's log.
    ///
    /// # Errors
    /// When it goes on receiving.
    pub fn stop_receiving(&self) -> Result<()> {
        self.reload(&[("primary_conninfo", "")])?;
        self.wait_for("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
    }

    /// Makes a standby a primary.
    ///
    /// # Errors
    /// When it does not become one within a minute.
    pub fn promote(&self) -> Result<()> {
        let answer = self.psql("postgres", "SELECT pg_promote()")?;
        ensure!(answer == "t", "postgres {} was not promoted", self.version);
        Ok(())
    }

    fn without_cluster(
        version: Version,
        installed: Binaries,
        small_disk: Option<u32>,
    ) -> Result<Self> {
        let account = Account::for_server()?;
        let binaries = if account.is_other() {
            installed.readable_by_all()?
        } else {
            installed
        };
        let folder = tempfile::Builder::new()
            .prefix("lakeferry-postgres-")
            .tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        Ok(Self {
            version,
            binaries,
            account,
            port: Port::hold()?,
            small_disk: small_disk
                .map(|megabytes| SmallDisk::create(&folder.path().join("small"), megabytes))
                .transpose()?,
            process: Mutex::new(None),
            _watchdog: Watchdog::over(folder.path())?,
            folder,
        })
    }

    /// The major version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The release as the server names it, such as `15.18`.
    #[must_use]
    pub fn release(&self) -> &str {
        self.binaries.release()
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address of a database, for the superuser `postgres`, who needs no password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// The folder of the cluster (`PGDATA`).
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where a server with [`Settings::with_small_disk`] has it, for a tablespace. It is empty after
    /// every start of the server.
    #[must_use]
    pub fn small_disk(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    /// Everything that the server has logged so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Creates an empty database and gives its address.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.psql("postgres", &format!("CREATE DATABASE {}", quote_name(name)))?;
        Ok(self.url(name))
    }

    /// Runs statements one after the other, each in a transaction of its own unless they say
    /// otherwise, and gives what they return: a line a row, columns separated by `|`.
    ///
    /// # Errors
    /// The server's message, at the first statement that fails; those before it stay done.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut child = self
            .command("psql")
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-v",
                "VERBOSITY=verbose",
            ])
            .args(["-d", &self.url(database), "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        let mut stdin = child.stdin.take().context("psql has no input")?;
        let text = sql.to_owned();
        // In a thread of its own: psql answers before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().context("cannot read from psql")?;
        let _ = writer.join();
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "postgres {}: {}",
            self.version,
            stderr.trim()
        );
        Ok(String::from_utf8(output.stdout)?
            .trim_end_matches('\n')
            .to_owned())
    }

    /// Changes settings of the running server and waits until new connections have them. Those
    /// that Postgres reads only at its start take effect with [`Server::restart`].
    ///
    /// # Errors
    /// When the server refuses a setting.
    pub fn reload(&self, settings: &[(&str, &str)]) -> Result<()> {
        let loaded = || self.psql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded()?;
        let mut sql = String::new();
        for (name, value) in settings {
            let (name, value) = (quote_name(name), quote_literal(value));
            sql.push_str(&format!("ALTER SYSTEM SET {name} = {value};\n"));
        }
        self.psql("postgres", &(sql + "SELECT pg_reload_conf()"))?;
        for _ in 0..LOOKS {
            if loaded()? != before {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("postgres {} does not load its settings", self.version)
    }

    /// Stops the server; its cluster stays. Does nothing when it is not running.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub fn stop(&self, how: Stop) -> Result<()> {
        let mut process = self.process();
        let Some(mut child) = process.take() else {
            return Ok(());
        };
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // A postmaster that has ended already is not an error: it is what was asked for.
        let _ = kill_process(pid.context("the server has no process id")?, signal);
        for _ in 0..LOOKS {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        child.kill()?;
        child.wait()?;
        bail!("postgres {} did not stop\n{}", self.version, self.log_end())
    }

    /// Starts a stopped server again, with the same cluster and port, and waits until it accepts
    /// connections. Does nothing when it is running.
    ///
    /// # Errors
    /// When it does not come up; the end of its log is in the message.
    pub fn start_again(&self) -> Result<()> {
        let mut process = self.process();
        if let Some(child) = process.as_mut()
            && child.try_wait()?.is_none()
        {
            return Ok(());
        }
        *process = None;
        let mut child = self.spawn()?;
        if let Err(error) = self.wait_until_ready(&mut child) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error.context(self.log_end()));
        }
        *process = Some(child);
        Ok(())
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    /// As [`Server::stop`] and [`Server::start_again`].
    pub fn restart(&self, how: Stop) -> Result<()> {
        self.stop(how)?;
        self.start_again()
    }

    fn create_cluster(&self, settings: &Settings) -> Result<()> {
        let data = self.data_folder();
        fs::create_dir(&data)?;
        fs::set_permissions(&data, Permissions::from_mode(0o700))?;
        self.account.own(&data)?;
        let mut command = self.command("initdb");
        self.account.run_as(&mut command);
        let output = command
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(&data)
            .output()
            .context("cannot run initdb")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "initdb of postgres {}: {stderr}",
            self.version
        );
        self.configure("postgresql.conf", &settings.lines(self.port()))?;
        for (name, text) in settings.files() {
            let path = data.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            self.account.own(&path)?;
        }
        Ok(())
    }

    /// Adds lines to a file of the server's settings; the last one of a setting wins.
    fn configure(&self, file: &str, lines: &str) -> Result<()> {
        let path = self.data_folder().join(file);
        let mut file = OpenOptions::new().append(true).open(path)?;
        Ok(file.write_all(lines.as_bytes())?)
    }

    fn wait_for(&self, condition: &str) -> Result<()> {
        for _ in 0..LOOKS {
            if self.psql("postgres", condition)? == "t" {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("postgres {}: never came true: {condition}", self.version)
    }

    fn spawn(&self) -> Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let program = self.binaries.program("postgres");
        let mut command = self.clean(match &self.small_disk {
            Some(disk) => disk.mount_and_run(self.account, &program),
            None => {
                let mut command = Command::new(program);
                self.account.run_as(&mut command);
                command
            }
        });
        command
            .arg("-D")
            .arg(self.data_folder())
            .stdin(Stdio::null())
            .stdout(File::try_clone(&log)?)
            .stderr(log)
            // An interrupt at the terminal is for the test, which then ends the server.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start postgres {}", self.version))
    }

    /// Asks no connection of the server: the last line of `postmaster.pid` says `ready`
    /// (`PostmasterPidFile`, the way of `pg_ctl`), and its first line that it is this process.
    fn wait_until_ready(&self, child: &mut Child) -> Result<()> {
        let file = self.data_folder().join("postmaster.pid");
        let pid = child.id().to_string();
        for _ in 0..LOOKS {
            if let Some(status) = child.try_wait()? {
                bail!("postgres {} ended at its start: {status}", self.version);
            }
            let text = fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            if lines.first() == Some(&pid.as_str()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("postgres {} does not accept connections", self.version)
    }

    /// A program of this version in an environment that changes nothing of its behaviour.
    fn command(&self, program: &str) -> Command {
        self.clean(Command::new(self.binaries.program(program)))
    }

    fn clean(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C").current_dir("/");
        command
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Path> for Server {
    /// The folder that holds everything of the server.
    fn as_ref(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    /// Also while a panic unwinds. The folder goes with its field, then the watchdog.
    fn drop(&mut self) {
        let _ = self.stop(Stop::Immediate);
    }
}
