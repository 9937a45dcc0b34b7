//! Each row of both tables of the collapse, and a property over random histories.

mod counted;
mod duplicates;
mod nested;
mod unkeyed;

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use lakeferry_model::{ChangeBatch, Effect, NetChanges, Sign};
use lakeferry_testkit::{KEY, Row, batch, columns, rows_of};
use proptest::prelude::*;

use super::*;

fn change(version: u64, sign: Sign, rows: &[(i64, &str)]) -> ChangeBatch<u64> {
    let row = |(id, value): &(i64, &str)| Row {
        id: Some(*id),
        value: Some((*value).to_owned()),
        hot: None,
        seen: None,
        extra: None,
    };
    ChangeBatch {
        version,
        sign,
        rows: batch(&rows.iter().map(row).collect::<Vec<_>>()),
    }
}

fn collapse() -> Collapse<u64> {
    Collapse::new(columns(), &[KEY.to_owned()], usize::MAX, Overflow::Refused).unwrap()
}

/// Of which most go by way of the disk.
fn spilling(limit_bytes: usize) -> Collapse<u64> {
    Collapse::new(columns(), &[KEY.to_owned()], limit_bytes, Overflow::Spilled).unwrap()
}

/// All of a net effect, wherever it is.
fn all_of(rows: NetRows) -> NetChanges {
    let mut merge = match rows.net {
        Net::Held(net) => return net,
        Net::Spilled(merge) => merge,
    };
    let mut all = NetChanges {
        deletes: Vec::new(),
        updates: Vec::new(),
        inserts: Vec::new(),
    };
    while let Some(parts) = merge.next().unwrap() {
        for (effect, rows) in parts {
            match effect {
                Effect::Delete => all.deletes.push(rows),
                Effect::Update => all.updates.push(rows),
                Effect::Insert => all.inserts.push(rows),
            }
        }
    }
    all
}

/// The net effect, which for one version does not depend on how much is held.
fn net(changes: &[ChangeBatch<u64>]) -> NetChanges {
    let with = |mut collapse: Collapse<u64>| {
        for change in changes {
            assert_eq!(collapse.push(change.clone()).unwrap(), Verdict::More);
        }
        all_of(collapse.finish().unwrap())
    };
    let held = with(collapse());
    let of_one_version = changes
        .windows(2)
        .all(|two| two[0].version == two[1].version);
    for limit_bytes in [1, 1_500].into_iter().filter(|_| of_one_version) {
        assert_eq!(effects(&with(spilling(limit_bytes))), effects(&held));
    }
    held
}

fn effects(net: &NetChanges) -> Vec<(Effect, i64, String)> {
    let rows = net.parts().into_iter().flat_map(|(effect, part)| {
        part.iter()
            .flat_map(rows_of)
            .map(move |(id, value)| (effect, id.unwrap(), value.unwrap()))
    });
    rows.collect()
}

fn found(changes: &[ChangeBatch<u64>]) -> Vec<(Effect, i64, String)> {
    effects(&net(changes))
}

fn owned(of: &[(Effect, i64, &str)]) -> Vec<(Effect, i64, String)> {
    of.iter()
        .map(|(effect, id, value)| (*effect, *id, (*value).to_owned()))
        .collect()
}

#[test]
fn order_inside_a_version_means_nothing() {
    let minus = change(1, Sign::Minus, &[(1, "old")]);
    let plus = change(1, Sign::Plus, &[(1, "new")]);
    let update = owned(&[(Effect::Update, 1, "new")]);
    assert_eq!(found(&[minus.clone(), plus.clone()]), update);
    assert_eq!(found(&[plus, minus]), update);
}

#[test]
fn both_ends_decide_the_effect() {
    let insert = |version, value| change(version, Sign::Plus, &[(1, value)]);
    let delete = |version, value| change(version, Sign::Minus, &[(1, value)]);
    assert_eq!(found(&[insert(1, "a")]), owned(&[(Effect::Insert, 1, "a")]));
    assert_eq!(found(&[delete(1, "a")]), owned(&[(Effect::Delete, 1, "a")]));
    assert_eq!(found(&[insert(1, "a"), delete(2, "a")]), []);
    assert_eq!(
        found(&[delete(1, "a"), insert(2, "b")]),
        owned(&[(Effect::Update, 1, "b")]),
        "a key that was there and comes back is an update"
    );
    assert_eq!(
        found(&[insert(1, "a"), delete(2, "a"), insert(2, "b")]),
        owned(&[(Effect::Insert, 1, "b")])
    );
    assert_eq!(
        found(&[delete(1, "a"), insert(1, "b"), delete(2, "b")]),
        owned(&[(Effect::Delete, 1, "b")])
    );
}

