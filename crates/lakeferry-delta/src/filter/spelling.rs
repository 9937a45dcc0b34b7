//! Functions of Databricks that DataFusion does not have, written as what they mean.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
        visit_expressions_mut,
    },
    dialect::GenericDialect,
    parser::Parser,
};

const UNITS: [&str; 8] = [
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
];

/// Replaces these functions in `ast`.
///
/// # Errors
/// What is wrong with a call, which it names.
pub(super) fn plain(ast: &mut Expr) -> Result<(), String> {
    let walk = visit_expressions_mut(ast, |expr| {
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        match meaning(call) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(text)) => match read(&text) {
                Some(meant) => {
                    *expr = meant;
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Break(format!("{call} cannot be understood")),
            },
            Err(why) => ControlFlow::Break(why),
        }
    });
    match walk {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

fn read(text: &str) -> Option<Expr> {
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).ok()?;
    parser.parse_expr().ok()
}

/// What a call of one of these functions means.
fn meaning(call: &Function) -> Result<Option<String>, String> {
    let name = call.name.to_string().to_lowercase();
    let known = [
        "curdate",
        "date_add",
        "dateadd",
        "timestampadd",
        "date_sub",
        "add_months",
        "datediff",
        "date_diff",
    ];
    if !known.contains(&name.as_str()) {
        return Ok(None);
    }
    let arguments = arguments(call).ok_or_else(|| format!("{call} has other than values in it"))?;
    let meant = match (name.as_str(), arguments.as_slice()) {
        ("curdate", []) => "CURRENT_DATE".to_owned(),
        ("date_add" | "dateadd", [date, days]) => shifted(&name, date, days, 1, "DAY")?,
        ("date_sub", [date, days]) => shifted(&name, date, days, -1, "DAY")?,
        ("add_months", [date, months]) => shifted(&name, date, months, 1, "MONTH")?,
        ("date_add" | "dateadd" | "timestampadd", [unit, count, moment]) => {
            let count = whole(&name, count)?;
            let (unit, times) = known_unit(&name, unit)?;
            format!("({moment} + INTERVAL '{}' {unit})", count * times)
        }
        ("datediff" | "date_diff", [end, start]) => {
            format!("(CAST(CAST({end} AS DATE) AS INT) - CAST(CAST({start} AS DATE) AS INT))")
        }
        _ => return Err(format!("{name}() does not take {} values", arguments.len())),
    };
    Ok(Some(meant))
}

fn shifted(name: &str, date: &Expr, count: &Expr, sign: i64, unit: &str) -> Result<String, String> {
    let count = sign * whole(name, count)?;
    Ok(format!(
        "(CAST({date} AS DATE) + INTERVAL '{count}' {unit})"
    ))
}

/// A whole number that is written out.
fn whole(name: &str, expr: &Expr) -> Result<i64, String> {
    let number = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse::<i32>().ok().map(i64::from),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Some(-whole(name, expr)?),
        _ => None,
    };
    number.ok_or_else(|| format!("{name}() takes a whole number that is written out, not {expr}"))
}

/// A unit that intervals have, and how many of it there are in the one that is meant.
fn known_unit(name: &str, unit: &Expr) -> Result<(&'static str, i64), String> {
    let text = unit.to_string().to_uppercase();
    let singular = text.strip_suffix('S').unwrap_or(&text);
    match singular {
        "QUARTER" => return Ok(("MONTH", 3)),
        "YEAR" => return Ok(("MONTH", 12)),
        "DAYOFYEAR" => return Ok(("DAY", 1)),
        _ => {}
    }
    let found = UNITS.iter().find(|known| **known == singular);
    found
        .map(|unit| (*unit, 1))
        .ok_or_else(|| format!("{name}() does not know the unit {unit}"))
}

fn arguments(call: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let values = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    values.collect()
}
