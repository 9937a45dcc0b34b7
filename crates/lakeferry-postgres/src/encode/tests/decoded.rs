//! What was written, read as the server would send it back: the same in JSON, by which rows in
//! quarantine are known.

use arrow_schema::{Field, Schema};

use super::*;
use crate::{
    decode::{self, Sent},
    encode::JsonRows,
};

/// The fields of each row.
fn fields(mut bytes: &[u8]) -> Vec<Vec<Option<&[u8]>>> {
    let mut rows = Vec::new();
    while let (Some((count, mut rest)), false) = (bytes.split_first_chunk::<2>(), bytes == TRAILER)
    {
        let mut row = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (length, after) = rest.split_first_chunk::<4>().unwrap();
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, after) = after.split_at(length.unwrap_or(0));
            row.push(length.map(|_| value));
            rest = after;
        }
        rows.push(row);
        bytes = rest;
    }
    rows
}

fn decoded(batch: &RecordBatch) -> RecordBatch {
    let bytes = encoded(batch, usize::MAX).unwrap();
    let rows = fields(&bytes[HEADER.len()..]);
    let schema = batch.schema();
    let columns = schema.fields().iter().enumerate().map(|(place, field)| {
        let values = rows.iter().map(|row| row[place].map(Sent::of));
        let values: Vec<_> = values.collect();
        decode::column(field.name(), PgType::of(field).unwrap(), &values).unwrap()
    });
    let (fields, arrays): (Vec<Field>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Schema::new(fields).into(), arrays).unwrap()
}

fn in_json(batch: &RecordBatch) -> Vec<(String, String)> {
    let rows = || JsonRows::of(batch).unwrap();
    let both = |row| (rows().object(row), rows().array(row));
    (0..batch.num_rows()).map(both).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_value_comes_back_as_it_was(batch in batches()) {
        prop_assert_eq!(in_json(&decoded(&batch)), in_json(&batch));
    }

    #[test]
    fn every_array_comes_back_as_it_was(
        columns in (
            arrays::lists(array_of::<Int32Array, _>(any::<i32>())),
            arrays::lists(decimals()),
            arrays::lists(texts()),
            arrays::lists(times(Some("UTC"))),
        ),
    ) {
        let (a, b, c, d) = columns;
        let batch = batch(vec![a, b, c, d]);
        prop_assert_eq!(in_json(&decoded(&batch)), in_json(&batch));
    }
}
