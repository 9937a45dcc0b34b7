//! Opening a first fill: going on with one that was begun, or beginning one. Its table is in the
//! target's own schema, logged and under a reserved name, and stays when the session ends: what
//! is loaded into it is loaded for good.

use arrow_schema::SchemaRef;
use lakeferry_model::{FillPlan, Loaded, Position, UnfinishedFill};
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::{Link, Param},
    sql::{Sql, Table},
    sqlstate::Doing,
    target::{
        apply::BEGIN_PATIENTLY,
        columns::Columns,
        extension_types,
        fence::Hold,
        own, reserved,
        settings::TargetSettings,
        state::StateSchema,
        unfinished::{Begun, Fills, Reserved},
    },
};

const CREATE: &str = "CREATE TABLE {} ({}{}); COMMENT ON TABLE {} IS {}";

/// Who else writes into a table. Only loaders of ours do; those of an earlier session, which may
/// not even know that it is over, would hold up the key and the name.
const END_WRITERS: &str = "\
SELECT pg_catalog.pg_terminate_backend(k.pid) FROM pg_catalog.pg_locks AS k \
WHERE k.locktype = 'relation' AND k.relation = $1 AND k.mode = 'RowExclusiveLock' \
    AND k.pid <> pg_catalog.pg_backend_pid() \
    AND k.database = (SELECT b.oid FROM pg_catalog.pg_database AS b \
        WHERE b.datname = pg_catalog.current_database())";

/// An open fill.
#[derive(Debug)]
pub(super) struct Filling<P> {
    pub(super) plan: FillPlan<P>,
    pub(super) columns: Columns,
    pub(super) reserved: Reserved,
    /// Of this session, by which its loaders know the lease.
    pub(super) backend_pid: i32,
}

/// Opens the fill of one session.
pub(super) struct Opener<'a> {
    pub(super) link: &'a Link,
    pub(super) settings: &'a TargetSettings,
    pub(super) state: &'a StateSchema,
    pub(super) hold: Hold,
}

impl Opener<'_> {
    /// The fill of `plan` for rows of `schema`, and what it has already: something only if `read`,
    /// which the claim found, is a fill of this very plan and still there.
    pub(super) async fn open<P: Position>(
        &self,
        plan: &FillPlan<P>,
        schema: &SchemaRef,
        read: Option<&UnfinishedFill<P>>,
    ) -> Result<(Filling<P>, Loaded), Error> {
        let mut columns = Columns::new(schema, &self.settings.key)?;
        extension_types::locate(self.link, &mut columns).await?;
        let doing = self.doing();
        let fills = self.fills(&doing);
        self.begin_held(&doing).await?;
        let begun = fills.find::<P>(&self.settings.table.schema).await?;
        self.batch("COMMIT", &doing).await?;
        if let Some(begun) = &begun {
            end_writers(self.link, &begun.reserved).await;
        }
        let same = |begun: &Begun<P>| {
            begun.fill.plan == *plan && read.is_some_and(|read| read.plan == *plan)
        };
        let (reserved, loaded) = match begun.filter(same) {
            Some(begun) => {
                self.go_on(&begun.reserved).await?;
                (begun.reserved, fills.loaded().await?)
            }
            None => (self.begin_fill(plan, &columns).await?, Loaded::default()),
        };
        let pid = "SELECT pg_catalog.pg_backend_pid()";
        let pid = self.link.query_one(&pid.into(), &[], &doing).await?;
        let filling = Filling {
            plan: plan.clone(),
            columns,
            reserved,
            backend_pid: pid.get(0),
        };
        Ok((filling, loaded))
    }

    fn doing(&self) -> Doing {
        let schema = &self.settings.table.schema;
        Doing::new(format!("create a table in schema {schema}")).needs(format!(
            "CREATE, USAGE ON SCHEMA {}",
            Sql::name(schema).as_str()
        ))
    }

    fn fills<'a>(&'a self, doing: &'a Doing) -> Fills<'a> {
        Fills {
            link: self.link,
            state: self.state,
            job_id: self.hold.job_id,
            doing,
        }
    }

    async fn batch(&self, sql: &'static str, doing: &Doing) -> Result<(), Error> {
        self.link.batch(&sql.into(), doing).await
    }

    /// Begins a transaction in which this session keeps the job.
    ///
    /// # Errors
    /// [`Error::Transient`] if it has lost it.
    async fn begin_held(&self, doing: &Doing) -> Result<(), Error> {
        self.batch(BEGIN_PATIENTLY, doing).await?;
        self.fills(doing).hold(self.hold.epoch).await
    }

    /// Makes room where pieces were under way when they were cut off: what they had sent is not
    /// seen by anybody, but takes its space.
    async fn go_on(&self, reserved: &Reserved) -> Result<(), Error> {
        self.drop_leftovers(Some(&reserved.table)).await?;
        let doing = Doing::new(format!("vacuum {}", reserved.table));
        let vacuum = Sql::of("VACUUM {}", &[&reserved.table.sql()]);
        self.link.batch(&vacuum, &doing).await
    }

    /// Creates the table and notes the plan, in the first transaction of the fill.
    async fn begin_fill<P: Position>(
        &self,
        plan: &FillPlan<P>,
        columns: &Columns,
    ) -> Result<Reserved, Error> {
        let target = &self.settings.table;
        let kept = self.drop_leftovers(None).await?;
        let name = |attempt| reserved::name("fill", self.hold.epoch, attempt, &target.name);
        let mut tables = (0..).map(|attempt| target.sibling(name(attempt)));
        let free = tables.find(|table| !kept.contains(table));
        let table = free.ok_or_else(|| Error::bug("no name for a fill is free"))?;
        let doing = self.doing();
        self.begin_held(&doing).await?;
        let comment = Sql::text(&reserved::comment(self.hold.job_id));
        let version = plan.watermark.version.to_number();
        let own = own::fill_definitions(self.settings.own, version)?;
        let parts = [
            &table.sql(),
            &columns.fill_definitions(target),
            &own,
            &table.sql(),
            &comment,
        ];
        self.link.batch(&Sql::of(CREATE, &parts), &doing).await?;
        let reserved = self.fills(&doing).note(plan, table).await?;
        self.batch("COMMIT", &doing).await?;
        Ok(reserved)
    }

    /// What is still there.
    async fn drop_leftovers(&self, but: Option<&Table>) -> Result<Vec<Table>, Error> {
        let (table, job_id) = (&self.settings.table, self.hold.job_id);
        let left = reserved::drop_leftovers(self.link, table, job_id, but).await?;
        Ok(left.kept)
    }
}

/// Ends the sessions that load into a table.
pub(super) async fn end_writers(link: &Link, reserved: &Reserved) {
    let params: [Param<'_>; 1] = [(&reserved.oid, Type::OID)];
    if let Err(error) = link.try_query(&END_WRITERS.into(), &params).await {
        // They can do no harm; the key and the name have to wait for them.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            table = %reserved.table,
            "sessions that load into it were not ended"
        );
    }
}
