//! What a target has, in one look at one moment.

use lakeferry_model::{
    Epoch, JobKey, Pause, Position, Progress, Standing, TableStanding, UnfinishedFill,
};
use tokio_postgres::{Row, error::SqlState, types::Type};
use uuid::Uuid;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::{self, Doing},
    target::{
        control, migrations,
        settings::TargetSettings,
        state::{Kept, StateSchema, progress_columns_of},
        unfinished::Fills,
    },
};

/// The state, and the relation under the target's name, read by one statement: so no apply shows
/// by half. `pg_class` is read as a table, for functions such as `to_regclass` see the present
/// and not the statement's moment.
const BOTH: &str = "\
SELECT m.number, m.lakeferry, j.job_id, j.target_schema, j.target_table, j.target_oid, p.epoch, \
    c.oid, c.relkind::text, {} \
FROM (SELECT number, lakeferry FROM {} ORDER BY number DESC LIMIT 1) AS m \
LEFT JOIN {} AS j ON j.deployment = $3 AND j.name = $4 \
LEFT JOIN {} AS p ON p.job_id = j.job_id \
LEFT JOIN (pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace) \
    ON n.nspname = $1 AND c.relname = $2";

/// The same where there is no state.
const TABLE_ONLY: &str = "\
SELECT c.oid, c.relkind::text \
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2";

/// A relation under the target's name.
#[derive(Clone, Debug)]
struct Relation {
    oid: u32,
    kind: String,
}

/// What one look found.
#[derive(Debug)]
pub(super) struct Found<P> {
    /// Of the job's row, absent before its first claim.
    pub(super) job_id: Option<Uuid>,
    pub(super) epoch: Epoch,
    progress: Option<Progress<P>>,
    /// The table that the job filled.
    filled_oid: Option<u32>,
    relation: Option<Relation>,
    /// Looked for only where there is nothing under the target's name.
    unfinished: Option<UnfinishedFill<P>>,
    quarantined: u64,
    paused: Option<Pause>,
}

impl<P: Position> Found<P> {
    /// Looks at a target whose state exists.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if a newer build made the state, or the job had another table.
    pub(super) async fn with_state(
        link: &Link,
        settings: &TargetSettings,
        state: &StateSchema,
    ) -> Result<Self, Error> {
        let doing = Doing::new(format!("read the state of job {}", settings.job))
            .needs(format!("USAGE ON SCHEMA {state}"))
            .locks(format!("the tables of schema {state}"));
        let sql = Sql::of(
            BOTH,
            &[
                &progress_columns_of("p"),
                &state.table("migrations"),
                &state.table("jobs"),
                &state.table("progress"),
            ],
        );
        let JobKey { deployment, name } = &settings.job;
        let [schema, table] = name_params(&settings.table);
        let params = [
            schema,
            table,
            (deployment as _, Type::TEXT),
            (name as _, Type::TEXT),
        ];
        let row = link.query_one(&sql, &params, &doing).await?;
        migrations::refuse_newer(state, row.get(0), row.get(1))?;
        let mut found = Self::read(&row).map_err(|error| doing.failed(error, link.place()))?;
        if found.job_id.is_some() && (found.progress.is_some() || found.filled_oid.is_some()) {
            let known = Table {
                schema: row.get(3),
                name: row.get(4),
            };
            refuse_other_table(settings, &known)?;
        }
        if let (Some(job_id), None) = (found.job_id, &found.relation)
            && row.get::<_, i32>(0) >= migrations::FILLS
        {
            let fills = Fills {
                link,
                state,
                job_id,
                doing: &doing,
            };
            let begun = fills.find(&settings.table.schema).await?;
            found.unfinished = begun.map(|begun| begun.fill);
        }
        if let Some(job_id) = found.job_id
            && row.get::<_, i32>(0) >= migrations::QUARANTINE
        {
            let sql = "SELECT coalesce(sum(rows), 0)::bigint FROM {} WHERE job_id = $1";
            let sql = Sql::of(sql, &[&state.table("quarantine")]);
            let params: [Param<'_>; 1] = [(&job_id, Type::UUID)];
            let row = link.query_one(&sql, &params, &doing).await?;
            found.quarantined = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
        }
        if row.get::<_, i32>(0) >= migrations::CONTROL {
            found.paused = control::pause_of(link, state, &settings.job, &doing).await?;
        }
        Ok(found)
    }

    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let epoch: Option<i64> = row.try_get(6)?;
        Ok(Self {
            job_id: row.try_get(2)?,
            filled_oid: row.try_get(5)?,
            epoch: Epoch(u64::try_from(epoch.unwrap_or(0)).unwrap_or(0)),
            relation: Relation::read(row, 7)?,
            progress: Kept::read(row, 9)?.progress(),
            unfinished: None,
            quarantined: 0,
            paused: None,
        })
    }

