//! Settings of a role or a database that are meant for other sessions do not reach ours.

use crate::scene::{JOB, LIMIT, Scene, on_each_server};

/// By the version of the server that has them first.
const SETTINGS: [(u32, &str, &str); 23] = [
    (13, "statement_timeout", "1s"),
    (13, "lock_timeout", "1s"),
    (13, "idle_in_transaction_session_timeout", "2s"),
    (14, "idle_session_timeout", "2s"),
    (17, "transaction_timeout", "2s"),
    (13, "default_transaction_read_only", "on"),
    (13, "default_transaction_isolation", "serializable"),
    (13, "default_transaction_deferrable", "on"),
    (13, "search_path", "nowhere"),
    (13, "client_min_messages", "debug5"),
    (13, "row_security", "on"),
    (13, "DateStyle", "German, DMY"),
    (13, "IntervalStyle", "sql_standard"),
    (13, "TimeZone", "Asia/Kathmandu"),
    (13, "bytea_output", "escape"),
    (13, "extra_float_digits", "-15"),
    (13, "standard_conforming_strings", "off"),
    (13, "array_nulls", "off"),
    (13, "transform_null_equals", "on"),
    (13, "check_function_bodies", "off"),
    (13, "work_mem", "64kB"),
    (13, "enable_hashjoin", "off"),
    (13, "plan_cache_mode", "force_generic_plan"),
];

const IS_BLOCKED_FOR_LONG: &str = "\
SELECT EXISTS (SELECT FROM pg_stat_activity \
    WHERE application_name LIKE 'lakeferry/%' AND wait_event_type = 'Lock' \
        AND clock_timestamp() - query_start > interval '4 s')";

#[test]
fn settings_of_a_role() {
    on_each_server("settings_of_a_role", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        scene.deployment.sql(
            "DROP TABLE moving; DROP SCHEMA lakeferry CASCADE; CREATE ROLE ferry LOGIN; \
             GRANT CREATE ON DATABASE serving TO ferry; GRANT CREATE ON SCHEMA public TO ferry",
        );
        for (since, name, value) in SETTINGS {
            if since <= version.major() {
                let role = format!("ALTER ROLE ferry IN DATABASE serving SET {name} = {value}");
                let quoted = format!("ALTER ROLE ferry SET {name} = '{value}'");
                let text = if name == "DateStyle" { &role } else { &quoted };
                scene.deployment.sql(text);
            }
        }
        let address = scene.deployment.url().replace("postgres@", "ferry@");
        scene.deployment.reach_by(&address);
        scene.sync_to_head();
        for _ in 0..4 {
            scene.commit().await;
            scene.sync_to_head();
        }
        // For longer than any of these times.
        scene.commit().await;
        let rival = scene.deployment.connect().await;
        let witness = scene.deployment.connect().await;
        let lock = "BEGIN; LOCK TABLE moving IN SHARE MODE";
        rival.batch_execute(lock).await.unwrap();
        let process = scene.begin(&["sync"]);
        Scene::until(&witness, IS_BLOCKED_FOR_LONG).await;
        rival.batch_execute("ROLLBACK").await.unwrap();
        let ended = process.end(LIMIT).await.unwrap();
        assert!(!ended.said.contains("trying again"), "{ended:?}");
        scene.expect_done(&ended);
        scene.commit().await;
        scene.deployment.backfill(JOB);
        scene.expect_head();
    });
}
