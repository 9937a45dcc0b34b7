//! Commits without a feed: what differs between two versions, whatever was done to the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use lakeferry_delta::{DeltaSource, Error};
use lakeferry_delta_testkit::{DeltaTable, MappedTable, NewTable, OP_COLUMN, inline_vector};
use lakeferry_model::{
    CommitRange, Content, DeltaVersion, Failure as _, FailureClass, Reading, Source as _, Watermark,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{World, array, batch, changes, contents, rows, snapshot_at, texts, watermark};

/// Ids, words that follow from them and `salt`, and a part of two.
fn words(ids: impl IntoIterator<Item = i64>, salt: i64) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let words: Vec<_> = ids
        .iter()
        .map(|id| format!("w{}", (id + salt) % 4))
        .collect();
    let parts: Vec<_> = ids.iter().map(|id| id % 2).collect();
    batch(&[
        ("id", array::<Int64Array>(ids)),
        ("word", array::<StringArray>(words)),
        ("part", array::<Int64Array>(parts)),
    ])
}

#[derive(Clone, Debug)]
enum Deed {
    Append(i64, i64),
    Update(i64),
    Delete(i64),
    Merge(i64, i64),
    Overwrite(i64),
    Optimize,
    Checkpoint,
    /// Looks for changes since the last look.
    Look,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let id = 0..12i64;
    let deed = prop_oneof![
        2 => (id.clone(), id.clone()).prop_map(|(id, salt)| Deed::Append(id, salt)),
        2 => id.clone().prop_map(Deed::Update),
        2 => id.clone().prop_map(Deed::Delete),
        2 => (id.clone(), id.clone()).prop_map(|(id, salt)| Deed::Merge(id, salt)),
        1 => id.prop_map(Deed::Overwrite),
        2 => Just(Deed::Optimize),
        1 => Just(Deed::Checkpoint),
        3 => Just(Deed::Look),
    ];
    prop::collection::vec(deed, 4..12)
}

async fn done(table: &mut DeltaTable, deed: &Deed) {
    let done = match deed {
        Deed::Append(id, salt) => table.append(words(*id..id + 3, *salt)).await,
        Deed::Update(id) => {
            let below = format!("id < {id}");
            table.update(&[("word", "'changed'")], Some(&below)).await
        }
        Deed::Delete(id) => table.delete(Some(&format!("id = {id}"))).await,
        Deed::Merge(id, salt) => {
            let rows = words(*id..id + 2, *salt);
            let names = ["id", "word", "part"].into_iter();
            let mut columns: Vec<_> = names.zip(rows.columns().iter().cloned()).collect();
            columns.push((OP_COLUMN, array::<StringArray>(vec!["upsert"; 2])));
            table.merge(&["id"], batch(&columns)).await
        }
        Deed::Overwrite(id) => table.overwrite(words(*id..id + 8, 0)).await,
        Deed::Optimize => table.optimize().await,
        Deed::Checkpoint => table.checkpoint().await.map(|()| 0),
        Deed::Look => Ok(0),
    };
    done.unwrap();
}

/// The rows of a version, as often as they are there.
async fn multiset(source: &DeltaSource, at: &Watermark<DeltaVersion>) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for text in snapshot_at(source, at)
        .await
        .unwrap()
        .iter()
        .flat_map(texts)
    {
        *rows.entry(text).or_default() += 1;
    }
    rows
}

/// Checks that what changed after `after` is what the versions differ by.
pub(crate) async fn changes_are_the_difference(
    source: &DeltaSource,
    after: &Watermark<DeltaVersion>,
) -> Result<(), Error> {
    let through = watermark(source).await;
    let mut found = BTreeMap::<String, i64>::new();
    for change in changes(source, after, Reading::Files).await? {
        let (version, change) = change.split_once(' ').unwrap();
        assert_eq!(version, through.version.to_string());
        let (sign, row) = change.split_once(' ').unwrap();
        *found.entry(row.to_owned()).or_default() += if sign == "+" { 1 } else { -1 };
    }
    let mut expected = multiset(source, &through).await;
    for (row, count) in multiset(source, after).await {
        *expected.entry(row).or_default() -= count;
    }
    expected.retain(|_, count| *count != 0);
    assert_eq!(found, expected, "after {:?}", after.version);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    /// Two snapshots differ by what the files that came and went differ by.
    #[test]
    fn what_differs_is_the_difference_of_the_versions(
        deeds in deeds(),
        partitioned in any::<bool>(),
        filter in prop_oneof![Just(None), Just(Some("word <> 'w1' AND id > 2")), Just(Some("part = 1"))],
        columns in prop_oneof![Just(None), Just(Some(&["word"][..]))],
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let parts: &[&str] = if partitioned { &["part"] } else { &[] };
            let new = NewTable::without_feed().partitioned_by(parts);
            let (world, mut table) = World::with(new, words(0..6, 0)).await;
            let source = world.source(columns, filter);
            let mut after = watermark(&source).await;
            for deed in deeds.iter().chain([&Deed::Look]) {
                done(&mut table, deed).await;
                if !matches!(deed, Deed::Look) || table.version() == after.version.0 {
                    continue;
                }
                changes_are_the_difference(&source, &after).await.unwrap();
                after = watermark(&source).await;
            }
        });
    }
}

