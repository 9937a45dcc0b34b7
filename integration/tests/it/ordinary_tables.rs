//! The target is an ordinary table: what users add to it survives every run, a rebuild included.

use std::time::Duration;

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, Some("three"))];

/// What a user does, and what must read the same ever after.
struct Added<'a> {
    /// Before the first fill.
    before: &'a str,
    /// After it.
    after: &'a str,
    shows: &'a str,
}

/// Fills the table `words`, lets the user add to it, and brings it through an increment and a
/// rebuild by difference; then lets `look` see it.
async fn survives(added: Added<'_>, look: impl Fn(&Deployment)) {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        deployment.sql("CREATE ROLE reader");
        deployment.sql(added.before);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        deployment.sql(added.after);
        let oid = deployment.sql("SELECT 'words'::regclass::oid");
        let shown = deployment.sql(added.shows);
        assert_ne!(shown, "", "it shows nothing");

        let changes = tables::puts(&[(2, Some("second")), (4, Some("fourth"))]);
        table.merge(&["id"], changes).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 1, 0]);
        assert_eq!(deployment.sql(added.shows), shown, "after an increment");
        table.delete(Some("id = 3")).await.unwrap();
        let done = deployment.backfill("words");
        done.assert_only("rebuild by difference");
        assert_eq!(done.rows(), [0, 0, 1]);
        assert_eq!(deployment.sql(added.shows), shown, "after a rebuild");

        let rows = deployment.sql("SELECT id, word FROM words ORDER BY id");
        assert_eq!(rows, "1|one\n2|second\n4|fourth");
        assert_eq!(deployment.sql("SELECT 'words'::regclass::oid"), oid);
        look(&deployment);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_survives() {
    let added = Added {
        before: "",
        after: "CREATE INDEX by_word ON words (word); \
            CREATE INDEX by_length ON words (length(word)) WHERE id > 1; \
            CREATE UNIQUE INDEX only_word ON words (lower(word)); CLUSTER words USING by_word",
        shows: "SELECT indexdef, indisvalid, indisclustered FROM pg_indexes \
            JOIN pg_index ON indexrelid = indexname::regclass \
            WHERE tablename = 'words' ORDER BY indexname",
    };
    survives(added, |deployment| {
        let by_index = "SET enable_seqscan = off; SELECT id FROM words WHERE word = 'fourth'";
        assert_eq!(deployment.sql(by_index), "4");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_survives() {
    let added = Added {
        before: "",
        after: "CREATE VIEW seen AS SELECT * FROM words WHERE length(word) > 3; \
            CREATE MATERIALIZED VIEW kept AS SELECT id FROM words",
        shows: "SELECT pg_get_viewdef('seen'), pg_get_viewdef('kept'), count(*) FROM kept",
    };
    survives(added, |deployment| {
        assert_eq!(deployment.sql("SELECT id FROM seen ORDER BY id"), "2\n4");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_survives() {
    let added = Added {
        before: "",
        after: "GRANT SELECT (word), UPDATE (id) ON words TO reader; GRANT DELETE ON words TO reader",
        shows: "SELECT relacl, attname, attacl FROM pg_class JOIN pg_attribute ON attrelid = oid \
            WHERE oid = 'words'::regclass AND attacl IS NOT NULL ORDER BY attname",
    };
    survives(added, |deployment| {
        let read = "SET ROLE reader; SELECT count(word) FROM words";
        assert_eq!(deployment.sql(read), "3");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_privilege_survives() {
    let added = Added {
        before: "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
        after: "",
        shows: "SELECT relacl, defaclacl FROM pg_class, pg_default_acl \
            WHERE pg_class.oid = 'words'::regclass",
    };
    survives(added, |deployment| {
        assert_eq!(
            deployment.sql("SET ROLE reader; SELECT count(*) FROM words"),
            "3"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_survives() {
    let added = Added {
        before: "CREATE TABLE lengths (word text PRIMARY KEY); \
            INSERT INTO lengths VALUES ('one'), ('two'), ('three'), ('second'), ('fourth')",
        after: "ALTER TABLE words ADD FOREIGN KEY (word) REFERENCES lengths; \
            CREATE TABLE uses (word_id bigint REFERENCES words); \
            CREATE TABLE holds (word_id bigint REFERENCES words ON DELETE CASCADE); \
            INSERT INTO uses VALUES (1), (2); INSERT INTO holds VALUES (2), (3)",
        shows: "SELECT conrelid::regclass, pg_get_constraintdef(oid), convalidated \
            FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2",
    };
    survives(added, |deployment| {
        assert_eq!(
            deployment.sql("SELECT word_id FROM uses ORDER BY 1"),
            "1\n2"
        );
        assert_eq!(deployment.sql("SELECT word_id FROM holds"), "2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_survives() {
    let added = Added {
        before: "",
        after: "CREATE PUBLICATION of_words FOR TABLE words; \
            ALTER TABLE words REPLICA IDENTITY FULL",
        shows: "SELECT pubname, tablename, relreplident FROM pg_publication_tables \
            JOIN pg_class ON pg_class.oid = tablename::regclass",
    };
    survives(added, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_not_null_default_column_survives() {
    let added = Added {
        before: "",
        after: "ALTER TABLE words ADD note text NOT NULL DEFAULT 'none'; \
            UPDATE words SET note = 'noted ' || id",
        shows: "SELECT attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute \
            JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attname = 'note'",
    };
    survives(added, |deployment| {
        let notes = deployment.sql("SELECT note FROM words ORDER BY id");
        assert_eq!(notes, "noted 1\nnoted 2\nnone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_nullable_column_survives() {
    let added = Added {
        before: "",
        after: "ALTER TABLE words ADD note text; UPDATE words SET note = 'noted ' || id",
        shows: "SELECT attnum, atttypid::regtype FROM pg_attribute WHERE attname = 'note'",
    };
    survives(added, |deployment| {
        let notes = deployment.sql("SELECT id, note FROM words ORDER BY id");
        assert_eq!(notes, "1|noted 1\n2|noted 2\n4|");
    })
    .await;
}

/// Two rows exchange their words, as an increment and as a rebuild.
#[tokio::test(flavor = "multi_thread")]
async fn a_unique_index_swapped_between_two_rows_is_survived_or_halts_with_the_advice() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        deployment.sql("CREATE UNIQUE INDEX by_word ON words (word)");
        let (there, back) = (
            [(1, Some("two")), (2, Some("one"))],
            [(1, Some("one")), (2, Some("two"))],
        );

        table.merge(&["id"], tables::puts(&there)).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 2, 0]);
        assert_eq!(deployment.dump("words"), "1,two\n2,one\n3,three");
        table.merge(&["id"], tables::puts(&back)).await.unwrap();
        assert_eq!(deployment.backfill("words").rows(), [0, 2, 0]);
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three");

        deployment.sql("ALTER TABLE words ALTER word SET NOT NULL");
        let watermark = deployment.watermark("words");
        table.merge(&["id"], tables::puts(&there)).await.unwrap();
        for command in [&["sync"][..], &["backfill", "words"]] {
            let failure = deployment.run(command).failure(1);
            let message = "rows of public.words exchange values, or have the same, under the \
                unique index \"by_word\" on (word)";
            assert!(failure.contains(message), "{failure}");
            assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three");
            assert_eq!(deployment.watermark("words"), watermark);
        }
        let failure = deployment.run(&["sync"]).failure(1);
        let advice = failure.lines().last().unwrap();
        assert!(advice.ends_with("UNIQUE (word) DEFERRABLE"), "{failure}");
        deployment.sql(advice);
        assert_eq!(deployment.sync().rows(), [0, 2, 0]);
        assert_eq!(deployment.dump("words"), "1,two\n2,one\n3,three");
    }
}

/// Partitions, a wider key, a limited text, a trigger, a column of the user's in front.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_of_the_user_is_filled_as_it_stands() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sql(
            "CREATE TABLE words (note text NOT NULL DEFAULT 'none', id numeric(20) PRIMARY KEY, \
                word varchar(6)) PARTITION BY RANGE (id); \
             CREATE TABLE low PARTITION OF words FOR VALUES FROM (0) TO (4); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN NEW.note := lower(TG_OP); RETURN NEW; END $$; \
             CREATE TRIGGER noted BEFORE UPDATE ON words FOR EACH ROW EXECUTE FUNCTION note()",
        );
        assert_eq!(deployment.sync().rows(), [3, 0, 0]);
        let changes = tables::puts(&[(2, Some("second")), (4, Some("fourth"))]);
        table.merge(&["id"], changes).await.unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(
            failure.contains("add a partition that takes the row"),
            "{failure}"
        );
        deployment.sql("CREATE TABLE high PARTITION OF words FOR VALUES FROM (4) TO (9)");
        assert_eq!(deployment.sync().rows(), [1, 1, 0]);
        table.delete(Some("id = 1")).await.unwrap();
        assert_eq!(deployment.backfill("words").rows(), [0, 0, 1]);
        let rows = deployment.sql("SELECT tableoid::regclass, * FROM words ORDER BY id");
        let expected = "low|update|2|second\nlow|none|3|three\nhigh|none|4|fourth";
        assert_eq!(rows, expected);
        table
            .append(tables::words(&[(5, Some("seventh"))]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 0]);
        let kept = "SELECT column_name || ': ' || reason FROM lakeferry.quarantine";
        assert_eq!(
            deployment.sql(kept),
            "word: a text of more than 6 characters"
        );
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "3");
    }
}

/// What another job has still to bring is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_referred_to_may_come_a_little_later() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sql(
            "CREATE TABLE lengths (word text PRIMARY KEY); \
             CREATE TABLE words (id bigint PRIMARY KEY, word text REFERENCES lengths)",
        );
        std::thread::scope(|threads| {
            let sync = threads.spawn(|| deployment.run(&["sync"]));
            while !deployment
                .server()
                .log()
                .contains("violates foreign key constraint")
            {
                assert!(!sync.is_finished(), "{}", sync.join().unwrap());
                std::thread::sleep(Duration::from_millis(20));
            }
            deployment.sql("INSERT INTO lengths VALUES ('one'), ('two'), ('three')");
            sync.join().unwrap().jobs_done();
        });
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three");
    }
}

/// A role that may do what `config/grants.sql` prints, and nothing else, does all there is to do.
#[tokio::test(flavor = "multi_thread")]
async fn the_least_grants_are_enough() {
    const GRANTS: &str = include_str!("../../../config/grants.sql");
    for version in servers() {
        let mut deployment = Deployment::start(version);
        deployment.sql(
            "CREATE ROLE ferry LOGIN; REVOKE ALL ON DATABASE serving FROM public; \
             REVOKE ALL ON SCHEMA public FROM public; \
             CREATE TABLE mine (id bigint PRIMARY KEY, word text, number serial)",
        );
        let url = deployment.url().replace("//postgres@", "//ferry@");
        deployment.reach_by(&url);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.job("mine", &path, &[]);
        for target in ["public.words", "public.mine"] {
            let grants = format!("\\set role ferry\n\\set target {target}\n{GRANTS}");
            let grants = deployment.sql(&grants);
            let number = if target == "public.mine" { 5 } else { 3 };
            assert_eq!(grants.lines().count(), number, "{grants}");
            deployment.sql(&grants);
        }
        assert_eq!(deployment.run(&["sync"]).jobs_done().len(), 2);
        let changes = tables::puts(&[(2, Some("second")), (4, Some("fourth"))]);
        table.merge(&["id"], changes).await.unwrap();
        deployment.run(&["sync"]).jobs_done();
        table.delete(Some("id = 1")).await.unwrap();
        for job in ["words", "mine"] {
            assert_eq!(deployment.backfill(job).rows(), [0, 0, 1]);
            let rows = deployment.sql(&format!("SELECT id, word FROM {job} ORDER BY id"));
            assert_eq!(rows, "2|second\n3|three\n4|fourth");
        }
        deployment.run(&["status"]);
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
