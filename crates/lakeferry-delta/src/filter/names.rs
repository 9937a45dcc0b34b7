//! The names in a filter: every one is a column of the table, written as the table writes it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, VisitMut, VisitorMut};
use delta_kernel::schema::{StructField, StructType};

use crate::{
    columns,
    error::{Error, Result},
};

/// Replaces the names in `ast` by the table's own spelling, quoted, and gives the columns in the
/// order of first use.
///
/// # Errors
/// `Unfit` for names that are not exactly one scalar column, and for subqueries.
pub(crate) fn resolve(
    table: &str,
    ast: &mut Expr,
    schema: &StructType,
) -> Result<Vec<StructField>> {
    let mut names = Names {
        table,
        schema,
        columns: Vec::new(),
    };
    match ast.visit(&mut names) {
        ControlFlow::Continue(()) => Ok(names.columns),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Names<'a> {
    table: &'a str,
    schema: &'a StructType,
    columns: Vec<StructField>,
}

impl VisitorMut for Names<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let resolved =
            match expr {
                Expr::Identifier(name) => self.column(name),
                Expr::CompoundIdentifier(parts) => {
                    let name: Vec<_> = parts.iter().map(|part| part.value.as_str()).collect();
                    Err(super::unfit(
                        self.table,
                        format!("{} is not a column of the table itself", name.join(".")),
                        None,
                    ))
                }
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => Err(
                    super::unfit(self.table, "it has a subquery".to_owned(), None),
                ),
                _ => Ok(()),
            };
        resolved.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

impl Names<'_> {
    fn column(&mut self, name: &mut Ident) -> Result<()> {
        let field = columns::find(self.table, self.schema, &name.value).map_err(in_filter)?;
        if columns::plain(self.table, field).is_err() {
            let why = format!(
                "column {} has a type that filters cannot read yet",
                field.name()
            );
            return Err(super::unfit(self.table, why, None));
        }
        if !self.columns.contains(field) {
            self.columns.push(field.clone());
        }
        *name = Ident::with_quote('"', field.name());
        Ok(())
    }
}

/// The error of a name that is no column: it may have been meant as text.
fn in_filter(error: Error) -> Error {
    match error {
        Error::Unfit {
            table,
            what,
            hint,
            source,
        } => Error::Unfit {
            table,
            what: format!("the filter is refused: {what}"),
            hint: format!("{hint}; text goes in single quotes"),
            source,
        },
        other => other,
    }
}