/// A table of the rows 0 to 9 in one file whose deletion vectors the test writes itself.
struct Marked {
    world: World,
    version: u64,
    /// The add action of the file.
    add: Value,
}

impl Marked {
    async fn new() -> Self {
        let (world, _table) = World::with(NewTable::without_feed(), words(0..10, 0)).await;
        let log = fs::read_to_string(world.commit_file(0)).unwrap();
        let mut actions = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let add = actions
            .find_map(|action| action.get("add").cloned())
            .unwrap();
        let mut marked = Self {
            world,
            version: 0,
            add,
        };
        let features = json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"],
        } });
        marked.commit(&[features]);
        marked
    }

    fn commit(&mut self, actions: &[Value]) {
        self.version += 1;
        let lines: Vec<_> = actions.iter().map(Value::to_string).collect();
        fs::write(self.world.commit_file(self.version), lines.join("\n")).unwrap();
    }

    /// The file with another deletion vector, as an action.
    fn with(&self, deleted: &[u16]) -> Value {
        let mut file = self.add.clone();
        let fields = file.as_object_mut().unwrap();
        fields.remove("deletionVector");
        if !deleted.is_empty() {
            fields.insert("deletionVector".to_owned(), inline_vector(deleted));
        }
        file
    }

    /// From one deletion vector to another, in one commit.
    fn mark(&mut self, before: &[u16], after: &[u16]) {
        self.commit(&[
            json!({ "add": self.with(after) }),
            json!({ "remove": self.with(before) }),
        ]);
    }
}

fn ids(changes: &[String]) -> BTreeSet<String> {
    let parts = changes.iter().map(|change| {
        let parts: Vec<_> = change.split(' ').collect();
        format!("{}{}", parts[1], parts[2])
    });
    parts.collect()
}

async fn ids_changed(marked: &Marked, after: &Watermark<DeltaVersion>) -> BTreeSet<String> {
    let source = marked.world.source(None, None);
    ids(&changes(&source, after, Reading::Files).await.unwrap())
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deletion_vector_only_rows_that_it_changes_are_read() {
    let mut marked = Marked::new().await;
    let source = marked.world.source(None, None);
    let start = watermark(&source).await;
    marked.mark(&[], &[1, 3]);
    assert_eq!(contents(&source, &start).await, [Content::Rewritten]);
    assert_eq!(ids_changed(&marked, &start).await, set(&["-1", "-3"]));
    let one = watermark(&source).await;
    marked.mark(&[1, 3], &[1, 3, 4, 9]);
    assert_eq!(rows(&source).await.len(), 6);
    assert_eq!(ids_changed(&marked, &one).await, set(&["-4", "-9"]));
    // Net over both.
    let both = ids_changed(&marked, &start).await;
    assert_eq!(both, set(&["-1", "-3", "-4", "-9"]));
    // What was deleted may come back.
    let two = watermark(&source).await;
    marked.mark(&[1, 3, 4, 9], &[1, 9]);
    assert_eq!(ids_changed(&marked, &two).await, set(&["+3", "+4"]));
    assert_eq!(ids_changed(&marked, &one).await, set(&["+3", "-9"]));
    let three = watermark(&source).await;
    marked.mark(&[1, 9], &[]);
    assert_eq!(ids_changed(&marked, &three).await, set(&["+1", "+9"]));
    assert_eq!(ids_changed(&marked, &start).await, set(&[]));
    // A file that goes takes the rows along that were alive.
    let four = watermark(&source).await;
    marked.mark(&[], &[0, 1, 2, 3, 4, 5]);
    let file = marked.with(&[0, 1, 2, 3, 4, 5]);
    marked.commit(&[json!({ "remove": file })]);
    let all: Vec<String> = (0..10).map(|id| format!("-{id}")).collect();
    assert_eq!(ids_changed(&marked, &four).await, all.into_iter().collect());
    let five = Watermark {
        version: DeltaVersion(marked.version - 1),
        digest: None,
        ..four
    };
    assert_eq!(
        ids_changed(&marked, &five).await,
        set(&["-6", "-7", "-8", "-9"])
    );
}

/// The same vector stored anew, without a change of rows, between two that change some.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_vector_may_be_stored_anew() {
    let mut marked = Marked::new().await;
    let source = marked.world.source(None, None);
    let start = watermark(&source).await;
    marked.mark(&[], &[1, 3]);
    let mut anew = marked.with(&[1, 3]);
    let mut old = anew.clone();
    let vector = anew["deletionVector"]["pathOrInlineDv"].as_str().unwrap();
    anew["deletionVector"]["pathOrInlineDv"] = format!("{vector}00000").into();
    for file in [&mut anew, &mut old] {
        file["dataChange"] = false.into();
    }
    marked.commit(&[json!({ "remove": old }), json!({ "add": anew.clone() })]);
    anew["dataChange"] = true.into();
    let last = marked.with(&[1, 3, 7, 8]);
    marked.commit(&[json!({ "remove": anew }), json!({ "add": last })]);
    assert_eq!(rows(&source).await.len(), 6);
    let found = ids_changed(&marked, &start).await;
    assert_eq!(found, set(&["-1", "-3", "-7", "-8"]));
}

