//! The target is an ordinary table: what users add to it survives every run, a rebuild included.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, Some("three"))];

/// What users add: an index, a column with values, a view, a grant, a foreign key onto the target.
const ADDITIONS: &str = "\
CREATE ROLE reader;
CREATE INDEX words_by_word ON words (word);
ALTER TABLE words ADD COLUMN note text NOT NULL DEFAULT 'none';
UPDATE words SET note = 'noted ' || id;
CREATE VIEW long_words AS SELECT id, word FROM words WHERE length(word) > 3;
GRANT SELECT ON words TO reader;
CREATE TABLE uses (word_id bigint REFERENCES words (id));
INSERT INTO uses VALUES (1);";

/// The table itself and all that hangs on it.
const WHAT_HANGS_ON_IT: &str = "\
SELECT c.oid, c.relname, c.relacl::text, \
    (SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'words'), \
    (SELECT string_agg(conname, '; ' ORDER BY conname) FROM pg_constraint WHERE confrelid = c.oid), \
    pg_get_viewdef('long_words') \
FROM pg_class AS c WHERE c.oid = 'words'::regclass";

#[tokio::test(flavor = "multi_thread")]
async fn what_users_add_survives_every_run() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        deployment.sql(ADDITIONS);
        let hangs_on_it = deployment.sql(WHAT_HANGS_ON_IT);

        let changes = tables::puts(&[(2, Some("second")), (4, Some("fourth"))]);
        table.merge(&["id"], changes).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 1, 0]);
        table.delete(Some("id = 3")).await.unwrap();
        let done = deployment.backfill("words");
        done.assert_only("rebuild by difference");
        assert_eq!(done.rows(), [0, 0, 1]);

        let rows = "1,one,noted 1\n2,second,noted 2\n4,fourth,none";
        assert_eq!(deployment.dump("words"), rows);
        assert_eq!(
            deployment.sql("SELECT id FROM long_words ORDER BY id"),
            "2\n4"
        );
        assert_eq!(deployment.sql(WHAT_HANGS_ON_IT), hangs_on_it);
    }
}

/// A table with rows that no job filled is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_somebody_else_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sql("CREATE TABLE words (id bigint PRIMARY KEY, word text)");
        deployment.sql("INSERT INTO words VALUES (1, 'mine')");
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("rows that no job filled"), "{failure}");
        assert_eq!(deployment.dump("words"), "1,mine");

        // Emptied, it is taken as it stands.
        deployment.sql("TRUNCATE words; CREATE INDEX words_by_word ON words (word)");
        assert_eq!(deployment.sync().rows(), [3, 0, 0]);
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three");
    }
}
