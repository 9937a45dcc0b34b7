//! Row tracking: rows that were only copied are told by their numbers. A copy with another word than
//! its original, which no writer makes, shows whether anybody compared them.

use arrow_array::{Int64Array, ListArray, StringArray, types::Int64Type};
use delta_kernel::parquet::file::properties::WriterProperties;
use lakeferry_delta_testkit::inline_vector;
use lakeferry_model::Reading;
use serde_json::json;

use crate::{
    tracked_table::{COLUMNS, Fresh, ON, Stored, Tracked, metadata},
    world::{array, batch, changes, rows, watermark},
};

/// Three rows in version 1, of which version 2 updates the one in the middle. The first one comes out
/// of it with a word that it never had.
fn updated(properties: &[(&str, &str)], fresh: Fresh, copied: [Stored<'_>; 2]) -> Tracked {
    let mut table = Tracked::new(properties);
    let old = [
        (None, None, 1, "one"),
        (None, None, 2, "two"),
        (None, None, 3, "three"),
    ];
    table.commit(&[table.add("a", fresh, &old)]);
    let new = [copied[0], (Some(11), None, 2, "deux"), copied[1]];
    table.commit(&[
        table.add("b", Some((13, 2)), &new),
        table.remove("a", fresh),
    ]);
    table
}

const COPIED: [Stored<'_>; 2] = [
    (Some(10), Some(1), 1, "ONE"),
    (Some(12), Some(1), 3, "three"),
];
const UPDATED: [&str; 2] = ["+ 2 | deux", "- 2 | two"];
const ALL_COMPARED: [&str; 4] = ["+ 1 | ONE", "+ 2 | deux", "- 1 | one", "- 2 | two"];

#[tokio::test(flavor = "multi_thread")]
async fn copied_rows_are_not_read() {
    let table = updated(ON, Some((10, 1)), COPIED);
    assert_eq!(table.changed(1).await, UPDATED);
    assert_eq!(rows(&table.world.source(None, None)).await.len(), 3);
    // With a filter as well, and for columns among which there is no word.
    let source = table.world.source(Some(&["id"]), Some("word <> 'one'"));
    let after = table.at(1, &watermark(&source).await);
    let changes = changes(&source, &after, Reading::Files).await.unwrap();
    assert_eq!(changes, Vec::<String>::new());
}

/// Copies of copies, whose files say it of the old and the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn copied_rows_are_known_again_and_again() {
    let mut table = updated(ON, Some((10, 1)), COPIED);
    let third = [
        (Some(11), Some(2), 2, "DEUX"),
        (Some(12), None, 3, "drei"),
        (Some(10), Some(1), 1, "UNO"),
        (None, None, 4, "vier"),
    ];
    table.commit(&[
        table.remove("b", Some((13, 2))),
        table.add("c", Some((16, 3)), &third),
    ]);
    let changed = ["+ 3 | drei", "+ 4 | vier", "- 3 | three"];
    assert_eq!(table.changed(2).await, changed);
    // Net of both: what came in between is not there, and the second one's version is too late.
    let changed = [
        "+ 2 | DEUX",
        "+ 3 | drei",
        "+ 4 | vier",
        "- 2 | two",
        "- 3 | three",
    ];
    assert_eq!(table.changed(1).await, changed);
}

