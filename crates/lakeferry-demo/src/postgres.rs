//! Where the rows go: a throwaway server, or a database of our own on a server that was given.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lakeferry_postgres_testkit::{Server, Settings, Version};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use url::Url;

const DATABASE: &str = "demo";

/// A database, and a folder for all that is no database; both go with [`Postgres::take_away`].
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) url: String,
    /// Which server it is, for people.
    pub(crate) name: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Its watchdog takes the folder away even if we are killed.
    Throwaway(Server),
    Given {
        admin: Client,
        database: String,
        folder: TempDir,
    },
}

impl Postgres {
    /// Starts a server of the newest version that is installed.
    pub(crate) fn start() -> Result<Self> {
        let version = Version::newest().context(
            "no server was given with --target, and none is installed; integration/demo installs \
             one",
        )?;
        let settings = Settings::quick()
            .with("shared_buffers", "256MB")
            .with("max_wal_size", "4GB")
            .with("maintenance_work_mem", "256MB");
        let server = Server::start_with(version, &settings)?;
        Ok(Self {
            url: server.create_database(DATABASE)?,
            name: format!("Postgres {} on port {}", server.release(), server.port()),
            held: Held::Throwaway(server),
        })
    }

    /// Makes a database of our own on a server.
    pub(crate) async fn on(url: &str) -> Result<Self> {
        let mut own = Url::parse(url).context("--target is no URL like postgresql://me@host/db")?;
        let admin = connect(url)
            .await
            .context("cannot connect to --target (the demo itself does so without TLS)")?;
        let database = format!("lakeferry_demo_{}", std::process::id());
        let sql = format!("CREATE DATABASE {database}");
        admin.batch_execute(&sql).await.with_context(|| {
            format!("cannot create the database {database}; the role of --target needs CREATEDB")
        })?;
        own.set_path(&database);
        let host = own.host_str().unwrap_or("localhost");
        Ok(Self {
            name: format!("{database} on {host}"),
            held: Held::Given {
                admin,
                database,
                folder: tempfile::Builder::new()
                    .prefix("lakeferry-demo-")
                    .tempdir()?,
            },
            url: own.into(),
        })
    }

    /// The folder for the Delta table and the configuration.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder: &Path = match &self.held {
            Held::Throwaway(server) => server.as_ref(),
            Held::Given { folder, .. } => folder.path(),
        };
        folder.to_owned()
    }

    /// Whether the server is ours alone.
    pub(crate) fn is_throwaway(&self) -> bool {
        matches!(self.held, Held::Throwaway(_))
    }

    /// Takes everything away, and says what that was.
    ///
    /// # Errors
    /// When something is left; the message says how to remove it.
    pub(crate) async fn take_away(self) -> Result<String> {
        match self.held {
            Held::Throwaway(server) => {
                let folder = AsRef::<Path>::as_ref(&server).to_owned();
                tokio::task::spawn_blocking(move || drop(server)).await?;
                anyhow::ensure!(!folder.exists(), "{} is left", folder.display());
                Ok(format!("the server and {}", folder.display()))
            }
            Held::Given {
                admin,
                database,
                folder,
            } => {
                let path = folder.path().to_owned();
                let closed = folder.close();
                let sql = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
                let dropped = admin.batch_execute(&sql).await;
                dropped.with_context(|| {
                    format!("the database {database} is left on the server; run: {sql}")
                })?;
                closed.with_context(|| format!("{} is left", path.display()))?;
                Ok(format!("the database {database} and {}", path.display()))
            }
        }
    }
}

/// A session; the connection behind it ends with it.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its error comes out of the next query as well.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}
