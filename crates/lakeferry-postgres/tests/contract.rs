//! The contract of every target, kept by Postgres of each version.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints what it ran on"
)]

use std::time::Duration;

use lakeferry_model::{BadRows, DeltaVersion, Guard, JobKey, OwnColumns};
use lakeferry_postgres::{ConnectSettings, Control, PostgresTarget, Spares, Table, TargetSettings};
use lakeferry_postgres_testkit::{Server, servers};
use lakeferry_testkit::{
    KEY, Values,
    contract::target::{Harness, Rows, holds},
};
use tokio_postgres::{Client, NoTls};

/// Where deleted rows stay, the others.
const LIVE: &str = "WHERE (to_jsonb(t) ->> '_deleted_at') IS NULL";

struct Bystander {
    target: PostgresTarget<DeltaVersion>,
    unguarded: PostgresTarget<DeltaVersion>,
    keyless: PostgresTarget<DeltaVersion>,
    settings: TargetSettings,
    client: Client,
}

impl Bystander {
    async fn new(server: &Server, database: &str) -> Self {
        let url = server.create_database(database).unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let settings = TargetSettings {
            connect: ConnectSettings::parse(&url).unwrap(),
            state_schema: "lakeferry".to_owned(),
            job: JobKey {
                deployment: "contract".to_owned(),
                name: "job".to_owned(),
            },
            table: Table {
                schema: "public".to_owned(),
                name: "target".to_owned(),
            },
            key: vec![KEY.to_owned()],
            comment: None,
            lease: Duration::from_secs(30),
            guard: Guard::default(),
            allow_rewrite: false,
            bad_rows: BadRows::HALT,
            own: OwnColumns::default(),
            max_connections: 8,
        };
        let unguarded = TargetSettings {
            guard: Guard::OFF,
            ..settings.clone()
        };
        let keyless = TargetSettings {
            key: Vec::new(),
            ..settings.clone()
        };
        Self {
            target: PostgresTarget::new(settings.clone()).unwrap(),
            unguarded: PostgresTarget::new(unguarded).unwrap(),
            keyless: PostgresTarget::new(keyless).unwrap(),
            settings,
            client,
        }
    }
}

impl Bystander {
    fn control(&self) -> Control {
        let connect = self.settings.connect.clone();
        Control::new(connect, Spares::default(), "lakeferry", "contract").unwrap()
    }
}

impl Harness for Bystander {
    type Target = PostgresTarget<DeltaVersion>;

    fn target(&self) -> Self::Target {
        self.target.clone()
    }

    fn unguarded(&self) -> Self::Target {
        self.unguarded.clone()
    }

    fn tolerant(&self, bad_rows: BadRows) -> Self::Target {
        let guard = Guard::OFF;
        let settings = self.settings.clone();
        PostgresTarget::new(TargetSettings {
            guard,
            bad_rows,
            ..settings
        })
        .unwrap()
    }

    fn writing(&self, own: OwnColumns, bad_rows: BadRows) -> Self::Target {
        let settings = self.settings.clone();
        PostgresTarget::new(TargetSettings {
            own,
            bad_rows,
            ..settings
        })
        .unwrap()
    }

    async fn deleted(&self) -> Vec<i64> {
        let sql = "SELECT id FROM target AS t WHERE NOT (to_jsonb(t) ->> '_deleted_at') IS NULL \
            ORDER BY id";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn replace_table(&self) {
        let replace = "CREATE TABLE other (LIKE target INCLUDING ALL); \
            INSERT INTO other SELECT * FROM target; DROP TABLE target; \
            ALTER TABLE other RENAME TO target";
        self.client.batch_execute(replace).await.unwrap();
    }

    async fn quarantined(&self) -> Vec<i64> {
        let sql = "SELECT (key ->> 0)::bigint FROM lakeferry.quarantine \
            WHERE key ->> 0 IS NOT NULL ORDER BY 1";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn unkeyed(&self) -> Vec<Option<String>> {
        let sql = "SELECT payload ->> 'value' FROM lakeferry.quarantine, generate_series(1, rows) \
            WHERE key ->> 0 IS NULL ORDER BY 1 NULLS FIRST";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    fn keyless(&self) -> Self::Target {
        self.keyless.clone()
    }

    async fn rows(&self) -> Option<Rows> {
        let keyed = |(id, value): Values| Some((id?, value));
        let rows = self.all_rows().await?.into_iter();
        Some(rows.map(|row| keyed(row).unwrap()).collect())
    }

    async fn all_rows(&self) -> Option<Vec<Values>> {
        let there = "SELECT to_regclass('public.target') IS NOT NULL";
        let is_there: bool = self.client.query_one(there, &[]).await.unwrap().get(0);
        if !is_there {
            return None;
        }
        let rows = self
            .client
            .query(&format!("SELECT id, value FROM target AS t {LIVE}"), &[])
            .await
            .unwrap();
        let mut rows: Vec<Values> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        rows.sort();
        Some(rows)
    }

    async fn cells(&self, column: &str) -> Option<Rows> {
        let exists = "SELECT EXISTS (SELECT FROM pg_attribute \
            WHERE attrelid = to_regclass('public.target') AND attname = $1)";
        let exists = self.client.query_one(exists, &[&column]).await.unwrap();
        if !exists.get::<_, bool>(0) {
            return None;
        }
        let cells = format!("SELECT id, \"{column}\"::text FROM target AS t {LIVE}");
        let rows = self.client.query(&cells, &[]).await.unwrap();
        Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn make_table(&self, rows: Rows) {
        let create = "CREATE TABLE target (id bigint PRIMARY KEY, value text)";
        self.client.batch_execute(create).await.unwrap();
        for (id, value) in rows {
            let insert = "INSERT INTO target VALUES ($1, $2)";
            self.client.execute(insert, &[&id, &value]).await.unwrap();
        }
    }

    async fn refuse(&self, value: &str) {
        let check = "ALTER TABLE target ADD CHECK (value <> '{}') NOT VALID";
        let check = check.replace("{}", value);
        self.client.batch_execute(&check).await.unwrap();
    }

    async fn drop_table(&self) {
        self.client
            .batch_execute("DROP TABLE target")
            .await
            .unwrap();
    }

    async fn drop_fill(&self) {
        let name = "SELECT relname FROM pg_class WHERE starts_with(relname, '_lakeferry_fill_')";
        let name: String = self.client.query_one(name, &[]).await.unwrap().get(0);
        let drop = format!("DROP TABLE \"{name}\"");
        self.client.batch_execute(&drop).await.unwrap();
    }

    async fn give_up_sessions(&self) {
        self.client
            .batch_execute("DELETE FROM lakeferry.leases")
            .await
            .unwrap();
    }

    async fn let_lease_pass(&self) {
        let pass = "UPDATE lakeferry.leases SET expires_at = clock_timestamp()";
        self.client.batch_execute(pass).await.unwrap();
    }

    async fn pause(&self, reason: Option<&str>) {
        self.control().pause("job", "ana", reason).await.unwrap();
    }

    async fn resume(&self) {
        assert!(self.control().resume("job").await.unwrap());
        assert!(!self.control().resume("job").await.unwrap());
    }
}

#[tokio::test]
async fn postgres_keeps_the_contract_of_a_target() {
    for version in servers() {
        let server = Server::start(version).unwrap();
        println!("postgres {}", server.release());
        let number = std::cell::Cell::new(0);
        let all = holds(async || {
            number.set(number.get() + 1);
            Bystander::new(&server, &format!("part_{}", number.get())).await
        });
        Box::pin(all).await;
    }
}
