//! Columns whose type is another one.

use super::{JOB, World, everywhere};

#[test]
fn a_wider_type_waits_where_the_table_would_be_written_anew() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world
            .deployment
            .sql(&format!("CREATE VIEW shown AS SELECT number FROM {JOB}"));
        world.table.widen_column("number", "long").unwrap();
        world
            .table
            .append(&[(4, &[("number", "5000000000")])])
            .unwrap();
        let statement = r#"ALTER TABLE "public"."mapped" ALTER COLUMN "number" TYPE bigint"#;
        let said = world.refused();
        assert!(
            said.contains("shown read it") && said.contains(statement),
            "{said}"
        );
        world.deployment.sql("DROP VIEW shown");
        let said = world.refused();
        assert!(
            said.contains("allow_rewrite") && said.contains(statement),
            "{said}"
        );
        let before = world
            .deployment
            .sql("SELECT oid FROM pg_class WHERE relname = 'mapped'");
        if has_feed {
            world.configure(&["allow_rewrite: true"]);
        } else {
            world.deployment.sql(statement);
        }
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        let after = world
            .deployment
            .sql("SELECT oid FROM pg_class WHERE relname = 'mapped'");
        assert_eq!(before, after);
        world
            .table
            .put(&[(1, &[("number", "6000000000")])])
            .unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        assert_eq!(world.rebuilds(), 0, "{:?}", world.deployment.run_kinds());
    });
}

#[test]
fn a_target_that_is_wide_enough_stays_as_it_is() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        let widen = format!("ALTER TABLE {JOB} ALTER COLUMN number TYPE bigint");
        world.deployment.sql(&widen);
        world.table.widen_column("number", "long").unwrap();
        world
            .table
            .append(&[(4, &[("number", "5000000000")])])
            .unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
    });
}

/// Here the rows of before are not what the source has now: their files are written anew.
#[test]
fn another_type_is_for_an_operator_and_then_a_rebuild() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        world.table.widen_column("number", "string").unwrap();
        world.table.delete(&[1, 2, 3]).unwrap();
        let other = (100, &[("word", "o"), ("number", "other")][..]);
        world.table.put(&[other]).unwrap();
        world
            .table
            .append(&[(4, &[("word", "w"), ("number", "four")])])
            .unwrap();
        let said = world.refused();
        let statement = r#"ALTER TABLE "public"."mapped" ALTER COLUMN "number" TYPE text"#;
        assert!(said.contains(statement), "{said}");
        world.deployment.sql(statement);
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
        assert_eq!(world.rebuilds(), 1);
    });
}
