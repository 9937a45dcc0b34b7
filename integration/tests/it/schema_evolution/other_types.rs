//! Columns whose type is another one.

use super::{JOB, World, everywhere};

#[test]
fn a_wider_type_waits_where_the_table_would_be_written_anew() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        // As it is where the source said nothing of wider types when it was filled.
        let narrow = format!("ALTER TABLE {JOB} ALTER COLUMN number TYPE integer");
        world.deployment.sql(&narrow);
        world.table.put(&[(1, &[("number", "7")])]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number"]);
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

/// Nor does it wait for anybody: a source that says that types may get wider has the widest ones from
/// the start.
#[test]
fn a_target_that_is_wide_enough_stays_as_it_is() {
    everywhere(|version, has_feed| {
        let mut world = World::filled(version, has_feed, &[]);
        let file = format!("SELECT pg_relation_filenode('{JOB}')");
        let before = world.deployment.sql(&file);
        world.deployment.sql(&format!(
            "CREATE VIEW shown AS SELECT number FROM {JOB} WHERE number > 1"
        ));
        world.table.add_column("small", "byte").unwrap();
        world.table.add_column("ratio", "float").unwrap();
        let cells = [("number", "3"), ("small", "-128"), ("ratio", "0.5")];
        world.table.put(&[(3, &cells[..])]).unwrap();
        world.deployment.sync();
        for (column, wider) in [("small", "short"), ("number", "long"), ("ratio", "double")] {
            world.table.widen_column(column, wider).unwrap();
        }
        let cells = [("number", "5000000000"), ("small", "300"), ("ratio", "0.1")];
        world.table.append(&[(4, &cells[..])]).unwrap();
        world.table.put(&[(1, &[("number", "-1")])]).unwrap();
        world.deployment.sync();
        world.table.widen_column("small", "long").unwrap();
        world.table.delete(&[2]).unwrap();
        world.deployment.sync();
        world.expect(&["id", "word", "number", "small", "ratio"]);
        let types = format!(
            "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = '{JOB}'::regclass AND attnum > 0"
        );
        assert_eq!(
            world.deployment.sql(&types).trim(),
            "bigint, text, bigint, bigint, double precision"
        );
        assert_eq!(world.deployment.sql(&file), before);
        assert_eq!(world.rebuilds(), 0, "{:?}", world.deployment.run_kinds());
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
