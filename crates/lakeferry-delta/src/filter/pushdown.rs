//! What of a filter the kernel may use to skip files and row groups.
//!
//! Skipping must never drop a row for which the filter is TRUE, so a part of the filter is used
//! only where the kernel's statistics order values as DataFusion does:
//!
//! * Floats are left out: statistics leave NaN out, and DataFusion orders it above all numbers.
//! * Decimals of more than 15 digits are left out of file skipping: writers put them into the log
//!   as floats. All decimals are left out of row groups, whose statistics the kernel reads with the
//!   table's scale and not with the file's.
//! * Strings are left out of row groups: old files order them as signed bytes, and the kernel does
//!   not look which order it was.
//! * Columns that were widened are left out: statistics are of the type that they had.
//! * Timestamps are left out of row groups: their statistics are in the file's own unit, which the
//!   kernel does not look at. Partition values that are timestamps are left out altogether, and so
//!   are null tests of partition values: an empty string in the log reads as null.
//! * A conjunct that cannot be used is left out, which keeps more rows; under OR and NOT all or
//!   nothing is used.

use datafusion::{
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
    scalar::ScalarValue,
};
use delta_kernel::{
    Predicate,
    expressions::{ColumnName, DecimalData, Expression, Scalar},
    schema::{DataType, PrimitiveType, StructField},
    table_features::ColumnMappingMode,
};

/// Longer lists cost more to compare than they skip.
pub(super) const LONGEST_LIST: usize = 64;
/// Digits that a 64-bit float holds for certain.
const FLOAT_DIGITS: u8 = 15;

/// What a field's metadata has once it was widened (Delta protocol, "Type Widening").
const TYPE_CHANGES: &str = "delta.typeChanges";

/// Which rows are wanted, and the columns that tell.
pub(crate) struct Skipping<'a> {
    wanted: Wanted<'a>,
    fields: Vec<StructField>,
}

enum Wanted<'a> {
    /// Those for which the filter is TRUE.
    True(&'a Expr),
    /// Those for which one is TRUE and the other is not.
    Either(&'a Expr, &'a Expr),
}

/// Against which statistics a predicate is held.
#[derive(Clone, Copy)]
pub(super) enum Against<'a> {
    /// Those of files in the log, and partition values.
    Log { partitions: &'a [String] },
    /// Those of row groups in a file: physical names, no partition columns.
    RowGroups {
        partitions: &'a [String],
        mapping: ColumnMappingMode,
    },
}

impl<'a> Skipping<'a> {
    pub(crate) fn of(filter: &'a Expr, fields: &[StructField]) -> Self {
        let (wanted, fields) = (Wanted::True(filter), fields.to_vec());
        Self { wanted, fields }
    }

    pub(super) fn moved(before: &'a Expr, after: &'a Expr, fields: &[StructField]) -> Self {
        let (wanted, fields) = (Wanted::Either(before, after), fields.to_vec());
        Self { wanted, fields }
    }

    /// For the files of a snapshot, in logical names.
    pub(crate) fn files(&self, partitions: &[String]) -> Option<Predicate> {
        self.wanted(Against::Log { partitions })
    }

    /// For the row groups of a file, in physical names.
    pub(crate) fn row_groups(
        &self,
        partitions: &[String],
        mapping: ColumnMappingMode,
    ) -> Option<Predicate> {
        let against = Against::RowGroups {
            partitions,
            mapping,
        };
        self.wanted(against)
    }

    /// A predicate that is TRUE for every row that is wanted.
    fn wanted(&self, against: Against<'_>) -> Option<Predicate> {
        match self.wanted {
            Wanted::True(filter) => self.weaker(filter, against),
            Wanted::Either(before, after) => self.either(before, after, against),
        }
    }

