//! A source whose columns come, go, and get other names and types is followed: by statements that
//! readers hardly notice, before the rows, and without reading what did not change.

mod asking;
mod following;
mod interrupted;
mod names;
mod other_types;

use lakeferry_delta_testkit::{Cells, MappedTable};
use lakeferry_postgres_testkit::{Version, servers};

use crate::deployment::Deployment;

/// The job, and its table.
const JOB: &str = "mapped";

/// Rows that stay as they are.
const OTHERS: i64 = 3_000;

/// A deployment with one job from a table of mapped columns.
struct World {
    deployment: Deployment,
    table: MappedTable,
}

impl World {
    /// A table of `id`, `word` and `number` with three rows to change, which the target has; and with
    /// others, so that a change is a small part of it.
    fn filled(version: Version, has_feed: bool, options: &[&str]) -> Self {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake(JOB);
        let columns = [("word", "string"), ("number", "integer")];
        let mut table = MappedTable::create(&path, has_feed, &columns).unwrap();
        let rows: [(i64, &[_]); 3] = [
            (1, &[("word", "one"), ("number", "1")]),
            (2, &[("word", "two"), ("number", "2")]),
            (3, &[("word", "three")]),
        ];
        table.append(&rows).unwrap();
        let words: Vec<String> = (0..OTHERS)
            .map(|row| format!("word {}", row * row))
            .collect();
        let words: Vec<[_; 1]> = words.iter().map(|word| [("word", word.as_str())]).collect();
        let others: Vec<(i64, Cells<'_>)> = (100..).zip(words.iter().map(|one| &one[..])).collect();
        table.append(&others).unwrap();
        deployment.job(JOB, &path, options);
        deployment.sync();
        let world = Self { deployment, table };
        world.expect(&["id", "word"]);
        world
    }

    /// Declares the job anew.
    fn configure(&mut self, options: &[&str]) {
        let path = self.deployment.lake(JOB);
        self.deployment.forget_jobs();
        self.deployment.job(JOB, &path, options);
    }

    /// The target has in these columns what the source has, and is at its head.
    #[track_caller]
    fn expect(&self, columns: &[&str]) {
        let found = self.select(columns);
        assert_eq!(found, self.table.csv(columns).unwrap());
        assert_eq!(self.deployment.watermark(JOB), self.table.version());
    }

    /// These columns of the target, as CSV by key.
    #[track_caller]
    fn select(&self, columns: &[&str]) -> String {
        let quoted: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
        let select = format!("SELECT {} FROM {JOB} ORDER BY id", quoted.join(", "));
        self.deployment
            .sql(&format!("COPY ({select}) TO STDOUT (FORMAT csv)"))
    }

    /// The columns that the target has, in its order.
    fn columns(&self) -> Vec<String> {
        let names = format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = '{JOB}'::regclass AND attnum > 0 \
             AND NOT attisdropped ORDER BY attnum"
        );
        let names = self.deployment.sql(&names);
        names.lines().map(str::to_owned).collect()
    }

    /// How often the whole source was read since the fill.
    fn rebuilds(&self) -> usize {
        let kinds = self.deployment.run_kinds();
        kinds.iter().filter(|kind| *kind == "refresh").count()
    }

    /// Says what a failing sync tells.
    #[track_caller]
    fn refused(&self) -> String {
        self.deployment.run(&["sync"]).failure(1)
    }
}

/// On all servers, with the change data feed and without.
fn everywhere(work: impl Fn(Version, bool)) {
    for version in servers() {
        for has_feed in [true, false] {
            work(version, has_feed);
        }
    }
}
