//! The job's filter: a DataFusion predicate over the table's columns.
//!
//! A row is in the target if and only if the filter is TRUE for it; FALSE and NULL keep it out. A
//! filter is bound to an instant, at which its functions of time are values.
//! What the kernel may skip by statistics is decided in [`pushdown`], never beyond what this
//! file's evaluation would refuse.

mod moved;
mod names;
mod near;
mod pushdown;
mod spelling;
mod time;
mod zone;

use std::sync::{Arc, LazyLock};

use arrow_array::{BooleanArray, RecordBatch, cast::AsArray as _, new_null_array};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode as _},
    },
    error::DataFusionError,
    execution::session_state::{SessionState, SessionStateBuilder},
    logical_expr::{Cast, Expr, ExprSchemable as _, Volatility, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
    sql::sqlparser::{ast, dialect::GenericDialect, parser::Parser},
};
use delta_kernel::schema::{StructField, StructType};
use lakeferry_model::Instant;

pub(crate) use near::near;
pub(crate) use pushdown::Skipping;
pub(crate) use time::{Asks, cut};

use crate::error::{Cause, Error, Result};

const ADVICE: &str =
    "give a condition over the table's columns, such as age >= 18 AND city = 'Oslo'";

/// One session for all filters: it only knows functions and types.
static SESSION: LazyLock<SessionState> =
    LazyLock::new(|| SessionStateBuilder::new().with_default_features().build());

/// A filter whose columns are known, not yet bound to a batch layout.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    ast: ast::Expr,
    /// The columns it reads, in the order of first use.
    pub(crate) columns: Vec<StructField>,
}

/// When a filter is evaluated, and where its clocks are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) instant: Instant,
    pub(crate) zone: Tz,
}

/// A filter over batches of one layout, at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    text: String,
    /// As [`zone::layout`] has it, where that is another one than that of the batches.
    zoned: Option<SchemaRef>,
    logical: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

/// What the filter `text` asks of the time; nothing if it does not depend on it, or is none.
pub(crate) fn asks(text: &str) -> Option<Asks> {
    let ast = expression("", text).ok()?;
    time::asked(&ast)
}

/// Reads `text` as an expression, whatever its names are.
fn expression(table: &str, text: &str) -> Result<ast::Expr> {
    let no_expression = |error| {
        let why = "it is not a SQL expression".to_owned();
        unfit(table, why, Some(Box::new(error)))
    };
    let dialect = GenericDialect {};
    let parser = Parser::new(&dialect).try_with_sql(text);
    let mut parser = parser.map_err(no_expression)?;
    let mut ast = parser.parse_expr().map_err(no_expression)?;
    let rest = parser.peek_token().token;
    if rest != datafusion::sql::sqlparser::tokenizer::Token::EOF {
        let why = format!("it goes on after its end, at {rest}");
        return Err(unfit(table, why, None));
    }
    spelling::plain(&mut ast).map_err(|why| unfit(table, why, None))?;
    Ok(ast)
}

/// Reads `text` as a predicate over the columns of `schema`.
pub(crate) fn parse(table: &str, text: &str, schema: &StructType) -> Result<Parsed> {
    let mut ast = expression(table, text)?;
    let columns = names::resolve(table, &mut ast, schema)?;
    let is_variant = |column: &&StructField| {
        matches!(
            column.data_type(),
            delta_kernel::schema::DataType::Variant(_)
        )
    };
    if let Some(column) = columns.iter().find(is_variant) {
        let why = format!(
            "column {} is a variant, which has no order and no equality",
            column.name()
        );
        return Err(unfit(table, why, None));
    }
    Ok(Parsed { ast, columns })
}

impl Parsed {
    /// The filter as text that does not depend on spacing, case of keywords or of names.
    pub(crate) fn text(&self) -> String {
        self.ast.to_string()
    }

    /// Binds the filter to batches of `layout`, which has all of its columns, and to an instant.
    pub(crate) fn bind(&self, table: &str, layout: &SchemaRef, at: At) -> Result<Filter> {
        let refuse = |what: &str, error: DataFusionError| {
            unfit(
                table,
                format!("it {what}: {}", error.strip_backtrace()),
                None,
            )
        };
        let zoned = zone::layout(layout, &self.columns, at.zone)
            .map_err(|what| in_zone(table, &what, at))?;
        let schema = DFSchema::try_from(zoned.clone())
            .map_err(|error| refuse("does not fit the columns", error))?;
        let ast = ast::ExprWithAlias {
            expr: self.ast.clone(),
            alias: None,
        };
        let logical = SESSION
            .create_logical_expr_from_sql_expr(ast, &schema)
            .map_err(|error| refuse("cannot be understood", error))?;
        steady(table, &logical)?;
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(SESSION.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let logical = time::settled(logical, at.instant, at.zone)
            .and_then(far_times)
            .and_then(|logical| zone::compared(logical, &schema, at.zone))
            .and_then(|logical| simplifier.coerce(logical, &schema))
            .map_err(|error| refuse("cannot be evaluated", error))?;
        if let Some(what) = zone::misread(&logical, &schema, at.zone) {
            return Err(in_zone(table, &what, at));
        }
        let logical = simplifier
            .simplify(logical)
            .map_err(|error| refuse("cannot be evaluated", error))?;
        let found = logical
            .get_type(&schema)
            .map_err(|error| refuse("cannot be evaluated", error))?;
        if found != DataType::Boolean {
            return Err(unfit(
                table,
                format!("it is {found}, not a condition"),
                None,
            ));
        }
        let physical = SESSION
            .create_physical_expr(logical.clone(), &schema)
            .map_err(|error| refuse("cannot be evaluated", error))?;
        on_nulls(&physical, &zoned).map_err(|error| refuse("cannot be evaluated", error))?;
        Ok(Filter {
            text: self.text(),
            zoned: (zoned != **layout).then(|| Arc::new(zoned)),
            logical,
            physical,
        })
    }
}

impl Filter {
    /// For which rows of `batch` the filter is TRUE.
    pub(crate) fn keeps(&self, table: &str, batch: &RecordBatch) -> Result<BooleanArray> {
        let failed = |error: DataFusionError| Error::Unfit {
            table: table.to_owned(),
            what: format!("the filter {} failed for a row", self.text),
            hint: "make it hold for every row, for example with NULLIF or TRY_CAST".to_owned(),
            source: Some(Box::new(error)),
        };
        let rows = batch.num_rows();
        let zoned = self.zoned.as_ref().map(|zoned| zone::batch(batch, zoned));
        let zoned = zoned.transpose().map_err(|error| failed(error.into()))?;
        let batch = zoned.as_ref().unwrap_or(batch);
        let value = self.physical.evaluate(batch).map_err(failed)?;
        let value = value.into_array(rows).map_err(failed)?;
        value
            .as_boolean_opt()
            .cloned()
            .ok_or_else(|| Error::Broken {
                table: table.to_owned(),
                what: format!("the filter {} gave no booleans", self.text),
                source: None,
            })
    }

