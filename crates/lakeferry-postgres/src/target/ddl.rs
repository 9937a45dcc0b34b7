//! The DDL that a first fill amounts to, to show before it runs.

use arrow_schema::Schema;
use lakeferry_model::asked_type;

use crate::{
    error::Error,
    sql::Sql,
    target::{columns::Columns, own, settings::TargetSettings},
    type_map::{PgType, asked},
};

/// Whether the types that the job asks for are some for these columns.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column and what it can be.
pub fn check_types(schema: &Schema, key: &[String]) -> Result<(), Error> {
    let mut fields = schema
        .fields()
        .iter()
        .filter(|field| asked_type(field).is_some());
    fields.try_for_each(|field| {
        let is_key = key.contains(field.name());
        asked(field, PgType::of(field)?, is_key).map(drop)
    })
}

/// The statements that would make the target as its first fill leaves it, without its rows.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column that has no name or type in Postgres.
pub fn ddl_for(settings: &TargetSettings, schema: &Schema) -> Result<String, Error> {
    settings.check()?;
    let columns = Columns::new(schema, &settings.key)?;
    let table = settings.table.sql();
    let lines = columns
        .iter()
        .map(|column| Sql::of("    {}", &[&column.definition()]));
    let own = own::columns(settings.own)?;
    let own = own
        .iter()
        .map(|column| Sql::of("    {}", &[&column.definition()]));
    let key = Sql::of("    PRIMARY KEY ({})", &[&columns.key_names()]);
    let key = columns.has_key().then_some(key);
    let lines = Sql::list(",\n", lines.chain(own).chain(key));
    let mut ddl = Sql::of("CREATE TABLE {} (\n{}\n);\n", &[&table, &lines]);
    if let Some(comment) = &settings.comment {
        let comment = Sql::text(comment);
        ddl = Sql::of("{}COMMENT ON TABLE {} IS {};\n", &[&ddl, &table, &comment]);
    }
    Ok(ddl.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use lakeferry_model::OwnColumns;

    use super::*;
    use crate::target::tests::{evil_schema, evil_settings};

    #[test]
    fn ddl() {
        insta::assert_snapshot!(ddl_for(&evil_settings(), &evil_schema()).unwrap());
    }

    #[test]
    fn a_table_with_columns_of_its_own() {
        let mut settings = evil_settings();
        settings.own = OwnColumns {
            commit_version: true,
            synced_at: true,
            deleted_at: true,
        };
        insta::assert_snapshot!(ddl_for(&settings, &evil_schema()).unwrap());
    }

    #[test]
    fn a_table_without_a_key() {
        let mut settings = evil_settings();
        settings.key.clear();
        insta::assert_snapshot!(ddl_for(&settings, &evil_schema()).unwrap());
    }
}
