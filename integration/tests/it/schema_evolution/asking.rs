//! Jobs that do not follow by themselves, and what an operator can do.

use super::{JOB, World, everywhere};

#[test]
fn halt_says_what_changed_and_changes_nothing() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["on_schema_change: halt"]);
        world.table.add_column("note", "string").unwrap();
        world.table.rename_column("word", "text").unwrap();
        world.table.append(&[(4, &[("note", "n4")])]).unwrap();
        let before = world.deployment.pg_dump();
        let said = world.refused();
        for words in [
            "job mapped: its columns changed: column word is called text now; column \
             note is new",
            "lakeferry refresh-schema",
        ] {
            assert!(said.contains(words), "{said}");
        }
        let plan = world.deployment.run(&["plan"]).result();
        assert!(
            plan[0]["would"].as_str().unwrap().starts_with("halt: "),
            "{plan}"
        );
        assert_eq!(world.deployment.pg_dump(), before);

        let done = world.deployment.run(&["refresh-schema", JOB]).jobs_done();
        assert!(
            done[0].steps[0].kind.contains("add column note"),
            "{done:?}"
        );
        world.expect(&["id", "text", "number", "note"]);
        assert_eq!(world.rebuilds(), 0);
        world.table.append(&[(5, &[("text", "five")])]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "text", "number", "note"]);
    });
}

#[test]
fn ignore_leaves_out_what_is_new_until_it_is_asked_for() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &["on_schema_change: ignore"]);
        world.table.add_column("note", "string").unwrap();
        world.table.drop_column("number").unwrap();
        world
            .table
            .append(&[(4, &[("word", "four"), ("note", "n4")])])
            .unwrap();
        world
            .table
            .put(&[(1, &[("word", "eins"), ("note", "n1")])])
            .unwrap();
        world.deployment.sync();
        world.expect(&["id", "word"]);
        assert_eq!(world.columns(), ["id", "word", "number"]);
        assert_eq!(world.rebuilds(), 0);
        let status = world.deployment.run(&["status"]).result();
        assert_eq!(status[0]["columns_left_out"][0], "note", "{status}");
        assert_eq!(status[0]["detached_columns"][0], "number", "{status}");

        world.table.rename_column("word", "text").unwrap();
        let said = world.refused();
        assert!(said.contains("column word is called text now"), "{said}");
        let done = world.deployment.run(&["refresh-schema", JOB]).jobs_done();
        let altered = "alter the table: rename column word to text, add column note";
        assert_eq!(done[0].steps[0].kind, altered);
        // Rows that were there already have what was left out.
        world.expect(&["id", "text", "note"]);
        assert!(world.deployment.sync().steps.is_empty());
    });
}

#[test]
fn what_has_values_of_others_is_not_taken() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        let own = format!("ALTER TABLE {JOB} ADD COLUMN note text DEFAULT 'mine'");
        world.deployment.sql(&own);
        world.table.add_column("note", "string").unwrap();
        world.table.append(&[(4, &[("note", "n4")])]).unwrap();
        let said = world.refused();
        assert!(said.contains(r#"a new column "note""#), "{said}");
        world
            .deployment
            .sql(&format!("ALTER TABLE {JOB} RENAME COLUMN note TO mine"));
        world.deployment.sync();
        world.expect(&["id", "word", "note"]);
        let kept = format!("SELECT mine FROM {JOB} WHERE id = 1");
        assert_eq!(world.deployment.sql(&kept), "mine");
    });
}
