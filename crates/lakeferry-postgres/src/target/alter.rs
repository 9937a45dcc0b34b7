//! Alterations of the target: what is not so yet is done, in one transaction with the note of it.
//!
//! The statements want the table for themselves for an instant. Whoever queues behind one that waits
//! waits with it, so it gives way soon, and tries again.

use std::collections::HashMap;

use arrow_schema::{FieldRef, Schema};
use lakeferry_model::{Alteration, BadRowCounts, ColumnRole, Position, RowCounts, TargetColumn};
use tokio_postgres::{Row, error::SqlState, types::Type};

use crate::{
    error::Error,
    link::Param,
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::{
        apply::{Apply, Ended},
        columns::{Column, Columns, check_column_name},
        compatibility::{Existing, fit, is_without_rewrite},
        extension_types,
        fence::{self, Fence, LockMode},
        settings::TargetSettings,
        shape,
    },
};

/// How often it is tried. Each time it waits up to [`IMPATIENTLY`] and [`PAUSE`], so a few minutes in
/// all.
const TRIES: u32 = 60;

/// Between two tries, outside of any transaction.
const PAUSE: &str = "SELECT pg_catalog.pg_sleep(1)";

const IMPATIENTLY: &str = "SET LOCAL lock_timeout = '2s'";

/// The views and rules that read a column, which keep its type as it is; also those of partitions.
const READERS: &str = "\
WITH tree AS (SELECT $1::oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_tree($1)) \
SELECT DISTINCT r.ev_class::regclass::text FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass \
    AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum \
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass \
JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid \
WHERE a.attrelid IN (SELECT oid FROM tree) AND a.attname = $2 ORDER BY 1";

/// What became of a try.
enum Try {
    Done(Ended),
    /// Somebody holds a lock on the table.
    Locked,
}

pub(super) async fn alter<P: Position>(
    apply: &Apply<'_, P>,
    alterations: &[Alteration],
) -> Result<Ended, Error> {
    for _ in 0..TRIES {
        match try_once(apply, alterations).await? {
            Try::Done(ended) => return Ok(ended),
            Try::Locked => {
                apply.batch("ROLLBACK").await?;
                apply.batch(PAUSE).await?;
            }
        }
    }
    let table = &apply.settings.table;
    Err(
        Error::transient(format!("cannot alter {table}: others hold locks on it")).advise(format!(
            "end the sessions that have been in a transaction on {table} for long"
        )),
    )
}

async fn try_once<P: Position>(
    apply: &Apply<'_, P>,
    alterations: &[Alteration],
) -> Result<Try, Error> {
    let (table, Some(oid)) = (&apply.settings.table, apply.oid) else {
        return Err(Error::bug("a table that is not there was to be altered"));
    };
    apply.begin().await?;
    if apply.fence().await? == Fence::Shut {
        return apply.shut().await.map(Try::Done);
    }
    if fence::lock_target(apply.link, table, oid, LockMode::KeepShape).await? == Fence::Shut {
        return apply.shut().await.map(Try::Done);
    }
    let started = "SELECT pg_catalog.clock_timestamp()";
    let started = apply
        .link
        .query_one(&started.into(), &[], &apply.doing())
        .await?;
    apply.batch(IMPATIENTLY).await?;
    let altering = Altering { apply, oid };
    for alteration in alterations {
        let Some(statement) = altering.statement(alteration).await? else {
            continue;
        };
        tracing::info!(statement = statement.as_str(), "alters the target");
        match apply.link.try_batch(&statement).await {
            Ok(()) => {}
            Err(error) if is_locked(&error) => return Ok(Try::Locked),
            Err(error) => return Err(altering.refused(error, &statement)),
        }
    }
    let rows = RowCounts::default();
    apply
        .record_run("alter", started.get(0), rows, BadRowCounts::default())
        .await?;
    let ended = apply.commit(rows, None, Some(oid)).await?;
    Ok(Try::Done(ended))
}

fn is_locked(error: &tokio_postgres::Error) -> bool {
    sqlstate::is(error, &SqlState::LOCK_NOT_AVAILABLE)
        || sqlstate::is(error, &SqlState::T_R_DEADLOCK_DETECTED)
}

struct Altering<'a, P> {
    apply: &'a Apply<'a, P>,
    oid: u32,
}

