//! Of several rows of a key the greatest: over all rows, and by what changes touch.

use arrow_array::Int64Array;
use arrow_schema::{Field, Schema};

use super::*;
use crate::collapse::{greatest::Greatest, touched::Touched};

type Pair = (i64, Option<String>);

fn pairs(rows: &[Pair]) -> RecordBatch {
    let row = |(id, value): &Pair| Row {
        id: Some(*id),
        value: value.clone(),
        hot: None,
        seen: None,
        extra: None,
    };
    batch(&rows.iter().map(row).collect::<Vec<_>>())
}

fn greatest_of(rows: &[Pair]) -> BTreeMap<i64, Option<String>> {
    let mut greatest = BTreeMap::new();
    for (id, value) in rows {
        let best: &mut Option<String> = greatest.entry(*id).or_default();
        *best = best.take().max(value.clone());
    }
    greatest
}

fn key() -> [String; 1] {
    [KEY.to_owned()]
}

#[test]
fn equal_ranks_are_settled_by_all_columns() {
    let columns = || Arc::new(Schema::new(vec![field("id"), field("at"), field("word")]));
    let rows = |of: [i64; 3]| {
        let arrays = of.map(|cell| Arc::new(Int64Array::from(vec![cell])) as ArrayRef);
        RecordBatch::try_new(columns(), arrays.into()).unwrap()
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let all = [[1, 5, 3], [1, 5, 4], [1, 4, 9]];
        for limit_bytes in [1, 1 << 20] {
            let ranks = (&key()[..], "at");
            let mut greatest = Greatest::new(1_u64, columns(), ranks, limit_bytes).unwrap();
            for place in order {
                greatest.push(rows(all[place])).unwrap();
            }
            let mut ranked = greatest.finish().unwrap();
            assert_eq!(ranked.next().unwrap(), Some(rows([1, 5, 4])));
            while let Some(more) = ranked.next().unwrap() {
                assert_eq!(more.num_rows(), 0);
            }
        }
    }
}

fn field(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

#[test]
fn what_cannot_rank_is_refused() {
    let refused = Greatest::new(1_u64, columns(), (&key(), "nope"), 1).err();
    assert!(matches!(refused, Some(CollapseError::NoRankColumn(name)) if name == "nope"));
    let mut greatest = Greatest::new(1_u64, columns(), (&key(), "value"), 1 << 20).unwrap();
    let other = Arc::new(Schema::new(vec![field("id")]));
    let refused = greatest.push(RecordBatch::new_empty(other));
    assert!(matches!(refused, Err(CollapseError::OtherColumns)));
}

/// Changes that take away what never was.
#[test]
fn more_that_went_than_came_is_a_contradiction() {
    let mut touched = Touched::new(columns(), &key(), "value", 1 << 20).unwrap();
    let _ = touched
        .push(change(1, Sign::Plus, &[(1, "a"), (1, "b")]))
        .unwrap();
    let _ = touched.look(&pairs(&[(1, Some("b".to_owned()))])).unwrap();
    let contradiction = touched.finish();
    assert!(matches!(contradiction, Err(CollapseError::Contradiction)));
}

#[test]
fn what_is_looked_at_is_bounded() {
    let mut touched = Touched::new(columns(), &key(), "value", 8_000).unwrap();
    let _ = touched.push(change(1, Sign::Plus, &[(1, "a")])).unwrap();
    let others: Vec<Pair> = (2..1_000).map(|id| (id, None)).collect();
    assert_eq!(touched.look(&pairs(&others)).unwrap(), Verdict::More);
    let its: Vec<Pair> = vec![(1, None); 1_000];
    assert_eq!(touched.look(&pairs(&its)).unwrap(), Verdict::Full);
}

proptest! {
    #[test]
    fn the_greatest_is_the_same_however_much_is_held(
        rows in proptest::collection::vec((0_i64..9, proptest::option::of("[a-c]")), 0..40),
        cut in 1_usize..9,
    ) {
        for limit_bytes in [1, 1_500, 1 << 20] {
            let ranks = (&key()[..], "value");
            let mut greatest = Greatest::new(1_u64, columns(), ranks, limit_bytes).unwrap();
            for part in rows.chunks(cut) {
                greatest.push(pairs(part)).unwrap();
            }
            let mut ranked = greatest.finish().unwrap();
            let mut found = Vec::new();
            while let Some(batch) = ranked.next().unwrap() {
                found.extend(rows_of(&batch));
            }
            let expected = greatest_of(&rows).into_iter();
            let expected: Vec<_> = expected.map(|(id, value)| (Some(id), value)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// Whatever comes and goes, and whatever is read beside it: the effects lead from what was the
    /// greatest to what is, and meet each key as they say.
    #[test]
    fn effects_lead_from_the_greatest_to_the_greatest(
        start in proptest::collection::vec((0_i64..6, proptest::option::of("[a-c]")), 0..12),
        came in proptest::collection::vec((0_i64..8, proptest::option::of("[a-c]")), 0..8),
        goes in proptest::collection::vec(0_usize..12, 0..8),
    ) {
        let mut touched = Touched::new(columns(), &key(), "value", 1 << 20).unwrap();
        let mut rows = start.clone();
        let signed = |sign, of: &[Pair]| ChangeBatch { version: 1_u64, sign, rows: pairs(of) };
        let _ = touched.push(signed(Sign::Plus, &came)).unwrap();
        rows.extend(came);
        for place in goes {
            if place < rows.len() {
                let gone = rows.swap_remove(place);
                let _ = touched.push(signed(Sign::Minus, &[gone])).unwrap();
            }
        }
        for part in rows.chunks(3) {
            let _ = touched.look(&pairs(part)).unwrap();
        }
        let net = all_of(touched.finish().unwrap());
        let mut target = greatest_of(&start);
        for (effect, part) in net.parts() {
            for (id, value) in part.iter().flat_map(rows_of) {
                let id = id.unwrap();
                prop_assert_eq!(target.contains_key(&id), effect != Effect::Insert);
                if effect == Effect::Delete { target.remove(&id); } else { target.insert(id, value); }
            }
        }
        prop_assert_eq!(target, greatest_of(&rows));
    }
}
