//! Which server: lists, sockets, roles; and what is said where there is none.

use std::net::TcpListener;

use lakeferry_postgres_testkit::{Server, Settings, servers};

use crate::probe::{connect, not_now, refused};

/// A port of this machine at which nobody listens.
fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_first_server_that_will_do_is_taken() {
    for version in servers() {
        let (server, reader) = (
            Server::start(version).unwrap(),
            Server::start(version).unwrap(),
        );
        println!("postgres {}", server.release());
        reader
            .psql(
                "postgres",
                "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()",
            )
            .unwrap();
        reader
            .restart(lakeferry_postgres_testkit::Stop::Fast)
            .unwrap();
        let (dead, one, read_only) = (nobody(), server.port(), reader.port());
        let to = |ports: &str, more: &str| {
            let hosts = vec!["127.0.0.1"; ports.split(',').count()].join(",");
            format!("host={hosts} port={ports} user=postgres {more}")
        };
        connect(&to(&format!("{dead},{one}"), "")).await.unwrap();
        connect(&to(&format!("{dead},{one}"), "load_balance_hosts=random"))
            .await
            .unwrap();
        let both = format!("{read_only},{one}");
        connect(&to(&both, "target_session_attrs=read-write"))
            .await
            .unwrap();
        connect(&to(&both, "target_session_attrs=primary"))
            .await
            .unwrap();
        let none = connect(&to(
            &format!("{dead},{read_only}"),
            "target_session_attrs=read-write",
        ))
        .await;
        not_now(
            none,
            &[
                "no server will do",
                "no server listens",
                "read only",
                &dead.to_string(),
            ],
        );
        // A refusal is final: the next server is not asked.
        let refusal = connect(&to(&format!("{one},{dead}"), "dbname=nowhere")).await;
        refused(refusal, &["\"nowhere\"", "3D000"]);
    }
}

#[tokio::test]
async fn a_socket_is_a_server_and_has_no_tls() {
    for version in servers() {
        let settings = Settings::quick().with("unix_socket_directories", ".");
        let server = Server::start_with(version, &settings).unwrap();
        let (folder, port) = (server.data_folder(), server.port());
        let to = format!("host={} port={port} user=postgres", folder.display());
        connect(&to).await.unwrap();
        connect(&format!("{to} sslmode=verify-full")).await.unwrap();
        let wrong = to.replace(&format!("port={port}"), "port=1");
        not_now(connect(&wrong).await, &["there is no socket"]);
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_said_with_its_remedy() {
    for version in servers() {
        let settings = Settings::quick().file(
            "pg_hba.conf",
            "host all postgres 127.0.0.1/32 trust\nhost all ferry 127.0.0.1/32 trust\n\
             host all ghost 127.0.0.1/32 trust\n",
        );
        let server = Server::start_with(version, &settings).unwrap();
        println!("postgres {}", server.release());
        server.create_database("app").unwrap();
        let sql = "CREATE ROLE ferry LOGIN; CREATE ROLE other LOGIN; \
                   REVOKE CONNECT ON DATABASE app FROM PUBLIC";
        server.psql("postgres", sql).unwrap();
        let to = format!("host=127.0.0.1 port={} dbname=app", server.port());
        for (user, words) in [
            ("ghost", ["28000", "CREATE ROLE \"ghost\" LOGIN"]),
            ("other", ["28000", "pg_hba.conf"]),
            (
                "ferry",
                ["42501", "GRANT CONNECT ON DATABASE \"app\" TO \"ferry\""],
            ),
        ] {
            refused(connect(&format!("{to} user={user}")).await, &words);
        }
        server.psql("postgres", "ALTER ROLE postgres CONNECTION LIMIT -1; ALTER ROLE ferry CONNECTION LIMIT 0; GRANT CONNECT ON DATABASE app TO ferry").unwrap();
        not_now(
            connect(&format!("{to} user=ferry")).await,
            &["53300", "max_connections"],
        );
    }
}

/// Something before a server that takes no TLS ends the connection, rather than to say so.
#[tokio::test]
async fn a_handshake_that_is_hung_up_on_falls_back_where_it_may() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut start = [0; 8];
                let seen = stream.peek(&mut start).await.unwrap_or(0);
                // The request for TLS (SSLRequest).
                if start[..seen].ends_with(&80_877_103_u32.to_be_bytes()) {
                    continue;
                }
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", behind))
                    .await
                    .unwrap();
                tokio::spawn(async move {
                    tokio::io::copy_bidirectional(&mut stream, &mut server).await
                });
            }
        });
        let to = format!("host=127.0.0.1 port={port} user=postgres");
        connect(&format!("{to} sslmode=prefer")).await.unwrap();
        let demanded = connect(&format!("{to} sslmode=require")).await;
        not_now(demanded, &["closed at its start"]);
    }
}

#[tokio::test]
async fn servers_that_are_not_there_are_named() {
    let dead = nobody();
    let to = format!("host=127.0.0.1 port={dead} user=me dbname=app");
    not_now(
        connect(&to).await,
        &[&format!("me@127.0.0.1:{dead}/app"), "no server listens"],
    );
    let unknown = "host=nowhere.invalid user=me";
    not_now(
        connect(unknown).await,
        &["the host nowhere.invalid is not known"],
    );
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let to = format!("host=127.0.0.1 port={port} user=me connect_timeout=1");
    not_now(
        connect(&to).await,
        &["no answer within 1 s", "connect_timeout"],
    );
    // It hangs up.
    let rude = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = rude.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = rude.accept().await {
            drop(stream);
        }
    });
    let to = format!("host=127.0.0.1 port={port} user=me sslmode=disable");
    not_now(connect(&to).await, &["closed at its start"]);
}
