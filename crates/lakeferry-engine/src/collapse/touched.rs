//! Changes where a key may have several rows, of which the greatest counts (`dedupe_by`).
//!
//! What such changes come to they do not tell by themselves: who follows where the greatest row
//! goes is known to the source alone. So changes say which keys they touch, and by how many rows
//! each of these has more; then the rows that these keys have at the end are looked at:
//!
//! | rows before: those at the end, less those that came | rows at the end | effect |
//! |---|---|---|
//! | some | some | update to the greatest |
//! | some | none | delete |
//! | none | some | insert of the greatest |
//! | none | none | none |
//! | fewer than none | | a contradiction |
//!
//! Versions and signs need no order in this: all of them add up.

use std::collections::{HashMap, hash_map::Entry};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::{concat::concat_batches, filter::filter_record_batch};
use lakeferry_model::{ChangeBatch, NetChanges, OnNullKey, Position, Sign};

use super::{
    At, CollapseError, KEY_OVERHEAD_BYTES, Net, NetRows, Ranking, Unkeyed, Verdict, keys::Keys,
    place, sorted,
};

/// Gathers the keys of changes, then their rows.
pub(crate) struct Touched<P> {
    keys: Keys,
    unkeyed: Unkeyed<P>,
    ranking: Ranking,
    of: HashMap<Box<[u8]>, Key>,
    /// Rows that came or went.
    changed: Vec<RecordBatch>,
    /// Rows at the end.
    there: Vec<RecordBatch>,
    held_bytes: usize,
    limit_bytes: usize,
}

/// What is known of a key.
struct Key {
    /// Rows that came, less those that went.
    more: i64,
    /// Any of these.
    changed: At,
    /// Rows at the end.
    count: i64,
    /// The greatest of these.
    greatest: Option<At>,
}

impl<P: Position> Touched<P> {
    /// Starts with nothing; see [`super::Collapse::new`].
    ///
    /// # Errors
    /// [`CollapseError::NoKeyColumn`], [`CollapseError::NoRankColumn`], and an Arrow error if the type
    /// of a column has no order.
    pub(crate) fn new(
        columns: SchemaRef,
        key: &[String],
        by: &str,
        limit_bytes: usize,
    ) -> Result<Self, CollapseError> {
        Ok(Self {
            ranking: Ranking::new(&columns, by)?,
            keys: Keys::new(columns, key)?,
            unkeyed: Unkeyed::new(OnNullKey::Halt),
            of: HashMap::new(),
            changed: Vec::new(),
            there: Vec::new(),
            held_bytes: 0,
            limit_bytes,
        })
    }

    /// See [`super::Collapse::on_null_key`].
    pub(crate) fn on_null_key(mut self, policy: OnNullKey) -> Self {
        self.unkeyed = Unkeyed::new(policy);
        self
    }

    /// Takes changed rows.
    ///
    /// # Errors
    /// [`CollapseError::NullKey`].
    pub(crate) fn push(&mut self, changes: ChangeBatch<P>) -> Result<Verdict, CollapseError> {
        let (changes, unkeyed_bytes) = self.unkeyed.part(&self.keys, changes)?;
        self.held_bytes += unkeyed_bytes;
        let ChangeBatch { sign, rows, .. } = changes;
        let step = match sign {
            Sign::Plus => 1,
            Sign::Minus => -1,
        };
        let (keys, batch) = (self.keys.of(&rows)?, place(self.changed.len()));
        for (row, key) in (0..).zip(keys.iter()) {
            match self.of.entry(key.data().into()) {
                Entry::Occupied(mut known) => known.get_mut().more += step,
                Entry::Vacant(new) => {
                    self.held_bytes += key.data().len() + KEY_OVERHEAD_BYTES;
                    new.insert(Key {
                        more: step,
                        changed: At { batch, row },
                        count: 0,
                        greatest: None,
                    });
                }
            }
        }
        self.held_bytes += rows.get_array_memory_size();
        self.changed.push(rows);
        Ok(self.verdict())
    }

    /// The columns of the key in the rows that came or went; nothing if there are none.
    pub(crate) fn changed_keys(&self) -> Result<Option<RecordBatch>, CollapseError> {
        let of_key = |rows: &RecordBatch| rows.project(self.keys.places());
        let parts = self.changed.iter().map(of_key);
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let Some(schema) = parts.first().map(RecordBatch::schema) else {
            return Ok(None);
        };
        let all = concat_batches(&schema, &parts)?;
        Ok((all.num_rows() > 0).then_some(all))
    }

    /// Looks at rows of the end, of which all have to come by that have a changed key.
    pub(crate) fn look(&mut self, rows: &RecordBatch) -> Result<Verdict, CollapseError> {
        let keys = self.keys.of(rows)?;
        let is_touched: BooleanArray = keys
            .iter()
            .map(|key| Some(self.of.contains_key(key.data())))
            .collect();
        if is_touched.true_count() == 0 {
            return Ok(Verdict::More);
        }
        let rows = filter_record_batch(rows, &is_touched)?;
        self.held_bytes += rows.get_array_memory_size();
        let (keys, batch) = (self.keys.of(&rows)?, place(self.there.len()));
        self.there.push(rows);
        let of = |at: At| (&self.there[at.batch as usize], at.row as usize);
        for (row, key) in (0..).zip(keys.iter()) {
            let Some(known) = self.of.get_mut(key.data()) else {
                continue;
            };
            known.count += 1;
            let at = At { batch, row };
            let is_greatest = match known.greatest {
                Some(other) => self.ranking.beats(of(at), of(other))?,
                None => true,
            };
            if is_greatest {
                known.greatest = Some(at);
            }
        }
        Ok(self.verdict())
    }

    fn verdict(&self) -> Verdict {
        match self.held_bytes <= self.limit_bytes {
            true => Verdict::More,
            false => Verdict::Full,
        }
    }

    /// The net effect of all that was pushed, once all rows of the end were looked at.
    ///
    /// # Errors
    /// [`CollapseError::Contradiction`].
    pub(crate) fn finish(self) -> Result<NetRows, CollapseError> {
        let [mut deletes, mut updates, mut inserts] = [const { Vec::new() }; 3];
        for (key, known) in self.of {
            match (known.count - known.more, known.greatest) {
                (..0, _) => return Err(CollapseError::Contradiction),
                (0, None) => {}
                (0, Some(row)) => inserts.push((key, row)),
                (_, Some(row)) => updates.push((key, row)),
                (_, None) => deletes.push((key, known.changed)),
            }
        }
        let changed: Vec<&RecordBatch> = self.changed.iter().collect();
        let there: Vec<&RecordBatch> = self.there.iter().collect();
        let net = Net::Held(NetChanges {
            deletes: sorted(&changed, deletes)?,
            updates: sorted(&there, updates)?,
            inserts: sorted(&there, inserts)?,
        });
        Ok(NetRows {
            net,
            unkeyed: self.unkeyed.finish()?,
        })
    }
}
