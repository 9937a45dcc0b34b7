//! The tables of the state, brought to the form that this build knows: whole numbered steps, in
//! one transaction, under a lock. So two processes may come at once, and who looks meanwhile
//! without the lock sees the form before.

use tokio_postgres::{error::SqlState, types::Type};

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::{self, Doing},
    target::state::StateSchema,
};

struct Migration {
    number: i32,
    name: &'static str,
    /// Its names are without schema; it runs with the state's schema as search path.
    sql: &'static str,
}

const MIGRATIONS: [Migration; 8] = [
    Migration {
        number: 1,
        name: "state",
        sql: include_str!("migrations/0001_state.sql"),
    },
    Migration {
        number: 2,
        name: "lease expiry",
        sql: include_str!("migrations/0002_lease_expiry.sql"),
    },
    Migration {
        number: FILLS,
        name: "fills",
        sql: include_str!("migrations/0003_fills.sql"),
    },
    Migration {
        number: QUARANTINE,
        name: "quarantine",
        sql: include_str!("migrations/0004_quarantine.sql"),
    },
    Migration {
        number: 5,
        name: "columns",
        sql: include_str!("migrations/0005_columns.sql"),
    },
    Migration {
        number: 6,
        name: "replaced values",
        sql: include_str!("migrations/0006_replaced.sql"),
    },
    Migration {
        number: 7,
        name: "previous rows",
        sql: include_str!("migrations/0007_previous.sql"),
    },
    Migration {
        number: CONTROL,
        name: "control",
        sql: include_str!("migrations/0008_control.sql"),
    },
];

/// The one that brought the tables of unfinished fills.
pub(super) const FILLS: i32 = 3;

/// The one that brought the quarantine.
pub(super) const QUARANTINE: i32 = 4;

/// The one that brought pauses and requests.
pub(super) const CONTROL: i32 = 8;

/// The newest that this build knows.
const NEWEST: i32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// The advisory lock under which migrations run: `lakeferr` in ASCII.
const LOCK: u64 = 0x6c61_6b65_6665_7272;

/// Brings the state to the newest form, unless it has it.
///
/// # Errors
/// [`Error::NeedsOperator`] if a newer build made the state, or a right is missing.
pub(super) async fn bring_up(link: &Link, state: &StateSchema) -> Result<(), Error> {
    let doing = Doing::new(format!("read the migrations of schema {state}"));
    let newest = Sql::of("SELECT max(number) FROM {}", &[&state.table("migrations")]);
    let current = match link.try_query(&newest, &[]).await {
        Ok(rows) => rows
            .first()
            .map(|row| row.try_get::<_, Option<i32>>(0))
            .transpose(),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    };
    let current = current
        .map_err(|error| doing.failed(error, link.place()))?
        .flatten();
    if current == Some(NEWEST) {
        return Ok(());
    }
    migrate(link, state).await
}

/// # Errors
/// [`Error::NeedsOperator`] naming the build that made a newer state.
pub(super) fn refuse_newer(state: &StateSchema, number: i32, made_by: &str) -> Result<(), Error> {
    if number <= NEWEST {
        return Ok(());
    }
    Err(Error::needs_operator(format!(
        "schema {state} is at migration {number} of lakeferry {made_by}; this is lakeferry {}, \
         which knows migrations up to {NEWEST}",
        env!("CARGO_PKG_VERSION")
    ))
    .advise(format!("run lakeferry {made_by} or later")))
}

/// Whether the state, or a table of it, is not there yet.
pub(super) fn is_absent(error: &tokio_postgres::Error) -> bool {
    sqlstate::is(error, &SqlState::UNDEFINED_TABLE)
        || sqlstate::is(error, &SqlState::INVALID_SCHEMA_NAME)
}

async fn migrate(link: &Link, state: &StateSchema) -> Result<(), Error> {
    let doing = Doing::new(format!("bring schema {state} to its newest form"));
    let begin = "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock({})";
    link.batch(&Sql::of(begin, &[&Sql::number(LOCK)]), &doing)
        .await?;
    create_schema(link, state).await?;
    let current = current(link, state, &doing).await?;
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.number > current)
    {
        let path = Sql::of("SET LOCAL search_path = {}", &[&state.sql()]);
        link.batch(&path, &doing).await?;
        link.batch(&Sql::from(migration.sql), &doing).await?;
        let record = "INSERT INTO {} (number, name, lakeferry) VALUES ($1, $2, $3)";
        let version = env!("CARGO_PKG_VERSION");
        let params: [_; 3] = [
            (&migration.number as _, Type::INT4),
            (&migration.name as _, Type::TEXT),
            (&version as _, Type::TEXT),
        ];
        let record = Sql::of(record, &[&state.table("migrations")]);
        link.execute(&record, &params, &doing).await?;
    }
    link.batch(&"COMMIT".into(), &doing).await
}

/// `CREATE SCHEMA IF NOT EXISTS` wants a right on the database even where the schema exists.
async fn create_schema(link: &Link, state: &StateSchema) -> Result<(), Error> {
    let doing = Doing::new(format!("create schema {state}"))
        .needs(format!("CREATE ON DATABASE {:?}", link.place().database));
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let params: [_; 1] = [(&state.name() as _, Type::TEXT)];
    let exists = link.query_one(&exists.into(), &params, &doing).await?;
    if !exists.get::<_, bool>(0) {
        let create = "CREATE SCHEMA {}; COMMENT ON SCHEMA {} IS \
            'What Lakeferry knows of the tables it keeps in step; read it as you like.'";
        link.batch(&Sql::of(create, &[&state.sql(), &state.sql()]), &doing)
            .await?;
    }
    let doing = Doing::new(format!("create the tables of schema {state}"))
        .needs(format!("CREATE, USAGE ON SCHEMA {:?}", state.name()));
    let create = "CREATE TABLE IF NOT EXISTS {} (\
        number integer PRIMARY KEY, name text NOT NULL, lakeferry text NOT NULL, \
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()); \
        COMMENT ON TABLE {} IS 'The form of this schema, and which build gave it.'";
    let migrations = state.table("migrations");
    link.batch(&Sql::of(create, &[&migrations, &migrations]), &doing)
        .await
}

/// The newest migration that the state has, zero if none; none above what this build knows.
async fn current(link: &Link, state: &StateSchema, doing: &Doing) -> Result<i32, Error> {
    let sql = "SELECT number, lakeferry FROM {} ORDER BY number DESC LIMIT 1";
    let sql = Sql::of(sql, &[&state.table("migrations")]);
    let rows = link.query(&sql, &[], doing).await?;
    let Some(row) = rows.first() else {
        return Ok(0);
    };
    let number = row.get(0);
    refuse_newer(state, number, row.get(1))?;
    Ok(number)
}
