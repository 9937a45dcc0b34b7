//! What a first fill leaves out, or what makes it dearer than it looks, is told by `plan`, and
//! nothing else is.

use std::{fs, path::Path};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;
use serde_json::{Value, json};

use crate::{deployment::Deployment, lakeferry::typed, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two"))];

/// The reasons and hints of what `plan` warns of.
fn warnings(deployment: &Deployment) -> Vec<String> {
    let planned = deployment.run(&["plan"]).result();
    let warnings = planned[0]["warnings"].as_array().unwrap();
    let told = |warning: &Value| format!("{}; {}", warning["reason"], warning["hint"]);
    warnings.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_all_tables_is_told_before_a_fill() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sql(
            "CREATE TABLE other (id int); CREATE PUBLICATION one FOR TABLE other; \
             CREATE PUBLICATION trims FOR ALL TABLES WITH (publish = 'truncate')",
        );
        assert!(warnings(&deployment).is_empty());
        deployment.sql("CREATE PUBLICATION \"every one\" FOR ALL TABLES");
        let told = warnings(&deployment);
        assert_eq!(told.len(), 1, "{told:?}");
        for part in [
            "every one",
            "FOR ALL TABLES",
            "create the table empty first",
        ] {
            assert!(told[0].contains(part), "{part}: {told:?}");
        }
        let folder = deployment.config();
        let said = typed(folder.parent().unwrap(), &["plan"]);
        assert!(said.stdout.contains("  warning: publication"), "{said}");

        // What the hint says helps; and a table that is filled is no more of a matter.
        deployment.sql("CREATE TABLE words (id bigint PRIMARY KEY, word text)");
        assert!(warnings(&deployment).is_empty());
        deployment.sync();
        assert!(warnings(&deployment).is_empty());
    }
}

/// Of a source with a file of 20 GB by its log, which nobody reads for a plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_may_outlast_its_source_is_told() {
    const FILES: &str = "delta.deletedFileRetentionDuration";
    const LOG: &str = "delta.logRetentionDuration";
    for version in servers() {
        for (properties, expected) in [
            (&[][..], None),
            (&[(FILES, "interval 2 hours")], Some(FILES)),
            (&[(LOG, "interval 90 minutes")], Some(LOG)),
            (
                &[(FILES, "interval 2 days"), (LOG, "interval 3 days")],
                None,
            ),
        ] {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("words");
            let table = properties
                .iter()
                .fold(NewTable::with_feed(), |table, (name, value)| {
                    table.property(name, value)
                });
            tables::create(&path, table, ROWS).await;
            deployment.job("words", &path, &[]);
            assert!(warnings(&deployment).is_empty(), "of a small table");
            add_large_file(&path);
            let told = warnings(&deployment);
            match expected {
                None => assert!(told.is_empty(), "{told:?}"),
                Some(property) => {
                    assert_eq!(told.len(), 1, "{told:?}");
                    assert!(told[0].contains(property), "{told:?}");
                    assert!(told[0].contains("20.0 GB"), "{told:?}");
                    assert!(told[0].contains("67 min"), "{told:?}");
                }
            }
        }
    }
}

/// Commits version 2 by hand.
fn add_large_file(table: &Path) {
    let add = json!({ "add": {
        "path": "large.parquet", "partitionValues": {}, "size": 20_000_000_000_u64,
        "modificationTime": 0, "dataChange": true,
    } });
    let commit = table.join("_delta_log/00000000000000000002.json");
    fs::write(commit, format!("{add}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_no_type_is_told() {
    const VOID: &str =
        r#"{\"name\":\"nothing\",\"type\":\"void\",\"nullable\":true,\"metadata\":{}}"#;
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        let commit = path.join(format!("_delta_log/{:020}.json", 0));
        let text = fs::read_to_string(&commit).unwrap();
        let fields = r#"\"fields\":["#;
        assert_eq!(text.matches(fields).count(), 1, "{text}");
        fs::write(&commit, text.replace(fields, &format!("{fields}{VOID},"))).unwrap();
        deployment.job("words", &path, &[]);
        let told = warnings(&deployment);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("column nothing is of type void"),
            "{told:?}"
        );
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one\n2,two");
        deployment.forget_jobs();
        deployment.job("few", &path, &["columns: [id]"]);
        assert!(warnings(&deployment).is_empty());
    }
}
