//! The end of the first fill of a table: once all pieces are loaded, it is given its key, then, in
//! the one transaction, its name.

use lakeferry_model::{BadRowCounts, Position, RowCounts};
use tokio_postgres::{error::SqlState, types::Type};

use crate::{
    error::Error,
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::{
        apply::{Apply, Ended},
        aside::{Quarantined, refuse_too_many},
        columns::Columns,
        duplicates,
        fence::Fence,
        filling::Filling,
        own, reserved,
        settings::MAX_NAME_BYTES,
        unfinished::{Fills, Reserved},
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
SET LOCAL lock_timeout = '2s'; {}ALTER TABLE {} RENAME TO {}; COMMENT ON TABLE {} IS {}; \
SET LOCAL lock_timeout = '30s'";

pub(super) async fn apply<P: Position>(
    apply: &Apply<'_, P>,
    filling: &Filling<P>,
) -> Result<Ended, Error> {
    let (Filling { plan, reserved, .. }, table) = (filling, &filling.reserved.table);
    if apply.after != (&plan.watermark, &plan.fingerprint) {
        return Err(Error::bug(format!("{table} was filled for another apply")));
    }
    // Looked at once more where it counts; but a key over half of the rows would be for nothing.
    whole(apply, filling).await?;
    let columns = &filling.columns;
    if columns.has_key() && add_key(apply, reserved, columns).await? == Fence::Shut {
        return Ok(Ended::Fenced);
    }
    apply.batch(Sql::of("ANALYZE {}", &[&table.sql()])).await?;
    for _ in 0..RENAMES {
        apply.begin().await?;
        if apply.fence().await? == Fence::Shut {
            return apply.shut().await;
        }
        let inserted = whole(apply, filling).await?;
        if !rename(apply, table).await? {
            apply.batch("ROLLBACK").await?;
            apply.batch(PAUSE).await?;
            continue;
        }
        let rows = RowCounts {
            inserted,
            ..RowCounts::default()
        };
        let oid = apply.record_table().await?;
        if oid != reserved.oid {
            return Err(Error::transient(format!(
                "{table} was replaced while it was filled"
            )));
        }
        let doing = apply.doing();
        let fills = fills(apply, &doing);
        let allows = apply.settings.bad_rows;
        let total = refuse_too_many(apply, allows, Some(inserted)).await?;
        let counts = BadRowCounts {
            quarantined: total,
            ..fills.changed().await?
        };
        apply
            .record_run("fill", reserved.started, rows, counts)
            .await?;
        fills.forget().await?;
        let quarantined = Quarantined { counts, total };
        return apply.commit(rows, Some(quarantined), Some(oid)).await;
    }
    let target = &apply.settings.table;
    Err(
        Error::transient(format!("cannot give {target} its name: {table} is locked"))
            .advise(format!("end the sessions that hold locks on {table}")),
    )
}

fn fills<'a, P>(apply: &'a Apply<'_, P>, doing: &'a Doing) -> Fills<'a> {
    Fills {
        link: apply.link,
        state: apply.state,
        job_id: apply.hold.job_id,
        doing,
    }
}

/// How many rows are loaded, if all pieces are.
async fn whole<P: Position>(apply: &Apply<'_, P>, filling: &Filling<P>) -> Result<u64, Error> {
    let (plan, target) = (&filling.plan, &apply.settings.table);
    let doing = Doing::new(format!("look at the fill of {target}"));
    let begun = fills(apply, &doing).find::<P>(&target.schema).await?;
    let begun = begun
        .filter(|begun| begun.fill.plan == *plan && begun.reserved.oid == filling.reserved.oid);
    match begun.map(|begun| begun.fill) {
        Some(fill) if fill.loaded == plan.pieces => Ok(fill.rows),
        Some(fill) => Err(Error::bug(format!(
            "{} of {} pieces of {target} are loaded",
            fill.loaded, plan.pieces
        ))),
        None => Err(Error::transient(format!(
            "what was loaded for {target} is gone: another session has the job, or it was dropped"
        ))),
    }
}

/// Removes a fill that will never do: its version has rows that the key refuses. Else the next run
/// would go on with it, though the source was mended since.
async fn remove<P: Position>(apply: &Apply<'_, P>, reserved: &Reserved) -> Result<(), Error> {
    let doing = Doing::new(format!("drop {}", reserved.table));
    let sql = "DELETE FROM {} AS f WHERE f.job_id = $1 AND f.reserved_oid = $2";
    let sql = Sql::of(sql, &[&apply.state.table("fills")]);
    let params: [_; 2] = [
        (&apply.hold.job_id as _, Type::UUID),
        (&reserved.oid as _, Type::OID),
    ];
    if apply.link.execute(&sql, &params, &doing).await? == 1 {
        reserved::drop(apply.link, &reserved.table, &doing).await?;
    }
    Ok(())
}

/// Adds the key, unless an earlier session did. Nothing else writes to a table of a reserved name;
/// it is gone where another session dropped it.
async fn add_key<P: Position>(
    apply: &Apply<'_, P>,
    reserved: &Reserved,
    columns: &Columns,
) -> Result<Fence, Error> {
    let has_key = "SELECT count(*) FROM pg_catalog.pg_index AS i \
        WHERE i.indisprimary AND i.indrelid = $1";
    let params: [_; 1] = [(&reserved.oid as _, Type::OID)];
    let doing = apply.doing();
    let has_key = apply
        .link
        .query_one(&has_key.into(), &params, &doing)
        .await?;
    if has_key.get::<_, i64>(0) > 0 {
        return Ok(Fence::Open);
    }
    let table = &reserved.table;
    let name = Sql::name(&free_key_name(apply).await?);
    let sql = Sql::of(
        "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})",
        &[&table.sql(), &name, &columns.key_names()],
    );
    match apply.link.try_batch(&sql).await {
        Ok(()) => Ok(Fence::Open),
        Err(error) if sqlstate::is(&error, &SqlState::UNDEFINED_TABLE) => Ok(Fence::Shut),
        Err(error) if sqlstate::is(&error, &SqlState::UNIQUE_VIOLATION) => {
            let duplicate = duplicates::error(apply, columns, &table.sql()).await?;
            remove(apply, reserved).await?;
            Err(duplicate)
        }
        Err(error) => {
            let doing = apply.doing().locks(table.to_string());
            Err(doing.failed(error, apply.link.place()))
        }
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
            &own::drop_defaults(apply.settings.own, &reserved.sql()),
            &reserved.sql(),
            &Sql::name(&table.name),
            &table.sql(),
            &comment,
        ],
    );
    match apply.link.try_batch(&sql).await {
        Ok(()) => Ok(true),
        Err(error)
            if sqlstate::is(&error, &SqlState::LOCK_NOT_AVAILABLE)
                || sqlstate::is(&error, &SqlState::T_R_DEADLOCK_DETECTED) =>
        {
            Ok(false)
        }
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
