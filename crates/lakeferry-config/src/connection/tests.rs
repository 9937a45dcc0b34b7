//! What stands in the URL wins over the service, the service over the environment; and what
//! contradicts itself is refused.

use std::{collections::BTreeMap, fs, path::Path};

use super::Connection;
use crate::{PostgresUrl, problem::Fault};

fn complete(url: &str, env: &[(&str, &str)]) -> Result<(Connection, Option<String>), Fault> {
    let env: BTreeMap<_, _> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let url = PostgresUrl::parse(url).unwrap();
    let (connection, password) = Connection::complete(&url, Path::new("/etc/ferry"), &env)?;
    Ok((
        connection,
        password.map(|password| password.expose().to_owned()),
    ))
}

fn told(url: &str, env: &[(&str, &str)]) -> String {
    let (connection, password) = complete(url, env).unwrap();
    let mut words: Vec<_> = connection
        .parameters()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.extend(password.map(|password| format!("password={password}")));
    words.join(" ")
}

#[test]
fn the_environment_says_what_the_url_does_not() {
    for (url, env, expected) in [
        ("postgresql://db/app", &[][..], "dbname=app host=db"),
        (
            "postgresql:///app",
            &[("PGHOST", "db"), ("PGUSER", "me"), ("PGDATABASE", "other")],
            "dbname=app host=db user=me",
        ),
        (
            "postgresql://me@db",
            &[
                ("PGUSER", "other"),
                ("PGHOST", "other"),
                ("PGPORT", "1"),
                ("PGDATABASE", "app"),
            ],
            "dbname=app host=db port=1 user=me",
        ),
        (
            "postgresql://me:given@db",
            &[("PGPASSWORD", "other")],
            "host=db user=me password=given",
        ),
        ("host=db", &[("PGPASSWORD", "pw")], "host=db password=pw"),
        (
            "host=db",
            &[
                ("PGSSLMODE", "verify-ca"),
                ("PGSSLROOTCERT", "ca.crt"),
                ("PGSSLCERT", "/c"),
                ("PGSSLKEY", "/k"),
                ("PGCHANNELBINDING", "require"),
                ("PGCONNECT_TIMEOUT", "3"),
                ("PGOPTIONS", "-c a=b"),
                ("PGTARGETSESSIONATTRS", "read-write"),
                ("PGAPPNAME", "ferry"),
            ],
            "application_name=ferry channel_binding=require connect_timeout=3 host=db \
             options=-c a=b sslcert=/c sslkey=/k sslmode=verify-ca sslrootcert=ca.crt \
             target_session_attrs=read-write",
        ),
        ("host=db", &[("PGSSLMODE", "")], "host=db"),
        (
            "host=db",
            &[("PGREQUIRESSL", "1")],
            "host=db sslmode=require",
        ),
        (
            "host=db sslmode=allow",
            &[("PGREQUIRESSL", "1")],
            "host=db sslmode=allow",
        ),
        (
            "host=db",
            &[("HOME", "/h/me")],
            "host=db passfile=/h/me/.pgpass",
        ),
        (
            "host=db",
            &[("HOME", "/h/me"), ("PGPASSFILE", "/pass")],
            "host=db passfile=/pass",
        ),
    ] {
        assert_eq!(told(url, env), expected, "{url} {env:?}");
    }
}

#[test]
fn paths_of_the_url_start_from_the_file() {
    let url = "host=db sslrootcert=ca.crt sslkey=/k passfile=../pass sslmode=verify-ca";
    let expected = "host=db passfile=/etc/ferry/../pass sslkey=/k sslmode=verify-ca \
                    sslrootcert=/etc/ferry/ca.crt";
    assert_eq!(told(url, &[]), expected);
}

#[test]
fn system_certificates_demand_the_strictest_mode() {
    let url = "host=db sslrootcert=system";
    assert_eq!(
        told(url, &[]),
        "host=db sslmode=verify-full sslrootcert=system"
    );
    assert!(complete(url, &[("PGSSLMODE", "require")]).is_err());
}

