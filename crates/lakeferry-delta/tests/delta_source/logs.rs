//! Logs that change: cleaned, replaced, rewritten, damaged.

use std::fs;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::Field;
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_model::{
    AtWatermark, Content, DeltaVersion, Failure as _, FailureClass, Instant, Reading, Size,
    Source as _, Survey,
};

use crate::world::{World, array, batch, changes, contents, rows, snapshot_at, watermark};

fn ids(range: std::ops::Range<i64>) -> RecordBatch {
    batch(&[("id", array::<Int64Array>(range.collect::<Vec<_>>()))])
}

/// A table with the feed and five commits of a row each.
async fn five() -> (World, DeltaTable) {
    let (world, mut table) = World::with(NewTable::with_feed(), ids(0..1)).await;
    for id in 1..5 {
        table.append(ids(id..id + 1)).await.unwrap();
    }
    (world, table)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_stands_still_is_not_read_again() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    let first = source.head().await.unwrap();
    assert_eq!(first.version.0, 4);
    // Nothing but a LIST stands behind a second look: the commit could not even be read.
    let commit = world.commit_file(4);
    let (hidden, moved) = (world.log_file("hidden"), fs::metadata(&commit).unwrap());
    fs::rename(world.commit_file(0), &hidden).unwrap();
    let second = source.head().await.unwrap();
    assert_eq!(
        (second.version, second.digest),
        (first.version, first.digest)
    );
    assert_eq!(fs::metadata(&commit).unwrap().len(), moved.len());
    fs::rename(&hidden, world.commit_file(0)).unwrap();
    table.append(ids(9..10)).await.unwrap();
    assert_eq!(source.head().await.unwrap().version.0, 5);
}

/// A source that follows its table commit by commit sees what one sees that comes new.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_followed_is_the_one_that_is_loaded() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    source.head().await.unwrap();
    let word = Field::new("word", arrow_schema::DataType::Utf8, true);
    for step in 0..12 {
        match step {
            0 | 6 => table.append(ids(10 + step..13 + step)).await.map(drop),
            1 | 9 => table
                .update(&[("id", "id + 100")], Some("id < 3"))
                .await
                .map(drop),
            2 => table.delete(Some("id = 4")).await.map(drop),
            3 => table.optimize().await.map(drop),
            4 => table.add_column(&word).await.map(drop),
            5 => table.checkpoint().await,
            7 => table
                .set_properties(&[("delta.enableChangeDataFeed", "false")])
                .await
                .map(drop),
            8 => table.restore(3).await.map(drop),
            10 => table.overwrite(ids(0..2)).await.map(drop),
            // Several at once.
            _ => {
                for id in 50..55 {
                    table.append(ids(id..id + 1)).await.unwrap();
                }
                Ok(())
            }
        }
        .unwrap();
        let (followed, loaded) = (source.head().await, world.source(None, None).head().await);
        let (followed, loaded) = (followed.unwrap(), loaded.unwrap());
        assert_eq!(followed.version, loaded.version, "step {step}");
        assert_eq!(followed.digest, loaded.digest, "step {step}");
        assert_eq!(followed.columns, loaded.columns, "step {step}");
        let size = |size: Size| (size.files, size.bytes);
        assert_eq!(size(followed.size), size(loaded.size), "step {step}");
        let of_rows = followed
            .size
            .rows
            .is_none_or(|rows| Some(rows) == loaded.size.rows);
        assert!(of_rows, "step {step}: {followed:?} {loaded:?}");
        assert_eq!(rows(&source).await, rows(&world.source(None, None)).await);
    }
}

