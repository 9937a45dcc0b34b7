//! What the kernel may use to skip files and row groups that hold no row which time moves.
//!
//! A row moved if the filter is TRUE for it at one of two instants and not at the other. What does
//! not depend on time is TRUE for it at both. So, with `S` for that and `T` for the rest, it is
//! among the rows of
//!
//! `S AND (T before AND NOT TRUE (T after) OR T after AND NOT TRUE (T before))`
//!
//! and each part of this may be left out or replaced by a weaker one. NOT TRUE is FALSE or NULL: a
//! comparison is that where its opposite is TRUE, or its column null. Null it is not in a row for
//! which the other side, which compares the same column, is TRUE.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, utils::split_conjunction};
use delta_kernel::Predicate;

use super::pushdown::{Against, Skipping};

impl Skipping<'_> {
    /// A predicate that is TRUE for every row that moved between `before` and `after`.
    pub(super) fn either(
        &self,
        before: &Expr,
        after: &Expr,
        against: Against<'_>,
    ) -> Option<Predicate> {
        let (before, after) = (split_conjunction(before), split_conjunction(after));
        let went = self.true_then_not(&before, &after, against);
        let came = self.true_then_not(&after, &before, against);
        let moved = went.zip(came).map(|(went, came)| Predicate::or(went, came));
        let steady = before.iter().filter(|part| after.contains(part));
        let steady = steady.filter_map(|part| self.weaker(part, against));
        steady.chain(moved).reduce(Predicate::and)
    }

    /// A predicate that is TRUE where all of `these` are and one of `those` is not. What is in both
    /// is left out.
    fn true_then_not(
        &self,
        these: &[&Expr],
        those: &[&Expr],
        against: Against<'_>,
    ) -> Option<Predicate> {
        let was = these.iter().filter(|part| !those.contains(part));
        let is = those.iter().filter(|part| !these.contains(part));
        let not_true = is.map(|part| self.not_true(part, these, against));
        let not_true = not_true.collect::<Option<Vec<_>>>();
        let one_is_not = not_true.and_then(|parts| parts.into_iter().reduce(Predicate::or));
        let all_are = was.filter_map(|part| self.weaker(part, against));
        all_are.chain(one_is_not).reduce(Predicate::and)
    }

    /// A predicate that is TRUE where `expr` is FALSE or NULL and all of `given` are TRUE.
    fn not_true(&self, expr: &Expr, given: &[&Expr], against: Against<'_>) -> Option<Predicate> {
        if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr {
            let both = || [left, right].map(|side| self.not_true(side, given, against));
            match op {
                Operator::And => {
                    let [left, right] = both();
                    return Some(Predicate::or(left?, right?));
                }
                Operator::Or => return both().into_iter().flatten().reduce(Predicate::and),
                _ => {}
            }
        }
        let is_false = Predicate::not(self.same(expr, against)?);
        if matches!(expr, Expr::IsNull(_) | Expr::IsNotNull(_)) {
            return Some(is_false);
        }
        let column = compared(expr)?;
        if given.iter().any(|given| rejects_null(given, column)) {
            return Some(is_false);
        }
        let is_null = Predicate::is_null(self.null_test(column, against)?);
        Some(Predicate::or(is_false, is_null))
    }
}

/// The column of a condition that is NULL exactly where that column is.
fn compared(expr: &Expr) -> Option<&Expr> {
    let column = match expr {
        Expr::Column(_) => expr,
        Expr::Not(inner) => return compared(inner),
        Expr::Between(between) => &between.expr,
        Expr::InList(list) => &list.expr,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_strict(*op) => {
            [left, right].into_iter().find(|side| is_column(side))?
        }
        _ => return None,
    };
    is_column(column).then_some(column)
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_))
}

/// Whether an operator gives NULL for NULL.
fn is_strict(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    )
}

/// Whether `expr` is TRUE for no row in which `column` is null.
fn rejects_null(expr: &Expr, column: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => rejects_null(left, column) || rejects_null(right, column),
            Operator::Or => rejects_null(left, column) && rejects_null(right, column),
            op => is_strict(*op) && [left, right].iter().any(|side| side.as_ref() == column),
        },
        Expr::IsNotNull(inner) => inner.as_ref() == column,
        other => compared(other) == Some(column),
    }
}
