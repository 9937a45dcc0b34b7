//! Locations that are no tables, tables that cannot be read, columns that do not fit.

use std::fs;

use arrow_array::{Int64Array, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::NewTable;
use lakeferry_model::Source as _;

use crate::world::{World, array, batch, rows};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_table_is_told_apart() {
    let world = World::new();
    let at = |location: String| {
        DeltaSource::new(Settings {
            location,
            ..Settings::default()
        })
    };
    let path = world.path().to_str().unwrap().to_owned();
    let mut told = Vec::new();
    for location in ["s3://bucket/table", "nonsense://", "file://[/"] {
        told.push(world.told(&at(location.to_owned()).unwrap_err()));
    }
    let source = at(path.clone()).unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    fs::write(&path, "a file").unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    fs::create_dir(world.path().join("_delta_log")).unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    fs::write(world.commit_file(0), "not json").unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    fs::write(world.commit_file(0), "{\"commitInfo\":{}}").unwrap();
    told.push(world.told(&source.head().await.unwrap_err()));
    insta::assert_snapshot!(told.join("\n\n"));
}

/// A table is found from the working directory upwards, whether or not it is there yet.
#[tokio::test(flavor = "multi_thread")]
async fn paths_may_go_up() {
    let start = batch(&[("id", array::<Int64Array>(vec![1]))]);
    let (world, _table) = World::with(NewTable::without_feed(), start).await;
    let at = |location: String| {
        DeltaSource::new(Settings {
            location,
            ..Settings::default()
        })
    };
    let path = world.path().to_str().unwrap().to_owned();
    for way in ["/../table", "/_delta_log/..", "/../absent/../table"] {
        let source = at(format!("{path}{way}")).unwrap();
        assert_eq!(rows(&source).await, ["1"], "{way}");
    }
    let error = at(format!("{path}/../other")).unwrap().head().await;
    let absent = world.told(&error.unwrap_err());
    assert!(absent.contains("the path does not exist"), "{absent}");
}

/// Where the kernel would decode `%41` twice, it would read table `A`.
#[tokio::test(flavor = "multi_thread")]
async fn percent_signs_are_refused() {
    let world = World::new();
    let path = world.path().to_str().unwrap().to_owned();
    for location in [format!("{path}/%41"), format!("file://{path}/%2541")] {
        let error = DeltaSource::new(Settings {
            location,
            ..Settings::default()
        });
        let told = world.told(&error.unwrap_err());
        assert!(told.contains("percent sign"), "{told}");
        assert!(told.contains("hint: move the table"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_features_are_named() {
    let start = batch(&[("id", array::<Int64Array>(vec![1]))]);
    let mut told = Vec::new();
    for protocol in [
        r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["fancyRows","timestampNtz"],"writerFeatures":["fancyRows","timestampNtz"]}}"#,
        r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["catalogManaged"],"writerFeatures":["catalogManaged","inCommitTimestamp"]}}"#,
        r#"{"protocol":{"minReaderVersion":9,"minWriterVersion":9}}"#,
    ] {
        let (world, _table) = World::with(NewTable::without_feed(), start.clone()).await;
        let commit = fs::read_to_string(world.commit_file(0)).unwrap();
        let lines = commit.lines().map(|line| {
            if line.contains("\"protocol\":") {
                protocol
            } else {
                line
            }
        });
        fs::write(world.commit_file(0), lines.collect::<Vec<_>>().join("\n")).unwrap();
        told.push(world.told(&world.source(None, None).head().await.unwrap_err()));
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_do_not_fit_are_named() {
    let fields = [("x", DataType::Int64), ("nothing", DataType::Utf8)];
    let fields = fields.map(|(name, of)| Field::new(name, of, true));
    let parts = vec![
        array::<Int64Array>(vec![1]),
        array::<StringArray>(vec!["a"]),
    ];
    let point = StructArray::new(fields.to_vec().into(), parts, None);
    let start = batch(&[
        ("Id", array::<Int64Array>(vec![1])),
        ("name", array::<StringArray>(vec!["a"])),
        ("point", array::<StructArray>(point)),
    ]);
    let (world, _table) = World::with(NewTable::without_feed(), start).await;
    let commit = fs::read_to_string(world.commit_file(0)).unwrap();
    let name = r#"\"name\":\"nothing\",\"type\":"#;
    let text = format!(r#"{name}\"string\""#);
    assert!(commit.contains(&text), "{commit}");
    let commit = commit.replace(&text, &format!(r#"{name}\"void\""#));
    fs::write(world.commit_file(0), commit).unwrap();
    let mut told = Vec::new();
    for (columns, filter) in [
        (None, None),
        (Some(&["id", "point"][..]), None),
        (Some(&["id", "nme"]), None),
        (Some(&["id", "ID"]), None),
        (Some(&[]), None),
        (Some(&["id"]), Some("point IS NULL")),
        (Some(&["id"]), Some("name.x = 1")),
    ] {
        let error = world.source(columns, filter).head().await.unwrap_err();
        told.push(format!("{columns:?} {filter:?}\n{}", world.told(&error)));
    }
    insta::assert_snapshot!(told.join("\n\n"));
    assert_eq!(
        rows(&world.source(Some(&["NAME", "id"]), None)).await,
        ["a | 1"]
    );
}
