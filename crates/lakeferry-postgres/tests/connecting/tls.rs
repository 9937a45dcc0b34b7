//! TLS by each mode of libpq, against servers with right and wrong certificates.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lakeferry_postgres_testkit::{Server, Settings, servers, servers_with_tls};
use tempfile::TempDir;

use crate::{
    certificates::{Authority, Says, self_signed},
    probe::{connect, connect_with, password, refused},
};

const RULES: &str = "\
host all postgres 127.0.0.1/32 trust
hostssl app encrypted 127.0.0.1/32 trust
hostnossl app plain 127.0.0.1/32 trust
hostssl app scram 127.0.0.1/32 scram-sha-256
hostssl app holder 127.0.0.1/32 cert
";

const USERS: &str = "\
CREATE ROLE encrypted LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE holder LOGIN; \
SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'right'";

/// A server that speaks TLS, and the files of its client.
struct World {
    server: Server,
    folder: TempDir,
    authority: Authority,
}

impl World {
    /// The certificate of the server is for `db.test`, by an authority whose certificate is
    /// `root.crt`.
    fn start(version: lakeferry_postgres_testkit::Version) -> Self {
        let (authority, other) = (Authority::new("root"), Authority::new("other"));
        let mut settings = Settings::quick()
            .with("ssl", "on")
            .with("ssl_cert_file", "right.crt")
            .with("ssl_key_file", "right.key")
            .with("ssl_ca_file", "root.crt")
            .with("log_connections", "on")
            .file("pg_hba.conf", RULES)
            .file("root.crt", &authority.pem);
        let right = Says {
            names: &["db.test"],
            ..Says::name("server")
        };
        let expired = Says {
            last_year: 2001,
            ..right
        };
        let revoked = Says { serial: 7, ..right };
        for (name, signed) in [
            ("right", authority.sign(&right)),
            ("common", authority.sign(&Says::name("db.test"))),
            ("expired", authority.sign(&expired)),
            ("revoked", authority.sign(&revoked)),
            ("own", self_signed("db.test")),
        ] {
            settings = settings
                .file(&format!("{name}.crt"), &signed.certificate)
                .file(&format!("{name}.key"), &signed.key);
        }
        let server = Server::start_with(version, &settings).unwrap();
        println!("postgres {}", server.release());
        server.create_database("app").unwrap();
        server.psql("app", USERS).unwrap();
        let world = Self {
            server,
            folder: tempfile::tempdir().unwrap(),
            authority,
        };
        world.write("root.crt", &world.authority.pem);
        world.write("other.crt", &other.pem);
        world.write("none.crl", &world.authority.revoke(&[]));
        world.write("seven.crl", &world.authority.revoke(&[7]));
        for (name, authority) in [("client", &world.authority), ("stranger", &other)] {
            let signed = authority.sign(&Says::name("holder"));
            world.write(&format!("{name}.crt"), &signed.certificate);
            world.write(&format!("{name}.key"), &signed.key);
        }
        world
    }

    /// A file of the client, which nobody else can read.
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn serve(&self, certificate: &str) {
        let (file, key) = (format!("{certificate}.crt"), format!("{certificate}.key"));
        let settings = [("ssl_cert_file", file.as_str()), ("ssl_key_file", &key)];
        self.server.reload(&settings).unwrap();
    }

    /// Parameters for `user`, as of the host `db.test`; `@` stands for the folder of the client.
    fn parameters(&self, user: &str, more: &str) -> String {
        let (port, folder) = (self.server.port(), self.folder.path().display());
        let more = more.replace('@', &format!("{folder}/"));
        let host = if more.contains("host=") {
            ""
        } else {
            "host=db.test"
        };
        format!("{host} hostaddr=127.0.0.1 port={port} user={user} dbname=app {more}")
    }

    async fn connects(&self, user: &str, more: &str) {
        let result = connect(&self.parameters(user, more)).await;
        result.unwrap_or_else(|error| panic!("{user} {more}: {error}"));
    }

