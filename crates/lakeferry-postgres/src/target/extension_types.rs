//! Types of extensions that a job asks for (`types:`). Nothing says in which schema they are, and names
//! in our statements say where they mean.

use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::{Link, Param},
    sqlstate::Doing,
    target::columns::{Column, Columns},
};

const SCHEMA: &str = "\
SELECT n.nspname::text FROM pg_catalog.pg_extension AS e \
JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::regclass \
    AND d.refobjid = e.oid AND d.classid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'e' \
JOIN pg_catalog.pg_type AS y ON y.oid = d.objid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace \
WHERE e.extname = $1 AND y.typname = $1";

/// Tells `columns` in which schema their types are.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the first column whose type is not there.
pub(super) async fn locate(link: &Link, columns: &mut Columns) -> Result<(), Error> {
    for column in columns.iter_mut().filter(|column| column.is_of_extension()) {
        // The extension is called as its type.
        column.type_schema = Some(schema_of(link, column).await?);
    }
    Ok(())
}

async fn schema_of(link: &Link, column: &Column) -> Result<String, Error> {
    let of_type = column.postgres.sql();
    let extension = of_type.as_str();
    let doing = Doing::new(format!("look for type {extension}"));
    let params: [Param<'_>; 1] = [(&extension, Type::NAME)];
    let rows = link.query(&SCHEMA.into(), &params, &doing).await?;
    let found = rows.first().map(|row| row.get(0));
    found.ok_or_else(|| {
        let what = format!(
            "column {:?} is to be {extension}, and {} has no such type",
            column.name,
            link.place()
        );
        let hint = format!("CREATE EXTENSION {extension}, or take the column out of `types`");
        Error::needs_operator(what).advise(hint)
    })
}