impl<P: Position> Altering<'_, P> {
    /// What has to be run, if it is not so already.
    async fn statement(&self, alteration: &Alteration) -> Result<Option<Sql>, Error> {
        let found = self.columns().await?;
        let mut statement = statement(self.table(), alteration)?;
        let is_needed = match alteration {
            Alteration::Detach(name) => found.get(name).is_some_and(|row| row.get("not_null")),
            Alteration::Drop(name) | Alteration::Clear(name) => found.contains_key(name),
            Alteration::Rename { from, to } => match (found.get(from), found.get(to)) {
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(_), Some(_)) => return Err(self.taken(from, to)),
                // Whoever drops what is detached wants nothing of it.
                (None, None) if self.is_detached(from, to) => false,
                (None, None) => return Err(self.gone(from)),
            },
            Alteration::Add(field) => match found.get(field.name()) {
                None => {
                    let mut columns = columns(field)?;
                    extension_types::locate(self.apply.link, &mut columns).await?;
                    statement = alter_table(self.table(), &add(&columns));
                    true
                }
                Some(_) => {
                    self.refuse_values(field.name()).await?;
                    false
                }
            },
            Alteration::Widen(field) => match found.get(field.name()) {
                Some(row) => self.is_to_widen(&column(field)?, row, &statement).await?,
                None => return Err(self.gone(field.name())),
            },
        };
        Ok(is_needed.then_some(statement))
    }

    fn alter_table(&self, change: &Sql) -> Sql {
        alter_table(self.table(), change)
    }

    async fn columns(&self) -> Result<HashMap<String, Row>, Error> {
        let doing = Doing::new(format!("look at the columns of {}", self.table()));
        let of_table: [Param<'_>; 1] = [(&self.oid, Type::OID)];
        let link = self.apply.link;
        let rows = link
            .query(&Sql::from(shape::COLUMNS), &of_table, &doing)
            .await?;
        Ok(rows.into_iter().map(|row| (row.get(0), row)).collect())
    }

    fn table(&self) -> &Table {
        &self.apply.settings.table
    }

    /// A column that is there already is as good as a new one, unless it has anything in it.
    async fn refuse_values(&self, name: &str) -> Result<(), Error> {
        let (table, column) = (self.table().sql(), Sql::name(name));
        let sql = "SELECT count(*) FROM (SELECT FROM {} WHERE {} IS NOT NULL LIMIT 1) AS first";
        if self.apply.count(&Sql::of(sql, &[&table, &column])).await? == 0 {
            return Ok(());
        }
        let rename = Sql::of("RENAME COLUMN {} TO …", &[&column]);
        let what = format!(
            "the source has a new column {name:?}, and {} has one of that name with values of its \
             own",
            self.table()
        );
        Err(Error::needs_operator(what).advise(format!(
            "rename it or drop it: {}",
            self.alter_table(&rename).as_str()
        )))
    }

    /// Whether the column does not hold all values of the new type yet, and may be made to.
    async fn is_to_widen(
        &self,
        column: &Column,
        row: &Row,
        statement: &Sql,
    ) -> Result<bool, Error> {
        let existing = Existing {
            shown: row.get("shown"),
            schema: row.get("type_schema"),
            name: row.get("type_name"),
            modifier: row.get("modifier"),
            in_domain: row.get("in_domain"),
        };
        let (name, settings) = (&column.name, self.apply.settings);
        let is_key = settings.key.contains(name);
        if fit(column.postgres, &existing, is_key).is_some() {
            return Ok(false);
        }
        let to = column.postgres.sql();
        let what = format!(
            "column {name:?} of {} is {} and has to become {}",
            self.table(),
            row.get::<_, &str>("declared"),
            to.as_str()
        );
        let readers = self.readers(name).await?;
        if !readers.is_empty() {
            let readers = readers.join(", ");
            return Err(
                Error::needs_operator(format!("{what}, and {readers} read it")).advise(format!(
                    "drop {readers}, run {}, and create them again; then sync",
                    statement.as_str()
                )),
            );
        }
        if !settings.allow_rewrite && !is_without_rewrite(column.postgres, &existing) {
            let what =
                format!("{what}, which writes the whole table anew while nobody can read it");
            return Err(Error::needs_operator(what).advise(format!(
                "set allow_rewrite: true, or run it yourself when it suits: {}",
                statement.as_str()
            )));
        }
        Ok(true)
    }

    async fn readers(&self, column: &str) -> Result<Vec<String>, Error> {
        let doing = Doing::new(format!("look for views on {}", self.table()));
        let params: [Param<'_>; 2] = [(&self.oid, Type::OID), (&column, Type::NAME)];
        let rows = self
            .apply
            .link
            .query(&READERS.into(), &params, &doing)
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Whether the column is not written until now, or from now on.
    fn is_detached(&self, from: &str, to: &str) -> bool {
        let is_detached = |columns: &[TargetColumn], name: &str| {
            let mut of_name = columns.iter().filter(|column| column.name == name);
            of_name.any(|column| column.role == ColumnRole::Detached)
        };
        let Apply { before, after, .. } = self.apply;
        let before = before.map_or(&[][..], |before| &before.fingerprint.columns);
        is_detached(before, from) || is_detached(&after.1.columns, to)
    }

    fn taken(&self, from: &str, to: &str) -> Error {
        let rename = Sql::of("RENAME COLUMN {} TO …", &[&Sql::name(to)]);
        Error::needs_operator(format!(
            "column {from:?} of {} has to be called {to:?}, and there is one of that name",
            self.table()
        ))
        .advise(format!(
            "rename it or drop it: {}",
            self.alter_table(&rename).as_str()
        ))
    }

    fn gone(&self, name: &str) -> Error {
        let job = &self.apply.settings.job.name;
        Error::needs_operator(format!("{} has no column {name:?} any more", self.table())).advise(
            format!(
                "rename it back, or drop the table and fill it anew with: lakeferry backfill {job}"
            ),
        )
    }

    /// Whatever the server does not take is told with the statement, for somebody to run it.
    fn refused(&self, error: tokio_postgres::Error, statement: &Sql) -> Error {
        let table = self.table();
        let doing = Doing::new(format!("alter {table}")).locks(table.to_string());
        let is_owners = sqlstate::is(&error, &SqlState::INSUFFICIENT_PRIVILEGE);
        let is_certain = sqlstate::is_certain(&error);
        // What depends on a column.
        let detail = error.as_db_error().and_then(|error| error.detail());
        let detail = detail.map(|detail| format!(" ({})", detail.replace('\n', "; ")));
        let report = doing.failed(error, self.apply.link.place());
        let statement = statement.as_str();
        match (is_certain, is_owners) {
            (false, _) => report,
            (true, true) => report.for_operator().advise(format!(
                "let the owner of the table run: {statement}; or let its owner be a role of which \
                 {:?} is a member",
                self.apply.link.place().user
            )),
            (true, false) => {
                let detail = detail.unwrap_or_default();
                let hint = format!("run it yourself in a way that goes: {statement}{detail}");
                report.for_operator().advise(hint)
            }
        }
    }
}

/// What an alteration takes where nothing of it is so yet.
fn statement(table: &Table, alteration: &Alteration) -> Result<Sql, Error> {
    let change = match alteration {
        Alteration::Detach(name) => Sql::of("ALTER COLUMN {} DROP NOT NULL", &[&Sql::name(name)]),
        Alteration::Clear(name) => {
            let (table, name) = (table.sql(), Sql::name(name));
            let sql = "UPDATE {} SET {} = NULL WHERE {} IS NOT NULL";
            return Ok(Sql::of(sql, &[&table, &name, &name]));
        }
        Alteration::Drop(name) => Sql::of("DROP COLUMN {}", &[&Sql::name(name)]),
        Alteration::Rename { from, to } => {
            check_column_name(to)?;
            let names = [&Sql::name(from), &Sql::name(to)];
            Sql::of("RENAME COLUMN {} TO {}", &names)
        }
        Alteration::Add(field) => add(&columns(field)?),
        Alteration::Widen(field) => {
            let to = column(field)?.postgres.sql();
            let name = Sql::name(field.name());
            Sql::of("ALTER COLUMN {} TYPE {}", &[&name, &to])
        }
    };
    Ok(alter_table(table, &change))
}

fn add(columns: &Columns) -> Sql {
    Sql::of(
        "ADD COLUMN {}",
        &[&Sql::list(", ", columns.iter().map(Column::definition))],
    )
}

fn alter_table(table: &Table, change: &Sql) -> Sql {
    Sql::of("ALTER TABLE {} {}", &[&table.sql(), change])
}

/// The statements that `alterations` take where nothing of them is so yet.
///
/// # Errors
/// [`Error::NeedsOperator`] naming the column that has no name or type in Postgres.
pub fn ddl_of(settings: &TargetSettings, alterations: &[Alteration]) -> Result<String, Error> {
    let statements = alterations.iter().map(|alteration| {
        let statement = statement(&settings.table, alteration)?;
        Ok(format!("{};\n", statement.as_str()))
    });
    statements.collect()
}

/// The target's column for `field`, with a name and a type that Postgres takes.
fn column(field: &FieldRef) -> Result<Column, Error> {
    let first = columns(field)?.iter().next().cloned();
    first.ok_or_else(|| Error::bug("a column without a column"))
}

/// The same, alone among columns.
fn columns(field: &FieldRef) -> Result<Columns, Error> {
    Columns::new(&Schema::new(vec![field.clone()]), &[])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field};

    use super::*;
    use crate::target::tests::evil_settings;

    #[test]
    fn statements() {
        let field = |name, of| Arc::new(Field::new(name, of, true));
        let alterations = [
            Alteration::Detach("a\"b".to_owned()),
            Alteration::Clear("a\"b".to_owned()),
            Alteration::Drop("n\"o".to_owned()),
            Alteration::Rename {
                from: "a\"b".to_owned(),
                to: "c'd".to_owned(),
            },
            Alteration::Widen(field("n", DataType::Decimal128(12, 2))),
            Alteration::Add(field("é \"", DataType::Utf8)),
        ];
        insta::assert_snapshot!(ddl_of(&evil_settings(), &alterations).unwrap());
        let system = Alteration::Add(field("ctid", DataType::Utf8));
        let rename = |to: &str| Alteration::Rename {
            from: "a".to_owned(),
            to: to.to_owned(),
        };
        for refused in [system, rename("ctid"), rename(&"x".repeat(64))] {
            assert!(ddl_of(&evil_settings(), &[refused]).is_err());
        }
    }
}
