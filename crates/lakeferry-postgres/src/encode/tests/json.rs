//! jsonb, by hand.

use arrow_array::{ListArray, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::*;

/// What goes into jsonb, null or not; the bytes around the text are looked at here.
fn texts_of(array: ArrayRef) -> Vec<Option<String>> {
    let rows = array.len();
    let columns = vec![("a".to_owned(), PgType::Jsonb, Conversion::None)];
    let batch = batch(vec![array]);
    let mut out = BytesMut::new();
    let encoder = Encoder::of(columns).unwrap();
    encoder
        .rows(&batch, None)
        .unwrap()
        .write(&mut out, usize::MAX);
    let mut texts = Vec::new();
    for _ in 0..rows {
        assert_eq!(out.split_to(2)[..], [0, 1]);
        let length = i32::from_be_bytes(out.split_to(4)[..].try_into().unwrap());
        texts.push(usize::try_from(length).ok().map(|length| {
            let value = out.split_to(length);
            assert_eq!(value[0], 1);
            String::from_utf8(value[1..].to_vec()).unwrap()
        }));
    }
    assert!(out.is_empty());
    texts
}

fn list(lengths: &[usize], elements: ArrayRef) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(field.into(), offsets, elements, None))
}

fn map(lengths: &[usize], keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let key = Field::new("key", keys.data_type().clone(), false);
    let value = Field::new("value", values.data_type().clone(), true);
    let entries = StructArray::new(Fields::from(vec![key, value]), vec![keys, values], None);
    let field = Field::new("key_value", entries.data_type().clone(), false);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(MapArray::new(field.into(), offsets, entries, None, false))
}

fn structs(columns: Vec<(&str, ArrayRef)>, valid: &[bool]) -> ArrayRef {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
        .unzip();
    let nulls = Some(NullBuffer::from(valid.to_vec()));
    Arc::new(StructArray::new(fields.into(), arrays, nulls))
}

fn strings(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn numbers(numbers: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(numbers.to_vec()))
}

#[test]
fn structs_are_objects() {
    let numbers = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let all = structs(
        vec![("a \"b\"", numbers), ("t", strings(&["x", "y", "z"]))],
        &[true, true, false],
    );
    let expected = [
        Some("{\"a \\\"b\\\"\":1,\"t\":\"x\"}".to_owned()),
        Some("{\"a \\\"b\\\"\":null,\"t\":\"y\"}".to_owned()),
        None,
    ];
    assert_eq!(texts_of(all.clone()), expected);
    assert_eq!(texts_of(all.slice(1, 2)), expected[1..]);
}

#[test]
fn a_null_struct_in_a_struct_is_no_struct_of_nulls() {
    let inner = || structs(vec![("x", new_nulls(2))], &[true, false]);
    let all = structs(vec![("s", inner())], &[true, true]);
    let expected = ["{\"s\":{\"x\":null}}", "{\"s\":null}"].map(|text| Some(text.to_owned()));
    assert_eq!(texts_of(all), expected);
}

fn new_nulls(count: usize) -> ArrayRef {
    arrow_array::new_null_array(&DataType::Int32, count)
}

#[test]
fn maps_are_objects_or_pairs() {
    let objects = map(&[2, 0], strings(&["a", ""]), numbers(&[1, 2]));
    let expected = ["{\"a\":1,\"\":2}", "{}"].map(|text| Some(text.to_owned()));
    assert_eq!(texts_of(objects), expected);
    // Twice the same key is no fault of pairs.
    let pairs = map(&[2, 0], numbers(&[7, 7]), strings(&["x", "y"]));
    let expected = ["[[7,\"x\"],[7,\"y\"]]", "[]"].map(|text| Some(text.to_owned()));
    assert_eq!(texts_of(pairs), expected);
}

#[test]
fn lists_of_lists_are_arrays_from_where_they_begin() {
    let inner = list(&[1, 0, 2], numbers(&[1, 2, 3]));
    let outer = list(&[2, 1], inner);
    let expected = ["[[1],[]]", "[[2,3]]"].map(|text| Some(text.to_owned()));
    assert_eq!(texts_of(outer.clone()), expected);
    assert_eq!(texts_of(outer.slice(1, 1)), expected[1..]);
}

#[test]
fn an_array_of_scalars_can_be_jsonb() {
    let arrays = list(&[2, 0], strings(&["a", "b"]));
    let expected = ["[\"a\",\"b\"]", "[]"].map(|text| Some(text.to_owned()));
    assert_eq!(texts_of(arrays), expected);
}

#[test]
fn what_jsonb_cannot_hold_is_refused_by_column() {
    let nul = "column \"a\" holds a text with the character NUL, which jsonb cannot hold";
    let text = |text, valid| structs(vec![("t", strings(&[text]))], &[valid]);
    assert_eq!(refusal(text("a\0", true)).as_deref(), Some(nul));
    assert_eq!(refusal(text("a\0", false)), None);
    let key = map(&[1], strings(&["\0"]), numbers(&[1]));
    assert_eq!(refusal(key).as_deref(), Some(nul));
    let value = map(&[1], numbers(&[1]), strings(&["\0"]));
    assert_eq!(refusal(list(&[1], value)).as_deref(), Some(nul));

    let same =
        "column \"a\" holds a map that has the same key twice, which a json object cannot hold";
    let few = map(&[1, 2], strings(&["a", "a", "a"]), numbers(&[1, 2, 3]));
    assert_eq!(refusal(few.clone()).as_deref(), Some(same));
    assert_eq!(refusal(few.slice(0, 1)), None);
    let mut keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    keys.push("50".to_owned());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let many = map(&[101], strings(&keys), numbers(&[0; 101]));
    assert_eq!(refusal(list(&[1], many)).as_deref(), Some(same));
    let distinct = map(&[100], strings(&keys[..100]), numbers(&[0; 100]));
    assert_eq!(refusal(list(&[1], distinct)), None);
}
