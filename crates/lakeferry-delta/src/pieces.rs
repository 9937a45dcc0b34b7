//! A snapshot cut into pieces, for a first fill.
//!
//! A piece is a run of files, by the order of their names: so the log may be rewritten into a
//! checkpoint meanwhile, and the cut stays. Small files go together, for a piece is a transaction
//! in the target; large ones are cut at bytes, and a row group is of the piece in which it begins.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::{SnapshotRef, scan::state::ScanFile};
use lakeferry_model::{DeltaVersion, Digest, Piece, Pieces, Watermark};
use sha2::{Digest as _, Sha256};

use crate::{
    engine::blocking,
    error::{Error, Result},
    files::{FileReader, files_of},
    part::Part,
    reader::{Batches, stream_ahead},
    shape::Shape,
    snapshot::{has_moved_on, scan},
    table::Table,
};

/// A table makes about so many pieces, as far as their size allows.
const PIECES: u64 = 64;

/// A piece has at least so many bytes as stored, if there are as many; what it costs to begin and
/// to commit one does not show then.
const LEAST_BYTES: u64 = 4 << 20;

/// No file joins a piece that has so many bytes: this is about what an interruption costs at most.
const MOST_BYTES: u64 = 64 << 20;

/// Batches of a piece that wait to be taken. Several pieces are read at once.
const AHEAD: usize = 1;

/// A version of a Delta table, cut into pieces.
pub struct DeltaPieces {
    table: Arc<Table>,
    watermark: Watermark<DeltaVersion>,
    /// Shared by all pieces, and with it the memory for reading.
    reader: Arc<FileReader>,
    list: Vec<Piece>,
    /// Of each piece.
    parts: Vec<Vec<Part>>,
}

/// Cuts the table at `watermark`.
pub(crate) async fn cut(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
) -> Result<DeltaPieces> {
    table.verify(watermark).await?;
    let snapshot = table.load(Some(watermark.version)).await?;
    table.same(watermark, &snapshot)?;
    let shape = Arc::new(Shape::of(&table.settings, &snapshot, watermark.instant)?);
    let listed = listed(&table, snapshot, shape).await;
    let (reader, files) = table.trusting(listed)?;
    let parts = grouped(files);
    Ok(DeltaPieces {
        table,
        watermark: watermark.clone(),
        reader,
        list: parts.iter().map(|parts| piece(parts)).collect(),
        parts,
    })
}

async fn listed(
    table: &Table,
    snapshot: SnapshotRef,
    shape: Arc<Shape>,
) -> Result<(Arc<FileReader>, Vec<ScanFile>)> {
    let (name, engine) = (table.name().to_owned(), table.engine());
    blocking(table.name(), move || {
        let scan = scan(&name, snapshot, &shape, shape.skips_files())?;
        let files = files_of(&name, engine.as_ref(), &scan)?;
        let mut files = files.collect::<Result<Vec<_>>>()?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok((FileReader::new(&name, engine, &scan, shape), files))
    })
    .await
}

/// `files` in runs of about equal size.
fn grouped(files: Vec<ScanFile>) -> Vec<Vec<Part>> {
    let sizes = files.iter().map(|file| u64::try_from(file.size));
    let total: u64 = sizes.map(Result::unwrap_or_default).sum();
    let enough = (total / PIECES).clamp(LEAST_BYTES, MOST_BYTES);
    let (mut runs, mut run, mut bytes) = (Vec::new(), Vec::new(), 0);
    for part in files.into_iter().flat_map(|file| Part::cut(file, enough)) {
        bytes += part.bytes();
        run.push(part);
        if bytes >= enough {
            runs.push(std::mem::take(&mut run));
            bytes = 0;
        }
    }
    if !run.is_empty() {
        runs.push(run);
    }
    // Where pieces are few, it shows which one ends last. The row group that a file begins with is
    // mostly its largest, or all of it, so those go first; where there are many, all stay in the order
    // of the files, so that what was written together is loaded together.
    if enough < MOST_BYTES {
        runs.sort_by_key(|run| begin(run));
    }
    runs
}

/// Where in its first file a piece begins.
fn begin(parts: &[Part]) -> u64 {
    let stretch = parts.first().and_then(|part| part.stretch.as_ref());
    stretch.map_or(0, |stretch| stretch.start)
}

fn piece(parts: &[Part]) -> Piece {
    let mut digest = Sha256::new();
    for part in parts {
        let (file, stretch) = (&part.file, &part.stretch);
        // What a deletion vector is shows in no other way; a path ends where the zero is.
        let rest = format!("\0{} {:?} {stretch:?}\0", file.size, file.dv_info);
        digest.update(file.path.as_bytes());
        digest.update(rest.as_bytes());
    }
    Piece {
        digest: Digest(digest.finalize().into()),
        bytes: parts.iter().map(Part::bytes).sum(),
        rows: parts.iter().map(Part::rows).sum(),
    }
}

impl Pieces for DeltaPieces {
    type Error = Error;
    type Rows = Batches<RecordBatch>;

    fn list(&self) -> &[Piece] {
        &self.list
    }

    async fn read(&self, place: usize) -> Result<Batches<RecordBatch>> {
        let name = self.table.name().to_owned();
        let Some(parts) = self.parts.get(place).cloned() else {
            return Err(Error::Broken {
                table: name,
                what: format!("piece {place} was asked for, and there is none"),
                source: None,
            });
        };
        let (table, reader) = (self.table.clone(), self.reader.clone());
        let version = self.watermark.version;
        Ok(stream_ahead(&name, AHEAD, |outlet| async move {
            let read = reader
                .read_one_by_one(parts, move |rows| outlet.give(rows))
                .await;
            let read = table.trusting(read);
            match read {
                // As it is where there is a newer version; where there is none, nobody can mend it.
                Err(Error::Lost { what, source, .. }) => {
                    has_moved_on(&table, version.0, &what).await?;
                    Err(Error::Lost {
                        table: table.name().to_owned(),
                        what,
                        source,
                    })
                }
                read => read,
            }
        }))
    }

    async fn confirm(&self) -> Result<()> {
        self.table.verify(&self.watermark).await
    }
}
