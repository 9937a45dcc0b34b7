//! The job's filter: a DataFusion predicate over the table's columns.
//!
//! A row is in the target if and only if the filter is TRUE for it; FALSE and NULL keep it out.
//! What the kernel may skip by statistics is decided in [`pushdown`], never beyond what this
//! file's evaluation would refuse.

mod names;
mod pushdown;

use std::sync::{Arc, LazyLock};

use arrow_array::{BooleanArray, RecordBatch, cast::AsArray as _, new_null_array};
use arrow_schema::{DataType, Schema, TimeUnit};
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

pub(crate) use pushdown::Skipping;

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

/// A filter over batches of one layout.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    text: String,
    logical: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

/// Reads `text` as a predicate over the columns of `schema`.
pub(crate) fn parse(table: &str, text: &str, schema: &StructType) -> Result<Parsed> {
    let refuse = |why: String, source: Option<Cause>| unfit(table, why, source);
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(|error| {
        refuse(
            "it is not a SQL expression".to_owned(),
            Some(Box::new(error)),
        )
    })?;
    let mut ast = parser.parse_expr().map_err(|error| {
        refuse(
            "it is not a SQL expression".to_owned(),
            Some(Box::new(error)),
        )
    })?;
    let rest = parser.peek_token().token;
    if rest != datafusion::sql::sqlparser::tokenizer::Token::EOF {
        return Err(refuse(format!("it goes on after its end, at {rest}"), None));
    }
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
        return Err(refuse(why, None));
    }
    Ok(Parsed { ast, columns })
}

impl Parsed {
    /// The filter as text that does not depend on spacing, case of keywords or of names.
    pub(crate) fn text(&self) -> String {
        self.ast.to_string()
    }

    /// Binds the filter to batches of `layout`, which has all of its columns.
    pub(crate) fn bind(&self, table: &str, layout: &Schema) -> Result<Filter> {
        let refuse = |what: &str, error: DataFusionError| {
            unfit(
                table,
                format!("it {what}: {}", error.strip_backtrace()),
                None,
            )
        };
        let schema = DFSchema::try_from(layout.clone())
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
        let logical = far_times(logical)
            .and_then(|logical| simplifier.coerce(logical, &schema))
            .and_then(|logical| simplifier.simplify(logical))
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
        on_nulls(&physical, layout).map_err(|error| refuse("cannot be evaluated", error))?;
        Ok(Filter {
            text: self.text(),
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
        Skipping::new(&self.logical, fields)
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

/// Refuses what has not one value for one row: that depends on time, chance or other rows.
fn steady(table: &str, expr: &Expr) -> Result<()> {
    let mut refused = None;
    let walked = expr.apply(|expr| {
        use datafusion::common::tree_node::TreeNodeRecursion as Walk;
        refused = match expr {
            Expr::ScalarFunction(call) => match call.func.signature().volatility {
                Volatility::Immutable => None,
                Volatility::Stable => Some(format!(
                    "{}() depends on the time; filters that do are not supported yet",
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

fn unfit(table: &str, why: String, source: Option<Cause>) -> Error {
    Error::Unfit {
        table: table.to_owned(),
        what: format!("the filter is refused: {why}"),
        hint: ADVICE.to_owned(),
        source,
    }
}
