//! A table that has its source's rows already is taken over without one of them being written; any
//! other is refused with what differs, and left to the byte as it was.

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};
use serde_json::Value;

use crate::{
    deployment::Deployment,
    lakeferry::{JobDone, typed},
    process::Process,
    scene::{IS_BLOCKED, LIMIT, Scene},
    tables,
};

const ROWS: tables::Words<'_> = &[
    (1, Some("one")),
    (2, Some("two")),
    (3, Some("")),
    (4, None),
    (9, Some("filtered out")),
];

/// As a user may have made and filled it: in another order, with columns of their own, a hole where
/// a row was, an index and a view.
const TABLE: &str = r#"
CREATE TABLE words (note text DEFAULT 'mine', word text, id bigint PRIMARY KEY,
    seen timestamptz NOT NULL DEFAULT now());
CREATE INDEX words_by_word ON words (word);
CREATE VIEW short_words AS SELECT id FROM words WHERE length(word) < 4;
INSERT INTO words (id, word) VALUES (4, NULL), (7, 'gone'), (2, 'two');
COPY words (word, id) FROM stdin (FORMAT csv);
one,1
"",3
\.
DELETE FROM words WHERE id = 7;
"#;

/// Whether no process of the product is connected.
const NO_SESSION: &str = "\
SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'lakeferry/%')";

/// A source in version 1, and the table of [`TABLE`] that has its rows under the job's filter.
async fn start(version: Version) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("words");
    let table = tables::create(&path, NewTable::with_feed(), ROWS).await;
    deployment.job("words", &path, &["filter: id < 9", "refresh_above: 100%"]);
    deployment.sql(TABLE);
    (deployment, table)
}

#[track_caller]
fn adopted(deployment: &Deployment) -> JobDone {
    deployment.run(&["adopt", "words"]).jobs_done().remove(0)
}

fn begin(deployment: &Deployment) -> Process {
    let config = deployment.config();
    Process::start(&config, config.parent().unwrap(), &["adopt", "words"]).unwrap()
}

/// What must stay to the byte: each row with where it stands and who wrote it.
fn untouched(deployment: &Deployment) -> (Vec<String>, String, String) {
    (
        deployment.row_versions("words"),
        deployment.dump("words"),
        deployment.sql("SELECT pg_relation_filenode('words'), 'words'::regclass::oid"),
    )
}

/// What an adoption that came to nothing must not leave: a watermark, a run, a table of ours.
fn left(deployment: &Deployment) -> String {
    deployment.sql(
        "SELECT (SELECT count(*) FROM lakeferry.progress WHERE version IS NOT NULL), \
            (SELECT count(*) FROM lakeferry.runs), (SELECT count(target_oid) FROM lakeferry.jobs), \
            (SELECT count(*) FROM pg_class WHERE starts_with(relname, '_lakeferry_'))",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_filled_by_hand_is_adopted_and_increments_follow() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        let refused = deployment.run(&["sync"]).failure(1);
        assert!(refused.contains("lakeferry adopt"), "{refused}");
        let planned = deployment.run(&["plan"]).result();
        let hint = planned[0]["hint"].as_str().unwrap();
        assert!(hint.contains("lakeferry adopt"), "{hint}");

        let before = untouched(&deployment);
        let done = adopted(&deployment);
        done.assert_only("adopt the table");
        assert_eq!((done.rows(), done.through), ([0; 3], Some(1)));
        assert_eq!(done.steps[0].rows_read, 4);
        assert_eq!(untouched(&deployment), before);
        assert_eq!(left(&deployment), "1|1|1|0");
        assert_eq!(deployment.run_kinds(), ["adopt"]);

        assert!(deployment.sync().steps.is_empty());
        let changes = tables::puts(&[(2, Some("second")), (5, Some("five"))]);
        table.merge(&["id"], changes).await.unwrap();
        table.delete(Some("id = 1")).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 1, 1]);
        let rows = deployment.sql("SELECT id, word, note FROM words ORDER BY id");
        assert_eq!(rows, "2|second|mine\n3||mine\n4||mine\n5|five|mine");
        assert_eq!(deployment.sql("SELECT id FROM short_words"), "3");
        assert!(deployment.row_versions("words")[1..3] == before.0[2..]);
    }
}

