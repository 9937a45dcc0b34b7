//! The bounds hold, and what is near the limits is told apart.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Float64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Field;

use super::*;

fn list(elements: ArrayRef) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths([elements.len()]);
    Arc::new(ListArray::new(field.into(), offsets, elements, None))
}

#[test]
fn no_value_is_longer_than_what_is_reckoned_with() {
    let nines = 10_i128.pow(38) - 1;
    let decimals = Decimal128Array::from(vec![-nines, 0]);
    for scale in [0, 38] {
        let decimals = decimals.clone().with_precision_and_scale(38, scale);
        within_bounds(Arc::new(decimals.unwrap()));
    }
    within_bounds(Arc::new(Float64Array::from(vec![
        f64::MIN,
        -2.2250738585072014e-308,
        f64::NEG_INFINITY,
    ])));
    let times = TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]);
    within_bounds(Arc::new(times.with_timezone("UTC")));
    within_bounds(Arc::new(StringArray::from(vec![
        "",
        "\u{1}\u{2}\u{3}",
        "ü🦆",
    ])));
    within_bounds(Arc::new(BinaryArray::from(vec![&b""[..], b"a", b"ab"])));
}

fn within_bounds(values: ArrayRef) {
    let field = Field::new("a long name", values.data_type().clone(), true);
    let structs = StructArray::new(vec![field].into(), vec![values], None);
    let all = list(Arc::new(structs));
    let json = Json::of(&all).unwrap();
    let most = json.most_bytes(&(0..1));
    assert!(json.written(0) <= most, "{} > {most}", json.written(0));
    assert!(
        json.stored_bytes(0) <= most,
        "{} > {most}",
        json.stored_bytes(0)
    );
}

#[test]
fn what_no_jsonb_has_room_for_is_refused() {
    let says = |array: ArrayRef| {
        let json = Json::of(&array).unwrap();
        assert_eq!(json.suspect(&(0..1)), json.fault(0).is_some());
        json.fault(0)
    };
    let long = vec![b'x'; MAX_BYTES + 1];
    let text = StringArray::new(
        OffsetBuffer::from_lengths([long.len()]),
        long.clone().into(),
        None,
    );
    let message = "a text of 268435456 bytes, and jsonb holds less than 256 MiB";
    assert_eq!(says(list(Arc::new(text))).as_deref(), Some(message));
    // Each text is short enough; all of them are not. As one text of JSON they may be long.
    let halves = [long.len() / 2, long.len() / 2];
    let texts = StringArray::new(OffsetBuffer::from_lengths(halves), long.into(), None);
    let said = says(list(Arc::new(texts.clone()))).unwrap();
    assert!(
        said.ends_with("bytes as jsonb, and jsonb holds less than 256 MiB"),
        "{said}"
    );
    let array = list(Arc::new(texts.slice(0, 1)));
    let json = Json::of(&array).unwrap();
    assert!(json.suspect(&(0..1)));
    assert_eq!(json.fault(0), None);
}

#[test]
fn parts_are_counted() {
    assert_eq!(too_many(MAX_ELEMENTS, MAX_ELEMENTS), None);
    let said = too_many(MAX_ELEMENTS + 1, MAX_ELEMENTS).unwrap();
    assert_eq!(
        said,
        "a value of 16777217 parts, and jsonb holds at most 16777216"
    );
}
