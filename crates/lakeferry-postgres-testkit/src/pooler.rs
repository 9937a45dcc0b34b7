//! A throwaway PgBouncer before a throwaway server.

use std::{
    env,
    fs::{self, File, Permissions},
    net::{Ipv4Addr, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{
    account::Account,
    port::Port,
    server::Server,
    version::{must_have_all, report_skipped},
    watchdog::Watchdog,
};

/// Names the program.
const VARIABLE: &str = "LAKEFERRY_PGBOUNCER";
const PLACES: [&str; 3] = [
    "/usr/sbin/pgbouncer",
    "/usr/bin/pgbouncer",
    "/usr/local/bin/pgbouncer",
];

const PAUSE: Duration = Duration::from_millis(10);
/// How often it is looked for before it counts as not coming: 60 seconds.
const LOOKS: u32 = 6_000;

/// When a connection of the server goes back to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    Statement,
}

/// A pooler that lives as long as this value.
#[derive(Debug)]
pub struct Pooler {
    port: Port,
    process: Child,
    folder: TempDir,
    _watchdog: Watchdog,
}

impl Pooler {
    /// Whether tests of the pooler can run; where they cannot, that is reported as skipped.
    ///
    /// # Panics
    /// When it is not installed and `CI` or `LAKEFERRY_REQUIRE_ALL` is set.
    #[must_use]
    pub fn is_installed() -> bool {
        match program() {
            Ok(_) => true,
            Err(error) if must_have_all() => panic!("{error:#}"),
            Err(error) => {
                report_skipped("pgbouncer", &format!("{error:#}"));
                false
            }
        }
    }

    /// Starts a pooler with at most `size` connections to each database of `server`; `settings`
    /// are more lines of its configuration.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start(server: &Server, mode: PoolMode, size: u32, settings: &str) -> Result<Self> {
        let account = Account::for_server()?;
        let folder = tempfile::Builder::new()
            .prefix("lakeferry-pooler-")
            .tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        // Where the watchdog looks for the number of the process.
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        account.own(&data)?;
        let port = Port::hold()?;
        let (config, log) = (
            folder.path().join("pgbouncer.ini"),
            folder.path().join("log"),
        );
        let mode = format!("{mode:?}").to_lowercase();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {size}\npidfile = {}\n{settings}\n",
            server.port(),
            port.number(),
            data.join("postmaster.pid").display(),
        );
        fs::write(&config, text)?;
        let log = File::create(log)?;
        let watchdog = Watchdog::over(folder.path())?;
        let mut command = Command::new(program()?);
        account.run_as(&mut command);
        let process = command
            .arg(&config)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("cannot start pgbouncer")?;
        let mut pooler = Self {
            port,
            process,
            folder,
            _watchdog: watchdog,
        };
        pooler.wait_until_ready()?;
        Ok(pooler)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address of a database of the server behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..LOOKS {
            if let Some(status) = self.process.try_wait()? {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("pgbouncer ended at its start: {status}\n{log}");
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).is_ok() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("pgbouncer does not accept connections")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Result<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let found = PLACES
        .iter()
        .map(PathBuf::from)
        .find(|place| place.exists());
    found.with_context(|| {
        format!("pgbouncer is not installed; run integration/setup, or set {VARIABLE} to it")
    })
}
