//! A password that changes while a daemon runs.

use lakeferry_postgres_testkit::{Settings, servers};

use super::{Daemon, mount, table};
use crate::{deployment::Deployment, tables};

const RULES: &str = "\
host all postgres 127.0.0.1/32 trust
host serving ferry 127.0.0.1/32 scram-sha-256
";

const USER: &str = "\
SET password_encryption = 'scram-sha-256'; CREATE ROLE ferry LOGIN PASSWORD 'swordfish'; \
GRANT CREATE ON DATABASE serving TO ferry; GRANT CREATE ON SCHEMA public TO ferry";

/// The next connection has it, without a reload; nobody reads it in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_in_its_file_is_used_at_the_next_connect() {
    for version in servers() {
        let settings = Settings::quick().file("pg_hba.conf", RULES);
        let mut deployment = Deployment::start_with(version, &settings);
        deployment.sql(USER);
        deployment.config_line("http: { listen: \"127.0.0.1:0\" }");
        let port = deployment.server().port();
        deployment.reach_by(&format!(
            "host=127.0.0.1 port={port} user=ferry dbname=serving"
        ));
        let folder = tempfile::tempdir().unwrap();
        let file = mount(folder.path(), "password", "swordfish\n");
        let file = file.display();
        deployment.target_option(&format!(
            "close_after: 1s, control_poll: none, password: {{ file: {file} }}"
        ));
        let (path, mut words) = table(&deployment, "words").await;
        deployment.job("words", &path, &["mode: continuous"]);
        let daemon = Daemon::start(&deployment).await;
        daemon.until_filled("words").await;
        for (id, password) in [(4, "marlin"), (5, "barracuda")] {
            mount(folder.path(), "password", password);
            deployment.sql(&format!("ALTER ROLE ferry PASSWORD '{password}'"));
            daemon
                .until("SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'ferry'")
                .await;
            let version = words.append(tables::words(&[(id, None)])).await.unwrap();
            daemon.until_version("words", version).await;
        }
        let ended = daemon.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        for word in ["swordfish", "marlin", "barracuda", "28P01"] {
            assert!(!ended.said.contains(word), "{}", ended.said);
        }
    }
}
