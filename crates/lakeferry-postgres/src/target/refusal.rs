//! What the target's own constraints refuse, told by their names and those of the tables and columns
//! that they are of.

use lakeferry_model::Position;
use tokio_postgres::{error::DbError, types::Type};

use crate::{
    error::Error,
    link::Param,
    sql::Table,
    sqlstate::{Doing, caused_by},
    target::{apply::Apply, rivals},
};

/// The table that a foreign key leads to.
const REFERENCED: &str = "\
SELECT n.nspname, c.relname FROM pg_catalog.pg_constraint AS f \
JOIN pg_catalog.pg_class AS l ON l.oid = f.conrelid \
JOIN pg_catalog.pg_namespace AS l_n ON l_n.oid = l.relnamespace \
JOIN pg_catalog.pg_class AS c ON c.oid = f.confrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE l_n.nspname = $1 AND l.relname = $2 AND f.conname = $3 AND f.contype = 'f'";

/// The error for a refused write or COMMIT. Ends the transaction, for it looks into the catalog.
pub(super) async fn told<P: Position>(apply: &Apply<'_, P>, error: tokio_postgres::Error) -> Error {
    let plain = |error| apply.doing().failed(error, apply.link.place());
    let code = error.code().map(|code| code.code());
    let found = match code {
        Some("23503" | "23001") => foreign_key(apply, &error).await,
        Some("23505") => unique(apply, &error).await,
        _ => Ok(None),
    };
    match found {
        Ok(Some(told)) => caused_by(told, error),
        Ok(None) => plain(error),
        // What was refused matters more than why no more is known of it.
        Err(_) => plain(error),
    }
}

async fn unique<P: Position>(
    apply: &Apply<'_, P>,
    error: &tokio_postgres::Error,
) -> Result<Option<Error>, Error> {
    apply.batch("ROLLBACK").await?;
    let all = rivals::all(apply).await?;
    let named = rivals::named(&all, error);
    Ok(named.map(|rival| rivals::collision(apply.settings, rival)))
}

/// Where a refusal came from.
struct ForeignKey {
    name: String,
    /// The table that refers.
    from: Table,
    /// The table that is referred to.
    to: Table,
}

/// The rows of another table may come, or go, by another job: so it is tried again for a while.
async fn foreign_key<P: Position>(
    apply: &Apply<'_, P>,
    error: &tokio_postgres::Error,
) -> Result<Option<Error>, Error> {
    let Some((from, name)) = error.as_db_error().and_then(constraint) else {
        return Ok(None);
    };
    apply.batch("ROLLBACK").await?;
    let doing = Doing::new(format!("look for the foreign key {name:?}"));
    let params: [Param<'_>; 3] = [
        (&from.schema, Type::TEXT),
        (&from.name, Type::TEXT),
        (&name, Type::TEXT),
    ];
    let rows = apply
        .link
        .query(&REFERENCED.into(), &params, &doing)
        .await?;
    let to = rows.first().map(|row| Table {
        schema: row.get(0),
        name: row.get(1),
    });
    let table = &apply.settings.table;
    Ok(to.map(|to| does_not_hold(table, &ForeignKey { name, from, to })))
}

fn constraint(refusal: &DbError) -> Option<(Table, String)> {
    let table = Table {
        schema: refusal.schema()?.to_owned(),
        name: refusal.table()?.to_owned(),
    };
    Some((table, refusal.constraint()?.to_owned()))
}

fn does_not_hold(table: &Table, key: &ForeignKey) -> Error {
    let ForeignKey { name, from, to } = key;
    let hint = if from == to {
        format!("declare {name:?} DEFERRABLE, so that it is checked at COMMIT")
    } else if to == table {
        format!(
            "delete the rows of {from} that refer to those that go, or declare {name:?} ON DELETE \
             CASCADE"
        )
    } else {
        format!("bring the rows of {to} first, or drop {name:?}")
    };
    Error::unready(format!(
        "the foreign key {name:?} from {from} to {to} does not hold for the rows of {table}"
    ))
    .advise(hint)
}
