//! One source, what its job is to do with it, and the rows that it has: the test that writes it
//! keeps them beside it.

use std::{collections::BTreeMap, path::PathBuf};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use rand::{Rng as _, seq::IteratorRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{deployment::Deployment, tables};

pub(super) const JOBS: usize = 50;

const ROWS: i64 = 40;

/// The job's mode, and what else makes it another one than its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Continuous,
    WithoutFeed,
    Interval,
    Cron,
    Filtered,
    Soft,
    Keyless,
    Append,
}

const KINDS: [Kind; 8] = [
    Kind::Continuous,
    Kind::WithoutFeed,
    Kind::Interval,
    Kind::Cron,
    Kind::Filtered,
    Kind::Soft,
    Kind::Keyless,
    Kind::Append,
];

/// See the module.
pub(super) struct Source {
    pub(super) name: String,
    kind: Kind,
    path: PathBuf,
    table: DeltaTable,
    rows: BTreeMap<i64, String>,
    next: i64,
    /// Whether its interval is the other one.
    is_turned: bool,
}

impl Source {
    pub(super) async fn create(
        number: usize,
        deployment: &Deployment,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let kind = KINDS[number % KINDS.len()];
        let name = format!("job_{number}");
        let path = deployment.lake(&name);
        let new = match kind {
            Kind::WithoutFeed => NewTable::without_feed(),
            _ => NewTable::with_feed(),
        };
        let rows: BTreeMap<i64, String> = (0..ROWS).map(|id| (id, word(random))).collect();
        let words: Vec<_> = rows
            .iter()
            .map(|(&id, word)| (id, Some(word.as_str())))
            .collect();
        let table = tables::create(&path, new, &words).await;
        Self {
            name,
            kind,
            path,
            table,
            rows,
            next: ROWS,
            is_turned: false,
        }
    }

    /// The job, as a configuration has it.
    pub(super) fn declared(&self) -> String {
        let seconds = if self.is_turned { 2 } else { 3 };
        let every = format!("schedule: EVERY {seconds} SECONDS");
        let options = match self.kind {
            Kind::Continuous | Kind::WithoutFeed => "key: [id], mode: continuous".to_owned(),
            Kind::Interval => format!("key: [id], {every}"),
            Kind::Cron => format!("key: [id], schedule: \"*/{seconds} * * * * *\""),
            Kind::Filtered => format!("key: [id], filter: \"id % 2 = 0\", {every}"),
            Kind::Soft => "key: [id], mode: continuous, deletes: soft".to_owned(),
            Kind::Keyless => format!("mode: snapshot, {every}"),
            Kind::Append => format!("key: [id], mode: append, {every}"),
        };
        let Self { name, path, .. } = self;
        let from = path.display();
        format!("  {name}: {{ from: \"{from}\", into: serving.public.{name}, {options} }}\n")
    }

    /// Lets the job be declared otherwise, if it has an interval.
    pub(super) fn turn(&mut self) {
        self.is_turned = !self.is_turned;
    }

    pub(super) fn head(&self) -> u64 {
        self.table.version()
    }

    /// One commit: rows that come, change, or go, or files that are put together.
    pub(super) async fn commit(&mut self, random: &mut ChaCha8Rng) {
        let what = match self.kind {
            Kind::Append => random.random_range(0..4),
            _ => random.random_range(0..11),
        };
        match what {
            0..=2 => {
                let count = random.random_range(1..20);
                let ids = self.next..self.next + count;
                self.next += count;
                let rows: BTreeMap<i64, String> = ids.map(|id| (id, word(random))).collect();
                let words: Vec<_> = rows
                    .iter()
                    .map(|(&id, word)| (id, Some(word.as_str())))
                    .collect();
                self.table.append(tables::words(&words)).await.unwrap();
                self.rows.extend(rows);
            }
            3 => {
                self.table.optimize().await.unwrap();
            }
            4..=6 => {
                let ids = self.some(random);
                let rows: BTreeMap<i64, String> =
                    ids.into_iter().map(|id| (id, word(random))).collect();
                let words: Vec<_> = rows
                    .iter()
                    .map(|(&id, word)| (id, Some(word.as_str())))
                    .collect();
                self.table
                    .merge(&["id"], tables::puts(&words))
                    .await
                    .unwrap();
                self.rows.extend(rows);
            }
            _ => {
                let ids = self.some(random);
                self.table
                    .merge(&["id"], tables::deletes(&ids))
                    .await
                    .unwrap();
                self.rows.retain(|id, _| !ids.contains(id));
            }
        }
    }

    /// Some of its keys.
    fn some(&self, random: &mut ChaCha8Rng) -> Vec<i64> {
        let count = random.random_range(1..6);
        self.rows.keys().copied().choose_multiple(random, count)
    }

    /// What asks for the target's rows as [`Source::as_csv`] has them.
    pub(super) fn question(&self) -> String {
        let live = match self.kind {
            Kind::Soft => " WHERE _deleted_at IS NULL",
            _ => "",
        };
        let name = &self.name;
        format!("COPY (SELECT id, word FROM {name}{live} ORDER BY id) TO STDOUT (FORMAT csv)")
    }

    /// The rows that its target is to have.
    pub(super) fn as_csv(&self) -> String {
        let is_in = |id: &i64| self.kind != Kind::Filtered || id % 2 == 0;
        let rows = self.rows.iter().filter(|(id, _)| is_in(id));
        let lines = rows.map(|(id, word)| format!("{id},{word}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn word(random: &mut ChaCha8Rng) -> String {
    format!("{:032x}", random.random::<u128>())
}
