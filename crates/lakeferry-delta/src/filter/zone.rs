//! Dates and times between each other, as in Spark: a date, and a time without a zone, are read in
//! the job's time zone where they meet a moment (Spark, `spark.sql.session.timeZone`).
//!
//! DataFusion would read them in UTC, or as Arrow's casts do, some of which forget the zone. So
//! with a zone other than UTC, moments have the zone in their type, [`LocalTime`] reads what meets
//! them, and what is left of such casts and functions is refused.

use std::sync::Arc;

use arrow_array::{
    RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    cast::AsArray as _,
    types::{IntervalMonthDayNano, TimestampMicrosecondType},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode as _, TreeNodeRecursion},
    },
    error::DataFusionError,
    logical_expr::{
        Between, BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable as _, Operator,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility,
        expr::{InList, ScalarFunction},
    },
    scalar::ScalarValue,
};
use delta_kernel::schema::StructField;

use super::time::first_at;

/// Functions that take any value for what it is.
const CAREFREE: [&str; 4] = ["coalesce", "nullif", "greatest", "least"];

/// `layout` with moments of `zone` in `columns`, which the filter reads.
///
/// # Errors
/// Names the column that has moments inside.
pub(super) fn layout(layout: &Schema, columns: &[StructField], zone: Tz) -> Result<Schema, String> {
    if zone == Tz::UTC {
        return Ok(layout.clone());
    }
    let fields = layout.fields().iter().map(|field| {
        let is_read = columns.iter().any(|column| column.name() == field.name());
        let data_type = match field.data_type() {
            of if !is_read => of.clone(),
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(name(zone))),
            of if has_moments(of) => {
                return Err(format!("column {} has times inside", field.name()));
            }
            of => of.clone(),
        };
        Ok(Field::clone(field).with_data_type(data_type))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>, _>>()?))
}

fn has_moments(of: &DataType) -> bool {
    match of {
        DataType::Timestamp(_, zone) => zone.is_some(),
        DataType::List(field) | DataType::Map(field, _) => has_moments(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_moments(field.data_type())),
        _ => false,
    }
}

/// `batch` as [`layout`] made `zoned`: the same moments, with the zone in their type.
pub(super) fn batch(batch: &RecordBatch, zoned: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(zoned.fields());
    let columns = columns.map(|(column, field)| match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let moments = column.as_primitive::<TimestampMicrosecondType>();
            Arc::new(moments.clone().with_timezone(Arc::clone(zone)))
        }
        _ => column.clone(),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(zoned), columns.collect(), &options)
}

fn name(zone: Tz) -> Arc<str> {
    Arc::from(zone.name())
}

/// `expr`, in which dates and local times that are compared with moments are moments, and what is
/// added to a date is days or makes a time.
pub(super) fn compared(expr: Expr, schema: &DFSchema, zone: Tz) -> Result<Expr, DataFusionError> {
    let transformed = expr.transform_up(|expr| {
        Ok(Transformed::yes(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (left, right) = match op {
                    Operator::Plus | Operator::Minus if is_date(&left, schema) => {
                        added(*left, *right)
                    }
                    op if op.supports_propagation() => {
                        let [left, right] = alike([*left, *right], schema, zone);
                        (left, right)
                    }
                    _ => (*left, *right),
                };
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            }
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let [expr, low, high] = alike([*expr, *low, *high], schema, zone);
                let [expr, low, high] = [expr, low, high].map(Box::new);
                Expr::Between(Between::new(expr, negated, low, high))
            }
            Expr::InList(InList {
                expr,
                list,
                negated,
            }) => {
                let mut all = vec![*expr];
                all.extend(list);
                if all.iter().any(|expr| is_moment(expr, schema)) {
                    let moments = all.into_iter().map(|expr| moment(expr, schema, zone));
                    all = moments.collect();
                }
                let expr = Box::new(all.remove(0));
                Expr::InList(InList::new(expr, all, negated))
            }
            other => return Ok(Transformed::no(other)),
        }))
    });
    transformed.map(|transformed| transformed.data)
}

/// Moments all, if one is.
fn alike<const N: usize>(all: [Expr; N], schema: &DFSchema, zone: Tz) -> [Expr; N] {
    match all.iter().any(|expr| is_moment(expr, schema)) {
        true => all.map(|expr| moment(expr, schema, zone)),
        false => all,
    }
}

