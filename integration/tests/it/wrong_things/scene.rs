//! A database with a job in step, and Delta tables to break.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::{Server, Settings, Version, servers_with_tls};
use tempfile::TempDir;

use crate::tables::{self, Words};

const DATABASE: &str = "serving";
const ROLE: &str = "ferry";

const ROWS: Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

/// Who may come in: `ferry` with a password, the superuser without.
const HBA: &str = "\
host all ferry 127.0.0.1/32 scram-sha-256\n\
host all all 127.0.0.1/32 trust\n";

/// The state but for its counters of claims, which every claim moves.
const STATE: &str = "\
SELECT name, job_id FROM lakeferry.jobs ORDER BY name; \
SELECT job_id, version FROM lakeferry.progress ORDER BY job_id; \
SELECT count(*) FROM lakeferry.leases; \
SELECT count(*) FROM lakeferry.runs";

/// The tables of the state that hold counters of claims.
const COUNTERS: [&str; 2] = ["lakeferry.progress", "lakeferry.leases"];

/// A server, a folder with Delta tables, and what a user has there.
#[derive(Debug)]
pub(super) struct Scene {
    server: Server,
    /// With a certificate that nobody signed.
    pub(super) speaks_tls: bool,
    folder: TempDir,
}

impl Scene {
    /// With the Delta table `good` and a job that keeps `public.good` in step with it.
    pub(super) async fn start(version: Version) -> Self {
        let speaks_tls = servers_with_tls().contains(&version);
        let mut settings = Settings::quick().file("pg_hba.conf", HBA);
        if speaks_tls {
            let own = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
            settings = settings
                .with("ssl", "on")
                .file("server.crt", &own.cert.pem())
                .file("server.key", &own.signing_key.serialize_pem());
        }
        let server = Server::start_with(version, &settings).unwrap();
        server.create_database(DATABASE).unwrap();
        println!("postgres {}", server.release());
        let scene = Self {
            server,
            speaks_tls,
            folder: tempfile::tempdir().unwrap(),
        };
        scene.sql(&format!(
            "CREATE ROLE {ROLE} LOGIN PASSWORD 'right'; \
             GRANT CREATE ON DATABASE {DATABASE} TO {ROLE}; \
             GRANT CREATE ON SCHEMA public TO {ROLE}; \
             CREATE SCHEMA closed"
        ));
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(scene.folder().join("root.crt"), other.cert.pem()).unwrap();
        scene.table("good").await;
        let config = scene.job("good", &["from: ./good", "into: serving.public.good"]);
        let done = Command::new(env!("CARGO_BIN_EXE_lakeferry"))
            .current_dir(scene.folder())
            .args(["--config", &config, "sync"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        scene
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a Delta table with three rows, in one file, as its version 1.
    pub(super) async fn table(&self, name: &str) -> PathBuf {
        let path = self.folder().join(name);
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        path
    }

    /// Writes a configuration with one job of this name: `lines` of YAML, and a key if they have
    /// none. Gives the file's name.
    pub(super) fn job(&self, name: &str, lines: &[&str]) -> String {
        let url = self.url("right", self.server.port());
        self.job_at(&url, name, lines)
    }

    /// As [`Scene::job`], for another address of the target.
    pub(super) fn job_at(&self, url: &str, name: &str, lines: &[&str]) -> String {
        let mut job = lines.join("\n    ");
        if !lines.iter().any(|line| line.starts_with("key:")) {
            job.push_str("\n    key: [id]");
        }
        self.config(
            name,
            &format!("targets:\n  serving: {{ url: \"{url}\" }}\njobs:\n  {name}:\n    {job}\n"),
        )
    }

    /// Writes a configuration; gives the file's name.
    fn config(&self, name: &str, text: &str) -> String {
        let file = format!("{name}.yaml");
        fs::write(self.folder().join(&file), format!("version: 1\n{text}")).unwrap();
        file
    }

    /// The address of the database for `ferry`.
    pub(super) fn url(&self, password: &str, port: u16) -> String {
        format!("postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}")
    }

    /// As the superuser.
    pub(super) fn sql(&self, sql: &str) -> String {
        self.server.psql(DATABASE, sql).unwrap()
    }

    /// What `pg_dump` says of the whole database, without the counters of claims, and the rest of
    /// the tables that hold them.
    pub(super) fn dump(&self) -> String {
        let programs = self.sql("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
        let mut command = Command::new(Path::new(&programs).join("pg_dump"));
        for counter in COUNTERS {
            command.arg(format!("--exclude-table-data={counter}"));
        }
        let done = command.arg(self.server.url(DATABASE)).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let text = String::from_utf8(done.stdout).unwrap();
        // Random keys, new in each dump.
        let is_random =
            |line: &str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        let lines: Vec<_> = text.lines().filter(|line| !is_random(line)).collect();
        format!("{}\n{}", lines.join("\n"), self.sql(STATE))
    }

    /// Without what differs between two runs of a test: folder, port and names of data files.
    pub(super) fn masked(&self, text: &str) -> String {
        let folder = self.folder().to_string_lossy();
        let port = self.server.port().to_string();
        let text = text.replace(&*folder, "[folder]").replace(&port, "[port]");
        let words = text.split_inclusive([' ', '/', '"', '\n']);
        let masked = words.map(|word| match word.split_once("part-") {
            Some((before, _)) if word.contains(".parquet") => {
                let end = word.rfind(".parquet").unwrap_or(0) + ".parquet".len();
                format!("{before}[file].parquet{}", &word[end..])
            }
            _ => word.to_owned(),
        });
        masked.collect()
    }
}
