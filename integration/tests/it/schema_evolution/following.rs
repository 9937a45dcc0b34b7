//! What `evolve` does, which is what happens unless told otherwise.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;

use super::{JOB, World, everywhere};
use crate::{deployment::Deployment, tables};

#[test]
fn several_changes_in_one_range_cost_no_rebuild() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.deployment.sql(&format!(
            "CREATE VIEW shown AS SELECT id, word, number FROM {JOB}; \
             ALTER TABLE {JOB} ALTER COLUMN number SET DEFAULT 7"
        ));
        let before = world.deployment.row_versions(JOB);
        let table = &mut world.table;
        table
            .append(&[(4, &[("word", "four"), ("number", "4")])])
            .unwrap();
        table.add_column("note", "string").unwrap();
        table
            .put(&[(2, &[("word", "zwei"), ("note", "n2")])])
            .unwrap();
        table.rename_column("word", "text").unwrap();
        table
            .append(&[(5, &[("text", "five"), ("note", "n5")])])
            .unwrap();
        table.drop_column("number").unwrap();
        table.delete(&[3]).unwrap();
        table.append(&[(6, &[("text", "six")])]).unwrap();

        let plan = world.deployment.run(&["plan"]).result();
        let ddl = plan[0]["ddl"].as_str().unwrap();
        let statements: Vec<&str> = ddl.lines().collect();
        assert_eq!(
            statements,
            [
                r#"ALTER TABLE "public"."mapped" ALTER COLUMN "number" DROP NOT NULL;"#,
                r#"ALTER TABLE "public"."mapped" RENAME COLUMN "word" TO "text";"#,
                r#"ALTER TABLE "public"."mapped" ADD COLUMN "note" text;"#,
            ]
        );
        assert_eq!(
            world.columns(),
            ["id", "word", "number"],
            "plan writes nothing"
        );

        let done = world.deployment.sync();
        let altered = "alter the table: detach column number, rename column word to text, \
            add column note";
        assert_eq!(done.steps[0].kind, altered);
        world.expect(&["id", "text", "note"]);
        assert_eq!(world.rebuilds(), 0, "{:?}", world.deployment.run_kinds());
        // The first row is where it was, and was not written.
        assert_eq!(world.deployment.row_versions(JOB)[0], before[0]);
        // What is detached keeps what it has, and gets what the user gave it as a default.
        assert_eq!(
            world
                .deployment
                .sql(&format!("SELECT number FROM {JOB} WHERE id = 1")),
            "1"
        );
        assert_eq!(
            world.deployment.sql("SELECT word FROM shown ORDER BY id"),
            world.table.csv(&["text"]).unwrap()
        );
        let status = world.deployment.run(&["status"]).result();
        assert_eq!(status[0]["detached_columns"][0], "number", "{status}");
        assert!(world.deployment.sync().steps.is_empty());
    });
}

#[test]
fn one_change_after_the_other() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.table.rename_column("word", "text").unwrap();
        world.deployment.sync();
        world.expect(&["id", "text", "number"]);
        // Names are exchanged.
        world.table.add_column("a", "string").unwrap();
        world
            .table
            .put(&[(1, &[("text", "eins"), ("a", "x")])])
            .unwrap();
        world.deployment.sync();
        world.table.rename_column("a", "b").unwrap();
        world.table.rename_column("text", "a").unwrap();
        world.table.rename_column("b", "text").unwrap();
        world.deployment.sync();
        world.expect(&["id", "text", "a", "number"]);
        assert_eq!(world.rebuilds(), 0, "{:?}", world.deployment.run_kinds());
        // Another column of the same name.
        world.table.drop_column("a").unwrap();
        world.table.add_column("a", "integer").unwrap();
        world.table.append(&[(9, &[("a", "9")])]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "text", "a", "number"]);
        let kept = format!("SELECT a__detached_1 FROM {JOB} WHERE id = 1");
        assert_eq!(world.deployment.sql(&kept), "eins");
        // And all is well afterwards.
        world.table.put(&[(9, &[("a", "10")])]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "text", "a", "number"]);
    });
}

#[test]
fn a_key_column_that_is_renamed_waits_for_the_configuration() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.table.rename_column("id", "key").unwrap();
        let said = world.deployment.run(&["sync"]).failure(2);
        assert!(said.contains("column id of its key"), "{said}");
        world.configure(&["key: [key]"]);
        let done = world.deployment.sync();
        assert!(
            done.steps[0].kind.contains("rename column id to key"),
            "{done:?}"
        );
        world
            .deployment
            .sql(&format!("ALTER TABLE {JOB} RENAME COLUMN key TO id"));
        assert_eq!(world.rebuilds(), 0);
    });
}

