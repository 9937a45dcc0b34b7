//! What happens next, by chance: small tables of few keys, so that much meets.

mod plot;

use lakeferry_delta_testkit::How;
use lakeferry_engine::Request;
use rand::{Rng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use self::plot::Plot;
use crate::{
    filter::HOUR,
    job::{Choice, Setting},
    ledger::{Cells, Column, HOT, Keys, Ledger, NUMBER, Of, Row, SEEN, State, VALUE},
    operation::{Operation, Which},
};

const KEYS: i64 = 14;
const MOST_EXTRAS: usize = 3;
const WORDS: [&str; 7] = [
    "a",
    "b",
    "c",
    "",
    "it's",
    "naïve",
    "a much longer word, to and fro",
];
const TEXTS: [&str; 4] = ["t1", "t2", "t3", "t4"];
const NUMBERS: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// Chooses what happens in one history.
pub(crate) struct Chance {
    pub(crate) random: ChaCha8Rng,
    /// Whether columns are mapped, so that they come and go, and deletion vectors can be written.
    pub(crate) is_mapped: bool,
    /// Microseconds since 1970.
    pub(crate) now: i64,
    choice: Choice,
    /// Whether something just came that a run has to look at.
    is_due: bool,
    /// What may follow, the last one first.
    plot: Vec<Plot>,
    /// The columns that there were.
    identities: u64,
}

impl Chance {
    pub(crate) fn new(mut random: ChaCha8Rng, choice: Choice) -> Self {
        let mapped = if choice.is_crowded { 0.4 } else { 0.7 };
        Self {
            is_mapped: random.random_bool(mapped),
            random,
            now: 400_000 * HOUR,
            choice,
            is_due: false,
            plot: Vec::new(),
            identities: NUMBER,
        }
    }

    /// A table at its start.
    pub(crate) fn start(&mut self) -> State {
        let number = if self.is_mapped {
            Of::Byte
        } else {
            Of::Integer
        };
        let columns = [
            (VALUE, "value", Of::Text),
            (HOT, "hot", Of::Boolean),
            (SEEN, "seen", Of::Time),
            (NUMBER, "number", number),
        ];
        let columns = columns.map(|(identity, name, of)| Column {
            identity,
            name: name.to_owned(),
            of,
        });
        let mut state = State {
            columns: columns.into(),
            rows: Vec::new(),
            has_feed: self.random.random(),
        };
        if self.is_mapped
            && let Some(Operation::AddColumn(column)) = self.add_column(&state)
        {
            state.columns.push(column);
        }
        state.rows = self.rows(&state, 3..9);
        state
    }

    pub(crate) fn next(&mut self, ledger: &Ledger) -> Operation {
        let state = ledger.now();
        let plotted = self.plot.pop().and_then(|plot| self.plotted(plot, ledger));
        if let Some(operation) = plotted.or_else(|| self.of_the_job(ledger)) {
            return operation;
        }
        loop {
            let most = if self.is_mapped { 130 } else { 102 };
            let choice = match self.random.random_range(0..most) {
                0..4 => Some(Operation::Insert(self.rows_of_new_keys(state))),
                4..6 => Some(self.duplicate(state)),
                6..11 => self.update(state, How::Rewritten),
                11..14 => Some(Operation::Delete(self.which(state), How::Rewritten)),
                14..19 => Some(self.merge(state, How::Rewritten)),
                19..24 => Some(Operation::Overwrite(self.rows(state, 1..8))),
                24..30 => self.rekey(state, How::Rewritten),
                30..36 => {
                    self.touch_soon(state);
                    Some(Operation::Optimize)
                }
                36..42 => Some(Operation::Vacuum),
                42..48 => Some(self.clean_log()),
                48..50 => self.restore(ledger),
                50..61 => Some(Operation::Feed(!state.has_feed)),
                61..67 => Some(Operation::Replace(self.start())),
                67..68 => Some(Operation::Wait(self.random.random_range(1..40 * 60))),
                68..75 => Some(Operation::Sync(self.request())),
                75..79 if self.is_mapped => None,
                75..79 => self.add_column(state),
                79..102 if !self.is_mapped => self.rewind(ledger),
                79..90 => self.mark(state),
                90..104 => self.add_or_drop_column(state),
                104..114 => self.rename_column(state),
                114..125 => {
                    if self.random.random_bool(0.3) {
                        self.plot = vec![Plot::Restore(ledger.head()), Plot::Insert];
                    }
                    self.widen_column(state)
                }
                _ => {
                    self.touch_soon(state);
                    Some(Operation::Track)
                }
            };
            if let Some(operation) = choice {
                return operation;
            }
        }
    }

    /// All files come, and then one goes.
    fn touch_soon(&mut self, state: &State) {
        let touched = state.ids().first().map(|id| Plot::Touch(*id));
        self.plot = touched
            .filter(|_| self.random.random())
            .into_iter()
            .collect();
    }

    /// What the job is likely to meet, for it is what it is.
    fn of_the_job(&mut self, ledger: &Ledger) -> Option<Operation> {
        let state = ledger.now();
        let Keys {
            settles,
            keeps_null,
            ..
        } = self.choice.keys;
        if std::mem::take(&mut self.is_due) && self.random.random_bool(0.7) {
            return Some(Operation::Sync(Request::Sync));
        }
        self.is_due = true;
        if self.random.random_bool(0.05) {
            return Some(self.other_setting());
        }
        if self.choice.filter.is_timed() && self.random.random_bool(0.08) {
            return Some(Operation::Wait(self.random.random_range(60..60 * 60)));
        }
        self.is_due = false;
        if self.choice.appends && self.random.random_bool(0.5) {
            return Some(Operation::Insert(self.rows_of_new_keys(state)));
        }
        // What a job can do with is nothing that has to be mended soon.
        let soon = match (settles, keeps_null) {
            (false, false) => 0.4,
            (true, true) => 0.1,
            _ => 0.2,
        };
        if !state.troubled().is_empty() && self.random.random_bool(soon) {
            return Some(self.mend(state));
        }
        if let Some(operation) = self.begin_plot(ledger) {
            return Some(operation);
        }
        if keeps_null {
            let has_some = state.rows.iter().any(|row| row.id.is_none());
            match self.random.random_range(0..100) {
                0..8 => return Some(self.duplicate(state)),
                8..18 if has_some => return Some(self.without_key(state)),
                _ => {}
            }
        }
        if settles && self.choice.is_crowded && self.random.random_bool(0.3) {
            // More keys at once than are looked up one by one, and most of them have a row already.
            let first = self.random.random_range(0..200);
            return Some(Operation::Insert(self.run_of_rows(state, first)));
        }
        let is_alike = settles && self.random.random_bool(0.1);
        is_alike.then(|| self.duplicate(state))
    }

    fn other_setting(&mut self) -> Operation {
        let all = [
            Setting::Lists,
            Setting::Excludes,
            Setting::Renames,
            Setting::Renames,
            Setting::Ignores,
        ];
        // One that hides the others goes first.
        let setting = match (self.choice.lists, self.choice.ignores) {
            (true, _) => Setting::Lists,
            (_, true) => Setting::Ignores,
            _ => all[self.random.random_range(0..all.len())],
        };
        self.choice.turn(setting);
        Operation::Want(setting)
    }

    fn request(&mut self) -> Request {
        match self.random.random_range(0..20) {
            0 => Request::Backfill,
            1 => Request::RefreshSchema,
            _ => Request::Sync,
        }
    }

    /// What takes trouble with a key away, or not quite.
    fn mend(&mut self, state: &State) -> Operation {
        let troubled: Vec<Option<i64>> = state.troubled().into_iter().collect();
        let id = *troubled.choose(&mut self.random).expect("there is trouble");
        let rows: Vec<&Row> = state.rows.iter().filter(|row| row.id == id).collect();
        let row = *rows
            .choose(&mut self.random)
            .expect("somebody has that key");
        let one = Which::Like(id, row.cells.get(&VALUE).cloned());
        let how = self.how();
        if let Some(id) = id.filter(|_| self.random.random()) {
            self.plot.push(Plot::Touch(id));
        }
        match (id, self.random.random_range(0..5)) {
            (Some(id), 0) => Operation::Delete(Which::Ids(vec![id]), how),
            (Some(id), 1) => Operation::Merge(self.rows_with(state, &[id]), Vec::new(), how),
            (None, 0) => {
                let text = self.cell(Of::Text);
                Operation::Update(one, VALUE, text, how)
            }
            (_, 2) => Operation::Overwrite(self.rows(state, 1..8)),
            _ => Operation::Delete(one, how),
        }
    }

    /// One of the rows without a key goes, or becomes another one.
    fn without_key(&mut self, state: &State) -> Operation {
        let rows: Vec<&Row> = state.rows.iter().filter(|row| row.id.is_none()).collect();
        let row = *rows.choose(&mut self.random).expect("there are some");
        let one = Which::Like(None, row.cells.get(&VALUE).cloned());
        let how = self.how();
        match self.random.random() {
            true => Operation::Delete(one, how),
            false => Operation::Update(one, VALUE, self.cell(Of::Text), how),
        }
    }

    fn how(&mut self) -> How {
        match self.is_mapped && self.random.random() {
            true => How::Marked,
            false => How::Rewritten,
        }
    }

    fn clean_log(&mut self) -> Operation {
        // deltalake wants the newest commit.
        let least = usize::from(!self.is_mapped);
        Operation::CleanLog(self.random.random_range(least..4))
    }

    fn mark(&mut self, state: &State) -> Option<Operation> {
        let how = How::Marked;
        match self.random.random_range(0..4) {
            0 => self.update(state, how),
            1 => self.rekey(state, how),
            2 => Some(self.merge(state, how)),
            _ => Some(Operation::Delete(self.which(state), how)),
        }
    }

    fn duplicate(&mut self, state: &State) -> Operation {
        let ids = state.ids();
        let there = ids.choose(&mut self.random).copied();
        let Keys {
            settles,
            keeps_null,
            ..
        } = self.choice.keys;
        let some = if keeps_null { 0.5 } else { 0.85 };
        let id = there.filter(|_| self.random.random_bool(some));
        let equal = state.rows.iter().find(|row| row.id.is_none());
        let equal = equal.filter(|_| id.is_none() && self.random.random());
        let mut row = equal.cloned().unwrap_or_else(|| self.row(state, 0));
        row.id = id;
        // By its number it is often no more and no less.
        let other = state.rows.iter().find(|other| other.id == id);
        if let Some(other) = other.filter(|_| settles && self.random.random_bool(0.6)) {
            // Or by all that every table has, so that only columns tell that come and go.
            let is_alike = self.random.random_bool(0.4);
            let mut alike = vec![NUMBER];
            alike.extend(is_alike.then_some([VALUE, HOT, SEEN]).into_iter().flatten());
            for column in alike {
                match other.cells.get(&column) {
                    Some(cell) => row.cells.insert(column, cell.clone()),
                    None => row.cells.remove(&column),
                };
            }
        }
        Operation::Duplicate(row)
    }

    fn update(&mut self, state: &State, how: How) -> Option<Operation> {
        let column = state.columns.choose(&mut self.random)?.clone();
        let cell = self.cell(column.of);
        Some(Operation::Update(
            self.which(state),
            column.identity,
            cell,
            how,
        ))
    }

    fn which(&mut self, state: &State) -> Which {
        let ids = state.ids();
        let some = self.random.random_range(1..4) * self.times();
        Which::Ids(
            ids.choose_multiple(&mut self.random, some)
                .copied()
                .collect(),
        )
    }

    fn merge(&mut self, state: &State, how: How) -> Operation {
        let rows = self.rows(state, 1..4);
        let ids = state.ids();
        let gone = ids.choose_multiple(&mut self.random, 1).copied();
        let is_new = |id: &i64| !rows.iter().any(|row| row.id == Some(*id));
        let gone = gone.filter(is_new).collect();
        Operation::Merge(rows, gone, how)
    }

    /// Keys that are exchanged, or that move on to the next.
    fn rekey(&mut self, state: &State, how: How) -> Option<Operation> {
        let ids = state.ids();
        if self.random.random_bool(0.3) {
            let next = ids.iter().map(|id| (*id, *id + 1)).collect();
            return (!ids.is_empty()).then_some(Operation::Rekey(next, how));
        }
        let two: Vec<i64> = ids.choose_multiple(&mut self.random, 2).copied().collect();
        match two[..] {
            [one, other] => Some(Operation::Rekey(vec![(one, other), (other, one)], how)),
            _ => None,
        }
    }

    fn restore(&mut self, ledger: &Ledger) -> Option<Operation> {
        let versions = ledger.restorable..ledger.head();
        (!versions.is_empty()).then(|| Operation::Restore(self.random.random_range(versions)))
    }

    fn rewind(&mut self, ledger: &Ledger) -> Option<Operation> {
        let versions = ledger.restorable..ledger.head();
        (!versions.is_empty()).then(|| Operation::Rewind(self.random.random_range(versions)))
    }

    fn add_column(&mut self, state: &State) -> Option<Operation> {
        let of = match self.is_mapped && self.random.random_bool(0.7) {
            true => Of::Byte,
            false => Of::Text,
        };
        let name = self.free_name(state, of)?;
        // Without mapping, a column is its name.
        let identity = match TEXTS.iter().position(|text| *text == name) {
            Some(place) if !self.is_mapped => 10 + place as u64,
            _ => {
                self.identities += 1;
                100 + self.identities
            }
        };
        let is_full = extras(state).count() >= MOST_EXTRAS;
        (!is_full).then_some(Operation::AddColumn(Column { identity, name, of }))
    }

    /// A name that tells texts from numbers, so that none gets a type that its column cannot take.
    fn free_name(&mut self, state: &State, of: Of) -> Option<String> {
        let names = if of == Of::Text { TEXTS } else { NUMBERS };
        let is_free = |name: &&&str| !state.columns.iter().any(|column| column.name == **name);
        let free: Vec<&&str> = names.iter().filter(is_free).collect();
        free.choose(&mut self.random)
            .map(|name| (**name).to_owned())
    }

    fn add_or_drop_column(&mut self, state: &State) -> Option<Operation> {
        let extras: Vec<&Column> = extras(state).collect();
        match extras.choose(&mut self.random) {
            Some(column) if self.random.random_bool(0.85) => {
                Some(Operation::DropColumn(column.identity))
            }
            _ => self.add_column(state),
        }
    }

    fn rename_column(&mut self, state: &State) -> Option<Operation> {
        let renamed = |column: &&Column| !matches!(column.identity, HOT | SEEN | NUMBER);
        let columns: Vec<&Column> = state.columns.iter().filter(renamed).collect();
        let column = *columns.choose(&mut self.random)?;
        let name = self.free_name(state, column.of)?;
        Some(Operation::RenameColumn(column.identity, name))
    }

    fn widen_column(&mut self, state: &State) -> Option<Operation> {
        let wider = |column: &Column| {
            let of = match column.of {
                Of::Byte => Of::Short,
                Of::Short => Of::Integer,
                Of::Integer => Of::Long,
                _ => return None,
            };
            Some(Operation::WidenColumn(column.identity, of))
        };
        let all: Vec<Operation> = state.columns.iter().filter_map(wider).collect();
        all.choose(&mut self.random).cloned()
    }

    fn rows(&mut self, state: &State, count: std::ops::Range<usize>) -> Vec<Row> {
        let count = self.random.random_range(count) * self.times();
        let ids: Vec<i64> = (0..KEYS * self.times() as i64).collect();
        let ids: Vec<i64> = ids
            .choose_multiple(&mut self.random, count)
            .copied()
            .collect();
        self.rows_with(state, &ids)
    }

    /// Of keys that follow each other, so that their file has no others.
    fn run_of_rows(&mut self, state: &State, first: i64) -> Vec<Row> {
        let ids: Vec<i64> = (first..first + self.random.random_range(70..100)).collect();
        self.rows_with(state, &ids)
    }

    fn rows_of_new_keys(&mut self, state: &State) -> Vec<Row> {
        let there = state.ids();
        let free: Vec<i64> = (0..4 * KEYS * self.times() as i64)
            .filter(|id| !there.contains(id))
            .collect();
        let count = self.random.random_range(1..5);
        let ids: Vec<i64> = free
            .choose_multiple(&mut self.random, count)
            .copied()
            .collect();
        self.rows_with(state, &ids)
    }

    /// How many times as many rows there are as usual.
    fn times(&self) -> usize {
        if self.choice.is_crowded { 20 } else { 1 }
    }

    fn rows_with(&mut self, state: &State, ids: &[i64]) -> Vec<Row> {
        ids.iter().map(|id| self.row(state, *id)).collect()
    }

    fn row(&mut self, state: &State, id: i64) -> Row {
        let mut cells = Cells::new();
        for column in &state.columns {
            cells.extend(self.cell(column.of).map(|cell| (column.identity, cell)));
        }
        Row {
            id: Some(id),
            cells,
        }
    }

    /// A value that a column of this type can hold.
    fn cell(&mut self, of: Of) -> Option<String> {
        if self.random.random_bool(0.12) {
            return None;
        }
        let most: i64 = match of {
            Of::Byte => 100,
            Of::Short => 30_000,
            Of::Integer => 2_000_000_000,
            Of::Long => 5_000_000_000,
            Of::Text => return WORDS.choose(&mut self.random).map(ToString::to_string),
            Of::Boolean => return Some(self.random.random_bool(0.75).to_string()),
            Of::Time => {
                let hours = self.random.random_range(-90..30);
                return Some((self.now + hours * HOUR).to_string());
            }
        };
        // Some are the same.
        let most = if self.random.random_bool(0.3) {
            2
        } else {
            most
        };
        Some(self.random.random_range(-most..most).to_string())
    }
}

fn extras(state: &State) -> impl Iterator<Item = &Column> {
    state
        .columns
        .iter()
        .filter(|column| column.identity > NUMBER)
}
