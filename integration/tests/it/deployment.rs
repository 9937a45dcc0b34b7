//! A Postgres server of its own, a folder for Delta tables, and a configuration that joins them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lakeferry_postgres_testkit::{Server, Settings, Version};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::{
    fake_clock::FakeClock,
    lakeferry::{JobDone, Said, lakeferry, lakeferry_at},
};

const DATABASE: &str = "serving";

/// Lets jobs delete what tests delete; the history of the runways has versions without a row.
const NO_GUARDS: &str = "defaults: { allow_empty: true, max_delete_share: 100% }\n";

/// Jobs from Delta tables into the database of one server; all of it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Deployment {
    server: Server,
    /// Stopped; each keeps its port, so that no other test's server answers there.
    replaced: Vec<Server>,
    folder: TempDir,
    /// What stands before the jobs.
    lines: String,
    /// By which the product reaches the server.
    address: String,
    /// Of the target, such as `lease: 2s`.
    options: String,
    jobs: String,
}

impl Deployment {
    /// Starts a server in which nothing happens unasked, and prints its version.
    pub(crate) fn start(version: Version) -> Self {
        Self::start_with(version, &Settings::quick().with("autovacuum", "off"))
    }

    /// As [`Deployment::start`], with these settings of the server.
    pub(crate) fn start_with(version: Version, settings: &Settings) -> Self {
        let server = Server::start_with(version, settings).unwrap();
        let address = server.create_database(DATABASE).unwrap();
        println!("postgres {}", server.release());
        Self {
            server,
            replaced: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            lines: NO_GUARDS.to_owned(),
            address,
            options: String::new(),
            jobs: String::new(),
        }
    }

    /// Lets the product reach the database by another address.
    pub(crate) fn reach_by(&mut self, address: &str) {
        address.clone_into(&mut self.address);
        self.write_config();
    }

    /// Gives the target an option, such as `lease: 2s`.
    pub(crate) fn target_option(&mut self, option: &str) {
        self.options = format!(", {option}");
        self.write_config();
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Another server has the database now, as after a failover.
    pub(crate) fn replace_server(&mut self, server: Server) {
        self.replaced
            .push(std::mem::replace(&mut self.server, server));
    }

    /// Opens a connection of the test's own.
    pub(crate) async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Where the Delta table of this name goes.
    pub(crate) fn lake(&self, table: &str) -> PathBuf {
        self.folder.path().join("lake").join(table)
    }

    /// Declares a job with key `id` from `source` into the table `public.NAME`; `options` are
    /// lines of YAML.
    pub(crate) fn job(&mut self, name: &str, source: &Path, options: &[&str]) {
        let source = source.display();
        let mut job = format!("  {name}:\n    from: {source}\n    into: serving.public.{name}\n");
        if !options.iter().any(|line| line.starts_with("key:")) {
            job.push_str("    key: [id]\n");
        }
        for line in options {
            writeln!(job, "    {line}").unwrap();
        }
        self.jobs.push_str(&job);
        self.write_config();
    }

    /// Declares a job as it is written, with its line end.
    pub(crate) fn raw_job(&mut self, job: &str) {
        self.jobs.push_str(job);
        self.write_config();
    }

    /// Guards the jobs against mass deletes, as they are unless told otherwise.
    pub(crate) fn guarded(mut self) -> Self {
        self.lines.clear();
        self
    }

    /// Adds a line before the jobs.
    pub(crate) fn config_line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
        self.write_config();
    }

    /// Puts another line in the place of the one that begins so, once the next job is declared.
    pub(crate) fn replace_line(&mut self, begin: &str, line: &str) {
        let kept = self.lines.lines().filter(|line| !line.starts_with(begin));
        self.lines = kept.chain([line]).flat_map(|line| [line, "\n"]).collect();
    }

    /// Forgets all jobs, so that they can be declared anew.
    pub(crate) fn forget_jobs(&mut self) {
        self.jobs.clear();
    }

