//! Where the target of a history is: in memory, or on a Postgres server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use lakeferry_model::{BadRows, DeltaVersion, Guard, JobKey, Target};
use lakeferry_postgres::{ConnectSettings, PostgresTarget, Table, TargetSettings};
use lakeferry_testkit::{Fault, Faults, MemoryServer, MemoryTarget};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use tokio_postgres::{Client, NoTls};

use crate::ledger::Of;

/// The cells of a column, by key.
pub(crate) type Column = BTreeMap<i64, Option<String>>;

pub(crate) trait Shelf {
    type Target: Target<Position = DeltaVersion>;

    fn target(&self, bad: BadRows) -> Self::Target;

    /// Lets a few operations fail that follow, or none where that cannot be.
    fn disturb(&self, random: &mut ChaCha8Rng);

    /// How many rows with NULL for their key are kept aside.
    async fn unkeyed(&self) -> Result<u64>;

    /// What a reader sees in a column of this type; `None` if there is none of that name.
    async fn cells(&self, name: &str, of: Of) -> Result<Option<Column>>;
}

#[derive(Default)]
pub(crate) struct Memory(MemoryServer<DeltaVersion>);

/// What fails at times.
const OPERATIONS: [&str; 8] = [
    "commit piece",
    "commit piece",
    "put piece",
    "commit",
    "put",
    "apply",
    "alter",
    "inspect",
];

impl Shelf for Memory {
    type Target = MemoryTarget<DeltaVersion>;

    fn disturb(&self, random: &mut ChaCha8Rng) {
        let mut faults = self.0.faults.lock().expect("nobody panics with it");
        *faults = Faults::default();
        if random.random_bool(0.3) {
            let operation = OPERATIONS[random.random_range(0..OPERATIONS.len())];
            let commits = operation.starts_with("commit");
            let fault = match random.random_range(0..3) {
                0 if commits => Fault::LoseAnswer,
                1 if commits => Fault::LoseRequest,
                _ => Fault::Fail,
            };
            faults.queue(operation, fault);
        }
    }

    fn target(&self, bad: BadRows) -> Self::Target {
        self.0.tolerant(bad)
    }

    async fn unkeyed(&self) -> Result<u64> {
        Ok(self.0.unkeyed().len() as u64)
    }

    async fn cells(&self, name: &str, _: Of) -> Result<Option<Column>> {
        Ok(self.0.cells(name))
    }
}

pub(crate) struct Postgres {
    settings: TargetSettings,
    client: Client,
}

impl Postgres {
    /// A table of this name in the database at `url`.
    pub(crate) async fn new(url: &str, name: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let settings = TargetSettings {
            connect: ConnectSettings::parse(url)?,
            state_schema: "lakeferry".to_owned(),
            job: job_key(name),
            table: Table {
                schema: "public".to_owned(),
                name: name.to_owned(),
            },
            key: vec!["id".to_owned()],
            comment: None,
            lease: Duration::from_secs(30),
            guard: Guard::OFF,
            allow_rewrite: true,
            bad_rows: BadRows::HALT,
            own: lakeferry_model::OwnColumns::default(),
            max_connections: 4,
        };
        Ok(Self { settings, client })
    }
}

/// The job of a history of this name.
pub(crate) fn job_key(name: &str) -> JobKey {
    JobKey {
        deployment: "histories".to_owned(),
        name: name.to_owned(),
    }
}

impl Shelf for Postgres {
    type Target = PostgresTarget<DeltaVersion>;

    fn disturb(&self, _: &mut ChaCha8Rng) {}

    fn target(&self, bad_rows: BadRows) -> Self::Target {
        let settings = self.settings.clone();
        let settings = TargetSettings {
            bad_rows,
            ..settings
        };
        PostgresTarget::new(settings).expect("the settings are right")
    }

    async fn unkeyed(&self) -> Result<u64> {
        let sql = "SELECT coalesce(sum(rows), 0)::bigint \
            FROM lakeferry.quarantine JOIN lakeferry.jobs USING (job_id) \
            WHERE name = $1 AND key ->> 0 IS NULL";
        let row = self
            .client
            .query_one(sql, &[&self.settings.job.name])
            .await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    async fn cells(&self, name: &str, of: Of) -> Result<Option<Column>> {
        let table = &self.settings.table.name;
        let exists = "SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 \
            AND NOT attisdropped";
        if self.client.query(exists, &[table, &name]).await?.is_empty() {
            return Ok(None);
        }
        let cell = match of {
            Of::Time => format!("(extract(epoch FROM \"{name}\") * 1000000)::bigint"),
            _ => format!("\"{name}\""),
        };
        let sql = format!("SELECT id, ({cell})::text FROM public.\"{table}\"");
        let rows = self.client.query(&sql, &[]).await?;
        Ok(Some(
            rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        ))
    }
}
