//! What the kernel may use to skip files and row groups that hold none of certain keys.

use std::collections::HashSet;

use arrow_array::{ArrayRef, RecordBatch};
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
    // What cannot be told excludes nothing.
    let conditions = columns.filter_map(|(values, name)| among(values, name));
    conditions.reduce(Expr::and)
}

/// A condition that is TRUE where the column of this name has one of `values`: few are listed, of more
/// the ends are given.
fn among(values: &ArrayRef, name: &str) -> Option<Expr> {
    let column = Expr::Column(Column::new_unqualified(name));
    let (mut few, mut ends) = (HashSet::new(), None);
    for row in 0..values.len() {
        let value = ScalarValue::try_from_array(values, row).ok()?;
        let (least, most) = match ends {
            None => (value.clone(), value.clone()),
            Some((least, most)) => {
                let (less, more) = (value.partial_cmp(&least)?, value.partial_cmp(&most)?);
                match (less.is_lt(), more.is_gt()) {
                    (true, _) => (value.clone(), most),
                    (_, true) => (least, value.clone()),
                    _ => (least, most),
                }
            }
        };
        ends = Some((least, most));
        if few.len() <= LONGEST_LIST {
            few.insert(value);
        }
    }
    let (least, most) = ends?;
    Some(match few.len() <= LONGEST_LIST {
        true => column.in_list(few.into_iter().map(lit).collect(), false),
        false => column.between(lit(least), lit(most)),
    })
}