/// What a key with two rows leaves behind, in versions that do not show both at once.
#[test]
fn versions_that_do_not_follow_are_a_contradiction() {
    let plus = |version, value| change(version, Sign::Plus, &[(1, value)]);
    let minus = |version, value| change(version, Sign::Minus, &[(1, value)]);
    let contradicts = |changes: &[ChangeBatch<u64>]| {
        let mut collapse = collapse();
        let pushed = changes
            .iter()
            .try_for_each(|change| collapse.push(change.clone()).map(drop));
        let end = pushed.and_then(|()| collapse.finish().map(drop));
        matches!(end, Err(CollapseError::Contradiction))
    };
    assert!(contradicts(&[plus(1, "b"), plus(2, "c")]), "two came");
    assert!(
        contradicts(&[plus(1, "b"), minus(2, "a")]),
        "the other one went"
    );
    let one_after_the_other = [minus(1, "a"), minus(2, "b")];
    assert!(contradicts(&one_after_the_other), "two went");
    assert!(
        contradicts(&[minus(1, "a"), minus(1, "b")]),
        "two went at once"
    );
    assert!(contradicts(&[plus(1, "b"), plus(2, "c"), minus(2, "a")]));
    assert!(!contradicts(&[
        plus(1, "b"),
        minus(2, "b"),
        plus(2, "c"),
        minus(3, "c")
    ]));
}

#[test]
fn shifted_keys_chain() {
    let minus = change(1, Sign::Minus, &[(1, "a"), (2, "b"), (3, "c")]);
    let plus = change(1, Sign::Plus, &[(4, "c"), (3, "b"), (2, "a")]);
    let wanted = owned(&[
        (Effect::Delete, 1, "a"),
        (Effect::Update, 2, "a"),
        (Effect::Update, 3, "b"),
        (Effect::Insert, 4, "c"),
    ]);
    assert_eq!(found(&[plus, minus]), wanted);
}

