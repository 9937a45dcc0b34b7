//! The first fill of a table: loaded under a reserved name without any index, then given its key,
//! then, in the one transaction, its name.

use lakeferry_model::{Position, RowCounts};
use tokio_postgres::{error::SqlState, types::Type};

use crate::{
    error::Error,
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::{
        apply::{Apply, Ended},
        columns::Columns,
        duplicates,
        fence::Fence,
        settings::MAX_NAME_BYTES,
        staging::{Staged, StagedIn},
    },
};

/// How often the rename is tried. Each time it waits up to [`RENAME`]'s `lock_timeout` and
/// [`PAUSE`], so half an hour in all: a backup may hold the table for long, and to fill it anew would
/// take longer.
const RENAMES: u32 = 600;

/// Between two tries, outside of any transaction.
const PAUSE: &str = "SELECT pg_catalog.pg_sleep(1)";

/// Somebody may look at the reserved table, a backup for instance; nobody is to queue behind us.
const RENAME: &str = "\
SET LOCAL lock_timeout = '2s'; ALTER TABLE {} RENAME TO {}; COMMENT ON TABLE {} IS {}; \
SET LOCAL lock_timeout = '30s'";

pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    staged: &Staged,
) -> Result<Ended, Error> {
    let StagedIn::Reserved(reserved) = &staged.place else {
        return Err(Error::bug("a fill was staged in a temporary table"));
    };
    if add_key(apply, reserved, &staged.columns).await? == Fence::Shut {
        return Ok(Ended::Fenced);
    }
    apply
        .batch(Sql::of("ANALYZE {}", &[&reserved.sql()]))
        .await?;
    let rows = RowCounts {
        inserted: staged.counts.inserts,
        ..RowCounts::default()
    };
    for _ in 0..RENAMES {
        apply.begin().await?;
        if apply.fence().await? == Fence::Shut {
            return apply.shut().await;
        }
        if !rename(apply, reserved).await? {
            apply.batch("ROLLBACK").await?;
            apply.batch(PAUSE).await?;
            continue;
        }
        let oid = apply.record_table().await?;
        apply.record_run("fill", staged, rows).await?;
        return apply.commit(rows, Some(oid)).await;
    }
    let table = &apply.settings.table;
    Err(Error::transient(format!(
        "cannot give {table} its name: {reserved} is locked"
    ))
    .advise(format!("end the sessions that hold locks on {reserved}")))
}

/// Nothing else writes to a table of a reserved name; it is gone where another session dropped it.
async fn add_key<P: Position>(
    apply: &Apply<'_, P>,
    reserved: &Table,
    columns: &Columns,
) -> Result<Fence, Error> {
    let name = Sql::name(&free_key_name(apply).await?);
    let sql = Sql::of(
        "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})",
        &[&reserved.sql(), &name, &columns.key_names()],
    );
    match apply.link.try_batch(&sql).await {
        Ok(()) => Ok(Fence::Open),
        Err(error) if sqlstate::is(&error, &SqlState::UNDEFINED_TABLE) => Ok(Fence::Shut),
        Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => {
            Err(duplicates::error(apply, columns, &reserved.sql()).await?)
        }
        Err(error) => Err(apply.doing().failed(error, apply.link.place())),
    }
}

/// The name that Postgres would give to the key of the target, were it made in one statement.
async fn free_key_name<P: Position>(apply: &Apply<'_, P>) -> Result<String, Error> {
    let table = &apply.settings.table;
    let names: Vec<String> = (0..100)
        .map(|number| key_name(&table.name, number))
        .collect();
    let sql = "SELECT name FROM pg_catalog.unnest($2) WITH ORDINALITY AS candidate (name, place) \
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
            WHERE n.nspname = $1 AND c.relname = name) \
        ORDER BY place LIMIT 1";
    let params: [_; 2] = [
        (&table.schema as _, Type::TEXT),
        (&names as _, Type::TEXT_ARRAY),
    ];
    let doing = Doing::new(format!("look for a name for the key of {table}"));
    let row = apply.link.query_one(&sql.into(), &params, &doing).await?;
    Ok(row.get(0))
}

/// `orders_pkey`, `orders_pkey1`, …; the table's part is cut where the whole is too long.
fn key_name(table: &str, number: u32) -> String {
    let label = match number {
        0 => "_pkey".to_owned(),
        _ => format!("_pkey{number}"),
    };
    let cut = table.floor_char_boundary(MAX_NAME_BYTES - label.len());
    format!("{}{label}", &table[..cut])
}

/// Whether it could be renamed; not if somebody holds a lock.
async fn rename<P: Position>(apply: &Apply<'_, P>, reserved: &Table) -> Result<bool, Error> {
    let table = &apply.settings.table;
    let comment = match &apply.settings.comment {
        Some(comment) => Sql::text(comment),
        None => "NULL".into(),
    };
    let sql = Sql::of(
        RENAME,
        &[
            &reserved.sql(),
            &Sql::name(&table.name),
            &table.sql(),
            &comment,
        ],
    );
    match apply.link.try_batch(&sql).await {
        Ok(()) => Ok(true),
        Err(error) if sqlstate::is(&error, &SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error)
            if sqlstate::is(&error, &SqlState::DUPLICATE_TABLE)
                || sqlstate::is(&error, &SqlState::DUPLICATE_OBJECT) =>
        {
            Err(
                Error::needs_operator(format!("{table} was created by somebody else meanwhile"))
                    .advise("drop or rename it, or give the job another table")
                    .caused_by(error),
            )
        }
        Err(error) => Err(apply.doing().failed(error, apply.link.place())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_postgres_names_them() {
        assert_eq!(key_name("orders", 0), "orders_pkey");
        assert_eq!(key_name("orders", 2), "orders_pkey2");
        assert_eq!(
            key_name(&"ä".repeat(31), 0),
            format!("{}_pkey", "ä".repeat(29))
        );
    }
}