    /// Looks at a target without state: nothing was ever claimed in this database.
    pub(super) async fn without_state(
        link: &Link,
        settings: &TargetSettings,
    ) -> Result<Self, Error> {
        let doing = Doing::new(format!("look for table {}", settings.table));
        let params = name_params(&settings.table);
        let rows = link.query(&TABLE_ONLY.into(), &params, &doing).await?;
        let relation = rows.first().map(|row| Relation::read(row, 0)).transpose();
        Ok(Self {
            job_id: None,
            epoch: Epoch(0),
            progress: None,
            filled_oid: None,
            relation: relation
                .map_err(|error| doing.failed(error, link.place()))?
                .flatten(),
            unfinished: None,
            quarantined: 0,
            paused: None,
        })
    }

    /// The OID of what has the target's name.
    pub(super) fn oid(&self) -> Option<u32> {
        self.relation.as_ref().map(|relation| relation.oid)
    }

    /// The standing; looks for a first row only in a table that the job did not fill.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] if what has the target's name is no table.
    pub(super) async fn standing(self, link: &Link, table: &Table) -> Result<Standing<P>, Error> {
        if let Some(kind) = self.relation.as_ref().and_then(Relation::other_than_table) {
            return Err(
                Error::needs_operator(format!("{table} is {kind} and no table"))
                    .advise("drop or rename it, or give the job another table"),
            );
        }
        let standing = match (&self.relation, self.filled_oid) {
            (None, _) => TableStanding::Absent,
            (Some(relation), Some(filled)) if relation.oid == filled => TableStanding::Filled,
            (Some(_), Some(_)) => TableStanding::Replaced,
            (Some(_), None) => first_row(link, table).await?,
        };
        Ok(Standing {
            progress: self.progress,
            epoch: self.epoch,
            unfinished: self.unfinished,
            quarantined: self.quarantined,
            paused: self.paused,
            table: standing,
        })
    }
}

impl Relation {
    /// Reads OID and kind from `row`, the first of them at `first`; both are NULL where there is
    /// no relation.
    fn read(row: &Row, first: usize) -> Result<Option<Self>, tokio_postgres::Error> {
        let oid: Option<u32> = row.try_get(first)?;
        let kind: Option<String> = row.try_get(first + 1)?;
        Ok(oid.zip(kind).map(|(oid, kind)| Self { oid, kind }))
    }

    /// What it is, unless an ordinary or a partitioned table.
    fn other_than_table(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "r" | "p" => return None,
            "v" => "a view",
            "m" => "a materialized view",
            "i" | "I" => "an index",
            "S" => "a sequence",
            "f" => "a foreign table",
            "c" => "a composite type",
            _ => "something else",
        })
    }
}

async fn first_row(link: &Link, table: &Table) -> Result<TableStanding, Error> {
    let doing = Doing::new(format!("look into table {table}"))
        .needs(format!("SELECT ON {}", table.sql().as_str()));
    let sql = Sql::of("SELECT EXISTS (SELECT FROM {})", &[&table.sql()]);
    let rows = match link.try_query(&sql, &[]).await {
        Ok(rows) => rows,
        // It was dropped since it was found.
        Err(error) if sqlstate::is(&error, &SqlState::UNDEFINED_TABLE) => {
            return Ok(TableStanding::Absent);
        }
        Err(error) => return Err(doing.failed(error, link.place())),
    };
    let is_empty = rows.iter().all(|row| !row.get::<_, bool>(0));
    Ok(if is_empty {
        TableStanding::Empty
    } else {
        TableStanding::Foreign
    })
}

/// The values of `$1` and `$2`: schema and name.
pub(super) fn name_params(table: &Table) -> [Param<'_>; 2] {
    [(&table.schema, Type::TEXT), (&table.name, Type::TEXT)]
}

pub(super) fn refuse_other_table(settings: &TargetSettings, known: &Table) -> Result<(), Error> {
    if *known == settings.table {
        return Ok(());
    }
    Err(Error::needs_operator(format!(
        "job {} filled {known}, and its settings now say {}",
        settings.job, settings.table
    ))
    .advise("name the table as before; to fill another one, give the job another name"))
}
