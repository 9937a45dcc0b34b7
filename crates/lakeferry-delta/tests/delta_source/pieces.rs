//! Snapshots in pieces: the cut stays whatever becomes of the log, and files that are gone are told
//! apart from files that are missing.

use std::{fs, path::PathBuf};

use arrow_array::{Int64Array, RecordBatch};
use futures_util::TryStreamExt as _;
use lakeferry_delta::{DeltaPieces, DeltaSource, Error};
use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_model::{DeltaVersion, Failure as _, Pieces as _, Source as _, Watermark};

use crate::world::{World, array, batch, watermark};

fn ids(range: std::ops::Range<i64>) -> RecordBatch {
    batch(&[("id", array::<Int64Array>(range.collect::<Vec<_>>()))])
}

async fn count(pieces: &DeltaPieces, place: usize) -> Result<usize, Error> {
    let rows = pieces.read(place).await?;
    let add = async |sum, batch: RecordBatch| Ok(sum + batch.num_rows());
    rows.try_fold(0, add).await
}

async fn cut(source: &DeltaSource, at: &Watermark<DeltaVersion>) -> DeltaPieces {
    source.pieces(at).await.unwrap()
}

fn data_files(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.path()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "parquet")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_tables_make_several_pieces_that_stay() {
    let world = World::new();
    let columns = lineitem_columns();
    let mut table = DeltaTable::create(&world.path(), &columns, NewTable::default())
        .await
        .unwrap();
    append_lineitem(&mut table, 0.1, 6).await.unwrap();
    let source = world.source(None, None);
    let at = watermark(&source).await;
    let pieces = cut(&source, &at).await;
    assert!(pieces.list().len() > 2, "{:?}", pieces.list());
    let mut rows = 0;
    for (place, piece) in pieces.list().iter().enumerate() {
        let read = count(&pieces, place).await.unwrap();
        assert!(
            piece.rows.is_none_or(|told| told == read as u64),
            "{piece:?}"
        );
        rows += read;
    }
    assert_eq!(Some(rows as u64), source.head().await.unwrap().size.rows);
    // A checkpoint lists the files in another order.
    table.checkpoint().await.unwrap();
    let other = world.source(None, None);
    assert_eq!(cut(&other, &at).await.list(), pieces.list());
}

/// A row is in exactly one piece, wherever its row group stands; with a deletion vector the file stays
/// whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_makes_several_pieces() {
    let world = World::new();
    let columns = lineitem_columns();
    let mut table = DeltaTable::create(&world.path(), &columns, NewTable::default())
        .await
        .unwrap();
    append_lineitem(&mut table, 0.2, 1).await.unwrap();
    assert_eq!(data_files(&world).len(), 1);
    let source = world.source(None, None);
    let at = watermark(&source).await;
    let pieces = cut(&source, &at).await;
    assert!(pieces.list().len() > 4, "{:?}", pieces.list());
    let mut rows = Vec::new();
    for place in 0..pieces.list().len() {
        rows.push(count(&pieces, place).await.unwrap());
    }
    let row_groups = rows.iter().filter(|rows| **rows > 0).count();
    assert!(row_groups > 1, "{rows:?}");
    let size = source.head().await.unwrap().size;
    assert_eq!(Some(rows.iter().sum::<usize>() as u64), size.rows);
    let bytes: u64 = pieces.list().iter().map(|piece| piece.bytes).sum();
    assert_eq!(bytes, size.bytes);
    let rows = source.snapshot(&at).await.unwrap();
    let add = async |sum, batch: RecordBatch| Ok(sum + batch.num_rows() as u64);
    assert_eq!(Some(rows.try_fold(0, add).await.unwrap()), size.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_gone_are_told_from_files_that_are_missing() {
    let (world, mut table) = World::with(NewTable::default(), ids(0..3)).await;
    let source = world.source(None, None);
    let then = watermark(&source).await;
    let pieces = cut(&source, &then).await;
    assert_eq!(count(&pieces, 0).await.unwrap(), 3);
    for file in data_files(&world) {
        fs::remove_file(file).unwrap();
    }
    let missing = count(&pieces, 0).await.unwrap_err();
    assert!(!missing.is_gone(), "{missing:?}");
    table.overwrite(ids(5..7)).await.unwrap();
    let gone = count(&pieces, 0).await.unwrap_err();
    assert!(gone.is_gone(), "{gone:?}");
}
