//! The demo shows rows arriving, and whatever ends it, nothing of it is left.
//!
//! A test of the package `lakeferry-demo`, so that cargo builds that binary for it; called `it` as
//! the other one is, so that both are built together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a test shows its figures")]

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use lakeferry_postgres_testkit::{Server, servers};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What it says when it begins to write, to fill, and when rows of a commit have arrived.
const WRITING: &str = "writing a Delta table";
const FILLING: &str = "$ lakeferry sync";
const ARRIVED: &str = "visible after";

/// A demo that runs, with a folder for temporary files of its own.
#[derive(Debug)]
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        // The server may run as another account.
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o755)).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_lakeferry-demo")).with_file_name("lakeferry");
        let mut child = Command::new(binary)
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdout,
            temporary,
        }
    }

    /// Reads what it says until it says `words`.
    fn wait_for(&mut self, words: &str) {
        let mut said = String::new();
        while !said.lines().last().is_some_and(|line| line.contains(words)) {
            let read = self.stdout.read_line(&mut said).unwrap();
            assert!(read > 0, "it ended without {words:?}:\n{said}");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code and the rest of what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    /// Asserts that neither a process nor a file of it is there.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let (processes, files) = left(self.temporary.path());
        assert!(
            processes.is_empty() && files.is_empty(),
            "{processes:?} {files:?}"
        );
    }
}

impl Drop for Demo {
    /// Where a test failed; the watchdog sees to the server.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that name `folder`, and the files in it; not what is kept for the next server.
fn left(folder: &Path) -> (Vec<String>, Vec<String>) {
    let name = folder.to_string_lossy();
    let commands = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&command).replace('\0', " "))
        });
    let processes = commands
        .filter(|command| command.contains(&*name))
        .collect();
    let kept = ["lakeferry-ports-", "lakeferry-postgres-wheel-"];
    let files = fs::read_dir(folder).unwrap().flatten();
    let files = files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|file| !kept.iter().any(|kept| file.starts_with(kept)))
        .collect();
    (processes, files)
}

#[test]
fn a_whole_demo_sums_up_and_leaves_nothing() {
    let mut demo = Demo::start(&["--rows", "20000", "--for", "4", "--output", "json"]);
    let (code, said) = demo.end();
    assert_eq!(code, Some(0), "{said}");
    let envelope: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&envelope["command"], &envelope["ok"]),
        (&"demo".into(), &true.into())
    );
    let figure = |name: &str| envelope["result"][name].as_u64().unwrap();
    println!("{envelope}");
    assert!(figure("filled_rows") > 20_000 && figure("inserted") > 500);
    assert!(figure("commits") > 0);
    assert_eq!(
        figure("rows"),
        figure("filled_rows") + figure("inserted") - figure("deleted")
    );
    demo.assert_nothing_is_left();
}

#[test]
fn a_demo_leaves_nothing_whatever_ends_it() {
    for (rows, words, signal, ends) in [
        ("600000", WRITING, Signal::TERM, 130),
        ("600000", FILLING, Signal::INT, 130),
        ("20000", ARRIVED, Signal::INT, 0),
        ("20000", ARRIVED, Signal::HUP, 0),
    ] {
        let mut demo = Demo::start(&["--rows", rows]);
        demo.wait_for(words);
        demo.signal(signal);
        let (code, said) = demo.end();
        assert_eq!(code, Some(ends), "{signal:?} at {words:?}:\n{said}");
        assert!(said.contains("taken away: "), "{said}");
        demo.assert_nothing_is_left();
    }
}

#[test]
fn a_killed_demo_takes_its_server_along() {
    let mut demo = Demo::start(&["--rows", "20000"]);
    demo.wait_for(ARRIVED);
    demo.signal(Signal::KILL);
    assert_eq!(demo.end().0, None);
    for _ in 0..3_000 {
        let (processes, files) = left(demo.temporary.path());
        if processes.is_empty() && files.is_empty() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    demo.assert_nothing_is_left();
}

/// The table of `--write` is there to be read, and goes on where it stood.
#[test]
fn the_writer_alone_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let versions = || {
        let log = fs::read_dir(folder.path().join("lake/_delta_log")).unwrap();
        let names = log.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".json")).count()
    };
    let mut before = 0;
    for _ in 0..2 {
        let output = Command::new(env!("CARGO_BIN_EXE_lakeferry-demo"))
            .args(["--rows", "10000", "--for", "2", "--write"])
            .arg(folder.path().join("lake"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("version ") && versions() > before, "{said}");
        before = versions();
    }
}

#[test]
fn a_demo_on_a_given_server_leaves_nothing() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        let databases = "SELECT datname FROM pg_database ORDER BY 1";
        let before = server.psql("postgres", databases).unwrap();
        let url = server.url("postgres");
        let mut demo = Demo::start(&["--rows", "20000", "--for", "1", "--target", &url]);
        demo.wait_for(ARRIVED);
        let during = server.psql("postgres", databases).unwrap();
        assert!(during.contains("lakeferry_demo_"), "{during}");
        let (code, said) = demo.end();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(server.psql("postgres", databases).unwrap(), before);
        demo.assert_nothing_is_left();
    }
}