    /// A predicate that is TRUE wherever `expr` is.
    pub(super) fn weaker(&self, expr: &Expr, against: Against<'_>) -> Option<Predicate> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
            return self.same(expr, against);
        };
        match op {
            Operator::And => {
                let (left, right) = (self.weaker(left, against), self.weaker(right, against));
                match (left, right) {
                    (Some(left), Some(right)) => Some(Predicate::and(left, right)),
                    (one, other) => one.or(other),
                }
            }
            Operator::Or => Some(Predicate::or(
                self.weaker(left, against)?,
                self.weaker(right, against)?,
            )),
            _ => self.same(expr, against),
        }
    }

    /// A predicate that has the value of `expr` for every row.
    pub(super) fn same(&self, expr: &Expr, against: Against<'_>) -> Option<Predicate> {
        match expr {
            Expr::Not(inner) => Some(Predicate::not(self.same(inner, against)?)),
            Expr::IsNull(inner) => Some(Predicate::is_null(self.null_test(inner, against)?)),
            Expr::IsNotNull(inner) => Some(Predicate::is_not_null(self.null_test(inner, against)?)),
            Expr::Column(_) => {
                let (column, data_type) = self.column(expr, against)?;
                (data_type == PrimitiveType::Boolean)
                    .then(|| Predicate::eq(column, Expression::literal(true)))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Some(Predicate::and(
                    self.same(left, against)?,
                    self.same(right, against)?,
                )),
                Operator::Or => Some(Predicate::or(
                    self.same(left, against)?,
                    self.same(right, against)?,
                )),
                _ => self
                    .comparison(left, *op, right, against)
                    .or_else(|| self.comparison(right, op.swap()?, left, against)),
            },
            Expr::Between(between) => {
                let range = Predicate::and(
                    self.comparison(&between.expr, Operator::GtEq, &between.low, against)?,
                    self.comparison(&between.expr, Operator::LtEq, &between.high, against)?,
                );
                Some(if between.negated {
                    Predicate::not(range)
                } else {
                    range
                })
            }
            Expr::InList(list) => self.in_list(list, against),
            _ => None,
        }
    }

    fn in_list(&self, list: &InList, against: Against<'_>) -> Option<Predicate> {
        if list.list.is_empty() || list.list.len() > LONGEST_LIST {
            return None;
        }
        let equals = list
            .list
            .iter()
            .map(|value| self.comparison(&list.expr, Operator::Eq, value, against))
            .collect::<Option<Vec<_>>>()?;
        let any = Predicate::or_from(equals);
        Some(if list.negated {
            Predicate::not(any)
        } else {
            any
        })
    }

    fn comparison(
        &self,
        column: &Expr,
        op: Operator,
        literal: &Expr,
        against: Against<'_>,
    ) -> Option<Predicate> {
        let Expr::Literal(value, _) = literal else {
            return None;
        };
        let (column, data_type) = self.column(column, against)?;
        let value = Expression::literal(scalar(value, &data_type, against)?);
        Some(match op {
            Operator::Eq => Predicate::eq(column, value),
            Operator::NotEq => Predicate::ne(column, value),
            Operator::Lt => Predicate::lt(column, value),
            Operator::LtEq => Predicate::le(column, value),
            Operator::Gt => Predicate::gt(column, value),
            Operator::GtEq => Predicate::ge(column, value),
            _ => return None,
        })
    }

    pub(super) fn null_test(&self, expr: &Expr, against: Against<'_>) -> Option<Expression> {
        let Expr::Column(column) = expr else {
            return None;
        };
        let (Against::Log { partitions } | Against::RowGroups { partitions, .. }) = against;
        if partitions.contains(&column.name) {
            return None;
        }
        self.column(expr, against).map(|(column, _)| column)
    }

    /// The column that `expr` is, as the statistics name it.
    fn column(&self, expr: &Expr, against: Against<'_>) -> Option<(Expression, PrimitiveType)> {
        let Expr::Column(column) = expr else {
            return None;
        };
        let field = self
            .fields
            .iter()
            .find(|field| field.name() == &column.name)?;
        let DataType::Primitive(data_type) = field.data_type() else {
            return None;
        };
        if field.metadata.contains_key(TYPE_CHANGES) {
            return None;
        }
        let timestamp = matches!(
            data_type,
            PrimitiveType::Timestamp | PrimitiveType::TimestampNtz
        );
        let name = match against {
            Against::Log { partitions } => {
                (!(timestamp && partitions.contains(field.name()))).then(|| field.name().as_str())
            }
            Against::RowGroups {
                partitions,
                mapping,
            } => (!(timestamp || partitions.contains(field.name())))
                .then(|| field.physical_name(mapping)),
        }?;
        let column = Expression::from(ColumnName::new([name]));
        Some((column, data_type.clone()))
    }
}

/// `value` as the kernel's value of a column of `data_type`, if statistics of such a column can be
/// held against it.
fn scalar(value: &ScalarValue, data_type: &PrimitiveType, against: Against<'_>) -> Option<Scalar> {
    use PrimitiveType as P;
    use ScalarValue as V;
    let in_log = matches!(against, Against::Log { .. });
    Some(match (value, data_type) {
        (V::Int8(Some(v)), P::Byte) => Scalar::Byte(*v),
        (V::Int16(Some(v)), P::Short) => Scalar::Short(*v),
        (V::Int32(Some(v)), P::Integer) => Scalar::Integer(*v),
        (V::Int64(Some(v)), P::Long) => Scalar::Long(*v),
        (V::Boolean(Some(v)), P::Boolean) => Scalar::Boolean(*v),
        (V::Date32(Some(v)), P::Date) => Scalar::Date(*v),
        (V::Utf8(Some(v)), P::String) if in_log => Scalar::String(v.clone()),
        (V::TimestampMicrosecond(Some(v), Some(_)), P::Timestamp) => Scalar::Timestamp(*v),
        (V::TimestampMicrosecond(Some(v), None), P::TimestampNtz) => Scalar::TimestampNtz(*v),
        (V::Decimal128(Some(v), precision, scale), P::Decimal(decimal)) if in_log => {
            let same = *precision == decimal.precision()
                && u8::try_from(*scale).ok() == Some(decimal.scale());
            let exact = *precision <= FLOAT_DIGITS;
            Scalar::Decimal(
                (same && exact)
                    .then(|| DecimalData::try_new(*v, *decimal).ok())
                    .flatten()?,
            )
        }
        _ => return None,
    })
}
