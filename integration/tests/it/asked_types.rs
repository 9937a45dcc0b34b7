//! `types:`: columns in the types that a job asks for, every value as it is or its row in quarantine,
//! by the feed, by files and by comparing all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_postgres_testkit::servers;
use rand::Rng as _;

use crate::{deployment::Deployment, seed::seeded, tables};

const TYPES: &str = "types: { ID: uuid, name: varchar(6), amount: \"numeric(6,2)\", n: smallint, \
    doc: jsonb, host: inet }";

/// What a first fill makes of them.
const COLUMNS: &str = "id uuid PRIMARY KEY, name varchar(6), amount numeric(6,2), n smallint, \
    doc jsonb, host inet";

/// A row as the source has it; the amount in ten-thousandths.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    amount: i128,
    n: i64,
    doc: String,
    host: String,
}

/// By number, of which the key is made.
type Rows = BTreeMap<u32, Row>;

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

impl Row {
    fn good(chance: u32) -> Self {
        Self {
            name: format!("Ä{:x}  ", chance % 4_096).chars().take(6).collect(),
            amount: i128::from(chance % 99_999) * 100,
            n: i64::from(chance % 65_536) - 32_768,
            doc: format!("{{\"b\": {chance}, \"a\": [1.50]}}"),
            host: format!("10.0.{}.1/16", chance % 256),
        }
    }

    /// One value of five is not of its type.
    fn bad(chance: u32) -> Self {
        let mut row = Self::good(chance);
        match chance % 6 {
            0 => row.name = "abcdef ".to_owned(),
            1 => row.amount = 12_345,
            2 => row.amount = 100_000_000,
            3 => row.n = 32_768,
            4 => row.doc = "{b: 1}".to_owned(),
            _ => row.host = "localhost".to_owned(),
        }
        row
    }

    /// As the target tells it.
    fn told(&self, number: u32) -> String {
        let Self {
            name,
            amount,
            n,
            doc,
            host,
        } = self;
        let cents = amount / 100;
        let chance = doc.strip_prefix("{\"b\": ").unwrap();
        let chance = chance.split(',').next().unwrap();
        format!(
            "{}|{name}|{}.{:02}|{n}|{{\"a\": [1.50], \"b\": {chance}}}|{host}",
            id(number),
            cents / 100,
            cents % 100
        )
    }
}