    fn write_config(&self) {
        let Self {
            address,
            options,
            jobs,
            lines,
            ..
        } = self;
        let text = format!(
            "version: 1\n{lines}targets:\n  serving: {{ url: \"{address}\"{options} }}\njobs:\n{jobs}"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("lakeferry.yaml")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        lakeferry(&self.config(), arguments)
    }

    /// Syncs the one job that there is.
    #[track_caller]
    pub(crate) fn sync(&self) -> JobDone {
        only(self.run(&["sync"]).jobs_done())
    }

    /// As [`Deployment::run`], with another clock.
    pub(crate) fn run_at(&self, arguments: &[&str], clock: &FakeClock) -> Said {
        lakeferry_at(&self.config(), arguments, clock)
    }

    /// As [`Deployment::sync`], with another clock.
    #[track_caller]
    pub(crate) fn sync_at(&self, clock: &FakeClock) -> JobDone {
        only(self.run_at(&["sync"], clock).jobs_done())
    }

    #[track_caller]
    pub(crate) fn backfill(&self, job: &str) -> JobDone {
        only(self.run(&["backfill", job]).jobs_done())
    }

    /// Runs SQL in the database: a line a row, columns separated by `|`, NULL is nothing.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(DATABASE, sql).unwrap()
    }

    /// The rows of a table as CSV, ordered by id; NULL is nothing, an empty text is `""`.
    #[track_caller]
    pub(crate) fn dump(&self, table: &str) -> String {
        self.sql(&format!(
            "COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT (FORMAT csv)"
        ))
    }

    /// Where each row of a table is stored and which transaction wrote it: changes when a row is
    /// written, also if it is written as it was.
    #[track_caller]
    pub(crate) fn row_versions(&self, table: &str) -> Vec<String> {
        let rows = self.sql(&format!(
            "SELECT id, ctid, xmin, xmax FROM {table} ORDER BY id"
        ));
        rows.lines().map(str::to_owned).collect()
    }

    /// The kinds of the runs that were recorded, in order.
    pub(crate) fn run_kinds(&self) -> Vec<String> {
        let kinds = self.sql("SELECT kind FROM lakeferry.runs ORDER BY run_id");
        kinds.lines().map(str::to_owned).collect()
    }

    /// The commit version that a job's target has.
    #[track_caller]
    pub(crate) fn watermark(&self, job: &str) -> u64 {
        let sql = "SELECT version FROM lakeferry.progress JOIN lakeferry.jobs USING (job_id)";
        self.sql(&format!("{sql} WHERE name = '{job}'"))
            .parse()
            .unwrap()
    }

    /// The transaction id that the server will assign next.
    pub(crate) fn next_transaction(&self) -> String {
        self.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())")
    }

    /// Where the write-ahead log ends, all of which is on disk then.
    pub(crate) fn wal_end(&self) -> String {
        self.sql("SELECT pg_switch_wal()")
    }

    /// The records of the write-ahead log between these places that are of a table, its TOAST or an
    /// index of either, a line each.
    #[track_caller]
    pub(crate) fn wal_of(&self, table: &str, from: &str, to: &str) -> Vec<String> {
        let relations = self.sql(&format!(
            "WITH tables AS (SELECT unnest(ARRAY[oid, reltoastrelid]) AS oid FROM pg_class \
             WHERE oid = '{table}'::regclass) \
             SELECT concat_ws('/', CASE reltablespace WHEN 0 THEN dattablespace \
             ELSE reltablespace END, d.oid, relfilenode) \
             FROM pg_class AS c JOIN pg_database AS d ON datname = current_database() \
             WHERE c.oid IN (SELECT oid FROM tables) OR c.oid IN \
             (SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM tables))"
        ));
        let log = self.server.data_folder().join("pg_wal");
        let records = |relation: &str| {
            let mut command = self.program("pg_waldump");
            command.arg("-p").arg(&log);
            command.args(["-s", from, "-e", to, "-R", relation]);
            let said = output_of(&mut command);
            let records = said.lines().filter(|line| line.starts_with("rmgr:"));
            records.map(str::to_owned).collect::<Vec<_>>()
        };
        relations.lines().flat_map(records).collect()
    }

    /// A program of the server's release.
    fn program(&self, name: &str) -> Command {
        let programs = self.sql("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
        Command::new(Path::new(&programs).join(name))
    }

    /// What `pg_dump` says of the whole database.
    pub(crate) fn pg_dump(&self) -> String {
        let text = output_of(self.program("pg_dump").arg(self.url()));
        // A random key, new in each dump.
        let is_random =
            |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        text.lines()
            .filter(|line| !is_random(line))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        self.server.url(DATABASE)
    }

    /// The release of the server, such as `15.18`.
    pub(crate) fn release(&self) -> &str {
        self.server.release()
    }
}

#[track_caller]
fn only(mut jobs: Vec<JobDone>) -> JobDone {
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

#[track_caller]
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}
