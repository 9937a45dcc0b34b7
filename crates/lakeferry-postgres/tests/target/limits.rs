//! How many connections a server leaves, by each of its limits.

use lakeferry_postgres::{Spares, free_connections};

use crate::fixture::on_each_server;

#[tokio::test]
async fn the_narrowest_limit_counts_less_what_others_have_open() {
    on_each_server(async |desk| {
        let connect = &desk.settings.connect;
        let free = async || free_connections(connect, &Spares::default()).await.unwrap();
        // The two of this test.
        let of_server = "current_setting('max_connections')::int \
            - current_setting('superuser_reserved_connections')::int - 2";
        assert_eq!(free().await.to_string(), desk.ask(of_server).await);
        let name = "SET application_name = 'lakeferry/of a replica'";
        desk.run(name).await;
        let of_server = format!("{of_server} + 1");
        assert_eq!(free().await.to_string(), desk.ask(&of_server).await);
        for (limit, expected) in [
            ("DATABASE app CONNECTION LIMIT 9", 8),
            ("ROLE CURRENT_USER CONNECTION LIMIT 5", 4),
            ("DATABASE app CONNECTION LIMIT 4", 3),
            ("ROLE CURRENT_USER CONNECTION LIMIT 0", 0),
            ("ROLE CURRENT_USER CONNECTION LIMIT -1", 3),
        ] {
            desk.run(&format!("ALTER {limit}")).await;
            assert_eq!(free().await, expected, "{limit}");
        }
    })
    .await;
}
