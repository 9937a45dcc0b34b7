//! Row tracking: rows that were only copied are told by their numbers, and not read.
//!
//! "Row Commit Versions … make it possible to check whether two rows with the same ID in two different
//! versions of the table represent the same version of the row" (Delta protocol, "Row Tracking"). So
//! a row that went and one that came, both with the same stable row id and the same row commit version,
//! are the same row: it was copied, or a RESTORE brought it back. Both are left out. Nothing else is
//! concluded: whatever has no such partner is read and compared, be it that it did change, that its
//! writer did not keep its numbers (the protocol says "should"), that its file has none, or that there
//! was no room for it.
//!
//! A row that was there before the range has a version of then, so a later one pairs with nothing. It
//! is of a row that came or changed since; were it not, it would be from the log of another table, which
//! a clone took over. So of files that came with the range and keep no versions no number is read.

mod pairs;

use delta_kernel::{Snapshot, table_features::TableFeature};
use lakeferry_model::{DeltaVersion, Sign};

use self::pairs::{Pairs, Read};
use crate::{error::Result, files::FileReader, parquet::Numbers, part::Part, reader::Wanted};

const IDS_PROPERTY: &str = "delta.rowTracking.materializedRowIdColumnName";
const VERSIONS_PROPERTY: &str = "delta.rowTracking.materializedRowCommitVersionColumnName";

/// The columns of data files that have row ids and row commit versions.
#[derive(Clone, Debug)]
pub(crate) struct Tracking {
    ids: String,
    versions: String,
}

impl Tracking {
    /// As `snapshot` says; nothing where row tracking is off, or suspended, or only supported.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let table = snapshot.table_configuration();
        if !table.is_feature_enabled(&TableFeature::RowTracking) {
            return None;
        }
        let name = |property: &str| table.metadata().configuration().get(property).cloned();
        Some(Self {
            ids: name(IDS_PROPERTY)?,
            versions: name(VERSIONS_PROPERTY)?,
        })
    }

    /// `parts` without the rows that pair off, in a range after `after`; parts that have no others are
    /// left out. Two files are read at once, two columns of each. Call it on a blocking thread.
    pub(crate) fn unpaired(
        &self,
        reader: &FileReader,
        after: DeltaVersion,
        parts: Vec<Part>,
        wanted: impl Fn() -> Wanted,
    ) -> Result<Vec<Part>> {
        let mut pairs = Pairs::new(parts.len(), after);
        let mut sides = [Vec::new(), Vec::new()];
        // What came before what went: often nothing of it can pair.
        for (side, sign) in [(1, Sign::Plus), (0, Sign::Minus)] {
            for (place, part) in parts.iter().enumerate() {
                if part.sign == sign {
                    let least = self.admitted(reader, &mut pairs, (place, part))?;
                    sides[side].extend(least.map(|least| (least, place)));
                }
            }
            if sides[side].is_empty() {
                return Ok(parts);
            }
        }
        let mut sides = sides.map(|mut places| {
            places.sort_unstable();
            self.read(reader, &parts, places).peekable()
        });
        while wanted() == Wanted::More {
            let waiting = pairs.waiting();
            let is_over = sides.each_mut().map(|side| side.peek().is_none());
            if (0..2).any(|side| is_over[side] && waiting[side] == 0) {
                break;
            }
            // Copies mostly are in the order of what they are of: so few rows wait at once.
            let behind = usize::from(waiting[0] > waiting[1]);
            let side = if is_over[behind] { 1 - behind } else { behind };
            let Some(read) = sides[side].next() else {
                break;
            };
            pairs.meet(&read?);
        }
        drop(sides);
        let left = parts.into_iter().zip(pairs.left());
        let left = left.filter_map(|(part, rows)| match rows {
            None => Some(part),
            Some(rows) if rows.count_set_bits() == 0 => None,
            rows => Some(Part {
                only: rows,
                deleted_by: None,
                ..part
            }),
        });
        Ok(left.collect())
    }

    /// Lets a part pair off if any row of it can; its least row id, as far as its footer tells.
    fn admitted(
        &self,
        reader: &FileReader,
        pairs: &mut Pairs,
        (place, part): (usize, &Part),
    ) -> Result<Option<i64>> {
        let Some(fresh) = part.fresh else {
            return Ok(None);
        };
        let Some(numbers) = self.open(reader, part)? else {
            return Ok(None);
        };
        let [ids, versions] = &numbers.columns;
        if versions.is_none() && !pairs.is_old(fresh.version) {
            return Ok(None);
        }
        let rows = reader.in_part(part, numbers.rows)?;
        let least = ids.as_ref().map(|ids| ids.least.unwrap_or(i64::MIN));
        let is_admitted = pairs.admit(place, part.sign, fresh, rows);
        Ok(is_admitted.then_some(least.unwrap_or(fresh.row_id)))
    }

    /// The numbers of the rows of these parts, one after the other.
    fn read(
        &self,
        reader: &FileReader,
        parts: &[Part],
        places: Vec<(i64, usize)>,
    ) -> impl Iterator<Item = Result<Read>> {
        places.into_iter().flat_map(move |(_, place)| {
            let part = &parts[place];
            let (numbers, error) = match self.open(reader, part) {
                Ok(numbers) => (numbers, None),
                Err(error) => (None, Some(Err(error))),
            };
            let mut next = 0;
            let batches = numbers.into_iter().flatten().map(move |batch| {
                let batch = batch.map_err(|error| reader.failed(part, error))?;
                let first = next;
                next += batch.rows;
                Ok(Read {
                    place,
                    first,
                    batch,
                })
            });
            error.into_iter().chain(batches)
        })
    }

    fn open(&self, reader: &FileReader, part: &Part) -> Result<Option<Numbers>> {
        reader.numbers(part, [&self.ids, &self.versions])
    }
}
