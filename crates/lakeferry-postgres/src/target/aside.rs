//! Bad rows, set aside while the others are staged or loaded, and written to the quarantine in the
//! transaction of these.
//!
//! A row is known by its key as JSON text, which any value has, also one that Postgres cannot hold.
//! Without a key, or with NULL in it, it is known by all of it.

mod nearest;
mod settle;
mod store;
mod unkeyed;

use std::collections::{HashMap, HashSet};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, make_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_select::filter::filter_record_batch;
use lakeferry_model::{BadRowCounts, BadRows, OnBadValue};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

use self::unkeyed::Unkeyed;
pub(super) use self::{
    settle::{Quarantined, Scope},
    store::refuse_too_many,
    unkeyed::without_unkeyed,
};

use crate::{
    encode::{Fault, JsonRows},
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
    target::{columns::Columns, copy::Copy, state::StateSchema},
};

/// The most bad rows of one staging, or of one piece of a fill: they wait in memory.
pub(super) const MOST_ROWS: usize = 65_536;

/// A longer row is kept without its values.
const LONGEST_PAYLOAD: usize = 1 << 20;

/// All values that are kept of one staging; what comes after them is kept without its values.
const MOST_PAYLOAD: usize = 32 << 20;

/// Known by the digest of its key.
type Known = [u8; 32];

/// A bad row.
#[derive(Debug)]
struct BadRow {
    key: String,
    rows: i64,
    column: String,
    reason: String,
    payload: Option<String>,
    /// Whether the target keeps the row that the key had before.
    has_previous: bool,
}

/// The bad rows of one staging, or of one piece of a fill.
#[derive(Debug)]
pub(super) struct Aside {
    allows: BadRows,
    /// In quarantine when the staging was opened.
    known: HashMap<Known, InQuarantine>,
    /// Of these, those whose key was put.
    touched: HashSet<Known>,
    rows: HashMap<Known, BadRow>,
    unkeyed: Unkeyed,
    payload_bytes: usize,
    /// What was written otherwise.
    changed: BadRowCounts,
}

/// What is known of an entry of the quarantine.
#[derive(Clone, Copy, Debug)]
struct InQuarantine {
    /// How many equal ones it stands for.
    rows: i64,
    /// Whether the target has the row that the key had before.
    has_previous: bool,
}

/// Rows by what the target has of their keys.
pub(super) struct Parted {
    /// In quarantine: no row.
    pub(super) absent: RecordBatch,
    /// In quarantine: the row that the key had before.
    pub(super) previous: RecordBatch,
    /// Not in quarantine.
    pub(super) others: RecordBatch,
}

/// What to put instead of a batch with faults.
enum Judged {
    /// The same rows, values for faults written otherwise.
    Changed(RecordBatch),
    Parted {
        good: RecordBatch,
        bad: RecordBatch,
    },
}

impl Aside {
    /// For rows of which none is in quarantine.
    pub(super) fn new(allows: BadRows) -> Self {
        Self {
            allows,
            known: HashMap::new(),
            touched: HashSet::new(),
            rows: HashMap::new(),
            unkeyed: Unkeyed::default(),
            payload_bytes: 0,
            changed: BadRowCounts::default(),
        }
    }

    /// With what is in quarantine: `count` rows of the job.
    pub(super) async fn read(
        allows: BadRows,
        (link, state): (&Link, &StateSchema),
        job_id: Uuid,
        count: u64,
    ) -> Result<Self, Error> {
        let mut aside = Self::new(allows);
        if count > 0 {
            let doing = Doing::new("read what is in quarantine");
            let sql = "SELECT digest, rows, has_previous FROM {} WHERE job_id = $1";
            let sql = Sql::of(sql, &[&state.table("quarantine")]);
            let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
            let rows = link.query(&sql, &params, &doing).await?;
            let known = rows.iter().filter_map(|row| {
                let digest = row.get::<_, Vec<u8>>(0).try_into().ok()?;
                let (rows, has_previous) = (row.get(1), row.get(2));
                Some((digest, InQuarantine { rows, has_previous }))
            });
            aside.known = known.collect();
        }
        Ok(aside)
    }

    /// How many rows of this there were when the staging was opened.
    fn in_quarantine(&self, known: &Known) -> i64 {
        self.known.get(known).map_or(0, |known| known.rows)
    }

    pub(super) fn allows(&self) -> BadRows {
        self.allows
    }

    /// Values that were written otherwise.
    pub(super) fn changed(&self) -> BadRowCounts {
        self.changed
    }

