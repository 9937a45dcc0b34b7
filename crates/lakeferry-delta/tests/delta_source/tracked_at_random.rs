//! Whatever was done to a table while its rows were tracked, or not: what is read is what changed.

use lakeferry_delta_testkit::{Fate, How, MappedTable, Named};
use lakeferry_model::Failure as _;
use proptest::prelude::*;

use crate::{
    rewritten::changes_are_the_difference,
    world::{World, watermark},
};

#[derive(Clone, Debug)]
enum Deed {
    Insert(i64),
    /// Rows with an id below get this word.
    Update(i64, u8, How),
    Delete(i64, How),
    Optimize,
    /// To so many versions before.
    Restore(u64),
    Track,
    /// Looks for changes since the last look.
    Look,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let how = || prop_oneof![3 => Just(How::Rewritten), 1 => Just(How::Marked)];
    let deed = prop_oneof![
        4 => (0..8i64).prop_map(Deed::Insert),
        8 => (1..8i64, 0..3u8, how()).prop_map(|(id, word, how)| Deed::Update(id, word, how)),
        4 => (0..8i64, how()).prop_map(|(id, how)| Deed::Delete(id, how)),
        2 => Just(Deed::Optimize),
        6 => (1..5u64).prop_map(Deed::Restore),
        1 => Just(Deed::Track),
        12 => Just(Deed::Look),
    ];
    prop::collection::vec(deed, 10..40)
}

fn row(id: i64, word: &str) -> Named {
    let cells = [("id", id.to_string()), ("word", word.to_owned())];
    let cells = cells.map(|(name, cell)| (name.to_owned(), cell));
    cells.into_iter().collect()
}

fn done(table: &mut MappedTable, deed: &Deed) {
    let id_of = |row: &Named| row["id"].parse::<i64>().unwrap();
    let done = match deed {
        Deed::Insert(id) => {
            let rows = (*id..id + 3).map(|id| row(id, "new")).collect();
            table.change(How::Rewritten, rows, |_| Fate::Stays)
        }
        Deed::Update(below, word, how) => table.change(*how, Vec::new(), |old| {
            let id = id_of(old);
            match id < *below {
                true => Fate::Becomes(row(id, &format!("word {word}"))),
                false => Fate::Stays,
            }
        }),
        Deed::Delete(id, how) => table.change(*how, Vec::new(), |old| match id_of(old) == *id {
            true => Fate::Goes,
            false => Fate::Stays,
        }),
        Deed::Optimize => table.optimize(),
        Deed::Restore(back) => table.restore(table.version().saturating_sub(*back)),
        Deed::Track => table.set_tracking(!table.is_tracked()),
        Deed::Look => Ok(()),
    };
    done.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_differs_is_the_difference_of_the_versions(
        deeds in deeds(),
        is_tracked in prop::bool::weighted(0.8),
        filter in prop_oneof![3 => Just(None), 1 => Just(Some("word <> 'word 1' AND id > 2"))],
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut table = MappedTable::create(&world.path(), false, &[("word", "string")]).unwrap();
            table.set_tracking(is_tracked).unwrap();
            done(&mut table, &Deed::Insert(0));
            let source = world.source(None, filter);
            let mut after = watermark(&source).await;
            for deed in deeds.iter().chain([&Deed::Look]) {
                done(&mut table, deed);
                if !matches!(deed, Deed::Look) || table.version() == after.version.0 {
                    continue;
                }
                if let Err(error) = changes_are_the_difference(&source, &after).await {
                    // A RESTORE of files and properties is read as a whole.
                    assert!(error.is_gone(), "{error}");
                }
                after = watermark(&source).await;
            }
        });
    }
}
