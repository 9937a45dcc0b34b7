//! The names in a filter: every one is a column of the table or a field in one, written as the
//! table writes it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Subscript, Value, VisitMut, VisitorMut,
};
use delta_kernel::schema::{DataType, StructField, StructType};

use crate::{
    columns,
    error::{Error, Result},
};

/// Replaces the names in `ast` by the table's own spelling, quoted, and gives the columns in the
/// order of first use.
///
/// # Errors
/// `Unfit` for names that are not exactly one column or field, and for subqueries.
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
                Expr::CompoundIdentifier(parts) => self.field(parts),
                Expr::CompoundFieldAccess { root, access_chain } => self.parts(root, access_chain),
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => Err(
                    super::unfit(self.table, "it has a subquery".to_owned(), None),
                ),
                _ => Ok(()),
            };
        resolved.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

impl<'a> Names<'a> {
    /// Resolves `column.field.field`.
    fn field(&mut self, parts: &mut [Ident]) -> Result<()> {
        let Some((column, fields)) = parts.split_first_mut() else {
            return Ok(());
        };
        self.column(column)?;
        let mut data_type = self.data_type(column);
        for name in fields {
            let found = self.inner(data_type, &name.value)?;
            *name = Ident::with_quote('"', found.name());
            data_type = Some(found.data_type());
        }
        Ok(())
    }

    /// Resolves the fields of `column[1].field['key'].field`, whose names become texts; the column
    /// itself is visited later.
    fn parts(&self, root: &Expr, chain: &mut [AccessExpr]) -> Result<()> {
        let mut data_type = match root {
            Expr::Identifier(column) => self.data_type(column),
            _ => None,
        };
        for access in chain {
            data_type = match access {
                AccessExpr::Dot(Expr::Identifier(name)) => {
                    let found = self.inner(data_type, &name.value)?;
                    let text = Value::SingleQuotedString(found.name().clone());
                    *access = AccessExpr::Dot(Expr::value(text));
                    Some(found.data_type())
                }
                AccessExpr::Subscript(Subscript::Index { .. }) => match data_type {
                    Some(DataType::Array(array)) => Some(array.element_type()),
                    Some(DataType::Map(map)) => Some(map.value_type()),
                    _ => None,
                },
                _ => None,
            };
        }
        Ok(())
    }

    fn data_type(&self, column: &Ident) -> Option<&'a DataType> {
        let field = columns::find(self.table, self.schema, &column.value);
        field.ok().map(StructField::data_type)
    }

    /// The field that `name` means in a value of `data_type`.
    fn inner(&self, data_type: Option<&'a DataType>, name: &str) -> Result<&'a StructField> {
        match data_type {
            Some(DataType::Struct(fields)) => {
                columns::find(self.table, fields, name).map_err(in_filter)
            }
            _ => {
                let why = format!("{name} is asked of a value that has no fields");
                Err(super::unfit(self.table, why, None))
            }
        }
    }

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