/// What was followed is not what stands there any more: it is loaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_another_table_is_not_followed() {
    let (world, _table) = five().await;
    let source = world.source(None, None);
    let before = source.head().await.unwrap();
    let (other, mut table) = five().await;
    table.append(ids(7..9)).await.unwrap();
    for version in 0..=5 {
        fs::copy(other.commit_file(version), world.commit_file(version)).unwrap();
    }
    let head = source.head().await.unwrap();
    assert_eq!(head.version.0, 5);
    assert_ne!(head.table_id, before.table_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_commit_is_asked_for_by_its_name() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    assert!(
        source.has_next_commit().await.unwrap(),
        "nothing is known yet"
    );
    source.head().await.unwrap();
    assert!(!source.has_next_commit().await.unwrap());
    table.append(ids(9..10)).await.unwrap();
    assert!(source.has_next_commit().await.unwrap());
    let log = source.log_directory().unwrap();
    assert!(log.join("00000000000000000005.json").exists(), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_has_the_time_that_it_says_or_that_of_its_file() {
    let (world, _table) = five().await;
    let source = world.source(None, None);
    let time = async |version| source.commit_time(DeltaVersion(version)).await.unwrap();
    let written = fs::metadata(world.commit_file(4))
        .unwrap()
        .modified()
        .unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap();
    let micros = i64::try_from(written.as_micros()).unwrap();
    assert_eq!(time(4).await, Some(Instant(micros)));
    let says = r#"{"commitInfo":{"inCommitTimestamp":1700000000123,"operation":"WRITE"}}"#;
    fs::write(world.commit_file(5), format!("{says}\n")).unwrap();
    assert_eq!(time(5).await, Some(Instant(1_700_000_000_123_000)));
    assert_eq!(time(6).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cleaned_past_the_watermark_has_no_commits() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    let after = {
        let mut at_one = watermark(&source).await;
        at_one.version.0 = 1;
        at_one.digest = None;
        at_one
    };
    table.checkpoint().await.unwrap();
    for version in 0..=2 {
        fs::remove_file(world.commit_file(version)).unwrap();
    }
    // What was remembered names log files that are gone: one error, then all is read anew.
    let at_head = watermark(&source).await;
    let stale = snapshot_at(&source, &at_head).await.unwrap_err();
    assert_eq!(stale.class(), FailureClass::Transient);
    for source in [source, world.source(None, None)] {
        let head = source.head().await.unwrap();
        let survey: Survey<_> = source.survey(&after, &head).await.unwrap();
        assert_eq!(survey.at_watermark, AtWatermark::Gone);
        assert!(survey.commits.is_empty());
        assert_eq!(rows(&source).await.len(), 5);
    }
}

/// Of a writer that makes the file before it writes to it, which another one than this may see.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_commit_is_one_that_is_not_there_yet() {
    let (world, mut table) = World::with(NewTable::without_feed(), ids(0..1)).await;
    let (known, fresh) = (world.source(None, None), world.source(None, None));
    known.head().await.unwrap();
    table.append(ids(1..2)).await.unwrap();
    let (newest, aside) = (world.commit_file(1), world.path().join("aside"));
    fs::rename(&newest, &aside).unwrap();
    fs::write(&newest, "").unwrap();
    for source in [&known, &fresh] {
        let error = source.head().await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Transient, "{error}");
    }
    fs::rename(&aside, &newest).unwrap();
    for source in [&known, &fresh] {
        assert_eq!(source.head().await.unwrap().version.0, 1);
        assert_eq!(rows(source).await.len(), 2);
    }
}

/// A log may be cleaned while an older checkpoint stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_checkpoint_does_not_lead_over_a_gap() {
    let (world, mut table) = World::with(NewTable::without_feed(), ids(0..1)).await;
    table.checkpoint().await.unwrap();
    table.append(ids(1..2)).await.unwrap();
    let after = watermark(&world.source(None, None)).await;
    table.append(ids(2..3)).await.unwrap();
    table.checkpoint().await.unwrap();
    for version in 0..=1 {
        fs::remove_file(world.commit_file(version)).unwrap();
    }
    let feed = [("delta.enableChangeDataFeed", "true")];
    table.set_properties(&feed).await.unwrap();
    let source = world.source(None, None);
    let head = source.head().await.unwrap();
    let survey = source.survey(&after, &head).await.unwrap();
    assert_eq!(survey.at_watermark, AtWatermark::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_whose_first_version_cannot_be_loaded_is_past_the_horizon() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    let mut after = watermark(&source).await;
    after.version.0 = 2;
    after.digest = None;
    table.checkpoint().await.unwrap();
    // Commits 2 to 4 are there, but no log checkpoint leads to them.
    for version in 0..=1 {
        fs::remove_file(world.commit_file(version)).unwrap();
    }
    let source = world.source(None, None);
    assert_eq!(contents(&source, &after).await, []);
    let lost = changes(&source, &after, Reading::Feed).await.unwrap_err();
    insta::assert_snapshot!(world.told(&lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_its_commit_file_has_no_digest() {
    let (world, mut table) = five().await;
    table.checkpoint().await.unwrap();
    table.append(ids(5..6)).await.unwrap();
    let (newest, aside) = (world.commit_file(5), world.path().join("aside"));
    fs::rename(&newest, &aside).unwrap();
    for version in 0..=4 {
        fs::remove_file(world.commit_file(version)).unwrap();
    }
    let source = world.source(None, None);
    let head = source.head().await.unwrap();
    assert_eq!((head.version.0, head.digest), (4, None));
    assert_eq!(rows(&source).await.len(), 5);
    let after = watermark(&source).await;
    fs::rename(&aside, &newest).unwrap();
    let head = source.head().await.unwrap();
    let survey = source.survey(&after, &head).await.unwrap();
    assert_eq!(survey.at_watermark, AtWatermark::Gone);
    assert_eq!(survey.commits.len(), 1);
    assert_eq!(
        changes(&source, &after, Reading::Feed).await.unwrap(),
        ["5 + 5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_rewritten_is_noticed() {
    let (world, mut table) = five().await;
    let source = world.source(None, None);
    let before = watermark(&source).await;
    table.append(ids(5..6)).await.unwrap();
    let mut text = fs::read_to_string(world.commit_file(4)).unwrap();
    text.push('\n');
    fs::write(world.commit_file(4), text).unwrap();
    let head = source.head().await.unwrap();
    let survey = source.survey(&before, &head).await.unwrap();
    assert_ne!(
        survey.at_watermark,
        AtWatermark::Commit(before.digest.unwrap())
    );
    let moved = changes(&source, &before, Reading::Feed).await.unwrap_err();
    insta::assert_snapshot!(world.told(&moved));
    assert!(snapshot_at(&source, &before).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_and_made_again_is_another_one() {
    let (world, _table) = five().await;
    let source = world.source(None, None);
    let before = watermark(&source).await;
    fs::remove_dir_all(world.path()).unwrap();
    let gone = source.head().await.unwrap_err();
    insta::assert_snapshot!("a_dropped_table", world.told(&gone));
    let mut table = DeltaTable::create_with(&world.path(), ids(0..3), NewTable::with_feed())
        .await
        .unwrap();
    for id in 1..6 {
        table.append(ids(id..id + 1)).await.unwrap();
    }
    let head = source.head().await.unwrap();
    assert_ne!(head.table_id, before.table_id);
    assert!(snapshot_at(&source, &before).await.is_err());
    assert_eq!(rows(&source).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_commit_is_an_error_that_names_it() {
    let (world, _table) = five().await;
    let source = world.source(None, None);
    let head = source.head().await.unwrap();
    let mut after = watermark(&source).await;
    after.version.0 = 1;
    fs::write(world.commit_file(3), "{\"add\": {\"path\"").unwrap();
    let damaged = source.survey(&after, &head).await.unwrap_err();
    insta::assert_snapshot!(world.told(&damaged));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_files_that_are_gone_are_a_loss_or_a_move() {
    let (world, mut table) = World::with(NewTable::with_feed(), ids(0..3)).await;
    let source = world.source(None, None);
    let old = watermark(&source).await;
    table.update(&[("id", "id + 10")], None).await.unwrap();
    let now = watermark(&source).await;
    for entry in fs::read_dir(world.path()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let vacuumed = snapshot_at(&source, &old).await.unwrap_err();
    let lost = snapshot_at(&source, &now).await.unwrap_err();
    fs::remove_dir_all(world.path().join("_change_data")).unwrap();
    let feed = changes(&source, &old, Reading::Feed).await.unwrap_err();
    let told = [&vacuumed, &lost, &feed].map(|error| without_names(&world.told(error)));
    insta::assert_snapshot!(told.join("\n\n"));
}

/// The feed would read removed files under the new metadata, which they were not written under.
#[tokio::test(flavor = "multi_thread")]
async fn removes_beside_new_metadata_are_not_read_as_a_feed() {
    let (world, mut table) = World::with(NewTable::with_feed(), ids(0..2)).await;
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.delete(None).await.unwrap();
    assert_eq!(contents(&source, &after).await, [Content::Feed]);
    let created = fs::read_to_string(world.commit_file(0)).unwrap();
    let metadata = created.lines().find(|line| line.contains("\"metaData\":"));
    let commit = fs::read_to_string(world.commit_file(1)).unwrap();
    let commit = format!("{commit}\n{}", metadata.unwrap());
    fs::write(world.commit_file(1), commit).unwrap();
    assert_eq!(contents(&source, &after).await, [Content::Opaque]);
}

#[tokio::test(flavor = "multi_thread")]
async fn removes_without_partition_values_are_not_read_as_a_feed() {
    let (world, mut table) = five().await;
    let start = batch(&[
        ("id", array::<Int64Array>(vec![1, 2])),
        ("part", array::<Int64Array>(vec![1, 2])),
    ]);
    drop(table);
    fs::remove_dir_all(world.path()).unwrap();
    let new = NewTable::with_feed().partitioned_by(&["part"]);
    table = DeltaTable::create_with(&world.path(), start, new)
        .await
        .unwrap();
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.delete(Some("part = 1")).await.unwrap();
    assert_eq!(contents(&source, &after).await, [Content::Feed]);
    let commit = fs::read_to_string(world.commit_file(1)).unwrap();
    let bare: Vec<_> = commit.lines().map(without_partition_values).collect();
    fs::write(world.commit_file(1), bare.join("\n")).unwrap();
    assert_eq!(contents(&source, &after).await, [Content::Opaque]);
}

/// A commit's line whose remove, if it is one, has only what the protocol demands; without change
/// files.
fn without_partition_values(line: &str) -> String {
    let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
    if let Some(remove) = action
        .get_mut("remove")
        .and_then(|value| value.as_object_mut())
    {
        remove.retain(|key, _| ["path", "dataChange", "deletionTimestamp"].contains(&key.as_str()));
    }
    if action.get("cdc").is_some() {
        return String::new();
    }
    action.to_string()
}

/// `text` without the random parts of file names.
fn without_names(text: &str) -> String {
    let words = text.split_inclusive(['/', ' ', '\n']).map(|word| {
        if word.contains("parquet") {
            "FILE "
        } else {
            word
        }
    });
    words.collect()
}
