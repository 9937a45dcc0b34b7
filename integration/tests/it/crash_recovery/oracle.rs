//! What the target has to be at each version: lineitem, loaded into a table beside it from the
//! generator's own CSV, and changed by one statement of SQL for each commit.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result};
use tokio_postgres::Client;
use tpchgen::{csv::LineItemCsv, generators::LineItemGenerator};

use crate::{crash_recovery::lake::Change, deployment::Deployment};

const COLUMNS: [(&str, &str); 16] = [
    ("l_orderkey", "bigint"),
    ("l_partkey", "bigint"),
    ("l_suppkey", "bigint"),
    ("l_linenumber", "integer"),
    ("l_quantity", "numeric(15, 2)"),
    ("l_extendedprice", "numeric(15, 2)"),
    ("l_discount", "numeric(15, 2)"),
    ("l_tax", "numeric(15, 2)"),
    ("l_returnflag", "text"),
    ("l_linestatus", "text"),
    ("l_shipdate", "date"),
    ("l_commitdate", "date"),
    ("l_receiptdate", "date"),
    ("l_shipinstruct", "text"),
    ("l_shipmode", "text"),
    ("l_comment", "text"),
];

/// The state of a table: how many rows, and the sum of their hashes. Rows that are lost, doubled
/// or wrong change it.
pub(super) type Content = String;

/// The contents of all versions.
#[derive(Debug)]
pub(super) struct Oracle {
    client: Client,
    versions: BTreeMap<u64, Content>,
}

impl Oracle {
    /// Loads lineitem as version `version`.
    pub(super) async fn load(
        deployment: &Deployment,
        client: Client,
        scale: f64,
        version: u64,
    ) -> Result<Self> {
        let columns = COLUMNS
            .map(|(name, kind)| format!("{name} {kind}"))
            .join(", ");
        let names = names();
        let mut script = format!(
            "CREATE SCHEMA oracle;\n\
             CREATE UNLOGGED TABLE oracle.original ({columns});\n\
             COPY oracle.original FROM STDIN (FORMAT csv);\n"
        );
        for row in LineItemGenerator::new(scale, 1, 1).iter() {
            writeln!(script, "{}", LineItemCsv::new(row))?;
        }
        let hash = row_hash();
        writeln!(
            script,
            "\\.\n\
             CREATE INDEX ON oracle.original (l_orderkey);\n\
             CREATE UNLOGGED TABLE oracle.lineitem AS \
                SELECT {names}, {hash} AS hash FROM oracle.original;\n\
             CREATE INDEX ON oracle.lineitem (l_orderkey);\n\
             CREATE INDEX ON oracle.lineitem ((1)) WHERE hash IS NULL;\n\
             ANALYZE oracle.original, oracle.lineitem;"
        )?;
        deployment.sql(&script);
        let mut oracle = Self {
            client,
            versions: BTreeMap::new(),
        };
        oracle.note(version).await?;
        Ok(oracle)
    }

    /// Makes the change that makes `version`.
    pub(super) async fn commit(&mut self, change: &Change, version: u64) -> Result<()> {
        self.client.batch_execute(&statement(change)).await?;
        let (hash, table) = (row_hash(), "oracle.lineitem");
        let mend = format!("UPDATE {table} SET hash = {hash} WHERE hash IS NULL");
        self.client.batch_execute(&mend).await?;
        self.client
            .batch_execute(&format!("VACUUM {table}"))
            .await?;
        self.note(version).await
    }

    /// What the target has to be at `version`.
    pub(super) fn content_at(&self, version: u64) -> Result<&Content> {
        self.versions
            .get(&version)
            .with_context(|| format!("version {version} is nobody's"))
    }

    async fn note(&mut self, version: u64) -> Result<()> {
        let row = self
            .client
            .query_one(&content_sql("oracle.lineitem", "hash"), &[])
            .await?;
        self.versions.insert(version, row.get(0));
        Ok(())
    }
}

/// The SQL that gives the [`Content`] of the target.
pub(super) fn target_content_sql() -> String {
    content_sql("public.lineitem", &row_hash())
}

fn content_sql(table: &str, hash: &str) -> String {
    format!("SELECT concat(count(*), ' rows, ', sum({hash})) FROM {table}")
}

fn row_hash() -> String {
    format!("hash_record_extended(ROW({}), 0)", names())
}

fn names() -> String {
    COLUMNS.map(|(name, _)| name).join(", ")
}

/// The change as a statement; rows that it touches lose their hash.
fn statement(change: &Change) -> String {
    let predicate = change.predicate();
    match change {
        Change::Update(_) | Change::Move { .. } => {
            let set = change.assignments();
            let set: Vec<_> = set
                .iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            let set = set.join(", ");
            format!("UPDATE oracle.lineitem SET {set}, hash = NULL WHERE {predicate}")
        }
        Change::Delete { .. } | Change::Clear(_) => {
            format!("DELETE FROM oracle.lineitem WHERE {predicate}")
        }
        Change::Insert { shift, .. } => {
            let names = names();
            let rest = names.trim_start_matches("l_orderkey, ");
            format!(
                "INSERT INTO oracle.lineitem ({names}) \
                 SELECT l_orderkey + {shift}, {rest} FROM oracle.original WHERE {predicate}"
            )
        }
    }
}
