//! Columns with parts: as they were written, whatever the files have, and in filters.

use std::{fs, ops::RangeInclusive, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use delta_kernel::parquet::arrow::ArrowWriter;
use lakeferry_delta_testkit::NewTable;
use lakeferry_model::{Reading, Source as _};
use serde_json::{Value, json};

use crate::{
    parquet::{commit_added, write_int96_lists},
    world::{World, array, batch, changes, rows, texts, types, watermark},
};

/// Lists of what is given, null where `lengths` has nothing.
pub(crate) fn lists(lengths: &[Option<usize>], elements: ArrayRef) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let nulls: NullBuffer = lengths
        .iter()
        .map(Option::is_some)
        .collect::<Vec<_>>()
        .into();
    Arc::new(ListArray::new(field.into(), offsets, elements, Some(nulls)))
}

fn maps(lengths: &[Option<usize>], keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let key = Field::new("key", keys.data_type().clone(), false);
    let value = Field::new("value", values.data_type().clone(), true);
    let entries = StructArray::new(vec![key, value].into(), vec![keys, values], None);
    let field = Field::new("key_value", entries.data_type().clone(), false);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let nulls: NullBuffer = lengths
        .iter()
        .map(Option::is_some)
        .collect::<Vec<_>>()
        .into();
    Arc::new(MapArray::new(
        field.into(),
        offsets,
        entries,
        Some(nulls),
        false,
    ))
}

fn structs(columns: Vec<(&str, ArrayRef)>, valid: &[bool]) -> ArrayRef {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
        .unzip();
    let nulls = Some(NullBuffer::from(valid.to_vec()));
    Arc::new(StructArray::new(Fields::from(fields), arrays, nulls))
}

fn ints(values: Vec<Option<i32>>) -> ArrayRef {
    array::<Int32Array>(values)
}

/// `inner` in 20 lists of one element each, by rows.
fn deep(inner: ArrayRef) -> ArrayRef {
    let ones = vec![Some(1); inner.len()];
    (0..20).fold(inner, |inner, _| lists(&ones, inner))
}

