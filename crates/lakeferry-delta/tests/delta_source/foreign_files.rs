//! Tables of other writers, their logs and files made by hand: variants, shredded or not, and whole
//! numbers that are stored wider than their type.

use std::fs;

use arrow_array::{Array, ArrayRef, BinaryArray, Int32Array, RecordBatch, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};
use delta_kernel::parquet::arrow::ArrowWriter;
use lakeferry_model::{Failure as _, JSON, Reading, Source as _};
use serde_json::{Value, json};

use crate::{
    parquet::commit_added,
    world::{World, array, batch, changes, rows, watermark},
};

/// A table of these columns that asks readers for `features`, without rows.
fn table(columns: &Value, features: &[&str]) -> World {
    let world = World::new();
    fs::create_dir_all(world.log_file("")).unwrap();
    let schema = json!({ "type": "struct", "fields": columns }).to_string();
    let actions = [
        json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": features, "writerFeatures": features,
        } }),
        json!({ "metaData": {
            "id": "by-hand", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema, "partitionColumns": [], "configuration": {},
        } }),
    ];
    let lines = actions.map(|action| action.to_string());
    fs::write(world.commit_file(0), lines.join("\n")).unwrap();
    world
}

fn column(name: &str, of: &Value) -> Value {
    json!({ "name": name, "type": of, "nullable": true, "metadata": {} })
}

/// Commits `version`, which adds a file of `rows`.
fn add(world: &World, version: u64, rows: &RecordBatch) {
    let name = format!("{version}.parquet");
    let file = fs::File::create(world.path().join(&name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    commit_added(world, version, &name);
}

fn group(parts: Vec<(&str, ArrayRef)>, valid: Vec<bool>) -> ArrayRef {
    let (fields, columns): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .map(|(name, part)| (Field::new(name, part.data_type().clone(), true), part))
        .unzip();
    array::<StructArray>(StructArray::new(
        fields.into(),
        columns,
        Some(NullBuffer::from(valid)),
    ))
}

/// Variants with these values, each under the one name `a`; none is null where it has nothing.
fn variants(values: Vec<Option<&[u8]>>, typed: Option<ArrayRef>) -> ArrayRef {
    let valid: Vec<_> = match &typed {
        Some(typed) => (0..values.len())
            .map(|row| values[row].is_some() || typed.is_valid(row))
            .collect(),
        None => values.iter().map(Option::is_some).collect(),
    };
    let names = BinaryArray::from(vec![&b"\x01\x01\x00\x01a"[..]; values.len()]);
    let mut parts = vec![
        ("metadata", array::<BinaryArray>(names)),
        ("value", array::<BinaryArray>(values)),
    ];
    parts.extend(typed.map(|typed| ("typed_value", typed)));
    group(parts, valid)
}

/// `{"a":true}`
const OBJECT: &[u8] = &[2, 1, 0, 0, 1, 1 << 2];

fn variant_table(feature: &str) -> World {
    let inside = json!({ "type": "struct", "fields": [column("v", &json!("variant"))] });
    let columns = json!([
        column("id", &json!("integer")),
        column("v", &json!("variant")),
        column("inside", &inside),
    ]);
    table(&columns, &[feature])
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_json_wherever_their_parts_are_stored() {
    for feature in ["variantType", "variantType-preview"] {
        let world = variant_table(feature);
        let source = world.source(None, None);
        let after = watermark(&source).await;
        let ids = |ids: &[i32]| array::<Int32Array>(ids.to_vec());
        let plain = variants(vec![Some(OBJECT), None, Some(&[0])], None);
        let inside = group(vec![("v", plain.clone())], vec![true, false, true]);
        add(
            &world,
            1,
            &batch(&[("id", ids(&[1, 2, 3])), ("v", plain), ("inside", inside)]),
        );
        let numbers = array::<Int32Array>(vec![Some(7), None]);
        let shredded = variants(vec![None, Some(&[2 << 2])], Some(numbers));
        let inside = group(vec![("v", shredded.clone())], vec![true, true]);
        add(
            &world,
            2,
            &batch(&[("id", ids(&[4, 5])), ("v", shredded), ("inside", inside)]),
        );
        let wanted = [
            "1 | {\"a\":true} | {v: {\"a\":true}}",
            "2 | ~ | ~",
            "3 | null | {v: null}",
            "4 | 7 | {v: 7}",
            "5 | false | {v: false}",
        ];
        assert_eq!(rows(&source).await, wanted);
        let read = changes(&source, &after, Reading::Files).await.unwrap();
        // The difference of files is net, at the end of the range.
        let added: Vec<_> = wanted.iter().map(|row| format!("2 + {row}")).collect();
        assert_eq!(read, added);
        let head = source.head().await.unwrap();
        assert_eq!(head.columns.field(1).extension_type_name(), Some(JSON));
        let DataType::Struct(inside) = head.columns.field(2).data_type() else {
            panic!("{}", head.columns);
        };
        assert_eq!(inside[0].extension_type_name(), Some(JSON));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_over_a_variant_is_refused() {
    let world = variant_table("variantType");
    let error = world.source(Some(&["id"]), Some("v = '1'")).head().await;
    let told = world.told(&error.unwrap_err());
    assert!(told.contains("column v is a variant"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_that_is_malformed_names_its_file() {
    let world = variant_table("variantType");
    let broken = variants(vec![Some(&[21 << 2])], None);
    let inside = group(vec![("v", broken.clone())], vec![true]);
    let id = array::<Int32Array>(vec![1]);
    add(
        &world,
        1,
        &batch(&[("id", id), ("v", broken), ("inside", inside)]),
    );
    let source = world.source(None, None);
    let at = watermark(&source).await;
    let error = crate::world::snapshot_at(&source, &at).await.unwrap_err();
    let told = world.told(&error);
    assert!(
        told.starts_with("NeedsOperator: table …/table: cannot read 1.parquet"),
        "{told}"
    );
    assert!(
        told.contains("a variant is malformed: it has a value of the unknown type 21"),
        "{told}"
    );
    assert_eq!(error.class(), lakeferry_model::FailureClass::NeedsOperator);
}

/// Parquet has no whole numbers of 8 and 16 bits, and not every writer annotates them.
#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_may_be_stored_wider_than_they_are() {
    let columns = json!([column("b", &json!("byte")), column("s", &json!("short"))]);
    let world = table(&columns, &[]);
    let wide = |values: [i32; 2]| array::<Int32Array>(values.to_vec());
    add(
        &world,
        1,
        &batch(&[("b", wide([-128, 127])), ("s", wide([-32_768, 32_767]))]),
    );
    let source = world.source(None, None);
    assert_eq!(rows(&source).await, ["-128 | -32768", "127 | 32767"]);
    add(
        &world,
        2,
        &batch(&[("b", wide([0, 128])), ("s", wide([0, 0]))]),
    );
    let at = watermark(&source).await;
    let error = crate::world::snapshot_at(&source, &at).await.unwrap_err();
    let told = world.told(&error);
    assert!(told.contains("2.parquet") && told.contains("128"), "{told}");
}
