//! Columns that the target has beside those of the source, and rows that stay when they are deleted.

use std::collections::{BTreeMap, BTreeSet};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};
use rand::Rng as _;

use crate::{deployment::Deployment, seed::seeded, tables};

const SOFT: &str = "deletes: soft";
const METADATA: &str = "metadata_columns: [_synced_at, _commit_version]";
/// What the source has, and what only it had.
const LIVE: &str = "SELECT id, word FROM words WHERE _deleted_at IS NULL ORDER BY id";
const DELETED: &str = "SELECT id FROM words WHERE _deleted_at IS NOT NULL ORDER BY id";
const ALL: &str = "SELECT id, word, _commit_version FROM words ORDER BY id";

/// Rows by key, as the test knows them.
type Words = BTreeMap<i64, String>;

fn numbered(ids: std::ops::Range<i64>) -> Words {
    ids.map(|id| (id, format!("word {:x}", id * 7_919 % 65_536)))
        .collect()
}

fn cells(words: &Words) -> Vec<(i64, Option<&str>)> {
    words
        .iter()
        .map(|(id, word)| (*id, Some(word.as_str())))
        .collect()
}

fn listed(words: &Words) -> String {
    let lines: Vec<String> = words
        .iter()
        .map(|(id, word)| format!("{id}|{word}"))
        .collect();
    lines.join("\n")
}

/// A job that has been filled with `words`.
async fn filled(
    version: Version,
    new: NewTable,
    words: &Words,
    options: &[&str],
) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("words");
    let table = tables::create(&path, new, &cells(words)).await;
    deployment.job("words", &path, options);
    deployment.sync();
    (deployment, table)
}