/// Four rows with nulls at every level.
fn nested() -> RecordBatch {
    let decimals = Decimal128Array::from(vec![10_i128.pow(38) - 1, -1, 0]);
    let decimals = decimals.with_precision_and_scale(38, 38).unwrap();
    let times = TimestampMicrosecondArray::from(vec![253_402_300_799_999_999, -1, 0]);
    let points = || {
        structs(
            vec![("x", ints(vec![Some(1), None, None, Some(4)]))],
            &[true, true, false, true],
        )
    };
    let words = array::<StringArray>(vec![Some("a"), None, Some("")]);
    let keys = array::<StringArray>(vec!["k", "l", "m"]);
    let three = [Some(2), Some(0), None, Some(1)];
    batch(&[
        ("id", ints(vec![Some(1), Some(2), Some(3), Some(4)])),
        ("words", lists(&three, words.clone())),
        ("decimals", lists(&three, Arc::new(decimals))),
        (
            "instants",
            lists(&three, Arc::new(times.clone().with_timezone("UTC"))),
        ),
        ("locals", lists(&three, Arc::new(times))),
        ("point", points()),
        (
            "around",
            structs(vec![("point", points())], &[true, true, true, false]),
        ),
        (
            "points",
            lists(&[Some(2), None, Some(0), Some(2)], points()),
        ),
        (
            "words_of_words",
            lists(
                &[Some(1), Some(2), Some(0), None],
                lists(&three[..3], words.clone()),
            ),
        ),
        ("by_name", maps(&three, keys, words)),
        (
            "by_number",
            maps(
                &[None, Some(0), Some(3), Some(1)],
                ints((1..5).map(Some).collect()),
                points(),
            ),
        ),
        ("deep", deep(ints(vec![Some(1), None, Some(3), Some(4)]))),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_values_survive() {
    let start = nested();
    for new in [NewTable::with_feed(), NewTable::without_feed()] {
        let reading = if new.change_data_feed {
            Reading::Feed
        } else {
            Reading::Files
        };
        let (world, mut table) = World::with(new, start.clone()).await;
        let source = world.source(None, None);
        let after = watermark(&source).await;
        let mut wanted = texts(&start);
        wanted.sort();
        assert_eq!(rows(&source).await, wanted);
        table.append(start.clone()).await.unwrap();
        let mut added: Vec<_> = wanted.iter().map(|row| format!("1 + {row}")).collect();
        added.sort();
        assert_eq!(changes(&source, &after, reading).await.unwrap(), added);
        let head = source.head().await.unwrap();
        insta::assert_snapshot!("nested_types", types(&head.columns));

        let two = world.source(Some(&["points", "id"]), None);
        let projected = start.project(&[7, 0]).unwrap();
        let mut wanted = [texts(&projected), texts(&projected)].concat();
        wanted.sort();
        assert_eq!(rows(&two).await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_nested_values_has_both_images() {
    let start = nested();
    let (world, mut table) = World::with(NewTable::with_feed(), start.clone()).await;
    let source = world.source(None, Some("id <> 3"));
    let after = watermark(&source).await;
    table.update(&[("id", "id + 10")], None).await.unwrap();
    table.delete(Some("id > 13")).await.unwrap();
    let found = changes(&source, &after, Reading::Feed).await.unwrap();
    let old = texts(&start);
    let new: Vec<_> = old.iter().map(|row| format!("1{row}")).collect();
    let mut wanted = vec![format!("2 - {}", new[3])];
    wanted.extend([0, 1, 3].map(|at| format!("1 - {}", old[at])));
    wanted.extend(new.iter().map(|row| format!("1 + {row}")));
    wanted.sort();
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_look_into_values() {
    let (world, mut table) = World::with(NewTable::with_feed(), nested()).await;
    let cases = [
        ("point.x = 1", &["1"][..]),
        ("POINT.X IS NULL", &["2", "3"]),
        ("point IS NULL", &["3"]),
        ("around.point.x = 1 OR around.Point.x = 2", &["1"]),
        ("words[1] = 'a'", &["1"]),
        ("by_name['k'] = 'a'", &["1"]),
        ("points[2].x = 4 AND id > 0", &["4"]),
        ("cardinality(words) = 2", &["1"]),
        ("array_has(words, '')", &["4"]),
    ];
    for (filter, ids) in cases {
        let source = world.source(Some(&["id"]), Some(filter));
        assert_eq!(rows(&source).await, *ids, "{filter}");
    }
    let source = world.source(Some(&["id"]), Some("point.x = 1"));
    let after = watermark(&source).await;
    table.append(nested()).await.unwrap();
    assert_eq!(
        changes(&source, &after, Reading::Feed).await.unwrap(),
        ["1 + 1"]
    );
    for (filter, told) in [
        ("point.y = 1", "it has no column y"),
        ("id.x = 1", "x is asked of a value that has no fields"),
        ("points[1].y = 1", "it has no column y"),
        (
            "by_name.k = 'a'",
            "k is asked of a value that has no fields",
        ),
    ] {
        let source = world.source(None, Some(filter));
        let error = world.told(&source.head().await.unwrap_err());
        assert!(error.contains(told), "{error}");
    }
}

/// A field that came later is null in older files, in structs, in lists and in lists of lists.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_came_later_are_null() {
    let make = |with_b: bool| {
        let one = || {
            let mut fields = vec![("a", ints(vec![Some(1)]))];
            if with_b {
                fields.insert(0, ("b", ints(vec![Some(2)])));
            }
            structs(fields, &[true])
        };
        let one_list = |inner| lists(&[Some(1)], inner);
        batch(&[
            ("s", one()),
            ("l", one_list(one())),
            ("ll", one_list(one_list(one()))),
            ("lm", one_list(maps(&[Some(1)], ints(vec![Some(7)]), one()))),
        ])
    };
    let (world, _table) = World::with(NewTable::without_feed(), make(true)).await;
    let file = fs::File::create(world.path().join("old.parquet")).unwrap();
    let old = make(false);
    let mut writer = ArrowWriter::try_new(file, old.schema(), None).unwrap();
    writer.write(&old).unwrap();
    writer.close().unwrap();
    commit_added(&world, 1, "old.parquet");
    let with = |b: &str| {
        let one = format!("{{b: {b}, a: 1}}");
        format!("{one} | [{one}] | [[{one}]] | [{{7: {one}}}]")
    };
    assert_eq!(
        rows(&world.source(None, None)).await,
        [with("2"), with("~")]
    );
}

/// Spark writes timestamps as INT96 in lists as well, and times of another unit are the table's.
#[tokio::test(flavor = "multi_thread")]
async fn times_in_lists_are_in_microseconds() {
    let micros = [253_402_300_799_999_999, -62_135_596_800_000_000, -1, 1];
    let of = |micros: Vec<i64>| {
        let times = TimestampMicrosecondArray::from(micros);
        let lengths = [Some(times.len())];
        batch(&[
            (
                "ts",
                lists(&lengths, Arc::new(times.clone().with_timezone("UTC"))),
            ),
            ("ntz", lists(&lengths, Arc::new(times))),
        ])
    };
    for (new, reading) in [
        (NewTable::with_feed(), Reading::Feed),
        (NewTable::without_feed(), Reading::Files),
    ] {
        let (world, _table) = World::with(new, of(vec![])).await;
        let source = world.source(None, None);
        let after = watermark(&source).await;
        write_int96_lists(&world.path().join("spark.parquet"), &micros);
        commit_added(&world, 1, "spark.parquet");

        let millis = TimestampMillisecondArray::from(vec![-1, 5]);
        let lengths = [Some(2)];
        let other = batch(&[
            (
                "ts",
                lists(&lengths, Arc::new(millis.clone().with_timezone("UTC"))),
            ),
            ("ntz", lists(&lengths, Arc::new(millis))),
        ]);
        let file = fs::File::create(world.path().join("millis.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, other.schema(), None).unwrap();
        writer.write(&other).unwrap();
        writer.close().unwrap();
        commit_added(&world, 2, "millis.parquet");

        let [int96, millis] =
            [of(micros.to_vec()), of(vec![-1_000, 5_000])].map(|batch| texts(&batch).remove(0));
        let mut wanted = vec![int96.clone(), millis.clone(), texts(&of(vec![])).remove(0)];
        wanted.sort();
        assert_eq!(rows(&source).await, wanted);
        let found = changes(&source, &after, reading).await.unwrap();
        let first = first_of(1..=2, reading);
        let mut wanted = [format!("{first} + {int96}"), format!("2 + {millis}")];
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

/// The version of the changes that the first commit of `versions` made: files are read net.
fn first_of(versions: RangeInclusive<u64>, reading: Reading) -> u64 {
    match reading {
        Reading::Feed => *versions.start(),
        Reading::Files => *versions.end(),
    }
}

/// Numbers that were widened (Delta protocol, "Type Widening") are so in lists.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_in_lists_are_widened() {
    let wide = batch(&[("n", lists(&[Some(1)], array::<Int64Array>(vec![i64::MAX])))]);
    let narrow = batch(&[("n", lists(&[Some(2)], ints(vec![Some(i32::MIN), None])))]);
    let (world, _table) = World::with(NewTable::without_feed(), wide).await;
    let file = fs::File::create(world.path().join("narrow.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, narrow.schema(), None).unwrap();
    writer.write(&narrow).unwrap();
    writer.close().unwrap();
    commit_added(&world, 1, "narrow.parquet");
    let source = world.source(None, None);
    assert_eq!(
        rows(&source).await,
        ["[-2147483648, ~]", "[9223372036854775807]"]
    );
}

/// What is never null in a value may be absent with it.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_never_null_are_absent_with_the_whole() {
    let never = |name: &str, of: &DataType| Field::new(name, of.clone(), false);
    let x = ints(vec![Some(1), Some(0), Some(3)]);
    let some = || Some(NullBuffer::from(vec![true, false, true]));
    let point = |nulls| {
        let fields = vec![never("x", &DataType::Int32)];
        StructArray::new(fields.into(), vec![x.clone()], nulls)
    };
    let of_points = point(None);
    let element = never("element", of_points.data_type());
    let offsets = OffsetBuffer::from_lengths([1, 0, 2]);
    let points = ListArray::new(element.into(), offsets.clone(), Arc::new(of_points), some());
    let entry = vec![
        never("key", &DataType::Int32),
        never("value", &DataType::Int32),
    ];
    let entries = StructArray::new(entry.into(), vec![x.clone(), x.clone()], None);
    let field = never("key_value", entries.data_type());
    let pairs = MapArray::new(field.into(), offsets, entries, some(), false);
    let around = vec![Field::new("p", point(None).data_type().clone(), true)];
    let around = StructArray::new(around.into(), vec![Arc::new(point(some()))], some());
    let start = batch(&[
        ("id", ints(vec![Some(1), Some(2), Some(3)])),
        ("point", Arc::new(point(some()))),
        ("points", Arc::new(points)),
        ("pairs", Arc::new(pairs)),
        ("around", Arc::new(around)),
    ]);
    let (world, mut table) = World::with(NewTable::with_feed(), start.clone()).await;
    let source = world.source(None, Some("point.x > 0 OR id = 2"));
    let after = watermark(&source).await;
    let wanted = texts(&start);
    assert_eq!(rows(&source).await, wanted);
    table.delete(Some("id > 1")).await.unwrap();
    let gone: Vec<_> = wanted[1..].iter().map(|row| format!("1 - {row}")).collect();
    assert_eq!(changes(&source, &after, Reading::Feed).await.unwrap(), gone);
}

/// Older rows have no value in columns that came later, whatever their parts are.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_came_later_are_null() {
    for (new, reading) in [
        (NewTable::with_feed(), Reading::Feed),
        (NewTable::without_feed(), Reading::Files),
    ] {
        let ids = |id| nested().project(&[0]).unwrap().slice(id, 1);
        let (world, mut table) = World::with(new, ids(0)).await;
        let after = watermark(&world.source(None, None)).await;
        table.append(ids(1)).await.unwrap();
        table.append(nested().slice(3, 1)).await.unwrap();
        let source = world.source(None, None);
        let nulls = " | ~".repeat(nested().num_columns() - 1);
        let last = texts(&nested()).remove(3);
        let wanted = [format!("1{nulls}"), format!("2{nulls}"), last.clone()];
        assert_eq!(rows(&source).await, wanted);
        let first = first_of(1..=2, reading);
        let wanted = [format!("{first} + 2{nulls}"), format!("2 + {last}")];
        assert_eq!(changes(&source, &after, reading).await.unwrap(), wanted);
    }
}

/// With column mapping (Delta protocol, "Column Mapping"), fields have other names in files, in
/// structs, in lists, and in lists of lists.
#[tokio::test(flavor = "multi_thread")]
async fn fields_are_found_by_their_names_in_files() {
    let point = || {
        structs(
            vec![("x", ints(vec![Some(1)])), ("y", ints(vec![None]))],
            &[true],
        )
    };
    let ones = [Some(1)];
    let stored = batch(&[
        ("p", point()),
        ("l", lists(&ones, point())),
        ("ll", lists(&ones, lists(&ones, point()))),
        ("m", maps(&ones, ints(vec![Some(7)]), point())),
    ]);
    let (world, _table) = World::with(NewTable::without_feed(), stored).await;
    let commit = fs::read_to_string(world.commit_file(0)).unwrap();
    let lines = commit.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(metadata) = action.get_mut("metaData") {
            let schema = metadata["schemaString"].as_str().unwrap();
            let mut schema: Value = serde_json::from_str(schema).unwrap();
            rename(&mut schema, &mut 0);
            metadata["schemaString"] = schema.to_string().into();
            metadata["configuration"] = json!({ "delta.columnMapping.mode": "name" });
        } else if action.get("protocol").is_some() {
            action = json!({ "protocol": { "minReaderVersion": 2, "minWriterVersion": 5 } });
        }
        action.to_string()
    });
    let lines: Vec<_> = lines.collect();
    fs::write(world.commit_file(0), lines.join("\n")).unwrap();
    let source = world.source(None, Some("New_p.New_x = 1 AND new_ll[1][1].new_y IS NULL"));
    let one = "{new_x: 1, new_y: ~}";
    let row = format!("{one} | [{one}] | [[{one}]] | {{7: {one}}}");
    assert_eq!(rows(&source).await, [row]);
}

/// Calls every field `new_NAME`, and keeps its name in files.
fn rename(of: &mut Value, id: &mut u64) {
    match of {
        Value::Object(members) => {
            members.values_mut().for_each(|member| rename(member, id));
            if members.contains_key("nullable") {
                *id += 1;
                let name = members["name"].as_str().unwrap().to_owned();
                members["metadata"] = json!({
                    "delta.columnMapping.id": *id,
                    "delta.columnMapping.physicalName": name,
                });
                members["name"] = format!("new_{name}").into();
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, id)),
        _ => {}
    }
}