    /// What of it the kernel may use to skip files and row groups.
    pub(crate) fn skipping(&self, fields: &[StructField]) -> Skipping<'_> {
        Skipping::of(&self.logical, fields)
    }

    /// A condition that is TRUE where both this and `other` are.
    pub(crate) fn and(&self, other: Expr) -> Expr {
        self.logical.clone().and(other)
    }

    /// The same for the rows for which one of this and `after` is TRUE and the other is not.
    pub(crate) fn skipping_until<'a>(
        &'a self,
        after: &'a Self,
        fields: &[StructField],
    ) -> Skipping<'a> {
        Skipping::moved(&self.logical, &after.logical, fields)
    }

    /// Whether it lets the same rows through as `other`, the same filter at another instant, for
    /// certain.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.logical == other.logical
    }
}

/// Evaluates `filter` for one row of nulls: what fails for every row does so before any is read.
fn on_nulls(filter: &Arc<dyn PhysicalExpr>, layout: &Schema) -> Result<(), DataFusionError> {
    let nulls = layout.fields().iter();
    let nulls = nulls.map(|field| new_null_array(field.data_type(), 1));
    let row = RecordBatch::try_new(Arc::new(layout.clone()), nulls.collect())?;
    filter.evaluate(&row).map(|_| ())
}

/// `expr`, with microseconds for TIMESTAMP literals that are too far off for nanoseconds, which
/// DataFusion takes them for.
fn far_times(expr: Expr) -> Result<Expr, DataFusionError> {
    let transformed = expr.transform_up(|expr| {
        if let Expr::Cast(Cast { expr: inner, field }) = &expr
            && let Expr::Literal(text, _) = inner.as_ref()
            && let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type()
            && text.cast_to(field.data_type()).is_err()
        {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            return Ok(Transformed::yes(Expr::Cast(Cast::new(
                inner.clone(),
                micros,
            ))));
        }
        Ok(Transformed::no(expr))
    });
    transformed.map(|transformed| transformed.data)
}

/// Refuses what has not one value for one row at one instant: that depends on chance or other rows.
fn steady(table: &str, expr: &Expr) -> Result<()> {
    let mut refused = None;
    let walked = expr.apply(|expr| {
        use datafusion::common::tree_node::TreeNodeRecursion as Walk;
        refused = match expr {
            Expr::ScalarFunction(call) => match call.func.signature().volatility {
                Volatility::Immutable => None,
                Volatility::Stable if time::FUNCTIONS.contains(&call.func.name()) => None,
                Volatility::Stable => Some(format!(
                    "{}() is not supported; CURRENT_DATE and CURRENT_TIMESTAMP are",
                    call.func.name()
                )),
                Volatility::Volatile => {
                    Some(format!("{}() differs at each call", call.func.name()))
                }
            },
            Expr::AggregateFunction(call) => {
                Some(format!("{}() is about many rows", call.func.name()))
            }
            Expr::WindowFunction(_) | Expr::GroupingSet(_) => {
                Some("it is about many rows".to_owned())
            }
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
                Some("it has a subquery".to_owned())
            }
            Expr::Placeholder(_) | Expr::ScalarVariable(..) => {
                Some("it has a parameter".to_owned())
            }
            _ => None,
        };
        Ok(if refused.is_some() {
            Walk::Stop
        } else {
            Walk::Continue
        })
    });
    debug_assert!(walked.is_ok(), "the walk itself cannot fail");
    refused.map_or(Ok(()), |why| Err(unfit(table, why, None)))
}

/// What is not read in the zone of `at`.
fn in_zone(table: &str, what: &str, at: At) -> Error {
    Error::Unfit {
        table: table.to_owned(),
        what: format!("the filter is refused: with timezone: {}, {what}", at.zone),
        hint: "compare dates, times and columns with each other as they are, CAST(… AS DATE) at \
               most, or leave timezone: at UTC"
            .to_owned(),
        source: None,
    }
}

fn unfit(table: &str, why: String, source: Option<Cause>) -> Error {
    Error::Unfit {
        table: table.to_owned(),
        what: format!("the filter is refused: {why}"),
        hint: ADVICE.to_owned(),
        source,
    }
}
