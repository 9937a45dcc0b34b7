//! The greatest row of each key among all rows of a table (`dedupe_by`): settled before a row is put,
//! so that no target ever sees the others, good or bad.
//!
//! Rows wait in memory as far as they may, beyond that sorted on disk.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use lakeferry_model::{ChangeBatch, OnNullKey, Position, Sign};

use super::{
    Collapse, CollapseError, Merge, Net, NetRows, Overflow, Ranking, UnkeyedRows, Verdict,
};

/// Gathers the rows of one version.
pub(crate) struct Greatest<P> {
    version: P,
    columns: SchemaRef,
    collapse: Collapse<P>,
}

/// What is left of them, in the order of the key, after all that have none.
pub(crate) struct Ranked {
    unkeyed: UnkeyedRows,
    keyed: Keyed,
}

enum Keyed {
    Held(std::vec::IntoIter<RecordBatch>),
    Spilled(Box<Merge>),
}

impl<P: Position> Greatest<P> {
    /// Starts with nothing; see [`Collapse::new`].
    ///
    /// # Errors
    /// [`CollapseError::NoKeyColumn`], [`CollapseError::NoRankColumn`], and an Arrow error if the type
    /// of a column has no order.
    pub(crate) fn new(
        version: P,
        columns: SchemaRef,
        (key, by): (&[String], &str),
        limit_bytes: usize,
    ) -> Result<Self, CollapseError> {
        let ranking = Ranking::new(&columns, by)?;
        let collapse = Collapse::new(columns.clone(), key, limit_bytes, Overflow::Spilled)?;
        Ok(Self {
            version,
            columns,
            collapse: collapse.ranked(ranking),
        })
    }

    /// See [`Collapse::on_null_key`].
    pub(crate) fn on_null_key(mut self, policy: OnNullKey) -> Self {
        self.collapse = self.collapse.on_null_key(policy);
        self
    }

    /// # Errors
    /// [`CollapseError::OtherColumns`], [`CollapseError::NullKey`], [`CollapseError::Disk`].
    pub(crate) fn push(&mut self, rows: RecordBatch) -> Result<(), CollapseError> {
        if rows.schema().fields() != self.columns.fields() {
            return Err(CollapseError::OtherColumns);
        }
        let verdict = self.collapse.push(ChangeBatch {
            version: self.version,
            sign: Sign::Plus,
            rows,
        })?;
        debug_assert_eq!(verdict, Verdict::More, "what is too much is on disk");
        Ok(())
    }

    /// # Errors
    /// [`CollapseError::Disk`].
    pub(crate) fn finish(self) -> Result<Ranked, CollapseError> {
        let NetRows { net, unkeyed } = self.collapse.finish()?;
        let keyed = match net {
            Net::Held(net) => Keyed::Held(net.inserts.into_iter()),
            Net::Spilled(merge) => Keyed::Spilled(merge),
        };
        Ok(Ranked { unkeyed, keyed })
    }
}

impl Ranked {
    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// [`CollapseError::Disk`].
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, CollapseError> {
        // They are all inserts, as all rows came.
        if let Some((_, rows)) = self.unkeyed.next()? {
            return Ok(Some(rows));
        }
        let merge = match &mut self.keyed {
            Keyed::Held(batches) => return Ok(batches.next()),
            Keyed::Spilled(merge) => merge,
        };
        let parts = merge.next()?;
        Ok(parts.and_then(|parts| parts.into_iter().next().map(|(_, rows)| rows)))
    }
}