/// The filter's words stay the same, and mean another column.
#[test]
fn names_that_are_exchanged_under_a_filter() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.table.add_column("other", "string").unwrap();
        let seen = [("word", "seen"), ("other", "hidden")];
        let hidden = [("word", "hidden"), ("other", "seen")];
        world.table.put(&[(1, &seen), (2, &hidden)]).unwrap();
        world.configure(&["filter: word = 'seen'", "max_delete_share: 100%"]);
        world.deployment.sync();
        assert_eq!(world.select(&["id", "word"]), "1,seen");
        for [from, to] in [["word", "x"], ["other", "word"], ["x", "other"]] {
            world.table.rename_column(from, to).unwrap();
        }
        let plan = world.deployment.run(&["plan"]).result();
        let would = plan[0]["would"].as_str().unwrap();
        assert!(would.ends_with(", then rebuild by difference"), "{plan}");
        assert_ne!(plan[0]["files"], 0, "{plan}");
        world.deployment.sync();
        assert_eq!(world.select(&["id", "word"]), "2,seen");
    });
}

/// Without column mapping, by the writer that most have.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_an_append_brings() {
    for version in servers() {
        for new in [NewTable::with_feed(), NewTable::without_feed()] {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("words");
            let words: Vec<String> = (10..3_000)
                .map(|row| format!("word {}", row * row))
                .collect();
            let others = (10..).zip(words.iter().map(|word| Some(word.as_str())));
            let rows = [(1, Some("a")), (2, None)].into_iter().chain(others);
            let rows: Vec<_> = rows.collect();
            let mut table = tables::create(&path, new, &rows).await;
            deployment.job("words", &path, &[]);
            deployment.sync();
            table
                .append(tables::words(&[(3, Some("c"))]))
                .await
                .unwrap();
            append_wider(&mut table).await;
            table.delete(Some("id = 1")).await.unwrap();
            let done = deployment.sync();
            assert_eq!(done.steps[0].kind, "alter the table: add column note");
            assert_eq!(done.rows(), [2, 0, 1]);
            let few = "SELECT * FROM words WHERE id < 10 ORDER BY id";
            assert_eq!(deployment.sql(few), "2||\n3|c|\n4|d|n4");
            let kinds = deployment.run_kinds();
            assert!(!kinds.contains(&"refresh".to_owned()), "{kinds:?}");
        }
    }
}

async fn append_wider(table: &mut DeltaTable) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![4]));
    let [words, notes] =
        ["d", "n4"].map(|text| Arc::new(StringArray::from(vec![text])) as ArrayRef);
    let wider = [
        ("id", ids, false),
        ("word", words, true),
        ("note", notes, true),
    ];
    table.append(tables::batch(wider)).await.unwrap();
}

/// A column that a job begins to list has values in rows that did not change.
#[test]
fn a_column_that_the_job_lists_from_now_on_is_filled() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["columns: [id, word]"]);
        world.configure(&["columns: [id, word, number]"]);
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        world.configure(&["columns: [id, number]"]);
        world.deployment.sync();
        world
            .table
            .append(&[(7, &[("word", "seven"), ("number", "7")])])
            .unwrap();
        world.deployment.sync();
        world.expect(&["id", "number"]);
        let unwritten = format!("SELECT word FROM {JOB} WHERE id = 7");
        assert_eq!(world.deployment.sql(&unwritten), "");
    });
}

/// A column that is not new, though the target never had it: its old values come as well.
#[test]
fn columns_that_a_restore_brings_back() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        let with_number = world.table.version();
        world.table.drop_column("number").unwrap();
        world.deployment.sync();
        world.table.restore(with_number).unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        assert_eq!(world.rebuilds(), 1);

        // Dropped before there was a target.
        world.table.drop_column("number").unwrap();
        world.deployment.sql(&format!("DROP TABLE {JOB}"));
        world.deployment.backfill(JOB);
        assert_eq!(world.columns(), ["id", "word"]);
        world.table.restore(with_number).unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
    });
}

#[test]
fn columns_can_lose_their_values() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["drop_columns: \"null\""]);
        world.table.drop_column("number").unwrap();
        world.deployment.sync();
        world.expect(&["id", "word"]);
        assert_eq!(world.columns(), ["id", "word", "number"]);
        let values = format!("SELECT count(number) FROM {JOB}");
        assert_eq!(world.deployment.sql(&values), "0");
    });
}

#[test]
fn columns_can_be_dropped_as_well() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["drop_columns: drop"]);
        let view = format!("CREATE VIEW shown AS SELECT number FROM {JOB}");
        world.deployment.sql(&view);
        world.table.drop_column("number").unwrap();
        world.table.add_column("number", "string").unwrap();
        world.table.append(&[(4, &[("number", "four")])]).unwrap();
        let said = world.refused();
        for words in [
            "DROP COLUMN \"number\"",
            "view shown depends on column number",
        ] {
            assert!(said.contains(words), "{said}");
        }
        world.deployment.sql("DROP VIEW shown");
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        assert_eq!(world.columns(), ["id", "word", "number"]);
    });
}
