//! Where to connect, as whom and how safely, is told as libpq is told: in the URL, in a service, in
//! the environment, in a password file, by a command. What cannot be connected to ends with exit
//! code 3, what is told wrongly with 2, and no password is ever shown.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{PoolMode, Pooler, Settings, Version, servers, servers_with_tls};
use rcgen::{CertificateParams, Issuer, KeyPair};

use crate::{
    deployment::Deployment,
    lakeferry::{Said, lakeferry_with},
    tables,
};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two"))];

const RULES: &str = "\
host all postgres 127.0.0.1/32 trust
host serving ferry 127.0.0.1/32 scram-sha-256
hostssl serving safe 127.0.0.1/32 scram-sha-256
";

const USERS: &str = "\
SET password_encryption = 'scram-sha-256'; \
CREATE ROLE ferry LOGIN PASSWORD 'hunter2'; CREATE ROLE safe LOGIN PASSWORD 'hunter2'; \
GRANT CREATE ON DATABASE serving TO ferry, safe; GRANT CREATE ON SCHEMA public TO ferry, safe";

/// A deployment with one job, whose server asks for passwords.
async fn start(version: Version, settings: Settings) -> (Deployment, DeltaTable) {
    let settings = settings.file("pg_hba.conf", RULES);
    let mut deployment = Deployment::start_with(version, &settings);
    deployment.sql(USERS);
    let path = deployment.lake("words");
    let table = tables::create(&path, NewTable::with_feed(), ROWS).await;
    deployment.job("words", &path, &[]);
    (deployment, table)
}

/// Syncs with these variables and no others that concern a connection.
fn sync(deployment: &Deployment, variables: &[(&str, &str)]) -> Said {
    let said = lakeferry_with(&deployment.config(), &["sync"], variables);
    let shown = format!("{said}");
    assert!(!shown.contains("hunter2"), "{shown}");
    said
}

#[track_caller]
fn synced(deployment: &Deployment, variables: &[(&str, &str)]) {
    let said = sync(deployment, variables);
    assert_eq!(said.jobs_done().len(), 1, "{said}");
}

#[track_caller]
fn refused(said: &Said, code: i32, words: &[&str]) {
    let text = if code == 2 {
        said.stderr.clone() + &said.stdout
    } else {
        said.failure(code)
    };
    assert_eq!(said.code, code, "{said}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {said}");
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_a_service_and_a_password_file_are_heeded() {
    for version in servers() {
        let (mut deployment, _table) = start(version, Settings::quick()).await;
        let port = deployment.server().port().to_string();
        deployment.reach_by("postgresql:///serving");
        let given = [
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &port),
            ("PGUSER", "ferry"),
            ("PGPASSWORD", "hunter2"),
        ];
        synced(&deployment, &given);
        refused(&sync(&deployment, &[]), 2, &["names no host", "PGHOST"]);
        let weak = [&given[..], &[("PGREQUIREAUTH", "scram-sha-256")]].concat();
        refused(
            &sync(&deployment, &weak),
            2,
            &["PGREQUIREAUTH", "not supported"],
        );
        refused(
            &sync(&deployment, &given[..3]),
            3,
            &["asks for a password", "ferry@127.0.0.1"],
        );
        let safe = [&given[..], &[("PGSSLMODE", "require")]].concat();
        refused(&sync(&deployment, &safe), 3, &["does not offer TLS"]);

        let home = tempfile::tempdir().unwrap();
        let service = format!("[app]\nhost=127.0.0.1\nport={port}\nuser=ferry\ndbname=serving\n");
        write(home.path(), ".pg_service.conf", &service);
        let password = format!("127.0.0.1:{port}:*:ferry:hunter2\n");
        let passfile = write(home.path(), ".pgpass", &password);
        deployment.reach_by("service=app");
        let at_home = [("HOME", home.path().to_str().unwrap())];
        synced(&deployment, &at_home);
        fs::set_permissions(&passfile, fs::Permissions::from_mode(0o644)).unwrap();
        let said = sync(&deployment, &at_home);
        refused(&said, 3, &["asks for a password"]);
        assert!(said.stderr.contains("others can read it"), "{said}");
        refused(&sync(&deployment, &[]), 2, &["there is no service `app`"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_by_command_is_read_at_each_connect() {
    for version in servers() {
        let (mut deployment, mut table) = start(version, Settings::quick()).await;
        let folder = tempfile::tempdir().unwrap();
        let vault = write(folder.path(), "vault", "hunter2\n");
        let port = deployment.server().port();
        deployment.reach_by(&format!(
            "host=127.0.0.1 port={port} user=ferry dbname=serving"
        ));
        deployment.target_option(&format!("password: {{ command: [cat, {vault}] }}"));
        synced(&deployment, &[]);
        deployment.sql("ALTER ROLE ferry PASSWORD 'hunter2-new'");
        refused(
            &sync(&deployment, &[]),
            3,
            &["28P01", "ferry@127.0.0.1", "ALTER ROLE"],
        );
        write(folder.path(), "vault", "hunter2-new\n");
        table.append(tables::words(&[(3, None)])).await.unwrap();
        synced(&deployment, &[]);
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,");

        let shell = format!("password: {{ command: \"cat {vault} >&2; exit 7\" }}");
        deployment.target_option(&shell);
        let said = sync(&deployment, &[]);
        refused(
            &said,
            3,
            &[
                "target serving",
                "password command cat failed",
                "exit code 7",
            ],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_who_the_system_says_it_is() {
    for version in servers_with_tls() {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new([]).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(root, key);
        let server_key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&server_key, &issuer).unwrap();
        let settings = Settings::quick()
            .with("ssl", "on")
            .with("ssl_cert_file", "server.crt")
            .with("ssl_key_file", "server.key")
            .file("server.crt", &certificate.pem())
            .file("server.key", &server_key.serialize_pem());
        let (mut deployment, _table) = start(version, settings).await;
        let folder = tempfile::tempdir().unwrap();
        let trusted = write(folder.path(), "trusted.pem", &root_pem);
        let port = deployment.server().port();
        let url = format!(
            "postgresql://safe@localhost:{port}/serving?hostaddr=127.0.0.1\
             &sslrootcert=system&channel_binding=require"
        );
        deployment.reach_by(&url);
        let with = [("PGPASSWORD", "hunter2"), ("SSL_CERT_FILE", &trusted)];
        synced(&deployment, &with);
        deployment.reach_by(&url.replace("localhost", "other.test"));
        let said = sync(&deployment, &with);
        refused(&said, 3, &["another name", "sslmode=verify-ca"]);
        deployment.reach_by(&format!("{url}&sslmode=disable"));
        refused(
            &sync(&deployment, &with),
            2,
            &["sslrootcert=system", "verify-full"],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_used_in_session_mode_alone() {
    if !Pooler::is_installed() {
        return;
    }
    for version in servers() {
        let (mut deployment, mut table) = start(version, Settings::quick()).await;
        let pooler = Pooler::start(deployment.server(), PoolMode::Transaction, 5, "").unwrap();
        deployment.reach_by(&pooler.url("serving"));
        let said = sync(&deployment, &[]);
        refused(
            &said,
            3,
            &["connection pooler in transaction", "pool_mode = session"],
        );
        assert_eq!(deployment.sql("SELECT to_regclass('words')"), "");
        let pooler = Pooler::start(deployment.server(), PoolMode::Session, 5, "").unwrap();
        deployment.reach_by(&pooler.url("serving"));
        synced(&deployment, &[]);
        table.append(tables::words(&[(3, None)])).await.unwrap();
        synced(&deployment, &[]);
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,");
    }
}
