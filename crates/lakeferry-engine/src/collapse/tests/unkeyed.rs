//! Rows with NULL in their key: beside the others, in an order in which each is there before it goes.

use arrow_array::Int64Array;
use lakeferry_model::OnNullKey;

use super::*;
use crate::collapse::{greatest::Greatest, touched::Touched};

fn pairs(rows: &[(Option<i64>, &str)]) -> RecordBatch {
    let row = |(id, value): &(Option<i64>, &str)| Row {
        id: *id,
        value: Some((*value).to_owned()),
        hot: None,
        seen: None,
        extra: None,
    };
    batch(&rows.iter().map(row).collect::<Vec<_>>())
}

fn signed(version: u64, sign: Sign, rows: &[(Option<i64>, &str)]) -> ChangeBatch<u64> {
    ChangeBatch {
        version,
        sign,
        rows: pairs(rows),
    }
}

fn given(rows: &mut UnkeyedRows) -> Vec<(Effect, String)> {
    let mut given = Vec::new();
    while let Some((effect, batch)) = rows.next().unwrap() {
        for (id, value) in rows_of(&batch) {
            assert_eq!(id, None);
            given.push((effect, value.unwrap()));
        }
    }
    given
}

fn texts(of: &[(Effect, &str)]) -> Vec<(Effect, String)> {
    of.iter()
        .map(|(effect, value)| (*effect, (*value).to_owned()))
        .collect()
}

#[test]
fn they_are_there_before_they_go() {
    let changes = [
        signed(1, Sign::Minus, &[(None, "a"), (Some(1), "x")]),
        signed(1, Sign::Plus, &[(Some(2), "y"), (None, "b"), (None, "b")]),
        signed(2, Sign::Minus, &[(None, "b")]),
        signed(2, Sign::Plus, &[(None, "c")]),
    ];
    let key = [KEY.to_owned()];
    let mut collapse = collapse().on_null_key(OnNullKey::Quarantine);
    let mut touched = Touched::new(columns(), &key, "value", 1 << 20).unwrap();
    touched = touched.on_null_key(OnNullKey::Quarantine);
    for change in &changes {
        assert_eq!(collapse.push(change.clone()).unwrap(), Verdict::More);
        assert_eq!(touched.push(change.clone()).unwrap(), Verdict::More);
    }
    let wanted = texts(&[
        (Effect::Insert, "b"),
        (Effect::Insert, "b"),
        (Effect::Delete, "a"),
        (Effect::Insert, "c"),
        (Effect::Delete, "b"),
    ]);
    let mut rows = collapse.finish().unwrap();
    assert_eq!(given(&mut rows.unkeyed), wanted);
    let others = owned(&[(Effect::Delete, 1, "x"), (Effect::Insert, 2, "y")]);
    assert_eq!(effects(&all_of(rows)), others);
    let ids = touched.changed_keys().unwrap().unwrap();
    let ids = ids.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    assert_eq!(ids.values(), &[1, 2]);
    let _ = touched
        .look(&pairs(&[(Some(2), "y"), (None, "b")]))
        .unwrap();
    assert_eq!(given(&mut touched.finish().unwrap().unkeyed), wanted);
}

/// One version, which goes to disk.
#[test]
fn much_goes_to_disk_with_the_others() {
    let changes = [
        signed(1, Sign::Minus, &[(None, "a"), (Some(1), "x")]),
        signed(1, Sign::Plus, &[(Some(2), "y"), (None, "b")]),
        signed(1, Sign::Minus, &[(None, "c")]),
        signed(1, Sign::Plus, &[(None, "d")]),
    ];
    let wanted = texts(&[
        (Effect::Insert, "b"),
        (Effect::Insert, "d"),
        (Effect::Delete, "a"),
        (Effect::Delete, "c"),
    ]);
    for limit_bytes in [1, 1_500, 1 << 20] {
        let mut collapse = spilling(limit_bytes).on_null_key(OnNullKey::Quarantine);
        for change in &changes {
            assert_eq!(collapse.push(change.clone()).unwrap(), Verdict::More);
        }
        let mut rows = collapse.finish().unwrap();
        assert_eq!(given(&mut rows.unkeyed), wanted, "{limit_bytes} bytes");
        let others = owned(&[(Effect::Delete, 1, "x"), (Effect::Insert, 2, "y")]);
        assert_eq!(effects(&all_of(rows)), others);
    }
}

/// No row of a null key is greater than another: all of them are there.
#[test]
fn none_is_the_greatest() {
    for limit_bytes in [1, 1 << 20] {
        let ranks = (&[KEY.to_owned()][..], "value");
        let greatest = Greatest::new(1_u64, columns(), ranks, limit_bytes).unwrap();
        let mut greatest = greatest.on_null_key(OnNullKey::Quarantine);
        greatest
            .push(pairs(&[(None, "a"), (Some(1), "x")]))
            .unwrap();
        greatest
            .push(pairs(&[(None, "a"), (Some(1), "y")]))
            .unwrap();
        let mut ranked = greatest.finish().unwrap();
        let mut found = Vec::new();
        while let Some(batch) = ranked.next().unwrap() {
            found.extend(rows_of(&batch));
        }
        let wanted = [(None, "a"), (None, "a"), (Some(1), "y")];
        assert_eq!(
            found,
            wanted.map(|(id, value)| (id, Some(value.to_owned())))
        );
    }
}

/// A job that halts for them lets go what came before it did.
#[test]
fn where_they_halt_they_may_go() {
    let mut collapse = collapse();
    let gone = signed(1, Sign::Minus, &[(None, "a")]);
    assert_eq!(collapse.push(gone).unwrap(), Verdict::More);
    let refused = collapse.push(signed(2, Sign::Plus, &[(None, "b")]));
    assert!(matches!(refused, Err(CollapseError::NullKey { .. })));
}

#[test]
fn what_is_held_of_them_is_bounded() {
    let mut collapse = Collapse::new(columns(), &[KEY.to_owned()], 1_000, Overflow::Refused)
        .unwrap()
        .on_null_key(OnNullKey::Quarantine);
    let many = vec![(None, "a long value"); 100];
    let pushed = collapse.push(signed(1, Sign::Plus, &many)).unwrap();
    assert_eq!(pushed, Verdict::Full);
}