fn columns<'a>(
    rows: impl Iterator<Item = (u32, &'a Row)> + Clone,
) -> [(&'static str, ArrayRef, bool); 6] {
    let texts = |text: fn(&Row) -> &str| {
        let texts = rows.clone().map(|(_, row)| text(row).to_owned());
        Arc::new(StringArray::from_iter_values(texts)) as ArrayRef
    };
    let ids = StringArray::from_iter_values(rows.clone().map(|(number, _)| id(number)));
    let amounts = Decimal128Array::from_iter_values(rows.clone().map(|(_, row)| row.amount));
    let amounts = amounts.with_precision_and_scale(12, 4).unwrap();
    let ns = Int64Array::from_iter_values(rows.clone().map(|(_, row)| row.n));
    [
        ("id", Arc::new(ids), false),
        ("name", texts(|row| &row.name), true),
        ("amount", Arc::new(amounts), true),
        ("n", Arc::new(ns), true),
        ("doc", texts(|row| &row.doc), true),
        ("host", texts(|row| &row.host), true),
    ]
}

fn batch(rows: &Rows) -> RecordBatch {
    tables::batch(columns(rows.iter().map(|(number, row)| (*number, row))))
}

/// Rows for a merge, which are put or deleted.
fn merged(rows: &[(u32, Option<Row>)]) -> RecordBatch {
    let ops = rows
        .iter()
        .map(|(_, row)| if row.is_some() { "put" } else { "delete" });
    let op: (&str, ArrayRef, bool) = (
        OP_COLUMN,
        Arc::new(StringArray::from_iter_values(ops)),
        false,
    );
    let gone = Row::good(0);
    let rows = rows
        .iter()
        .map(|(number, row)| (*number, row.as_ref().unwrap_or(&gone)));
    tables::batch([op].into_iter().chain(columns(rows)))
}

/// What the test itself knows.
#[derive(Default)]
struct Known {
    rows: Rows,
    bad: BTreeSet<u32>,
}

impl Known {
    fn put(&mut self, number: u32, row: Row, is_bad: bool) {
        self.rows.insert(number, row);
        match is_bad {
            true => self.bad.insert(number),
            false => self.bad.remove(&number),
        };
    }

    fn check(&self, deployment: &Deployment) {
        let good = self
            .rows
            .iter()
            .filter(|(number, _)| !self.bad.contains(number));
        let told: Vec<String> = good.map(|(number, row)| row.told(*number)).collect();
        let all = "SELECT id, name, amount, n, doc, host FROM rows ORDER BY id";
        assert_eq!(deployment.sql(all), told.join("\n"));
        let kept = "SELECT key ->> 0 FROM lakeferry.quarantine ORDER BY 1";
        let bad: Vec<String> = self.bad.iter().map(|number| id(*number)).collect();
        assert_eq!(deployment.sql(kept), bad.join("\n"));
    }
}

async fn created(path: &Path, new: NewTable, rows: &Rows) -> DeltaTable {
    let rows = batch(rows);
    let table = DeltaTable::create(path, &rows.schema(), new).await;
    let mut table = table.unwrap();
    table.append(rows).await.unwrap();
    table
}

/// By the feed, by files, and by comparing all.
fn ways() -> [(NewTable, &'static str); 3] {
    [
        (NewTable::with_feed(), "refresh_above: 100%"),
        (NewTable::without_feed(), "refresh_above: 100%"),
        (NewTable::with_feed(), "mode: snapshot"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_as_they_are_or_are_kept_aside() {
    let mut random = seeded("values_come_as_they_are_or_are_kept_aside");
    let (mut puts, mut bad) = (0, 0);
    for version in servers() {
        for (new, option) in ways() {
            let mut known = Known::default();
            for number in 0..200 {
                let (chance, is_bad) = (random.random(), random.random_bool(0.1));
                let row = if is_bad {
                    Row::bad(chance)
                } else {
                    Row::good(chance)
                };
                known.put(number, row, is_bad);
            }
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("rows");
            let mut table = created(&path, new, &known.rows).await;
            deployment.job("rows", &path, &[TYPES, option, "max_quarantined: 100%"]);
            deployment.sync();
            known.check(&deployment);
            for _ in 0..6 {
                let mut commit = Vec::new();
                let numbers: BTreeSet<u32> = (0..20).map(|_| random.random_range(0..220)).collect();
                for number in numbers {
                    let chance = random.random();
                    match random.random_range(0..6) {
                        0 => {
                            known.bad.remove(&number);
                            if known.rows.remove(&number).is_some() {
                                commit.push((number, None));
                            }
                        }
                        kind => {
                            let is_bad = kind == 1;
                            let row = if is_bad {
                                Row::bad(chance)
                            } else {
                                Row::good(chance)
                            };
                            known.put(number, row.clone(), is_bad);
                            commit.push((number, Some(row)));
                            puts += 1;
                            bad += u32::from(is_bad);
                        }
                    }
                }
                table.merge(&["id"], merged(&commit)).await.unwrap();
                deployment.sync();
                known.check(&deployment);
            }
            // What is there is found to be so.
            let before = deployment.row_versions("rows");
            deployment.backfill("rows");
            assert_eq!(deployment.row_versions("rows"), before);
            known.check(&deployment);
        }
    }
    println!("{puts} rows were put, {bad} of them bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_is_a_rebuild_once_the_column_has_it() {
    for version in servers() {
        let mut known = Known::default();
        for number in 0..50 {
            known.put(number, Row::good(number * 77), false);
        }
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("rows");
        created(&path, NewTable::with_feed(), &known.rows).await;
        deployment.job("rows", &path, &[]);
        deployment.sync();
        deployment.forget_jobs();
        deployment.job("rows", &path, &[TYPES]);
        // Each column in its turn.
        for column in ["id", "name", "amount", "n", "doc", "host"] {
            let failure = deployment.run(&["sync"]).failure(1);
            assert!(
                failure.contains(&format!("{column:?} of public.rows is ")),
                "{failure}"
            );
            let at = failure.find("ALTER TABLE \"public\".\"rows\"").unwrap();
            deployment.sql(failure[at..].lines().next().unwrap());
        }
        let before = deployment.row_versions("rows");
        assert_eq!(deployment.sync().rows(), [0; 3]);
        assert_eq!(deployment.row_versions("rows"), before);
        known.check(&deployment);
        // A wider one is not what was asked for either.
        deployment.forget_jobs();
        deployment.job(
            "rows",
            &path,
            &["types: { id: uuid, name: varchar(5), n: smallint, amount: \"numeric(6,2)\", doc: jsonb, host: inet }"],
        );
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("TYPE character varying(5)"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_these_types_is_filled_and_adopted() {
    for version in servers() {
        let mut known = Known::default();
        for number in 0..50 {
            known.put(number, Row::good(number * 99), false);
        }
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("rows");
        created(&path, NewTable::without_feed(), &known.rows).await;
        deployment.job("rows", &path, &[TYPES]);
        deployment.sql(&format!("CREATE TABLE rows ({COLUMNS})"));
        deployment.sync();
        known.check(&deployment);
        deployment.sql("DROP SCHEMA lakeferry CASCADE");
        let before = deployment.row_versions("rows");
        deployment.run(&["adopt", "rows"]).jobs_done();
        assert_eq!(deployment.row_versions("rows"), before);
        known.check(&deployment);
        let ddl = "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) \
            FROM pg_attribute WHERE attrelid = 'rows'::regclass AND attnum > 0";
        let declared = deployment.sql(ddl);
        deployment.sql("DROP TABLE rows");
        deployment.run(&["reset", "rows", "--forget"]);
        deployment.sync();
        assert_eq!(deployment.sql(ddl), declared);
        known.check(&deployment);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_before_anything_runs() {
    let version = servers()[0];
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("rows");
    let rows = [(1, Row::good(1))].into();
    created(&path, NewTable::with_feed(), &rows).await;
    for (types, told) in [
        (
            "{ nmae: uuid }",
            "it has no column nmae\nits columns are id, name",
        ),
        (
            "{ n: uuid }",
            "column \"n\", which is bigint by itself, cannot be uuid\nwhat it can be: smallint, \
             integer, bigint, numeric(p,s), text, varchar(n)",
        ),
        (
            "{ id: citext }",
            "key column \"id\", which is text by itself, cannot be citext",
        ),
        ("{ name: char(3) }", "jobs.rows.types.name"),
        ("{ name: timestamp }", "write one of: smallint, integer"),
    ] {
        deployment.forget_jobs();
        deployment.job("rows", &path, &[&format!("types: {types}")]);
        let said = deployment.run(&["validate"]);
        assert_eq!(said.code, 2, "{said:?}");
        let all = format!("{}{}", said.stdout, said.stderr).replace("\\\"", "\"");
        for part in told.lines() {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