#[test]
fn bad_changes_are_named() {
    let mut twice = collapse();
    let error = twice
        .push(change(3, Sign::Plus, &[(7, "a"), (7, "a")]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 3 has two rows with the key id = 7"
    );
    let mut null = collapse();
    let rows = batch(&[Row {
        id: None,
        value: None,
        hot: None,
        seen: None,
        extra: None,
    }]);
    let error = null
        .push(ChangeBatch {
            version: 3,
            sign: Sign::Plus,
            rows,
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 3 has a row whose key column id is null"
    );
    let mut disordered = collapse();
    let _ = disordered.push(change(3, Sign::Plus, &[(1, "a")])).unwrap();
    assert!(disordered.push(change(2, Sign::Plus, &[(2, "a")])).is_err());
    assert!(Collapse::<u64>::new(columns(), &["nope".to_owned()], 1, Overflow::Refused).is_err());
}

#[test]
fn bad_changes_on_disk_are_named() {
    let mut twice = spilling(1);
    for value in ["a", "b"] {
        let pushed = twice.push(change(3, Sign::Plus, &[(6, "x"), (7, value)]));
        assert_eq!(pushed.unwrap(), Verdict::More);
    }
    let Net::Spilled(mut merge) = twice.finish().unwrap().net else {
        panic!("nothing was spilled");
    };
    assert_eq!(
        merge.next().unwrap_err().to_string(),
        "version 3 has two rows with the key id = 6"
    );
}

/// Many batches of many runs, whose rows meet each other only in the merge.
#[test]
fn much_is_merged() {
    let mut all = spilling(20_000);
    let ids: Vec<i64> = (0..5_000).map(|id| (id * 7_919) % 5_003).collect();
    let (old, new) = (&ids[..4_000], &ids[1_000..]);
    for (sign, ids, value) in [(Sign::Plus, new, "new"), (Sign::Minus, old, "old")] {
        let rows: Vec<(i64, &str)> = ids.iter().map(|id| (*id, value)).collect();
        for part in rows.chunks(700) {
            assert_eq!(all.push(change(1, sign, part)).unwrap(), Verdict::More);
        }
    }
    assert!(all.runs.len() > 4, "{} runs", all.runs.len());
    let net = all_of(all.finish().unwrap());
    let wanted = [
        (&net.deletes, &ids[..1_000], "old"),
        (&net.updates, &ids[1_000..4_000], "new"),
        (&net.inserts, &ids[4_000..], "new"),
    ];
    for (part, ids, value) in wanted {
        let found: Vec<_> = part.iter().flat_map(rows_of).collect();
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let value = Some(value.to_owned());
        let wanted: Vec<_> = ids
            .into_iter()
            .map(|id| (Some(id), value.clone()))
            .collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn memory_is_bounded() {
    let mut small = Collapse::new(columns(), &[KEY.to_owned()], 4096, Overflow::Refused).unwrap();
    let mut pushed = 0;
    while small
        .push(change(1, Sign::Plus, &[(pushed, "value")]))
        .unwrap()
        == Verdict::More
    {
        pushed += 1;
        assert!(pushed < 1000, "the limit is not kept");
    }
}

#[test]
fn equal_floats_are_one_key() {
    use arrow_schema::{Field, Schema};
    let schema = Arc::new(Schema::new(vec![Field::new("f", DataType::Float64, true)]));
    let rows = |value: f64| {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap()
    };
    let quiet = f64::from_bits(f64::NAN.to_bits() | 1);
    let pairs = [(0.0, -0.0), (f64::NAN, quiet), (-f64::NAN, f64::NAN)];
    for ((old, new), limit_bytes) in pairs
        .into_iter()
        .flat_map(|pair| [(pair, 1), (pair, 1 << 20)])
    {
        let mut collapse = Collapse::new(
            Arc::clone(&schema),
            &["f".to_owned()],
            limit_bytes,
            Overflow::Spilled,
        )
        .unwrap();
        let minus = ChangeBatch {
            version: 1_u64,
            sign: Sign::Minus,
            rows: rows(old),
        };
        let _ = collapse.push(minus).unwrap();
        let _ = collapse
            .push(ChangeBatch {
                version: 1,
                sign: Sign::Plus,
                rows: rows(new),
            })
            .unwrap();
        let net = all_of(collapse.finish().unwrap());
        assert_eq!(
            (net.deletes.len(), net.updates.len(), net.inserts.len()),
            (0, 1, 0)
        );
    }
}

proptest! {
    /// Replaying the versions one by one and applying the net effect give the same rows, and
    /// each effect meets the key as it says.
    #[test]
    fn the_net_effect_is_the_replay(
        start in proptest::collection::btree_map(0_i64..12, "[a-c]", 0..8),
        versions in proptest::collection::vec(
            proptest::collection::btree_map(0_i64..12, proptest::option::of("[a-c]"), 0..6),
            0..6,
        ),
    ) {
        let mut replayed = start.clone();
        let mut changes = Vec::new();
        for (version, wanted) in (1..).zip(versions) {
            for (id, value) in wanted {
                let old = replayed.remove(&id);
                if let Some(value) = &value {
                    changes.push(change(version, Sign::Plus, &[(id, value)]));
                    replayed.insert(id, value.clone());
                }
                if let Some(old) = old {
                    changes.push(change(version, Sign::Minus, &[(id, &old)]));
                }
            }
        }
        let mut target: BTreeMap<i64, String> = start;
        let net = net(&changes);
        for (effect, id, value) in effects(&net) {
            let there = target.contains_key(&id);
            prop_assert_eq!(there, effect != Effect::Insert);
            if effect == Effect::Delete { target.remove(&id); } else { target.insert(id, value); }
        }
        prop_assert_eq!(target, replayed);
        for (_, part) in net.parts() {
            prop_assert!(part.iter().flat_map(rows_of).is_sorted(), "a part is not in key order");
        }
    }
}
