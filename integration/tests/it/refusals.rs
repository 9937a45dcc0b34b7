//! What cannot be done rightly is refused: the error names the object and says what to do, and the
//! target stays as it was.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];
const DUMP: &str = "1,one\n2,two\n3,";

/// All relations besides those of the system and of the state.
const RELATIONS: &str = "\
SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text \
    NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'lakeferry')";

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_with_a_duplicate_or_null_key_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        table
            .append(tables::words(&[(2, Some("two again"))]))
            .await
            .unwrap();
        deployment.job("words", &path, &[]);
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("duplicate key"), "{failure}");
        assert_eq!(deployment.sql("SELECT to_regclass('words')"), "");

        deployment.forget_jobs();
        deployment.job("words", &path, &["key: [word]"]);
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("word"), "{failure}");
        assert_eq!(deployment.sql("SELECT to_regclass('words')"), "");

        deployment.forget_jobs();
        deployment.job("words", &path, &["key: [word]", "filter: word IS NOT NULL"]);
        deployment.sync();
        assert_eq!(
            deployment.sql("SELECT word FROM words ORDER BY word"),
            "one\ntwo\ntwo again"
        );
        // What the refused fills had loaded is gone as well.
        assert_eq!(deployment.sql(RELATIONS), "words");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), &ROWS[..2]).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        table
            .append(tables::words(&[(4, Some("four"))]))
            .await
            .unwrap();
        deployment.forget_jobs();
        deployment.job("words", &path, &["key: [word]"]);
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("key changed"), "{failure}");
        assert_eq!(deployment.dump("words"), "1,one\n2,two");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_or_was_replaced_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();

        deployment.sql("ALTER TABLE words RENAME TO mine; CREATE TABLE words (LIKE mine)");
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("another table has the name"), "{failure}");
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "0");

        deployment.sql("DROP TABLE words");
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("gone"), "{failure}");
        assert!(failure.contains("lakeferry backfill"), "{failure}");
        assert_eq!(deployment.backfill("words").rows(), [3, 0, 0]);
        assert_eq!(deployment.dump("words"), DUMP);
        assert_eq!(deployment.dump("mine"), DUMP);
    }
}

/// A row that somebody else wrote, deleted or changed under the job's eyes.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_disagrees_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &["refresh_above: 100%"]);
        deployment.sync();
        deployment.sql("INSERT INTO words VALUES (4, 'of somebody else')");
        table
            .append(tables::words(&[(4, Some("four"))]))
            .await
            .unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("1 are already in"), "{failure}");
        assert!(failure.contains("backfill"), "{failure}");
        assert_eq!(
            deployment.dump("words"),
            format!("{DUMP}\n4,of somebody else")
        );
        assert_eq!(deployment.backfill("words").rows(), [0, 1, 0]);

        deployment.sql("ALTER TABLE words ALTER COLUMN word TYPE bytea USING word::bytea");
        table
            .append(tables::words(&[(5, Some("5"))]))
            .await
            .unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("bytea"), "{failure}");
        assert!(failure.contains("ALTER TABLE"), "{failure}");
    }
}
