//! A pooler that gives sessions to others is refused; one that does not is used, and a server
//! without one is not asked about it.

use lakeferry_postgres_testkit::{PoolMode, Pooler, Server, Settings, servers};

use crate::probe::{connect, refused};

#[tokio::test]
async fn only_a_pooler_in_session_mode_is_taken() {
    if !Pooler::is_installed() {
        return;
    }
    for version in servers() {
        let server = Server::start(version).unwrap();
        println!("postgres {}", server.release());
        for size in [1, 2, 5] {
            for (mode, settings) in [
                (PoolMode::Session, ""),
                (PoolMode::Transaction, ""),
                (PoolMode::Transaction, "server_round_robin = 1"),
                (PoolMode::Statement, ""),
            ] {
                // With one connection in session mode there is none to take turns with.
                let pooler = Pooler::start(&server, mode, size, settings).unwrap();
                let to = format!("host=127.0.0.1 port={} user=postgres", pooler.port());
                let result = connect(&to).await;
                if mode == PoolMode::Session {
                    result.unwrap();
                } else {
                    refused(result, &["connection pooler", "pool_mode = session"]);
                }
            }
        }
    }
}

/// Others use the same pool, and move its connections about.
#[tokio::test]
async fn a_busy_pool_in_transaction_mode_is_refused_too() {
    if !Pooler::is_installed() {
        return;
    }
    for version in servers() {
        let server = Server::start(version).unwrap();
        let pooler =
            Pooler::start(&server, PoolMode::Transaction, 4, "server_round_robin = 1").unwrap();
        let url = pooler.url("postgres");
        let others = (0..3).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
                    .await
                    .unwrap();
                tokio::spawn(connection);
                loop {
                    client.batch_execute("SELECT 1").await.unwrap();
                }
            })
        });
        let others: Vec<_> = others.collect();
        for _ in 0..5 {
            let to = format!("host=127.0.0.1 port={} user=postgres", pooler.port());
            refused(connect(&to).await, &["connection pooler"]);
        }
        others.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_server_itself_is_connected_to_once() {
    for version in servers() {
        let settings = Settings::quick().with("log_connections", "on");
        let server = Server::start_with(version, &settings).unwrap();
        let count = || {
            server
                .log()
                .matches("connection authorized: user=postgres")
                .count()
        };
        let before = count();
        connect(&format!(
            "host=127.0.0.1 port={} user=postgres",
            server.port()
        ))
        .await
        .unwrap();
        assert_eq!(count(), before + 1);
    }
}