fn configure(deployment: &mut Deployment, options: &[&str]) {
    let path = deployment.lake("words");
    deployment.forget_jobs();
    deployment.job("words", &path, options);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_when_a_row_came_to_be_as_it_is() {
    for version in servers() {
        for new in [NewTable::with_feed(), NewTable::without_feed()] {
            let words = numbered(1..1_000);
            let (mut deployment, mut table) = filled(version, new, &words, &[METADATA]).await;
            let since = deployment.sql("SELECT max(_synced_at) FROM words");
            let puts = [
                (1, Some("one")),
                (2, words.get(&2).map(String::as_str)),
                (-1, None),
            ];
            table.merge(&["id"], tables::puts(&puts)).await.unwrap();
            assert_eq!(deployment.sync().rows(), [1, 1, 0]);
            let newer = format!(
                "SELECT id, _commit_version FROM words WHERE _synced_at > '{since}' ORDER BY id"
            );
            assert_eq!(deployment.sql(&newer), "-1|2\n1|2");
            let others = "SELECT DISTINCT _commit_version FROM words WHERE id > 1";
            assert_eq!(deployment.sql(others), "1");
            let undefaulted = "SELECT count(*) FROM pg_attrdef WHERE adrelid = 'words'::regclass";
            assert_eq!(deployment.sql(undefaulted), "0");
            // Equal rows are not written by a rebuild either.
            let before = deployment.row_versions("words");
            deployment.backfill("words");
            assert_eq!(deployment.row_versions("words"), before);
            // No longer asked for: what is there stays, and is told.
            configure(&mut deployment, &["metadata_columns: [_synced_at]"]);
            table
                .merge(&["id"], tables::puts(&[(3, Some("three"))]))
                .await
                .unwrap();
            deployment.sync();
            let third = "SELECT _commit_version, _synced_at > now() - interval '1 hour' FROM words WHERE id = 3";
            assert_eq!(deployment.sql(third), "1|t");
            let status = deployment.run(&["status"]).result();
            assert_eq!(
                status[0]["detached_columns"][0], "_commit_version",
                "{status}"
            );
        }
    }
}

/// Random commits, and what the test itself knows of them.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_stay_whatever_happens() {
    let mut random = seeded("deleted_rows_stay_whatever_happens");
    let (mut syncs, mut kinds) = (0, BTreeSet::new());
    for version in servers() {
        for new in [NewTable::with_feed(), NewTable::without_feed()] {
            let mut words = numbered(0..400);
            let options = [SOFT, "filter: word <> 'hidden'", "on_bad_value: quarantine"];
            let (deployment, mut table) = filled(version, new, &words, &options).await;
            let mut ever: BTreeSet<i64> = words.keys().copied().collect();
            for _ in 0..12 {
                for _ in 0..random.random_range(1..3) {
                    let ids: BTreeSet<i64> = (0..random.random_range(1..8))
                        .map(|_| random.random_range(0..420))
                        .collect();
                    if random.random_bool(0.5) {
                        let ids: Vec<i64> = ids.into_iter().collect();
                        table.merge(&["id"], tables::deletes(&ids)).await.unwrap();
                        words.retain(|id, _| !ids.contains(id));
                    } else {
                        let word = ["hidden", "shown", "bad\0"][random.random_range(0..3)];
                        words.extend(ids.iter().map(|id| (*id, word.to_owned())));
                        let puts: Vec<_> = ids.iter().map(|id| (*id, Some(word))).collect();
                        table.merge(&["id"], tables::puts(&puts)).await.unwrap();
                    }
                }
                let done = match random.random_bool(0.2) {
                    true => deployment.backfill("words"),
                    false => deployment.sync(),
                };
                kinds.extend(done.steps.iter().map(|step| step.kind.clone()));
                syncs += 1;
                let live: Words = (words.clone().into_iter())
                    .filter(|(_, word)| word != "hidden" && !word.contains('\0'))
                    .collect();
                assert_eq!(deployment.sql(LIVE), listed(&live));
                ever.extend(live.keys());
                let deleted = ever.iter().filter(|id| !live.contains_key(id));
                let deleted: Vec<String> = deleted.map(ToString::to_string).collect();
                assert_eq!(deployment.sql(DELETED), deleted.join("\n"));
            }
            assert!(deployment.sync().steps.is_empty());
        }
    }
    println!("{syncs} syncs: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_begin_to_stay_and_go_again() {
    for version in servers() {
        let words = numbered(0..50);
        let new = NewTable::with_feed();
        let (mut deployment, mut table) = filled(version, new, &words, &[]).await;
        let index = "CREATE UNIQUE INDEX one_of_each ON words (word)";
        deployment.sql(index);
        configure(&mut deployment, &[SOFT, METADATA]);
        let plan = deployment.run(&["plan"]).result();
        let ddl = plan[0]["ddl"].as_str().unwrap();
        assert!(
            ddl.contains("ADD COLUMN \"_deleted_at\" timestamp with time zone"),
            "{ddl}"
        );
        deployment.sync();
        table
            .merge(&["id"], tables::deletes(&[1, 2]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 2]);
        assert_eq!(deployment.sql(DELETED), "1\n2");
        let kept = "SELECT word, _commit_version FROM words WHERE id = 1";
        assert_eq!(deployment.sql(kept), format!("{}|2", words[&1]));
        // What stays is in the way of an index over all rows, and the hint says so.
        let again = [(1, Some("one")), (60, Some(words[&2].as_str()))];
        table.merge(&["id"], tables::puts(&again)).await.unwrap();
        let said = deployment.run(&["sync"]).failure(1);
        assert!(said.contains("WHERE \"_deleted_at\" IS NULL"), "{said}");
        deployment.sql("DROP INDEX one_of_each");
        deployment.sql(&format!("{index} WHERE _deleted_at IS NULL"));
        assert_eq!(deployment.sync().rows(), [2, 0, 0]);
        assert_eq!(deployment.sql(DELETED), "2");
        assert_eq!(deployment.sql(kept), "one|3");

        configure(&mut deployment, &[METADATA]);
        deployment.sync();
        assert_eq!(
            deployment.sql("SELECT count(*) FROM words WHERE id = 2"),
            "0"
        );
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "50");
        assert!(deployment.sync().steps.is_empty());
    }
}

