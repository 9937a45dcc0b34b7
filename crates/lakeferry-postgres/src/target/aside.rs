//! Bad rows, set aside while the others are staged or loaded, and written to the quarantine in the
//! transaction of these.
//!
//! A row is known by its key as JSON text, which any value has, also one that Postgres cannot hold.
//! Without a key it is known by all of it.

mod nearest;
mod store;

use std::collections::{HashMap, HashSet, hash_map::Entry as Place};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, make_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_select::filter::filter_record_batch;
use lakeferry_model::{BadRowCounts, BadRows, OnBadValue, Position};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

pub(super) use self::store::refuse_too_many;
use self::store::{Again, Store};

use crate::{
    encode::{Fault, JsonRows},
    error::Error,
    link::{Link, Param},
    sql::Sql,
    sqlstate::Doing,
    target::{
        apply::Apply,
        columns::Columns,
        copy::Copy,
        state::{StateSchema, bigint},
    },
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
    /// In quarantine when the staging was opened, and whether the target has a previous row.
    known: HashMap<Known, bool>,
    /// Of these, those whose key was put.
    touched: HashSet<Known>,
    rows: HashMap<Known, BadRow>,
    payload_bytes: usize,
    /// What was written otherwise.
    changed: BadRowCounts,
}

/// What an apply did to the quarantine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quarantined {
    pub(super) counts: BadRowCounts,
    /// What is in it now.
    pub(super) total: u64,
}

/// What an apply knows of the rows in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All rows of the source were put.
    All,
    /// Those whose key was put, for it changed.
    Changed,
    /// As `Changed`; without a key, rows are put beside those that are there.
    Added,
    /// Those whose key was put, as it was.
    Retried,
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
            let sql = "SELECT digest, has_previous FROM {} WHERE job_id = $1";
            let sql = Sql::of(sql, &[&state.table("quarantine")]);
            let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
            let rows = link.query(&sql, &params, &doing).await?;
            let known = rows.iter().filter_map(|row| {
                let digest = row.get::<_, Vec<u8>>(0).try_into().ok()?;
                Some((digest, row.get(1)))
            });
            aside.known = known.collect();
        }
        Ok(aside)
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
                let has_previous = *self.known.get(&digest)?;
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
        let room = LONGEST_PAYLOAD.min(MOST_PAYLOAD.saturating_sub(self.payload_bytes));
        let count = self.rows.len();
        match self.rows.entry(digest(&key)) {
            Place::Occupied(mut entry) if !columns.has_key() => entry.get_mut().rows += 1,
            Place::Occupied(_) => {
                return Err(Error::needs_operator(format!(
                    "two rows have the key {key}, and both hold a value that postgres cannot"
                ))
                .advise("choose a key that is unique, or keep one out by the filter"));
            }
            Place::Vacant(_) if count >= MOST_ROWS => {
                return Err(Error::needs_operator(format!(
                    "more than {MOST_ROWS} rows hold a value that postgres cannot hold; column \
                     {column:?} of one holds {reason}"
                ))
                .advise("correct the values in the source, or keep such rows out by the filter"));
            }
            Place::Vacant(place) => {
                let payload = payload(room);
                self.payload_bytes += payload.as_ref().map_or(0, String::len);
                let is_short = key.len() <= LONGEST_PAYLOAD;
                place.insert(BadRow {
                    key: if is_short { key } else { "null".to_owned() },
                    rows: 1,
                    column,
                    reason,
                    payload,
                    has_previous: false,
                });
            }
        }
        Ok(())
    }

    /// Brings the quarantine to what was put, within the transaction of `apply`, once its rows are
    /// written.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if it would hold more than the job allows.
    pub(super) async fn write<P: Position>(
        &self,
        apply: &Apply<'_, P>,
        scope: Scope,
    ) -> Result<Quarantined, Error> {
        let looked_at: Vec<&Known> = match scope {
            Scope::All => self.known.keys().collect(),
            Scope::Changed | Scope::Added | Scope::Retried => self.touched.iter().collect(),
        };
        // What is bad as before was perhaps given up, and stays so unless it changed.
        let stays = |known: &Known| self.rows.contains_key(known);
        let stay = looked_at.iter().filter(|known| stays(known)).count();
        let again = self.known.keys().filter(|known| stays(known)).count();
        let left: Vec<&[u8]> = looked_at
            .iter()
            .filter(|known| matches!(scope, Scope::Changed | Scope::Added) || !stays(known))
            .map(|known| &known[..])
            .collect();
        let store = Store {
            link: apply.link,
            state: apply.state,
            job_id: apply.hold.job_id,
        };
        let doing = apply.doing();
        store.remove(&left, &doing).await?;
        let version = bigint(apply.after.0.version)?;
        let renews = match scope {
            Scope::Added => Again::Counts,
            _ => Again::Renews,
        };
        store.insert(&self.rows, version, renews, &doing).await?;
        let counts = BadRowCounts {
            quarantined: (self.rows.len() - again) as u64,
            released: (looked_at.len() - stay) as u64,
            ..self.changed
        };
        let total = (self.known.len() - looked_at.len() + self.rows.len() + stay - again) as u64;
        if !self.rows.is_empty() {
            refuse_too_many(apply, self.allows, None).await?;
        }
        Ok(Quarantined { counts, total })
    }

    /// Writes the bad rows of one piece of a fill, which begins with an empty quarantine, within
    /// the transaction of the piece.
    pub(super) async fn write_piece(
        &self,
        (link, state): (&Link, &StateSchema),
        (job_id, has_key): (Uuid, bool),
        version: i64,
        doing: &Doing,
    ) -> Result<(), Error> {
        let store = Store {
            link,
            state,
            job_id,
        };
        let again = match has_key {
            true => Again::IsRefused,
            false => Again::Counts,
        };
        store.insert(&self.rows, version, again, doing).await
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
