//! A throwaway server is real, alone, follows orders, and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use lakeferry_postgres_testkit::{Server, Settings, Stop, Version, can_mount, servers};

/// Set for the process that a test starts in order to kill it: the version to run.
const VICTIM: &str = "LAKEFERRY_TESTKIT_VICTIM";

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

fn folder_of(server: &Server) -> PathBuf {
    let folder: &Path = server.as_ref();
    folder.to_path_buf()
}

/// Whether a server still runs on the cluster in this folder.
fn runs(pid: &str) -> bool {
    // A process that ended but was not waited for has an empty command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn pid_of(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid"));
    let text = text.expect("the server runs");
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn it_answers_as_the_version_it_is() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        let shown = server.psql("postgres", "SHOW server_version_num").unwrap();
        assert_eq!(shown.parse::<u32>().unwrap() / 10_000, version.major());
        let full = server.psql("postgres", "SHOW server_version").unwrap();
        assert!(
            full.starts_with(server.release()),
            "{full} is not {}",
            server.release()
        );
        println!("postgres {}", server.release());
    }
}

#[test]
fn the_newest_is_none_older_than_those_of_the_tests() {
    let newest = Version::newest().unwrap();
    assert!(Some(newest) >= servers().pop(), "{newest}");
    let server = Server::start(newest).unwrap();
    let shown = server.psql("postgres", "SHOW server_version_num").unwrap();
    assert_eq!(shown.parse::<u32>().unwrap() / 10_000, newest.major());
}

#[test]
fn two_servers_live_side_by_side() {
    for version in servers() {
        let (one, two) = (
            Server::start(version).unwrap(),
            Server::start(version).unwrap(),
        );
        assert_ne!(one.port(), two.port());
        one.create_database("only here").unwrap();
        let count = "SELECT count(*) FROM pg_database WHERE datname = 'only here'";
        assert_eq!(one.psql("postgres", count).unwrap(), "1");
        assert_eq!(two.psql("postgres", count).unwrap(), "0");
    }
}

#[test]
fn it_listens_on_the_loopback_interface_only() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        assert_eq!(
            server.psql("postgres", "SHOW listen_addresses").unwrap(),
            "127.0.0.1"
        );
        assert_eq!(
            server
                .psql("postgres", "SHOW unix_socket_directories")
                .unwrap(),
            ""
        );
    }
}

#[test]
fn statements_give_rows_or_the_error_of_the_server() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        server.create_database("app").unwrap();
        let create = "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL);";
        assert_eq!(server.psql("app", create).unwrap(), "");
        assert_eq!(server.psql("app", "TABLE t ORDER BY a").unwrap(), "1|x\n2|");
        let error = server
            .psql("app", "SELECT 1; SELECT missing; CREATE TABLE u ()")
            .unwrap_err();
        assert!(error.to_string().contains("42703"), "{error}");
        assert_eq!(
            server
                .psql("app", "SELECT to_regclass('u') IS NULL")
                .unwrap(),
            "t"
        );
        let long = format!("SELECT length('{}')", "x".repeat(3_000_000));
        assert_eq!(server.psql("app", &long).unwrap(), "3000000");
    }
}

#[test]
fn a_committed_row_survives_every_kind_of_stop() {
    for version in servers() {
        for settings in [Settings::quick(), Settings::durable()] {
            let server = Server::start_with(version, &settings).unwrap();
            let port = server.port();
            server.psql("postgres", "CREATE TABLE t (n int)").unwrap();
            for how in [Stop::Fast, Stop::Immediate] {
                server.psql("postgres", "INSERT INTO t VALUES (1)").unwrap();
                server.stop(how).unwrap();
                assert!(server.psql("postgres", "SELECT 1").is_err());
                server.start_again().unwrap();
            }
            assert_eq!(
                server.psql("postgres", "SELECT count(*) FROM t").unwrap(),
                "2"
            );
            assert_eq!(server.port(), port);
            assert!(
                server.log().contains("automatic recovery in progress"),
                "{}",
                server.log()
            );
        }
    }
}