/// Rows that stay count neither for nor against a mass delete.
#[tokio::test(flavor = "multi_thread")]
async fn guards_count_rows_that_live() {
    for version in servers() {
        let mut deployment = Deployment::start(version).guarded();
        let path = deployment.lake("words");
        let words = numbered(0..2_000);
        let mut table = tables::create(&path, NewTable::with_feed(), &cells(&words)).await;
        deployment.job("words", &path, &[SOFT, "refresh_above: 100%"]);
        deployment.sync();
        for (low, high) in [(0, 390), (390, 700)] {
            let which = format!("id >= {low} AND id < {high}");
            table.delete(Some(&which)).await.unwrap();
            if low == 0 {
                assert_eq!(deployment.sync().rows(), [0, 0, 390]);
            }
        }
        // 310 are not 20 % of the 1,610 that live; 330 are.
        assert_eq!(deployment.sync().rows(), [0, 0, 310]);
        table.delete(Some("id < 1030")).await.unwrap();
        let said = deployment.run(&["sync"]).failure(1);
        assert!(said.contains("would lose 330 of 1300 rows"), "{said}");
        let accepted = deployment
            .run(&["sync", "words", "--accept-deletes"])
            .jobs_done();
        assert_eq!(accepted[0].rows(), [0, 0, 330]);
        assert_eq!(deployment.sql("SELECT count(*) FROM words"), "2000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_such_columns_is_adopted() {
    for version in servers() {
        let words = numbered(0..5);
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), &cells(&words)).await;
        deployment.sql("CREATE TABLE words (id bigint PRIMARY KEY, word text)");
        for (id, word) in &words {
            deployment.sql(&format!("INSERT INTO words VALUES ({id}, '{word}')"));
        }
        deployment.job("words", &path, &[SOFT, METADATA]);
        let said = deployment.run(&["adopt", "words"]).failure(1);
        assert!(
            said.contains("ADD COLUMN \"_commit_version\" bigint"),
            "{said}"
        );
        deployment.sql(
            "ALTER TABLE words ADD _commit_version bigint, ADD _synced_at timestamptz, \
             ADD _deleted_at timestamptz; INSERT INTO words VALUES (9, 'gone', 0, now(), now())",
        );
        deployment.run(&["adopt", "words"]).jobs_done();
        assert_eq!(deployment.sql(DELETED), "9");
        assert!(deployment.sync().steps.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_has_metadata_and_no_deleted_rows() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let first = [(1, Some("a")), (1, Some("a"))];
        let mut table = tables::create(&path, NewTable::without_feed(), &first).await;
        let job = |more: &str| {
            let (from, into) = (path.display(), "serving.public.words");
            format!("  words: {{ from: {from}, into: {into}, mode: snapshot, {more} }}\n")
        };
        deployment.raw_job(&job("metadata_columns: [_commit_version]"));
        deployment.sync();
        table
            .append(tables::words(&[(1, Some("a"))]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
        assert_eq!(deployment.sql(&format!("{ALL}, 3")), "1|a|1\n1|a|1\n1|a|2");
        deployment.forget_jobs();
        deployment.raw_job(&job(SOFT));
        deployment.run(&["validate"]).failure(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_the_source_that_is_called_so_is_refused() {
    let words = numbered(0..3);
    let new = NewTable::without_feed();
    let (mut deployment, _) = filled(servers()[0], new, &words, &[]).await;
    configure(
        &mut deployment,
        &[SOFT, "columns: { rename: { word: _deleted_at } }"],
    );
    let said = deployment.run(&["validate"]).failure(2);
    let words = "column word of its source is called _deleted_at, as one that it writes itself";
    assert!(said.contains(words), "{said}");
}