fn is_moment(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, Some(_))))
}

/// `expr` as a moment, if it is a date or a local time.
fn moment(expr: Expr, schema: &DFSchema, zone: Tz) -> Expr {
    let micros = |zone| DataType::Timestamp(TimeUnit::Microsecond, zone);
    let cast = |expr, to| Expr::Cast(Cast::new(Box::new(expr), to));
    match expr.get_type(schema) {
        Ok(DataType::Date32) if zone == Tz::UTC => cast(expr, micros(Some(name(zone)))),
        Ok(DataType::Date32 | DataType::Timestamp(_, None)) if zone != Tz::UTC => {
            let read = Arc::new(ScalarUDF::from(LocalTime::in_zone(zone)));
            let local = cast(expr, micros(None));
            Expr::ScalarFunction(ScalarFunction::new_udf(read, vec![local]))
        }
        _ => expr,
    }
}

fn is_date(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Date32))
}

/// A date and what is added to it or taken away: numbers are days, and a date with less than whole
/// days is a time.
fn added(date: Expr, right: Expr) -> (Expr, Expr) {
    match right {
        Expr::Literal(ScalarValue::Int64(Some(days)), _) => match i32::try_from(days) {
            Ok(days) => {
                let days = IntervalMonthDayNano::new(0, days, 0);
                let days = ScalarValue::IntervalMonthDayNano(Some(days));
                (date, Expr::Literal(days, None))
            }
            Err(_) => (date, right),
        },
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
            if interval.nanoseconds != 0 =>
        {
            let time = DataType::Timestamp(TimeUnit::Microsecond, None);
            (Expr::Cast(Cast::new(Box::new(date), time)), right)
        }
        _ => (date, right),
    }
}

/// What in `expr`, whose types are settled, would be read in another zone than `zone`.
pub(super) fn misread(expr: &Expr, schema: &DFSchema, zone: Tz) -> Option<String> {
    let mut misread = None;
    if zone == Tz::UTC {
        return misread;
    }
    let walked = expr.apply(|expr| {
        misread = misreads(expr, schema);
        Ok(match misread {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    debug_assert!(walked.is_ok(), "the walk itself cannot fail");
    misread
}

fn misreads(expr: &Expr, schema: &DFSchema) -> Option<String> {
    match expr {
        Expr::Cast(Cast { expr: from, field }) | Expr::TryCast(TryCast { expr: from, field }) => {
            let from = from.get_type(schema).ok()?;
            shifts(&from, field.data_type()).then(|| format!("{expr} is not the time that it says"))
        }
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            let is_time =
                |expr| matches!(Expr::get_type(expr, schema), Ok(DataType::Timestamp(..)));
            let is_ours = name == LOCAL_TIME || CAREFREE.contains(&name);
            let has_times = is_time(expr) || call.args.iter().any(is_time);
            (has_times && !is_ours).then(|| format!("{name}() reads times in UTC"))
        }
        _ => None,
    }
}

/// Whether a cast needs to know a zone, and does not ask for ours.
fn shifts(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Timestamp};
    matches!(
        (from, to),
        (Timestamp(_, Some(_)), Timestamp(_, None))
            | (Date32 | Timestamp(_, None), Timestamp(_, Some(_)))
    )
}

const LOCAL_TIME: &str = "local_time";

/// The moment at which clocks in a zone show a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalTime {
    signature: Signature,
    zone: Tz,
}

impl LocalTime {
    fn in_zone(zone: Tz) -> Self {
        let local = DataType::Timestamp(TimeUnit::Microsecond, None);
        let signature = Signature::exact(vec![local], Volatility::Immutable);
        Self { signature, zone }
    }
}

impl ScalarUDFImpl for LocalTime {
    fn name(&self) -> &str {
        LOCAL_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some(name(self.zone)),
        ))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [local] = datafusion::common::utils::take_function_args(LOCAL_TIME, call.args)?;
        let local = local.into_array(call.number_rows)?;
        let local = local.as_primitive::<TimestampMicrosecondType>();
        let moments: TimestampMicrosecondArray = local.unary_opt(|micros| {
            let local = DateTime::from_timestamp_micros(micros)?.naive_utc();
            first_at(local, self.zone)
        });
        let moments = moments.with_timezone(name(self.zone));
        Ok(ColumnarValue::Array(Arc::new(moments)))
    }
}
