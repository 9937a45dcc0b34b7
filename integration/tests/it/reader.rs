//! A reader of a target while it is written: hashes over the ordered rows, each of which must be
//! that of a version, and never of an earlier one than the hash before.

use std::collections::{BTreeSet, HashMap};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

/// Versions are numbered in the order in which they come to be.
pub(crate) type Number = i64;

/// The hash over the ordered rows of `table`, as SQL: the same for a target and for the scratch
/// table that the oracle fills.
pub(crate) fn hash_sql(table: &str) -> String {
    format!(
        "SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(\
         hash_record_extended(t, 0)::text, ',' ORDER BY t.id)), '') FROM {table} AS t"
    )
}

/// The hashes of all versions, by what the oracle says they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct VersionHashes {
    numbers: HashMap<String, BTreeSet<Number>>,
}

impl VersionHashes {
    pub(crate) fn add(&mut self, number: Number, hash: &str) {
        self.numbers
            .entry(hash.to_owned())
            .or_default()
            .insert(number);
    }

    /// How many different hashes there are: versions with the same rows share theirs.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// What readers of one target have seen so far.
///
/// A hash can be that of several versions. The readings are in order if numbers can be chosen,
/// one of its versions for each, that never go back; choosing the smallest possible one each time
/// finds such a choice if there is any.
#[derive(Debug)]
pub(crate) struct Sightings {
    versions: VersionHashes,
    /// The smallest version that the newest reading can be of; nothing before the first fill.
    at: Option<Number>,
}

impl Sightings {
    pub(crate) fn new(versions: VersionHashes) -> Self {
        Self { versions, at: None }
    }

    /// Takes what was read while the target was brought to version `through`, and requires that
    /// it is there now. Says how many hashes were read, and how many of them before it was there.
    #[track_caller]
    pub(crate) fn take(&mut self, readings: &[Reading], through: Number) -> (usize, usize) {
        let (mut all, mut before) = (0, 0);
        let latest = |numbers: &BTreeSet<Number>| numbers.contains(&through);
        for reading in readings {
            let Reading::Rows(hash) = reading else {
                assert!(self.at.is_none(), "the target was gone after {:?}", self.at);
                continue;
            };
            let Some(numbers) = self.versions.numbers.get(hash) else {
                panic!(
                    "read {hash}, which is no version; before it, version {:?}",
                    self.at
                );
            };
            let from = self.at.unwrap_or(Number::MIN);
            let Some(number) = numbers.range(from..=through).next() else {
                panic!("read version {numbers:?} after {from} and before {through}");
            };
            self.at = Some(*number);
            all += 1;
            before += usize::from(!latest(numbers));
        }
        let last = readings.last().and_then(|last| match last {
            Reading::Rows(hash) => self.versions.numbers.get(hash),
            Reading::NoTable => None,
        });
        assert!(
            last.is_some_and(latest),
            "the last reading is not version {through}"
        );
        self.at = Some(through);
        (all, before)
    }
}

/// What one look at a target found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    NoTable,
    /// The hash over its rows.
    Rows(String),
}

/// A connection that reads targets.
#[derive(Debug)]
pub(crate) struct Reader {
    client: Client,
}

impl Reader {
    pub(crate) async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { client }
    }

    /// Reads `tables` in turn until `work` has ended, at least `least` times each, the last time
    /// after its end.
    pub(crate) async fn read_during<T>(
        &self,
        work: JoinHandle<T>,
        tables: &[&str],
        least: usize,
    ) -> (T, Vec<Vec<Reading>>) {
        let mut readings = vec![Vec::new(); tables.len()];
        let mut has_ended = false;
        while !has_ended || readings[0].len() < least {
            has_ended = work.is_finished();
            for (table, readings) in tables.iter().zip(&mut readings) {
                readings.push(self.read(table).await);
            }
        }
        (work.await.unwrap(), readings)
    }

    async fn read(&self, table: &str) -> Reading {
        match self.client.simple_query(&hash_sql(table)).await {
            Ok(messages) => {
                let row = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                Reading::Rows(row.unwrap().to_owned())
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Reading::NoTable,
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sightings() -> Sightings {
        let mut versions = VersionHashes::default();
        for (number, hash) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
            versions.add(number, hash);
        }
        Sightings::new(versions)
    }

    fn rows(hashes: &[&str]) -> Vec<Reading> {
        hashes
            .iter()
            .map(|hash| Reading::Rows((*hash).to_owned()))
            .collect()
    }

    #[test]
    fn a_hash_of_two_versions_can_come_back() {
        let mut sightings = sightings();
        assert_eq!(sightings.take(&rows(&["a", "b", "a", "a"]), 3), (4, 1));
        assert_eq!(sightings.take(&rows(&["a", "c"]), 4), (2, 1));
    }

    #[test]
    #[should_panic(expected = "read version {2} after 3")]
    fn a_version_that_goes_back_is_seen() {
        sightings().take(&rows(&["b", "a", "b"]), 4);
    }

    #[test]
    #[should_panic(expected = "which is no version")]
    fn a_hash_of_no_version_is_seen() {
        sightings().take(&rows(&["x"]), 4);
    }

    #[test]
    #[should_panic(expected = "read version {4} after")]
    fn a_version_from_the_future_is_seen() {
        sightings().take(&rows(&["a", "c"]), 3);
    }

    #[test]
    #[should_panic(expected = "the target was gone")]
    fn a_table_that_vanishes_is_seen() {
        sightings().take(&[Reading::Rows("a".into()), Reading::NoTable], 1);
    }

    #[test]
    #[should_panic(expected = "the last reading is not version 3")]
    fn a_target_that_stays_behind_is_seen() {
        sightings().take(&rows(&["a", "b"]), 3);
    }
}
