//! Changes of one version that do not fit into memory: sorted runs on disk, which are merged by key.
//!
//! What is held is sorted by key and written as a run each time that it is too much. The net effect
//! leaves the merge in the order of the key.
//!
//! The files have no name, so that nothing is left of them however a run ends.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Seek as _},
    sync::Arc,
};

use arrow_array::{BooleanArray, RecordBatch, cast::AsArray};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_row::Rows;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::interleave::interleave_record_batch;
use lakeferry_model::{ChangeBatch, Effect, Position, Sign};

use super::{At, BATCH_ROWS, CollapseError, Gathered, Ranking, keys::Keys};

/// Rows in a batch of a run: few, for a merge holds one of each run.
const RUN_BATCH_ROWS: usize = 1024;

/// Batches that a merge may hold besides the one that each run is at.
const BATCHES_PASSED: usize = 64;

/// Writes what is held as a run; where a key may have several rows, its greatest alone, so that a
/// merge meets one of each run.
pub(super) fn write<P: Position>(
    keys: &Keys,
    ranking: Option<&Ranking>,
    held: &[ChangeBatch<P>],
) -> Result<File, CollapseError> {
    let of_batches = held.iter().map(|batch| keys.of(&batch.rows));
    let of_batches = of_batches.collect::<Result<Vec<Rows>, _>>()?;
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (batch, of_batch) in of_batches.iter().enumerate() {
        order.extend((0..of_batch.num_rows()).map(|row| (batch, row)));
    }
    let key = |(batch, row): (usize, usize)| of_batches[batch].row(row);
    order.sort_unstable_by(|&one, &other| key(one).cmp(&key(other)));
    let batches: Vec<&RecordBatch> = held.iter().map(|batch| &batch.rows).collect();
    if let Some(ranking) = ranking {
        let mut greatest: Vec<(usize, usize)> = Vec::new();
        for place in order {
            let row = |(batch, row): (usize, usize)| (batches[batch], row);
            match greatest.last_mut() {
                Some(best) if key(*best) == key(place) => {
                    if ranking.beats(row(place), row(*best))? {
                        *best = place;
                    }
                }
                _ => greatest.push(place),
            }
        }
        order = greatest;
    }
    let mut fields: Vec<_> = keys.columns.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("plus", DataType::Boolean, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut run = begin(&schema)?;
    for places in order.chunks(RUN_BATCH_ROWS) {
        let rows = interleave_record_batch(&batches, places)?;
        let plus = places.iter().map(|place| held[place.0].sign == Sign::Plus);
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(plus.collect::<Vec<_>>())));
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        run.write(&rows).map_err(of_disk)?;
    }
    end(run)
}

/// A file for rows of these columns.
pub(super) fn begin(schema: &Schema) -> Result<StreamWriter<BufWriter<File>>, CollapseError> {
    let file = tempfile::tempfile().map_err(CollapseError::Disk)?;
    StreamWriter::try_new(BufWriter::new(file), schema).map_err(of_disk)
}

/// What was written, to be read from its start.
pub(super) fn end(writer: StreamWriter<BufWriter<File>>) -> Result<File, CollapseError> {
    let written = writer.into_inner().map_err(of_disk)?.into_inner();
    let mut file = written.map_err(|error| CollapseError::Disk(error.into_error()))?;
    file.rewind().map_err(CollapseError::Disk)?;
    Ok(file)
}

pub(super) fn read(file: File) -> Result<StreamReader<BufReader<File>>, CollapseError> {
    StreamReader::try_new(BufReader::new(file), None).map_err(of_disk)
}

pub(super) fn of_disk(error: ArrowError) -> CollapseError {
    match error {
        ArrowError::IoError(_, error) => CollapseError::Disk(error),
        error => CollapseError::Arrow(error),
    }
}

/// The net effect of runs, piece by piece.
pub(crate) struct Merge {
    keys: Keys,
    ranking: Option<Ranking>,
    version: String,
    runs: Vec<Run>,
    /// The key that each run is at, but for those at their end.
    next: BinaryHeap<Reverse<(Box<[u8]>, usize)>>,
    /// Batches that rows are taken from.
    batches: Vec<RecordBatch>,
}

/// A run that is read, and where it is.
struct Run {
    reader: StreamReader<BufReader<File>>,
    /// The place of its batch.
    batch: usize,
    row: usize,
    keys: Option<Rows>,
    plus: BooleanArray,
}

impl Merge {
    pub(super) fn open(
        (keys, ranking): (Keys, Option<Ranking>),
        version: String,
        runs: Vec<File>,
    ) -> Result<Self, CollapseError> {
        let mut merge = Self {
            keys,
            ranking,
            version,
            runs: Vec::new(),
            next: BinaryHeap::new(),
            batches: Vec::new(),
        };
        for (place, file) in runs.into_iter().enumerate() {
            merge.runs.push(Run {
                reader: read(file)?,
                batch: 0,
                row: 0,
                keys: None,
                plus: BooleanArray::from(Vec::<bool>::new()),
            });
            merge.load(place)?;
        }
        Ok(merge)
    }