    async fn refuses(&self, user: &str, more: &str, words: &[&str]) {
        refused(connect(&self.parameters(user, more)).await, words);
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the last connection of `user` was encrypted, as the server saw it.
    fn was_encrypted(&self, user: &str) -> bool {
        let log = self.server.log();
        let start = format!("connection authorized: user={user} ");
        let line = log.lines().rfind(|line| line.contains(&start));
        line.unwrap().contains("SSL enabled")
    }
}

#[tokio::test]
async fn each_mode_falls_back_as_it_may_and_no_further() {
    for version in servers_with_tls() {
        let world = World::start(version);
        for (mode, user, expected) in [
            ("disable", "plain", Ok(false)),
            ("disable", "encrypted", Err("sslmode=require")),
            ("allow", "plain", Ok(false)),
            ("allow", "encrypted", Ok(true)),
            ("prefer", "plain", Ok(false)),
            ("prefer", "encrypted", Ok(true)),
            ("require", "plain", Err("pg_hba.conf")),
            ("require", "encrypted", Ok(true)),
            ("require sslsni=0", "encrypted", Ok(true)),
            (
                "require ssl_min_protocol_version=TLSv1.3",
                "encrypted",
                Ok(true),
            ),
            (
                "require ssl_max_protocol_version=TLSv1.2",
                "encrypted",
                Ok(true),
            ),
        ] {
            let mode = format!("sslmode={mode}");
            match expected {
                Ok(encrypted) => {
                    world.connects(user, &mode).await;
                    assert_eq!(world.was_encrypted(user), encrypted, "{mode} {user}");
                }
                Err(word) => world.refuses(user, &mode, &["app", user, word]).await,
            }
        }
    }
}

#[tokio::test]
async fn certificates_are_held_against_roots_and_names() {
    for version in servers_with_tls() {
        let world = World::start(version);
        let user = "encrypted";
        for more in [
            "sslmode=require",
            "sslmode=require sslrootcert=@root.crt host=other.test",
            "sslmode=verify-ca sslrootcert=@root.crt host=other.test",
            "sslmode=verify-full sslrootcert=@root.crt",
            "sslmode=verify-full sslrootcert=@root.crt host=DB.test",
            "sslmode=verify-full sslrootcert=@root.crt sslcrl=@none.crl",
        ] {
            world.connects(user, more).await;
            assert!(world.was_encrypted(user), "{more}");
        }
        let unsigned = "not signed by a root certificate";
        for (more, word) in [
            ("sslmode=require sslrootcert=@other.crt", unsigned),
            ("sslmode=verify-ca sslrootcert=@other.crt", unsigned),
            ("sslmode=verify-full sslrootcert=@other.crt", unsigned),
            (
                "sslmode=verify-full sslrootcert=@root.crt host=other.test",
                "another name",
            ),
            (
                "sslmode=verify-ca sslrootcert=@absent.crt",
                "absent.crt cannot be read",
            ),
            (
                "sslmode=require sslrootcert=@absent.crt",
                "absent.crt cannot be read",
            ),
            (
                "sslmode=prefer sslrootcert=@absent.crt",
                "absent.crt cannot be read",
            ),
            (
                "sslmode=verify-ca sslrootcert=@client.key",
                "client.key cannot be used",
            ),
            ("sslmode=verify-full", "no root certificate"),
        ] {
            world.refuses(user, more, &[word]).await;
        }
        for (certificate, more, word) in [
            ("expired", "sslrootcert=@root.crt", Some("has expired")),
            ("common", "sslrootcert=@root.crt", None),
            ("own", "sslrootcert=@root.crt", Some(unsigned)),
            ("revoked", "sslrootcert=@root.crt", None),
            (
                "revoked",
                "sslrootcert=@root.crt sslcrl=@seven.crl",
                Some("was revoked"),
            ),
        ] {
            world.serve(certificate);
            let more = format!("sslmode=verify-full {more}");
            match word {
                None => world.connects(user, &more).await,
                Some(word) => world.refuses(user, &more, &[word]).await,
            }
        }
        world.serve("own");
        let own = fs::read_to_string(world.server.data_folder().join("own.crt")).unwrap();
        world.write("own.crt", &own);
        world
            .connects(user, "sslmode=verify-full sslrootcert=@own.crt")
            .await;
        let wrong = "sslmode=verify-full sslrootcert=@own.crt host=other.test";
        world.refuses(user, wrong, &["another name"]).await;
    }
}

#[tokio::test]
async fn files_in_the_home_are_used_as_libpq_uses_them() {
    for version in servers_with_tls() {
        let world = World::start(version);
        let read = |name: &str| fs::read_to_string(world.home().join(name)).unwrap();
        let at_home = async |user: &str, mode: &str| {
            let parameters = world.parameters(user, &format!("sslmode={mode}"));
            connect_with(&parameters, Some(world.home()), None).await
        };
        let missing = at_home("encrypted", "verify-ca").await;
        refused(missing, &["no root certificate", ".postgresql/root.crt"]);
        world.write(".postgresql/root.crt", &read("other.crt"));
        let unsigned = at_home("encrypted", "require").await;
        refused(unsigned, &["not signed by a root certificate"]);
        world.write(".postgresql/root.crt", &read("root.crt"));
        at_home("encrypted", "require").await.unwrap();
        at_home("encrypted", "verify-full").await.unwrap();

        let nobody = at_home("holder", "verify-full").await;
        refused(nobody, &["client certificate", "sslcert"]);
        world.write(".postgresql/postgresql.crt", &read("client.crt"));
        let keyless = at_home("holder", "verify-full").await;
        refused(keyless, &["postgresql.key cannot be read"]);
        world.write(".postgresql/postgresql.key", &read("client.key"));
        at_home("holder", "verify-full").await.unwrap();
    }
}

#[tokio::test]
async fn client_certificates_are_sent_and_their_keys_kept_close() {
    for version in servers_with_tls() {
        let world = World::start(version);
        let with = |certificate: &str, key: &str| {
            format!("sslmode=require sslcert=@{certificate}.crt sslkey=@{key}.key")
        };
        world.connects("holder", &with("client", "client")).await;
        for (more, words) in [
            (
                with("stranger", "stranger"),
                &["refuses the client certificate"][..],
            ),
            (with("client", "stranger"), &["client.crt cannot be used"]),
            (with("absent", "client"), &["absent.crt cannot be read"]),
            (
                "sslmode=require".to_owned(),
                &["client certificate", "sslcert"],
            ),
        ] {
            world.refuses("holder", &more, words).await;
        }
        let disabled = format!("{} sslcertmode=disable", with("client", "client"));
        world
            .refuses("holder", &disabled, &["client certificate"])
            .await;
        let key = world.home().join("client.key");
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        let open = with("client", "client");
        world
            .refuses("holder", &open, &["others can read", "chmod 0600"])
            .await;
    }
}

#[tokio::test]
async fn channel_binding_is_demanded_or_the_connection_refused() {
    for version in servers_with_tls() {
        let world = World::start(version);
        let with = async |user: &str, more: &str| {
            connect_with(&world.parameters(user, more), None, password("right")).await
        };
        with("scram", "sslmode=require channel_binding=require")
            .await
            .unwrap();
        with("scram", "sslmode=require channel_binding=disable")
            .await
            .unwrap();
        let unbound = with("encrypted", "sslmode=require channel_binding=require").await;
        refused(unbound, &["does not bind the password"]);
        let plain = with("plain", "sslmode=prefer channel_binding=require").await;
        refused(plain, &["does not bind the password"]);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_demanded() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        let to = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=postgres",
            server.port()
        );
        for mode in ["require", "require sslnegotiation=postgres"] {
            let result = connect(&format!("{to} sslmode={mode}")).await;
            refused(result, &["does not offer TLS", "sslmode=disable"]);
        }
        for mode in ["disable", "allow", "prefer"] {
            connect(&format!("{to} sslmode={mode}")).await.unwrap();
        }
    }
}