/// One row that differs, one that is missing, one too many, and all at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_differs_is_refused_with_what_differs() {
    for version in servers() {
        let (deployment, _table) = start(version).await;
        for (change, counts, keys) in [
            ("UPDATE words SET word = 'Two' WHERE id = 2", [0, 0, 1], "2"),
            ("DELETE FROM words WHERE id = 2", [1, 0, 0], "2"),
            (
                "INSERT INTO words (id, word) VALUES (9, 'filtered out')",
                [0, 1, 0],
                "9",
            ),
            (
                "UPDATE words SET id = 8 WHERE id = 4; UPDATE words SET word = NULL WHERE id = 3",
                [1, 1, 1],
                "4 8 3",
            ),
        ] {
            deployment.sql(&format!("DROP TABLE words CASCADE; {TABLE}{change}"));
            let before = untouched(&deployment);
            let said = deployment.run(&["adopt", "words"]);
            let failure = said.failure(1);
            assert!(failure.contains("lakeferry sync words"), "{failure}");
            let envelope: Value = serde_json::from_str(&said.stdout).unwrap();
            let differences = &envelope["error"]["differences"];
            let kinds = ["missing", "surplus", "unlike"];
            let counted = kinds.map(|kind| differences[kind]["count"].as_u64().unwrap());
            assert_eq!(counted, counts, "{change}: {said}");
            let examples = kinds.iter().flat_map(|kind| {
                let examples = differences[kind]["examples"].as_array().unwrap();
                examples.iter().map(|key| key.as_str().unwrap())
            });
            assert_eq!(examples.collect::<Vec<_>>().join(" "), keys, "{change}");
            assert_eq!(untouched(&deployment), before);
            assert_eq!(left(&deployment), "0|0|0|0");
        }
        let folder = deployment.config();
        let said = typed(folder.parent().unwrap(), &["adopt", "words"]);
        assert_eq!(said.code, 1, "{said}");
        for part in [
            "the source's rows 1 are missing and 1 differ, and 1 more are there",
            "missing: 1, with keys 4\n",
            "surplus: 1, with keys 8\n",
            "unlike: 1, with keys 3\n",
        ] {
            assert!(said.stderr.contains(part), "{part}: {said}");
        }
    }
}

/// An adopted table needs no adopting, whatever came since; a table must be there.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_adopt_twice() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        adopted(&deployment);
        table
            .append(tables::words(&[(5, Some("five"))]))
            .await
            .unwrap();
        let transaction = deployment.next_transaction();
        let folder = deployment.config();
        let said = typed(folder.parent().unwrap(), &["adopt", "words"]);
        assert_eq!(said.code, 0, "{said}");
        let text = "words: nothing to adopt, its job filled the table, which is at version 1\n";
        assert_eq!(said.stdout, text);
        assert!(adopted(&deployment).steps.is_empty());
        assert_eq!(deployment.next_transaction(), transaction);
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);

        deployment.sql("DROP TABLE words CASCADE");
        let failure = deployment.run(&["adopt", "words"]).failure(1);
        assert!(failure.contains("there is no table to adopt"), "{failure}");
        assert_eq!(deployment.run(&["adopt", "none"]).code, 2);
    }
}

/// The state of the copy tells of a table that is not there, and the source has gone on since.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_is_adopted_at_the_version_that_it_has() {
    for version in servers() {
        let (mut deployment, mut table) = start(version).await;
        adopted(&deployment);
        let dump = deployment.pg_dump();
        let restored = deployment.server().create_database("restored").unwrap();
        let sql = |sql: &str| deployment.server().psql("restored", sql).unwrap();
        sql(&dump);
        let rows = "SELECT id, ctid, xmin, xmax FROM words ORDER BY id";
        let before = sql(rows);
        table
            .append(tables::words(&[(5, Some("five"))]))
            .await
            .unwrap();

        deployment.reach_by(&restored);
        let sql = |sql: &str| deployment.server().psql("restored", sql).unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("lakeferry adopt"), "{failure}");
        let done = adopted(&deployment);
        assert_eq!(done.through, Some(1), "{done:?}");
        assert_eq!(sql(rows), before);
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
        let kinds = "SELECT string_agg(kind, ' ' ORDER BY run_id) FROM lakeferry.runs";
        assert_eq!(sql(kinds), "adopt adopt changes");
        assert_eq!(sql("SELECT count(*) FROM words"), "5");
    }
}

/// Killed when all was compared and the watermark written, but not committed.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_in_the_middle_leaves_nothing() {
    for version in servers() {
        let (deployment, _table) = start(version).await;
        // This makes the state.
        deployment.sql("UPDATE words SET word = 'Two' WHERE id = 2");
        deployment.run(&["adopt", "words"]).failure(1);
        deployment.sql("UPDATE words SET word = 'two' WHERE id = 2");
        let before = untouched(&deployment);
        let rival = deployment.connect().await;
        let lock = "BEGIN; LOCK TABLE lakeferry.runs IN SHARE MODE";
        rival.batch_execute(lock).await.unwrap();
        let witness = deployment.connect().await;
        let adopt = begin(&deployment);
        Scene::until(&witness, IS_BLOCKED).await;
        adopt.kill().unwrap();
        rival.batch_execute("ROLLBACK").await.unwrap();
        Scene::until(&witness, NO_SESSION).await;
        assert_eq!(untouched(&deployment), before);
        assert!(left(&deployment).starts_with("0|0|0|"));
        adopted(&deployment);
        assert_eq!(untouched(&deployment), before);
        assert_eq!(left(&deployment), "1|1|1|0");
    }
}

/// Both say that it is done, and it was done once.
#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_adopt_once() {
    for version in servers() {
        let (deployment, _table) = start(version).await;
        let before = untouched(&deployment);
        let both = [begin(&deployment), begin(&deployment)];
        for adopt in both {
            let ended = adopt.end(LIMIT).await.unwrap();
            assert_eq!(ended.code, Some(0), "{}", ended.said);
        }
        assert_eq!(untouched(&deployment), before);
        assert_eq!(left(&deployment), "1|1|1|0");
    }
}
