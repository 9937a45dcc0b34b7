//! Connections that have nothing to do are closed, all of them.

use std::time::Duration;

use lakeferry_postgres::{Control, Spares};
use tokio::task::JoinSet;

use crate::fixture::on_each_server;

/// However many are put aside in the same moment, so that their times are up at once.
#[tokio::test(flavor = "multi_thread")]
async fn spares_of_the_same_moment_are_all_closed() {
    const MOST: usize = 8;
    on_each_server(async |desk| {
        let spares = Spares::new(MOST, Duration::from_millis(50));
        let connect = desk.settings.connect.clone();
        let control = Control::new(connect, spares, "lakeferry", "test").unwrap();
        for _ in 0..20 {
            let mut looks = JoinSet::new();
            for _ in 0..MOST {
                let control = control.clone();
                looks.spawn(async move { control.look().await });
            }
            for looked in looks.join_all().await {
                assert_eq!(looked.unwrap(), []);
            }
            desk.until(
                "SELECT count(*) = 0 FROM pg_stat_activity \
                WHERE application_name LIKE 'lakeferry/%'",
            )
            .await;
        }
    })
    .await;
}