    /// Takes note of values that were written as NULL.
    pub(super) fn count_nulled(&mut self, values: u64) {
        self.changed.nulled += values;
    }

    /// The rows by what the target has of their keys; nothing where none is in quarantine. From now
    /// on those count as put.
    pub(super) fn part_known(
        &mut self,
        columns: &Columns,
        rows: &RecordBatch,
    ) -> Result<Option<Parted>, Error> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let keys = identities(columns, rows)?;
        let known: Vec<Option<bool>> = (0..rows.num_rows())
            .map(|row| {
                let digest = digest(&keys.of(row));
                let has_previous = self.known.get(&digest)?.has_previous;
                self.touched.insert(digest);
                Some(has_previous)
            })
            .collect();
        if known.iter().all(Option::is_none) {
            return Ok(None);
        }
        let those = |of: Option<bool>| -> Result<RecordBatch, Error> {
            Ok(part(rows, known.iter().map(|known| *known == of).collect())?.0)
        };
        Ok(Some(Parted {
            absent: those(Some(false))?,
            previous: those(Some(true))?,
            others: those(None)?,
        }))
    }

    /// Takes note that the target keeps the rows that these keys had before.
    pub(super) fn keep_previous(
        &mut self,
        columns: &Columns,
        rows: &RecordBatch,
    ) -> Result<(), Error> {
        let keys = identities(columns, rows)?;
        for row in 0..rows.num_rows() {
            if let Some(bad) = self.rows.get_mut(&digest(&keys.of(row))) {
                bad.has_previous = true;
            }
        }
        Ok(())
    }

    /// Puts `rows` into `copy`, but for the bad ones, which are given back. Says how many it put.
    pub(super) async fn put(
        &mut self,
        (link, copy): (&Link, &mut Copy),
        columns: &Columns,
        rows: &RecordBatch,
        mark: Option<u8>,
    ) -> Result<(usize, Vec<RecordBatch>), Error> {
        let (mut rows, mut all_bad) = (rows.clone(), Vec::new());
        loop {
            let faults = copy.put(link, &rows, mark).await?;
            if faults.is_empty() {
                return Ok((rows.num_rows(), all_bad));
            }
            match self.judge(columns, &rows, &faults)? {
                Judged::Changed(changed) => rows = changed,
                Judged::Parted { good, bad } => {
                    rows = good;
                    all_bad.push(bad);
                }
            }
        }
    }

    fn judge(
        &mut self,
        columns: &Columns,
        rows: &RecordBatch,
        faults: &[Fault],
    ) -> Result<Judged, Error> {
        match self.allows.on_bad_value {
            OnBadValue::Halt => {
                let first = faults.first().map(|fault| columns.refusal(fault));
                let none = || Error::bug("a batch was refused without a fault");
                return Err(first.unwrap_or_else(none));
            }
            OnBadValue::Null => {
                let may_be_null = |fault: &&Fault| !columns.key_places().contains(&fault.column);
                let faults: Vec<&Fault> = faults.iter().filter(may_be_null).collect();
                if !faults.is_empty() {
                    self.changed.nulled += faults.len() as u64;
                    return nulled(rows, &faults).map(Judged::Changed);
                }
            }
            OnBadValue::Replace => {
                if let Some((rows, values)) = nearest::replaced(columns, rows, faults)? {
                    self.changed.replaced += values;
                    return Ok(Judged::Changed(rows));
                }
            }
            OnBadValue::Quarantine | OnBadValue::KeepPrevious => {}
        }
        let mut is_bad = vec![false; rows.num_rows()];
        // One that has two faults is told by the first.
        let first = |fault: &&Fault| !std::mem::replace(&mut is_bad[fault.row], true);
        let refused = faults.iter().filter(first).map(|fault| {
            let column = columns.name_at(fault.column).to_owned();
            (fault.row, column, fault.what.clone())
        });
        let refused = refused.collect();
        self.refuse(columns, rows, refused)?;
        let (bad, good) = part(rows, is_bad.into())?;
        Ok(Judged::Parted { good, bad })
    }

    /// Sets rows aside, each known by its place among `rows`, with the column that is at fault,
    /// empty if that is not known, and the reason.
    pub(super) fn refuse(
        &mut self,
        columns: &Columns,
        rows: &RecordBatch,
        refused: Vec<(usize, String, String)>,
    ) -> Result<(), Error> {
        let (keys, whole) = (identities(columns, rows)?, values(rows)?);
        for (row, column, reason) in refused {
            let payload = |most| whole.object_within(row, most);
            self.set_aside(columns, keys.of(row), (column, reason), payload)?;
        }
        Ok(())
    }

    fn set_aside(
        &mut self,
        columns: &Columns,
        key: String,
        (column, reason): (String, String),
        payload: impl Fn(usize) -> Option<String>,
    ) -> Result<(), Error> {
        let known = digest(&key);
        match self.rows.get_mut(&known) {
            Some(row) if !columns.has_key() => row.rows += 1,
            Some(_) => {
                return Err(Error::needs_operator(format!(
                    "two rows have the key {key}, and both hold a value that postgres cannot"
                ))
                .advise("choose a key that is unique, or keep one out by the filter"));
            }
            None => {
                let row = self.bad_row(key, (column, reason), payload)?;
                self.rows.insert(known, row);
            }
        }
        Ok(())
    }

    /// One more row to keep.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if there are too many.
    fn bad_row(
        &mut self,
        key: String,
        (column, reason): (String, String),
        payload: impl Fn(usize) -> Option<String>,
    ) -> Result<BadRow, Error> {
        if self.rows.len() + self.unkeyed.came.len() >= MOST_ROWS {
            return Err(Error::needs_operator(format!(
                "more than {MOST_ROWS} rows cannot be held by postgres; column {column:?} of one \
                 holds {reason}"
            ))
            .advise("correct these rows in the source, or keep them out by the filter"));
        }
        let room = LONGEST_PAYLOAD.min(MOST_PAYLOAD.saturating_sub(self.payload_bytes));
        let payload = payload(room);
        self.payload_bytes += payload.as_ref().map_or(0, String::len);
        let is_short = key.len() <= LONGEST_PAYLOAD;
        Ok(BadRow {
            key: if is_short { key } else { "null".to_owned() },
            rows: 1,
            column,
            reason,
            payload,
            has_previous: false,
        })
    }
}

