//! New orders: TPC-H's lineitem again, under keys that follow those of the table, so that no two
//! are equal however long the demo goes on.

use std::{ops::Range, sync::Arc};

use anyhow::{Context as _, Result};
use arrow_array::{Int64Array, RecordBatch, cast::AsArray as _, types::Int64Type};
use arrow_select::concat::concat_batches;
use lakeferry_delta_testkit::{lineitem, lineitem_columns};

/// Of TPC-H: what is repeated under new keys.
const SCALE: f64 = 0.01;
/// No key at [`SCALE`] is larger.
const KEYS: i64 = 60_000;
/// Orders that come together: about 1,000 rows.
const ORDERS: usize = 250;

/// The orders that are still to come, in lots.
#[derive(Debug)]
pub(crate) struct NewOrders {
    rows: RecordBatch,
    /// The rows of each lot; none cuts an order in two.
    lots: Vec<Range<usize>>,
    after_key: i64,
}

/// Some orders, whole.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    pub(crate) rows: RecordBatch,
    pub(crate) first_key: i64,
    pub(crate) last_key: i64,
}

impl NewOrders {
    /// Orders whose keys are all greater than `after_key`.
    pub(crate) fn after(after_key: i64) -> Result<Self> {
        let rows = concat_batches(&lineitem_columns(), &lineitem(SCALE, 1, 1)?)?;
        let lots = lots(keys(&rows));
        Ok(Self {
            rows,
            lots,
            after_key,
        })
    }

    /// Lot `number`, from 0; there is always another.
    pub(crate) fn lot(&self, number: u64) -> Result<Lot> {
        let lots = self.lots.len() as u64;
        let range = &self.lots[usize::try_from(number % lots)?];
        let rows = self.rows.slice(range.start, range.len());
        let shift = self.after_key + i64::try_from(number / lots)? * KEYS;
        let keys: Int64Array = keys(&rows).unary(|key| key + shift);
        let (first, last) = (keys.values().first(), keys.values().last());
        let (first_key, last_key) = (
            *first.context("a lot has rows")?,
            *last.context("a lot has rows")?,
        );
        let mut columns = rows.columns().to_vec();
        columns[0] = Arc::new(keys);
        Ok(Lot {
            rows: RecordBatch::try_new(rows.schema(), columns)?,
            first_key,
            last_key,
        })
    }
}

/// `l_orderkey`, the first column, ascending.
fn keys(rows: &RecordBatch) -> &Int64Array {
    rows.column(0).as_primitive::<Int64Type>()
}

fn lots(keys: &Int64Array) -> Vec<Range<usize>> {
    let keys = keys.values();
    let starts: Vec<_> = (0..keys.len())
        .filter(|&row| row == 0 || keys[row] != keys[row - 1])
        .step_by(ORDERS)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([keys.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| start..end)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_come_again() {
        let orders = NewOrders::after(1_000).unwrap();
        let mut last = 1_000;
        for number in 0..130 {
            let lot = orders.lot(number).unwrap();
            assert!(lot.first_key > last, "{number}");
            assert!(lot.rows.num_rows() > 500, "{number}");
            last = lot.last_key;
        }
    }
}