#[test]
fn settings_are_given_at_start_and_changed_while_it_runs() {
    for version in servers() {
        let settings = Settings::durable().with("wal_level", "logical");
        let server = Server::start_with(version, &settings).unwrap();
        let show = |name: &str| server.psql("postgres", &format!("SHOW {name}")).unwrap();
        assert_eq!(
            (show("fsync"), show("wal_level")),
            ("on".into(), "logical".into())
        );
        server
            .reload(&[("statement_timeout", "7s"), ("max_connections", "50")])
            .unwrap();
        assert_eq!(
            (show("statement_timeout"), show("max_connections")),
            ("7s".into(), "100".into())
        );
        server.restart(Stop::Fast).unwrap();
        assert_eq!(show("max_connections"), "50");
        assert!(server.reload(&[("no_such_setting", "1")]).is_err());
    }
}

#[test]
fn nothing_is_left_after_a_panic() {
    for version in servers() {
        let mut seen = None;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let server = Server::start(version).unwrap();
            let folder = folder_of(&server);
            seen = Some((pid_of(&folder), folder));
            panic!("the test fails");
        }));
        assert!(panicked.is_err());
        let (pid, folder) = seen.unwrap();
        assert!(!runs(&pid), "process {pid} still runs");
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    for version in servers() {
        let start = std::thread::spawn(move || Server::start(version).unwrap());
        let server = start.join().unwrap();
        assert_eq!(server.psql("postgres", "SELECT 1").unwrap(), "1");
    }
}

#[test]
fn nothing_is_left_after_the_test_is_killed() {
    for version in servers() {
        let mut test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "a_victim_waits_to_be_killed"])
            .env(VICTIM, version.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(test.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut folders =
            lines.filter_map(|line| line.split_once("folder ").map(|(_, path)| path.to_owned()));
        let folder = PathBuf::from(folders.next().expect("the victim names its folder"));
        let pid = pid_of(&folder);
        assert!(runs(&pid));
        test.kill().unwrap();
        test.wait().unwrap();
        wait_until("the server ends", || !runs(&pid));
        wait_until("its files go", || !folder.exists());
    }
}

/// Not a test by itself: the process that `nothing_is_left_after_the_test_is_killed` kills.
#[test]
fn a_victim_waits_to_be_killed() {
    let Ok(victim) = std::env::var(VICTIM) else {
        return;
    };
    let version = Version::ALL
        .into_iter()
        .find(|version| version.to_string() == victim)
        .unwrap();
    let server = Server::start(version).unwrap();
    println!("folder {}", folder_of(&server).display());
    sleep(Duration::from_secs(120));
}

/// What a standby did not receive is lost when it is promoted.
#[test]
fn a_standby_follows_falls_behind_and_is_promoted() {
    for version in servers() {
        let primary = Server::start(version).unwrap();
        primary.psql("postgres", "CREATE TABLE t (n int)").unwrap();
        let standby = primary.start_standby().unwrap();
        primary
            .psql("postgres", "INSERT INTO t VALUES (1)")
            .unwrap();
        let count = |server: &Server| server.psql("postgres", "SELECT count(*) FROM t").unwrap();
        wait_until("the standby has the row", || count(&standby) == "1");
        standby.stop_receiving().unwrap();
        primary
            .psql("postgres", "INSERT INTO t VALUES (2)")
            .unwrap();
        primary.stop(Stop::Immediate).unwrap();
        standby.promote().unwrap();
        standby
            .psql("postgres", "INSERT INTO t VALUES (3)")
            .unwrap();
        assert_eq!(count(&standby), "2");
    }
}

#[test]
fn a_small_disk_is_soon_full() {
    if !can_mount() {
        println!("skipped: this process may not mount");
        return;
    }
    for version in servers() {
        let settings = Settings::quick().with_small_disk(16);
        let server = Server::start_with(version, &settings).unwrap();
        let disk = server.small_disk();
        let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", disk.display());
        server.psql("postgres", &tablespace).unwrap();
        let fill = "CREATE TABLE t TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
        let error = server.psql("postgres", fill).unwrap_err().to_string();
        assert!(error.contains("53100"), "{error}");
    }
}
