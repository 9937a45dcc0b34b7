//! The oracle: what each version of a table holds, told by what the history did to it and by nothing
//! that anybody read. It shares no line with the product.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::filter::Filter;

/// What follows the key in a row, by the columns' identities; what is absent is NULL.
pub(crate) type Cells = BTreeMap<u64, String>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) id: Option<i64>,
    pub(crate) cells: Cells,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Byte,
    Short,
    Integer,
    Long,
    Text,
    Boolean,
    /// A cell's text is microseconds since 1970.
    Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Stays with it for its life, whatever it is called.
    pub(crate) identity: u64,
    pub(crate) name: String,
    pub(crate) of: Of,
}

/// The columns that every table has from its start to its end, besides its key.
pub(crate) const VALUE: u64 = 1;
pub(crate) const HOT: u64 = 2;
pub(crate) const SEEN: u64 = 3;
pub(crate) const NUMBER: u64 = 4;

/// One version of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) has_feed: bool,
}

/// What a job does about keys that are not one row's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Of several rows of a key the one with the greatest `number` counts.
    pub(crate) settles: bool,
    /// And `hot` is not among the columns that tell which one is greater.
    pub(crate) without_hot: bool,
    /// Rows with NULL for their key are kept aside.
    pub(crate) keeps_null: bool,
}

/// What a target must hold: its cells by key, and what makes them less than all rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) rows: BTreeMap<i64, Cells>,
    /// How many rows have NULL for their key, where these are kept aside.
    pub(crate) unkeyed: u64,
    /// Keys that more than one row has, or none where it is NULL.
    pub(crate) troubled: BTreeSet<Option<i64>>,
}

impl State {
    /// What a target holds of it at this instant; of several rows of a key, where it settles them, the
    /// one with the greatest number, or else the greatest in all columns.
    pub(crate) fn expected(&self, filter: Filter, instant: i64, keys: Keys) -> Expected {
        let mut expected = Expected::default();
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.retain(|row| filter.passes(row, instant));
        if keys.keeps_null {
            let all = rows.len();
            rows.retain(|row| row.id.is_some());
            expected.unkeyed = (all - rows.len()) as u64;
        }
        if keys.settles {
            rows.sort_by_cached_key(|row| Reverse(self.rank(row, keys)));
            let mut seen = BTreeSet::new();
            rows.retain(|row| row.id.is_none() || seen.insert(row.id));
        }
        for row in rows {
            let before = row.id.map(|id| expected.rows.insert(id, row.cells.clone()));
            if before.is_none_or(|before| before.is_some()) {
                expected.troubled.insert(row.id);
            }
        }
        expected
    }

    /// Where a row is among those of its key: NULL comes first, then numbers, or texts.
    fn rank(&self, row: &Row, keys: Keys) -> Vec<Option<(i64, String)>> {
        let number = self.column(NUMBER).into_iter();
        let columns = number.chain(&self.columns);
        let columns = columns.filter(|column| !(keys.without_hot && column.identity == HOT));
        let cell = |column: &Column| {
            let text = row.cells.get(&column.identity)?.clone();
            Some(match column.of {
                Of::Text | Of::Boolean => (0, text),
                _ => (text.parse().unwrap_or_default(), String::new()),
            })
        };
        columns.map(cell).collect()
    }

    /// Keys that are not one row's, whatever a filter says.
    pub(crate) fn troubled(&self) -> BTreeSet<Option<i64>> {
        self.expected(Filter::All, 0, Keys::default()).troubled
    }

    pub(crate) fn column(&self, identity: u64) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.identity == identity)
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        let ids: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.id).collect();
        ids.into_iter().collect()
    }
}

/// All versions of the table that is there now.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Which of the tables that there were.
    pub(crate) table: u64,
    pub(crate) versions: Vec<State>,
    /// Versions from this one on have all of their files, and their log.
    pub(crate) restorable: usize,
}

impl Ledger {
    pub(crate) fn head(&self) -> usize {
        self.versions.len() - 1
    }

    pub(crate) fn now(&self) -> &State {
        &self.versions[self.head()]
    }

    /// The commits through `version` led to `state`.
    pub(crate) fn reach(&mut self, version: usize, state: &State) -> Result<(), String> {
        if version == self.head() && state != self.now() {
            return Err("the writer committed nothing".to_owned());
        }
        self.versions.resize(version + 1, state.clone());
        Ok(())
    }
}
