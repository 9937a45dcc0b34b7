//! Columns that are called otherwise in the target, and columns that are kept out of it.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;

use super::{JOB, World, everywhere};
use crate::{deployment::Deployment, tables};

impl World {
    /// The target has in `columns` what the source has in `of`.
    #[track_caller]
    fn expect_as(&self, columns: &str, of: &[&str]) {
        let select =
            format!("COPY (SELECT {columns} FROM {JOB} ORDER BY 1) TO STDOUT (FORMAT csv)");
        assert_eq!(self.deployment.sql(&select), self.table.csv(of).unwrap());
        assert_eq!(self.deployment.watermark(JOB), self.table.version());
    }
}

#[test]
fn another_name_is_a_rename_and_no_rebuild() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["names: snake"]);
        world.table.rename_column("word", "FirstWord").unwrap();
        world.table.put(&[(2, &[("FirstWord", "zwei")])]).unwrap();
        let done = world.deployment.sync();
        let altered = "alter the table: rename column word to first_word";
        assert_eq!(done.steps[0].kind, altered);
        world.expect_as("id, first_word, number", &["id", "FirstWord", "number"]);

        world.configure(&["names: lower", "key: [ID]"]);
        let done = world.deployment.sync();
        let altered = "alter the table: rename column first_word to firstword";
        assert_eq!(done.steps[0].kind, altered);
        world.configure(&["columns: { rename: { FIRSTWORD: \"The Word\", id: key } }"]);
        world.deployment.sync();
        world
            .table
            .append(&[(5, &[("FirstWord", "fünf")])])
            .unwrap();
        world.table.put(&[(3, &[("FirstWord", "drei")])]).unwrap();
        world.table.delete(&[1]).unwrap();
        world.deployment.sync();
        world.expect_as("key, \"The Word\", number", &["id", "FirstWord", "number"]);
        // Names are exchanged, by the configuration alone.
        world.configure(&["columns: { rename: { FirstWord: key, id: \"The Word\" } }"]);
        world.deployment.sync();
        world.expect_as("\"The Word\", key", &["id", "FirstWord"]);
        assert_eq!(world.rebuilds(), 0, "{:?}", world.deployment.run_kinds());
        assert!(world.deployment.sync().steps.is_empty());
    });
}

/// The filter goes by the source's names, whatever the target calls the columns.
#[test]
fn a_filter_of_renamed_columns() {
    everywhere(|version, has_feed| {
        let options = [
            "columns: { include: [ID, word], rename: { word: number } }",
            "filter: number > 1 OR word = 'one'",
        ];
        let mut world = World::filled(version, has_feed, &["columns: [id, word]"]);
        world.configure(&options);
        world.deployment.sync();
        let few = || {
            world
                .deployment
                .sql(&format!("SELECT id, number FROM {JOB} ORDER BY id"))
        };
        assert_eq!(few(), "1|one\n2|two");
        world
            .table
            .put(&[(1, &[("word", "eins"), ("number", "1")])])
            .unwrap();
        world
            .table
            .put(&[(3, &[("word", "drei"), ("number", "3")])])
            .unwrap();
        world.deployment.sync();
        let few = || {
            world
                .deployment
                .sql(&format!("SELECT id, number FROM {JOB} ORDER BY id"))
        };
        assert_eq!(few(), "2|two\n3|drei");
        // What the filter finds under that name is another column now.
        world.table.drop_column("word").unwrap();
        world.table.add_column("word", "string").unwrap();
        world.table.append(&[(4, &[("word", "one")])]).unwrap();
        world.deployment.sync();
        let few = || {
            world
                .deployment
                .sql(&format!("SELECT id, number FROM {JOB} ORDER BY id"))
        };
        assert_eq!(few(), "2|\n3|\n4|one");
    });
}

#[test]
fn what_is_excluded_never_comes() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["columns: { exclude: [NUMBER] }"]);
        assert_eq!(world.columns(), ["id", "word"]);
        world.table.add_column("note", "string").unwrap();
        world
            .table
            .append(&[(4, &[("note", "n4"), ("number", "4")])])
            .unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "note"]);
        assert_eq!(world.rebuilds(), 0);
        world.table.rename_column("number", "secret").unwrap();
        let said = world.deployment.run(&["sync"]).failure(2);
        assert!(said.contains("it has no column NUMBER"), "{said}");
        assert_eq!(world.columns(), ["id", "word", "note"]);
        // From now on it is wanted: with its values in rows that did not change.
        world.configure(&["columns: { exclude: [word] }"]);
        world.deployment.sync();
        world.expect(&["id", "note", "secret"]);
        let status = world.deployment.run(&["status"]).result();
        assert_eq!(status[0]["detached_columns"][0], "word", "{status}");
        assert!(world.deployment.sync().steps.is_empty());
    });
}

#[test]
fn names_that_cannot_be_are_told_by_validate() {
    let mut world = World::filled(servers()[0], true, &[]);
    world.table.add_column("Word!", "string").unwrap();
    world.configure(&["names: snake"]);
    for command in ["validate", "plan", "sync"] {
        let said = world.deployment.run(&[command]).failure(2);
        let words = "columns word and Word! would both be called word";
        assert!(said.contains(words), "{command}: {said}");
    }
    world.table.drop_column("Word!").unwrap();
    world
        .table
        .add_column(&"Long".repeat(13), "string")
        .unwrap();
    let said = world.deployment.run(&["validate"]).failure(2);
    assert!(
        said.contains("which has 64 bytes, and postgres takes 63"),
        "{said}"
    );
    world.configure(&["columns: { rename: { nothing: anything } }"]);
    let said = world.deployment.run(&["validate"]).failure(2);
    assert!(said.contains("it has no column nothing"), "{said}");
}

/// Without column mapping a column's identity is its name: the one in the source.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_table_without_column_mapping() {
    for version in servers() {
        for new in [NewTable::with_feed(), NewTable::without_feed()] {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("words");
            let rows = |ids: Vec<i64>, words: Vec<&str>| {
                let ids: ArrayRef = Arc::new(Int64Array::from(ids));
                let words: ArrayRef = Arc::new(StringArray::from(words));
                tables::batch([("Id", ids, false), ("TheWord", words, true)])
            };
            let mut table = DeltaTable::create_with(&path, rows(vec![1, 2], vec!["a", "b\0"]), new)
                .await
                .unwrap();
            let job = |deployment: &mut Deployment, options: &[&str]| {
                deployment.forget_jobs();
                deployment.job("words", &path, options);
            };
            job(&mut deployment, &["names: snake", "on_bad_value: halt"]);
            let said = deployment.run(&["sync"]).failure(1);
            let words = "column \"the_word\" (\"TheWord\" in the source) holds";
            assert!(said.contains(words), "{said}");
            table.delete(Some("\"Id\" = 2")).await.unwrap();
            deployment.sync();
            table.append(rows(vec![3], vec!["c"])).await.unwrap();
            deployment.sync();
            job(&mut deployment, &["filter: TheWord <> 'd'"]);
            table
                .append(rows(vec![4, 5], vec!["d", "e"]))
                .await
                .unwrap();
            deployment.sync();
            job(&mut deployment, &["filter: TheWord <> 'd'", "names: lower"]);
            table.delete(Some("\"Id\" = 1")).await.unwrap();
            deployment.sync();
            let all = "SELECT id, theword FROM words ORDER BY id";
            assert_eq!(deployment.sql(all), "3|c\n5|e");
        }
    }
}