/// The protocol only asks writers to keep numbers.
#[tokio::test(flavor = "multi_thread")]
async fn copies_without_numbers_are_compared() {
    let without_ids = [(None, Some(1), 1, "ONE"), (None, Some(1), 3, "three")];
    let without_versions = [(Some(10), None, 1, "ONE"), (Some(12), None, 3, "three")];
    let without_both = [(None, None, 1, "ONE"), (None, None, 3, "three")];
    for copied in [without_ids, without_versions, without_both] {
        let table = updated(ON, Some((10, 1)), copied);
        assert_eq!(table.changed(1).await, ALL_COMPARED, "{copied:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_count_only_where_row_tracking_is_on() {
    let off = [("delta.enableRowTracking", "false"), ON[1], ON[2]];
    let suspended = [ON, &[("delta.rowTrackingSuspended", "true")]].concat();
    for properties in [&off[..], &ON[..2], &ON[1..], &suspended] {
        let table = updated(properties, Some((10, 1)), COPIED);
        assert_eq!(table.changed(1).await, ALL_COMPARED, "{properties:?}");
    }
    // Files from before it was on.
    let table = updated(ON, None, COPIED);
    assert_eq!(table.changed(1).await, ALL_COMPARED);
}

/// Row 10 of version 1 is another row than row 10 of version 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_old_rows_back() {
    let mut table = updated(ON, Some((10, 1)), COPIED);
    let old = table.told("a", Some((10, 1)));
    table.commit(&[json!({ "add": old }), table.remove("b", Some((13, 2)))]);
    assert_eq!(table.changed(2).await, ["+ 2 | two", "- 2 | deux"]);
    assert_eq!(table.changed(1).await, Vec::<String>::new());
}

/// A clone may have taken over versions of its original, which say nothing of its own commits.
#[tokio::test(flavor = "multi_thread")]
async fn versions_of_another_log_are_not_believed() {
    let mut table = Tracked::new(ON);
    table.commit(&[table.add("a", Some((10, 2)), &[(None, None, 1, "one")])]);
    table.commit(&[
        table.add("b", Some((11, 2)), &[(Some(10), None, 1, "ONE")]),
        table.remove("a", Some((10, 2))),
    ]);
    assert_eq!(table.changed(1).await, ["+ 1 | ONE", "- 1 | one"]);
}

/// Rows at the same place in files of one commit are told apart by where the ids of each begin.
#[tokio::test(flavor = "multi_thread")]
async fn ids_begin_where_the_log_says() {
    let mut table = Tracked::new(ON);
    let (one, other) = (Some((10, 1)), Some((12, 1)));
    table.commit(&[
        table.add("a", one, &[(None, None, 1, "one"), (None, None, 2, "two")]),
        table.add(
            "b",
            other,
            &[(None, None, 3, "three"), (None, None, 4, "four")],
        ),
    ]);
    table.commit(&[table.remove("b", other)]);
    let back = table.told("b", other);
    table.commit(&[table.remove("a", one), json!({ "add": back })]);
    let changed = ["+ 3 | three", "+ 4 | four", "- 1 | one", "- 2 | two"];
    assert_eq!(table.changed(2).await, changed);
}

/// A row that a deletion vector took away is no partner for one that came.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_pair_with_nothing() {
    let mut table = Tracked::new(ON);
    let (fresh, old) = (
        Some((10, 1)),
        [(None, None, 1, "one"), (None, None, 2, "two")],
    );
    table.commit(&[table.add("a", fresh, &old)]);
    let mut marked = table.told("a", fresh);
    marked["deletionVector"] = inline_vector(&[0]);
    table.commit(&[json!({ "add": marked }), table.remove("a", fresh)]);
    // What was deleted is back, in another file.
    table.commit(&[
        table.add(
            "b",
            Some((12, 3)),
            &[(Some(11), Some(1), 2, "TWO"), (Some(10), Some(1), 1, "one")],
        ),
        json!({ "remove": marked }),
    ]);
    assert_eq!(table.changed(2).await, ["+ 1 | one"]);
    // Over both nothing changed: all rows went with the file, and came with the other one.
    assert_eq!(table.changed(1).await, Vec::<String>::new());
    let mut other = table.told("b", Some((12, 3)));
    other["deletionVector"] = inline_vector(&[1]);
    let whole = table.remove("b", Some((12, 3)));
    table.commit(&[json!({ "add": other }), whole]);
    assert_eq!(table.changed(3).await, ["- 1 | one"]);
    assert_eq!(table.changed(1).await, ["- 1 | one"]);
}

/// Row ids of a file that has them already are given to it without a change of its rows.
#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_turned_on_in_between() {
    let mut table = Tracked::new(&[]);
    let old = [(None, None, 1, "one"), (None, None, 2, "two")];
    table.commit(&[table.add("a", None, &old)]);
    let mut told = table.told("a", Some((0, 2)));
    told["dataChange"] = false.into();
    table.commit(&[json!({ "add": told })]);
    table.commit(&[metadata(ON, COLUMNS)]);
    table.commit(&[
        table.add("b", Some((2, 4)), &[(Some(1), Some(2), 2, "TWO")]),
        table.remove("a", Some((0, 2))),
    ]);
    assert_eq!(table.changed(3).await, ["- 1 | one"]);
    // From before, nothing is known of the second row.
    for after in [1, 2] {
        let changed = table.changed(after).await;
        let expected: &[&str] = match after {
            1 => &["+ 2 | TWO", "- 1 | one", "- 2 | two"],
            _ => &["- 1 | one"],
        };
        assert_eq!(changed, expected, "after {after}");
    }
}