/// What rows are known by.
struct Identities<'a> {
    rows: JsonRows<'a>,
    has_key: bool,
}

impl Identities<'_> {
    fn of(&self, row: usize) -> String {
        match self.has_key {
            true => self.rows.array(row),
            false => self.rows.object(row),
        }
    }
}

fn identities<'a>(columns: &Columns, rows: &'a RecordBatch) -> Result<Identities<'a>, Error> {
    let has_key = columns.has_key();
    let all = values(rows)?;
    Ok(Identities {
        rows: match has_key {
            true => all.only(columns.key_places()),
            false => all,
        },
        has_key,
    })
}

fn values(rows: &RecordBatch) -> Result<JsonRows<'_>, Error> {
    JsonRows::of(rows).ok_or_else(|| Error::bug("a bad row has a column without a form in JSON"))
}

fn digest(key: &str) -> Known {
    Sha256::digest(key).into()
}

/// The rows for which `is_meant`, and the others.
pub(super) fn part(
    rows: &RecordBatch,
    is_meant: BooleanBuffer,
) -> Result<(RecordBatch, RecordBatch), Error> {
    let others = BooleanArray::from(!&is_meant);
    let meant = BooleanArray::from(is_meant);
    let filter = |mask: &BooleanArray| {
        filter_record_batch(rows, mask)
            .map_err(|error| Error::bug("bad rows were not told apart").caused_by(error))
    };
    Ok((filter(&meant)?, filter(&others)?))
}

/// `rows` with NULL in the place of each fault.
fn nulled(rows: &RecordBatch, faults: &[&Fault]) -> Result<RecordBatch, Error> {
    let wrong = |error| Error::bug("a bad value was not written as NULL").caused_by(error);
    let columns = rows.columns().iter().enumerate().map(|(place, array)| {
        let mut is_valid: Vec<bool> = (0..array.len()).map(|row| array.is_valid(row)).collect();
        let mut here = faults
            .iter()
            .filter(|fault| fault.column == place)
            .peekable();
        if here.peek().is_none() {
            return Ok(array.clone());
        }
        for fault in here {
            is_valid[fault.row] = false;
        }
        let builder = array.to_data().into_builder();
        let data = builder.nulls(Some(NullBuffer::from(is_valid))).build();
        data.map(make_array).map_err(wrong)
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, Error>>()?;
    let fields = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    let schema = arrow_schema::Schema::new(fields);
    RecordBatch::try_new(schema.into(), columns).map_err(wrong)
}
