//! Arrays: pgpq as the oracle where it is right, and by hand where it is not: it writes arrays
//! without elements with a dimension, and `timestamptz[]` with the type of `timestamp`.

use arrow_array::ListArray;
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Field;

use super::*;

/// Lists of what `elements` makes, cut anywhere; each null or with one element at least.
pub(super) fn lists(elements: impl Strategy<Value = ArrayRef>) -> impl Strategy<Value = ArrayRef> {
    let cuts = (vec(1_usize..4, 12), vec(weighted(0.8, Just(())), 12));
    (elements, cuts).prop_map(|(elements, (lengths, valid))| {
        let nulls: NullBuffer = valid.iter().map(Option::is_some).collect::<Vec<_>>().into();
        list(elements, lengths, Some(nulls))
    })
}

fn list(elements: ArrayRef, lengths: Vec<usize>, nulls: Option<NullBuffer>) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(field.into(), offsets, elements, nulls))
}

proptest! {
    #[test]
    fn every_byte_of_arrays_is_what_pgpq_writes(
        columns in (
            lists(array_of::<BooleanArray, _>(any::<bool>())),
            lists(array_of::<Int8Array, _>(any::<i8>())),
            lists(array_of::<Int32Array, _>(any::<i32>())),
            lists(array_of::<Int64Array, _>(any::<i64>())),
            lists(array_of::<Float32Array, _>(any::<f32>())),
            lists(floats()),
            lists(decimals()),
            lists(texts()),
            lists(binaries()),
            (lists(array_of::<Date32Array, _>(epoch::DATES)), lists(times(None))),
        ),
        slice in 0_usize..12, length in 0_usize..12, enough in 1_usize..4096,
    ) {
        let (a, b, c, d, e, f, g, h, i, (j, k)) = columns;
        let batch = batch(vec![a, b, c, d, e, f, g, h, i, j, k]);
        let batch = batch.slice(slice, length.min(12 - slice));
        prop_assert_eq!(encoded(&batch, enough).unwrap(), by_pgpq(&batch));
    }
}

/// The one value of `array`, with its length.
fn written(array: ArrayRef) -> Vec<u8> {
    let all = encoded(&batch(vec![array]), usize::MAX).unwrap();
    all[HEADER.len() + 2..all.len() - TRAILER.len()].to_vec()
}

#[test]
fn an_array_without_elements_has_no_dimension() {
    let none = list(Arc::new(Int32Array::from(Vec::<i32>::new())), vec![0], None);
    let bytes = [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23];
    assert_eq!(written(none), bytes);
}

#[test]
fn nulls_are_told_array_by_array() {
    let elements: ArrayRef = Arc::new(Int16Array::from(vec![None, Some(258)]));
    let [with, without] = [0, 1].map(|at| {
        let both = list(elements.clone(), vec![1, 1], None);
        written(both.slice(at, 1))
    });
    let head = |has_null| {
        [
            0, 0, 0, 1, 0, 0, 0, has_null, 0, 0, 0, 21, 0, 0, 0, 1, 0, 0, 0, 1,
        ]
    };
    assert_eq!(with[4..], [&head(1)[..], &[255, 255, 255, 255]].concat());
    assert_eq!(without[4..], [&head(0)[..], &[0, 0, 0, 2, 1, 2]].concat());
}

#[test]
fn instants_have_the_type_of_instants() {
    let instants = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    let bytes = written(list(Arc::new(instants), vec![1], None));
    assert_eq!(bytes[12..16], 1184_u32.to_be_bytes());
}

#[test]
fn an_element_that_postgres_cannot_hold_is_refused() {
    let texts = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let found = refusal(list(texts(vec!["fine", "a\0b"]), vec![2], None));
    let message = "column \"a\" holds a text with the character NUL, which postgres cannot hold";
    assert_eq!(found.as_deref(), Some(message));
    let dates = Arc::new(Date32Array::from(vec![*epoch::DATES.start() - 1]));
    assert!(refusal(list(dates, vec![1], None)).is_some());
    let times = Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN]));
    assert!(refusal(list(times, vec![1], None)).is_some());

    // Under a null, or beside the slice, it does not count.
    let nulls = Some(vec![false, true].into());
    assert_eq!(
        refusal(list(texts(vec!["\0", "fine"]), vec![1, 1], nulls)),
        None
    );
    let sliced = list(texts(vec!["\0", "fine"]), vec![1, 1], None).slice(1, 1);
    assert_eq!(refusal(sliced), None);
}

#[test]
fn long_arrays_are_long_rows() {
    let arrays = list(
        Arc::new(Int32Array::from(vec![0; 1_000])),
        vec![1_000],
        None,
    );
    let length = written(arrays.clone()).len();
    let columns = [Column::of("a", PgType::Array(Scalar::Integer), &arrays).unwrap()];
    assert_eq!(long_rows(&columns, 1, length), []);
    assert_eq!(long_rows(&columns, 1, length - 1).len(), 1);
}