/// Columns of these names that have something else.
#[tokio::test(flavor = "multi_thread")]
async fn other_columns_are_not_taken_for_numbers() {
    let names = [("delta.rowTracking.materializedRowIdColumnName", "word")];
    let properties = [&ON[..1], &names, &ON[2..]].concat();
    let table = updated(&properties, Some((10, 1)), COPIED);
    assert_eq!(table.changed(1).await, ALL_COMPARED);
}

/// Files of many pages and row groups, of which few rows are read, or many.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_are_found_on_their_pages() {
    const ROWS: i64 = 20_000;
    let tags = r#"{ "type": "array", "elementType": "long", "containsNull": true }"#;
    let columns = [COLUMNS, &[("tags", tags)]].concat();
    for step in [1, 3, 700, 19_999] {
        let mut table = Tracked::of(ON, &columns);
        write_pages(&table, "a", ROWS, |_| false);
        write_pages(&table, "b", ROWS, |row| row % step == 0);
        table.commit(&[json!({ "add": table.told("a", Some((0, 1))) })]);
        table.commit(&[
            json!({ "add": table.told("b", Some((ROWS, 2))) }),
            table.remove("a", Some((0, 1))),
        ]);
        let mut expected: Vec<String> = (0..ROWS)
            .step_by(usize::try_from(step).unwrap())
            .flat_map(|row| {
                let tags = ["[]", "[0]", "[0, 1]", "[0, 1, 2]"];
                let tags = tags[usize::try_from(row % 4).unwrap()];
                ["+ {} | new {} | ", "- {} | old {} | "]
                    .map(|text| text.replace("{}", &row.to_string()) + tags)
            })
            .collect();
        expected.sort();
        assert_eq!(table.changed(1).await, expected, "every {step}");
    }
}

/// More rows than may wait for their copy at once: none has to.
#[tokio::test(flavor = "multi_thread")]
async fn copies_in_the_order_of_their_originals_take_no_room() {
    const ROWS: usize = 1_200_000;
    let mut table = Tracked::new(ON);
    let ids = || array::<Int64Array>((0..ROWS as i64).collect::<Vec<_>>());
    let words = |word: &'static str| {
        let words = std::iter::repeat_n(word, ROWS);
        array::<StringArray>(StringArray::from_iter_values(words))
    };
    let old = batch(&[("id", ids()), ("word", words("old"))]);
    let new = batch(&[
        ("id", ids()),
        ("word", words("new")),
        ("_ids", ids()),
        ("_versions", array::<Int64Array>(vec![1; ROWS])),
    ]);
    table.write_file("a", &[old], WriterProperties::new());
    table.write_file("b", &[new], WriterProperties::new());
    table.commit(&[json!({ "add": table.told("a", Some((0, 1))) })]);
    table.commit(&[
        json!({ "add": table.told("b", Some((ROWS as i64, 2))) }),
        table.remove("a", Some((0, 1))),
    ]);
    assert_eq!(table.changed(1).await, Vec::<String>::new());
}

/// Writes so many rows, pages of a hundred, with the numbers that a copy has but where it is changed.
fn write_pages(table: &Tracked, name: &str, rows: i64, is_changed: impl Fn(i64) -> bool) {
    let word = |row| match is_changed(row) {
        true => format!("new {row}"),
        false => format!("old {row}"),
    };
    let tags = (0..rows).map(|row| Some((0..row % 4).map(Some)));
    let tags = ListArray::from_iter_primitive::<Int64Type, _, _>(tags);
    let ids = array::<Int64Array>((0..rows).collect::<Vec<_>>());
    let versions = (0..rows).map(|row| (!is_changed(row)).then_some(1));
    let rows = batch(&[
        ("id", ids.clone()),
        (
            "word",
            array::<StringArray>((0..rows).map(word).collect::<Vec<_>>()),
        ),
        ("tags", array::<ListArray>(tags)),
        ("_ids", ids),
        (
            "_versions",
            array::<Int64Array>(versions.collect::<Vec<_>>()),
        ),
    ]);
    let pages = WriterProperties::builder()
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .set_max_row_group_row_count(Some(3_000));
    table.write_file(name, &[rows], pages.build());
}
