//! Passwords are read at each connect, and what is wrong with one is said without it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use lakeferry_postgres::{ConnectSettings, Error, PasswordSource, read_status};
use lakeferry_postgres_testkit::{Server, Settings, Version, servers};

use crate::probe::{connect, connect_with, not_now, password, refused, told};

const RULES: &str = "\
host all postgres 127.0.0.1/32 trust
host app scram 127.0.0.1/32 scram-sha-256
host app md5 127.0.0.1/32 md5
host app clear 127.0.0.1/32 password
";

const USERS: &str = "\
SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'right'; \
CREATE ROLE clear LOGIN PASSWORD 'right'; \
SET password_encryption = 'md5'; CREATE ROLE md5 LOGIN PASSWORD 'right'";

fn start(version: Version) -> (Server, String) {
    let settings = Settings::quick().file("pg_hba.conf", RULES);
    let server = Server::start_with(version, &settings).unwrap();
    println!("postgres {}", server.release());
    server.create_database("app").unwrap();
    server.psql("app", USERS).unwrap();
    let to = format!("host=127.0.0.1 port={} dbname=app", server.port());
    (server, to)
}

#[tokio::test]
async fn passwords_by_each_method_are_right_wrong_or_missing() {
    for version in servers() {
        let (_server, to) = start(version);
        for user in ["scram", "md5", "clear"] {
            let to = format!("{to} user={user}");
            connect_with(&to, None, password("right")).await.unwrap();
            let wrong = connect_with(&to, None, password("hunter2")).await;
            let (_, text) = told(wrong);
            assert!(text.contains("28P01") && text.contains(user), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            let missing = connect(&to).await;
            refused(missing, &["asks for a password and there is none", user]);
        }
    }
}

#[tokio::test]
async fn a_password_that_changes_is_read_again() {
    for version in servers() {
        let (server, to) = start(version);
        let current = Arc::new(Mutex::new(Some("right".to_owned())));
        let source = Arc::clone(&current);
        let source = PasswordSource::new(move || {
            let current = source.lock().unwrap().clone();
            current.ok_or_else(|| Error::no_password("it is not there", NoVault))
        });
        let pairs = format!("{to} user=scram");
        let pairs = pairs.split(' ').filter_map(|pair| pair.split_once('='));
        let settings = ConnectSettings::new(pairs, None).unwrap().password(source);
        let connect = async || {
            read_status(&settings, "lakeferry", "nobody")
                .await
                .map(drop)
        };
        connect().await.unwrap();
        server
            .psql("app", "ALTER ROLE scram PASSWORD 'new'")
            .unwrap();
        refused(connect().await, &["28P01"]);
        *current.lock().unwrap() = Some("new".to_owned());
        connect().await.unwrap();
        *current.lock().unwrap() = None;
        not_now(
            connect().await,
            &["there is no password", "the vault is shut", "open it"],
        );
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the vault is shut")]
struct NoVault;

impl lakeferry_model::Failure for NoVault {
    fn class(&self) -> lakeferry_model::FailureClass {
        lakeferry_model::FailureClass::Transient
    }

    fn hint(&self) -> Option<String> {
        Some("open it".to_owned())
    }
}

#[tokio::test]
async fn a_password_file_is_searched_for_each_server() {
    for version in servers() {
        let (server, to) = start(version);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        let port = server.port();
        let text = format!("*:*:*:clear:no\nother:*:*:*:no\n127.0.0.1:{port}:app:scram:right\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let to = format!("{to} passfile={}", path.display());
        connect(&format!("{to} user=scram")).await.unwrap();
        refused(connect(&format!("{to} user=clear")).await, &["28P01"]);
        refused(connect(&format!("{to} user=md5")).await, &["there is none"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        refused(
            connect(&format!("{to} user=scram")).await,
            &["there is none"],
        );
    }
}
