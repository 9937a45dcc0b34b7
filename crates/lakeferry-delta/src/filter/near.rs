//! What the kernel may use to skip files and row groups that hold none of certain keys.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use datafusion::{
    common::Column,
    logical_expr::{Expr, lit},
    scalar::ScalarValue,
};

use super::pushdown::LONGEST_LIST;

/// A condition that is TRUE for every row that has one of `keys`, whose columns have these names in
/// the table; nothing if none is known.
pub(crate) fn near(keys: &RecordBatch, names: &[&str]) -> Option<Expr> {
    let columns = keys.columns().iter().zip(names);
    let conditions = columns.filter_map(|(values, name)| {
        let values = (0..values.len()).map(|row| ScalarValue::try_from_array(values, row));
        // What cannot be told excludes nothing.
        let values: HashSet<ScalarValue> = values.collect::<Result<_, _>>().ok()?;
        let column = Expr::Column(Column::new_unqualified(*name));
        if values.len() <= LONGEST_LIST {
            return Some(column.in_list(values.into_iter().map(lit).collect(), false));
        }
        let mut values = values.into_iter();
        let first = values.next()?;
        let ends = values.try_fold((first.clone(), first), |(least, most), value| {
            let (less, more) = (value.partial_cmp(&least)?, value.partial_cmp(&most)?);
            Some(match (less.is_lt(), more.is_gt()) {
                (true, _) => (value, most),
                (_, true) => (least, value),
                _ => (least, most),
            })
        });
        let (least, most) = ends?;
        Some(column.between(lit(least), lit(most)))
    });
    conditions.reduce(Expr::and)
}