    /// The next rows, by what they do to the target; `None` at the end. There may be none of them.
    ///
    /// # Errors
    /// [`CollapseError::DuplicateKey`], [`CollapseError::Contradiction`], [`CollapseError::Disk`].
    pub(crate) fn next(&mut self) -> Result<Option<Vec<(Effect, RecordBatch)>>, CollapseError> {
        if self.next.is_empty() {
            return Ok(None);
        }
        self.let_go();
        let [mut deletes, mut updates, mut inserts] = [const { Vec::new() }; 3];
        let mut taken = 0;
        while taken < BATCH_ROWS && self.batches.len() < self.runs.len() + BATCHES_PASSED {
            let Some(gathered) = self.gather_next()? else {
                break;
            };
            let (part, row) = match (gathered.minus, gathered.plus) {
                (Some(_), Some(plus)) => (&mut updates, plus),
                (None, Some(plus)) => (&mut inserts, plus),
                (Some(minus), None) => (&mut deletes, minus),
                (None, None) => continue,
            };
            part.push((row.batch as usize, row.row as usize));
            taken += 1;
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let mut found = Vec::new();
        let parts = [
            (Effect::Delete, deletes),
            (Effect::Update, updates),
            (Effect::Insert, inserts),
        ];
        for (effect, places) in parts {
            if !places.is_empty() {
                found.push((effect, interleave_record_batch(&batches, &places)?));
            }
        }
        Ok(Some(found))
    }

    /// Forgets the batches that all runs have passed.
    fn let_go(&mut self) {
        let mut batches = Vec::with_capacity(self.runs.len());
        for run in &mut self.runs {
            batches.push(self.batches[run.batch].clone());
            run.batch = batches.len() - 1;
        }
        self.batches = batches;
    }

    /// Takes all rows of the next key; `None` if there is none.
    fn gather_next(&mut self) -> Result<Option<Gathered>, CollapseError> {
        let Some(Reverse((key, _))) = self.next.peek() else {
            return Ok(None);
        };
        let key = key.clone();
        let mut gathered = Gathered::default();
        while self
            .next
            .peek()
            .is_some_and(|Reverse((next, _))| *next == key)
        {
            let Some(Reverse((_, place))) = self.next.pop() else {
                break;
            };
            let run = &self.runs[place];
            let sign = match run.plus.value(run.row) {
                true => Sign::Plus,
                false => Sign::Minus,
            };
            let at = At {
                batch: u32::try_from(run.batch).expect("few batches are held"),
                row: u32::try_from(run.row).expect("batches are small"),
            };
            if let Some(other) = gathered.add(sign, at) {
                let row = |at: At| (&self.batches[at.batch as usize], at.row as usize);
                match (&self.ranking, sign) {
                    (Some(ranking), Sign::Plus) => {
                        if !ranking.beats(row(at), row(other))? {
                            gathered.plus = Some(other);
                        }
                    }
                    _ => return Err(self.keys.twice(sign, &self.version, row(at))),
                }
            }
            self.advance(place)?;
        }
        Ok(Some(gathered))
    }

    /// Moves a run to its next row.
    fn advance(&mut self, place: usize) -> Result<(), CollapseError> {
        let run = &mut self.runs[place];
        run.row += 1;
        match run.row < run.plus.len() {
            true => self.queue(place),
            false => self.load(place)?,
        }
        Ok(())
    }

    /// Reads the next batch of a run, if it has one.
    fn load(&mut self, place: usize) -> Result<(), CollapseError> {
        let run = &mut self.runs[place];
        let Some(rows) = run.reader.next() else {
            return Ok(());
        };
        let rows = rows.map_err(of_disk)?;
        let width = self.keys.columns.fields().len();
        run.plus = rows.column(width).as_boolean().clone();
        let columns = rows.columns()[..width].to_vec();
        let rows = RecordBatch::try_new(Arc::clone(&self.keys.columns), columns)?;
        run.keys = Some(self.keys.of(&rows)?);
        (run.batch, run.row) = (self.batches.len(), 0);
        self.batches.push(rows);
        self.queue(place);
        Ok(())
    }

    fn queue(&mut self, place: usize) {
        let run = &self.runs[place];
        if let Some(keys) = &run.keys {
            let key = keys.row(run.row).data().into();
            self.next.push(Reverse((key, place)));
        }
    }
}

/// What to do where the disk does not take it.
pub(crate) fn advice(error: &io::Error) -> String {
    let folder = std::env::temp_dir();
    let what = match error.kind() {
        io::ErrorKind::StorageFull => "make room in",
        _ => "look at",
    };
    format!(
        "{what} the folder for temporary files, {}, or choose another one by TMPDIR; or give the \
         job a larger collapse_memory",
        folder.display()
    )
}
