//! Rows whose values have parts are gathered as any others.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, ListArray, StructArray,
    builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder},
    types::Int32Type,
};
use arrow_schema::{Field, Schema};

use super::*;

/// Six values of each nested kind, null ones and empty ones among them.
fn values() -> Vec<ArrayRef> {
    let lists = [
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4)]),
        Some(vec![None]),
        Some(vec![Some(6), Some(7), Some(8)]),
    ];
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    let mut deep = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for row in 0..6 {
        for entry in 0..row % 3 {
            maps.keys().append_value(format!("{row}-{entry}"));
            maps.values().append_option((entry > 0).then_some(entry));
            deep.values()
                .values()
                .append_value("x".repeat(row as usize));
            deep.values().append(entry == 0);
        }
        maps.append(row != 3).unwrap();
        deep.append(row != 4);
    }
    let lists: ArrayRef = Arc::new(lists);
    let inner = Field::new("l", lists.data_type().clone(), true);
    let valid = vec![true, true, false, true, true, true];
    let structs = StructArray::new(vec![inner].into(), vec![lists.clone()], Some(valid.into()));
    vec![
        lists,
        Arc::new(structs),
        Arc::new(maps.finish()),
        Arc::new(deep.finish()),
    ]
}

/// Rows `first..first + 3` of the values, keyed from `key` on.
fn part(first: usize, key: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(key..key + 3));
    let values = values().into_iter().map(|array| array.slice(first, 3));
    let columns: Vec<ArrayRef> = [ids].into_iter().chain(values).collect();
    let fields = columns
        .iter()
        .enumerate()
        .map(|(place, array)| Field::new(format!("c{place}"), array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let value =
        |array: &ArrayRef, row| arrow_cast::display::array_value_to_string(array, row).unwrap();
    (0..batch.num_rows())
        .map(|row| {
            let values = batch.columns().iter().map(|array| value(array, row));
            values.collect::<Vec<_>>().join(" | ")
        })
        .collect()
}

#[test]
fn values_with_parts_are_gathered() {
    for limit_bytes in [1, usize::MAX] {
        check(limit_bytes);
    }
}

/// A key that comes, one that changes and one that goes, held or on disk.
fn check(limit_bytes: usize) {
    let change = |version, sign, rows| ChangeBatch {
        version,
        sign,
        rows,
    };
    let (columns, key) = (part(0, 0).schema(), ["c0".to_owned()]);
    let mut collapse = Collapse::new(columns, &key, limit_bytes, Overflow::Spilled).unwrap();
    for change in [
        change(1_u64, Sign::Plus, part(0, 0)),
        change(1, Sign::Minus, part(0, 10)),
        change(1, Sign::Plus, part(3, 10)),
        change(1, Sign::Minus, part(1, 20)),
    ] {
        assert_eq!(collapse.push(change).unwrap(), Verdict::More);
    }
    let net = all_of(collapse.finish().unwrap());
    let all = |batches: &[RecordBatch]| batches.iter().flat_map(texts).collect::<Vec<_>>();
    assert_eq!(all(&net.inserts), texts(&part(0, 0)));
    assert_eq!(all(&net.updates), texts(&part(3, 10)));
    assert_eq!(all(&net.deletes), texts(&part(1, 20)));
}