/// Writers add files anew that are there, for statistics or row ids: none of their rows came by it.
#[tokio::test(flavor = "multi_thread")]
async fn files_may_be_added_again() {
    let mut marked = Marked::new().await;
    let source = marked.world.source(None, None);
    let start = watermark(&source).await;
    let mut again = marked.with(&[]);
    again["dataChange"] = false.into();
    marked.commit(&[json!({ "add": again })]);
    assert_eq!(contents(&source, &start).await, [Content::Nothing]);
    assert_eq!(ids_changed(&marked, &start).await, set(&[]));
    marked.commit(&[json!({ "remove": marked.with(&[]) })]);
    let all: Vec<String> = (0..10).map(|id| format!("-{id}")).collect();
    assert_eq!(
        ids_changed(&marked, &start).await,
        all.into_iter().collect()
    );
}

/// The filter sees each row of a deletion vector as it sees every row.
#[tokio::test(flavor = "multi_thread")]
async fn the_filter_applies_to_rows_of_deletion_vectors() {
    let mut marked = Marked::new().await;
    let source = marked
        .world
        .source(Some(&["id"]), Some("id > 3 AND part = 0"));
    let start = watermark(&source).await;
    marked.mark(&[], &[1, 2, 3, 4, 5, 6]);
    let found = changes(&source, &start, Reading::Files).await.unwrap();
    assert_eq!(found, ["2 - 4", "2 - 6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_vacuumed_are_gone() {
    let (world, mut table) = World::with(NewTable::without_feed(), words(0..10, 0)).await;
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.delete(Some("id = 3")).await.unwrap();
    assert_eq!(
        ids(&changes(&source, &after, Reading::Files).await.unwrap()),
        set(&["-3"])
    );
    let commit = fs::read_to_string(world.commit_file(1)).unwrap();
    let actions = commit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    for action in actions {
        if let Some(removed) = action["remove"]["path"].as_str() {
            fs::remove_file(world.path().join(removed)).unwrap();
        }
    }
    let gone = changes(&source, &after, Reading::Files).await.unwrap_err();
    assert!(gone.is_gone(), "{gone}");
    assert_ne!(gone.class(), FailureClass::Bug);
}

/// Files that were written while a column was wider than before, and than after a RESTORE.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_a_restore_narrows_is_not_read() {
    let world = World::new();
    let columns = [("number", "integer")];
    let mut table = MappedTable::create(&world.path(), false, &columns).unwrap();
    table.append(&[(1, &[("number", "1")])]).unwrap();
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.widen_column("number", "long").unwrap();
    table.append(&[(2, &[("number", "5000000000")])]).unwrap();
    let range = CommitRange::new(after.clone(), watermark(&source).await).unwrap();
    let found = changes(&source, &after, Reading::Files).await.unwrap();
    assert_eq!(found, ["3 + 2 | 5000000000"]);
    table.restore(after.version.0).unwrap();
    source.head().await.unwrap();
    let Err(gone) = source.changes(&range, Reading::Files).await else {
        panic!("it can be read");
    };
    assert!(gone.is_gone(), "{gone}");
}

/// What the log says of a removed file may be too little to read it.
#[tokio::test(flavor = "multi_thread")]
async fn bare_removes_cannot_be_read() {
    let (world, mut table) = World::with(NewTable::without_feed(), words(0..10, 0)).await;
    let source = world.source(None, None);
    let after = watermark(&source).await;
    table.delete(Some("id = 3")).await.unwrap();
    let commit = fs::read_to_string(world.commit_file(1)).unwrap();
    let bare = commit.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(remove) = action.get_mut("remove").and_then(Value::as_object_mut) {
            remove.remove("size");
        }
        action.to_string()
    });
    fs::write(world.commit_file(1), bare.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(contents(&source, &after).await, [Content::Opaque]);
    let refused = changes(&source, &after, Reading::Files).await.unwrap_err();
    assert!(refused.is_gone(), "{refused}");
}