#[test]
fn a_service_stands_between_url_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, system) = (
        folder.path().join("mine"),
        folder.path().join("pg_service.conf"),
    );
    let text = "# a comment\nnot read\n[other]\nhost=other\n\n [app] \n host=db,db2\nport=1\n\
                port=2\npassword=pw\nsslmode=require\nuser=\n[app]\nuser=second\n";
    fs::write(&mine, text).unwrap();
    fs::write(&system, "[app]\nhost=no\n[system]\nhost=sys\n").unwrap();
    let (mine, folder) = (mine.to_str().unwrap(), folder.path().to_str().unwrap());
    let env = [
        ("PGSERVICEFILE", mine),
        ("PGSYSCONFDIR", folder),
        ("PGSSLMODE", "disable"),
        ("PGUSER", "me"),
    ];
    let app = "host=db,db2 port=1 sslmode=require user=me password=pw";
    assert_eq!(told("service=app", &env), app);
    assert_eq!(told("postgresql://?service=app", &env), app);
    assert_eq!(
        told("service=system", &env),
        "host=sys sslmode=disable user=me"
    );
    let given = "host=here port=1 sslmode=require user=me password=pw";
    assert_eq!(told("service=app host=here", &env), given);
    let named = [&env[..], &[("PGSERVICE", "app")]].concat();
    assert_eq!(told("user=me", &named), app);
    let fault = complete("service=nobody", &env).unwrap_err();
    assert_eq!(fault.what, "there is no service `nobody`");
    assert!(fault.hint.contains(mine), "{fault:?}");
}

#[test]
fn wrong_service_files_are_refused_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services");
    for (text, what) in [
        (
            "[app]\nhost=db\nscrt\n",
            "there is no `name=value` in line 3",
        ),
        ("[app]\nhots=db\n", "unknown parameter `hots`"),
        ("[app]\nservice=other\n", "names another one in line 2"),
        ("[app]\nsslmode=scrt\n", "`sslmode` in line 2"),
        ("[app]\nrequire_auth=scrt\n", "`require_auth` in line 2"),
    ] {
        fs::write(&path, text).unwrap();
        let env = [("PGSERVICEFILE", path.to_str().unwrap())];
        let fault = complete("service=app", &env).unwrap_err();
        assert!(fault.what.contains(what), "{fault:?}");
        assert!(!format!("{fault:?}").contains("scrt"), "{fault:?}");
    }
    let fault = complete("service=app", &[("PGSERVICEFILE", "/nowhere/file")]).unwrap_err();
    assert!(
        fault
            .what
            .contains("cannot read the service file /nowhere/file"),
        "{fault:?}"
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (url, env, what) in [
        ("user=me", &[][..], "names no host"),
        ("host=db port=0", &[], "not a number from 1 to 65535"),
        ("host=db port=65536", &[], "not a number from 1 to 65535"),
        (
            "host=db",
            &[("PGPORT", "many")],
            "not a number from 1 to 65535",
        ),
        (
            "host=a,b,c port=1,2",
            &[],
            "`port` has 2 entries for 3 hosts",
        ),
        ("host=a,b hostaddr=1.1.1.1", &[], "`hostaddr` has 1 entries"),
        ("host=a,,b", &[], "an empty host"),
        ("host=@abstract", &[], "a socket without a file"),
        ("hostaddr=db", &[], "not an IP address"),
        (
            "hostaddr=::1 sslmode=verify-full",
            &[],
            "without a name to check",
        ),
        (
            "host=db sslrootcert=system sslmode=verify-ca",
            &[],
            "anybody can get",
        ),
        ("host=db sslnegotiation=direct", &[], "without a `sslmode`"),
        (
            "host=db channel_binding=require sslmode=disable",
            &[],
            "without TLS",
        ),
        ("host=/run channel_binding=require", &[], "without TLS"),
        (
            "host=db ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            &[],
            "is above",
        ),
        (
            "host=db",
            &[("PGSSLMODE", "on")],
            "the environment variable `PGSSLMODE`",
        ),
        (
            "host=db",
            &[("PGREQUIREAUTH", "none")],
            "the environment variable `PGREQUIREAUTH`",
        ),
        (
            "host=db",
            &[("PGGSSENCMODE", "require")],
            "the environment variable `PGGSSENCMODE`",
        ),
    ] {
        let fault = complete(url, env).unwrap_err();
        assert!(fault.what.contains(what), "{url}: {fault:?}");
        assert!(!fault.hint.is_empty());
    }
}

#[test]
fn the_same_database_has_the_same_address() {
    let address = |url| complete(url, &[]).unwrap().0.address().clone();
    let one = address("postgresql://a:x@DB:5432/app");
    assert_eq!(one, address("postgres://b@db/app?connect_timeout=3"));
    assert_eq!(one, address("postgresql:///?host=db&dbname=app"));
    assert_eq!(one, address("host=db port=5432 dbname=app"));
    assert_ne!(one, address("postgresql://a@db:5433/app"));
    assert_ne!(one, address("postgresql://a@db/app2"));
    assert_ne!(one, address("postgresql://a@db,db2/app"));
    assert_eq!(
        address("postgresql://app@db"),
        address("postgresql://db/app")
    );
}
