//! What goes with something that happened, more than chance would have it.

use lakeferry_engine::Request;
use rand::{Rng as _, seq::IndexedRandom as _};

use super::{Chance, extras};
use crate::{
    job::Setting,
    ledger::{Ledger, Of, Row, State, VALUE},
    operation::{Operation, Which},
};

/// One thing that follows.
#[derive(Clone, Debug)]
pub(super) enum Plot {
    /// The row of this key is touched, which had two.
    Touch(i64),
    Insert,
    /// Rows of many keys that follow each other, the first of them given.
    Run(i64),
    AddColumn,
    DropColumn(u64),
    /// A row comes.
    Another(Row),
    /// The row that came last goes.
    Newest,
    Restore(usize),
    Want(Setting),
    /// What told which of two rows of a key is greater goes.
    RankOtherwise,
    Sync,
}

impl Chance {
    /// What a plot says, if that can be done.
    pub(super) fn plotted(&mut self, plot: Plot, ledger: &Ledger) -> Option<Operation> {
        let state = ledger.now();
        Some(match plot {
            Plot::Touch(id) if state.ids().contains(&id) => {
                let (which, how) = (Which::Ids(vec![id]), self.how());
                match self.random.random() {
                    true => Operation::Delete(which, how),
                    false => Operation::Update(which, VALUE, self.cell(Of::Text), how),
                }
            }
            Plot::Insert => Operation::Insert(self.rows_of_new_keys(state)),
            Plot::Run(first) => Operation::Insert(self.run_of_rows(state, first)),
            Plot::AddColumn => self.add_column(state)?,
            Plot::DropColumn(identity) if state.column(identity).is_some() => {
                Operation::DropColumn(identity)
            }
            Plot::Another(row) => Operation::Duplicate(row),
            Plot::Newest => {
                let Row { id, cells } = state.rows.last()?;
                let newest = Which::Like(*id, cells.get(&VALUE).cloned());
                Operation::Delete(newest, self.how())
            }
            Plot::Restore(version) if version >= ledger.restorable => Operation::Restore(version),
            Plot::Want(setting) => {
                self.choice.turn(setting);
                Operation::Want(setting)
            }
            Plot::RankOtherwise => {
                self.plot = self.ranked_otherwise(state)?;
                let first = self.plot.pop()?;
                return self.plotted(first, ledger);
            }
            Plot::Sync => Operation::Sync(Request::Sync),
            Plot::Touch(_) | Plot::DropColumn(_) | Plot::Restore(_) => return None,
        })
    }

    /// Begins something that goes on, of what is worth it for this job.
    pub(super) fn begin_plot(&mut self, ledger: &Ledger) -> Option<Operation> {
        if !self.random.random_bool(0.1) {
            return None;
        }
        let state = ledger.now();
        let mut plots: Vec<Vec<Plot>> = Vec::new();
        plots.extend(self.undone(ledger));
        plots.extend(self.told_twice(state));
        plots.extend(self.unkeyed_for_a_while(state));
        plots.extend(self.wanted_again());
        plots.extend(self.columns_that_rank(state));
        plots.extend(self.keys_in_runs());
        self.plot = plots.choose(&mut self.random)?.clone();
        let first = self.plot.pop()?;
        self.plotted(first, ledger)
    }

    /// What was seen to change is as it was before.
    fn undone(&mut self, ledger: &Ledger) -> Option<Vec<Plot>> {
        let id = *ledger.now().ids().choose(&mut self.random)?;
        let restore = Plot::Restore(ledger.head());
        self.is_mapped
            .then(|| vec![Plot::Sync, restore, Plot::Sync, Plot::Touch(id)])
    }

    /// A key that changed has a second row for a while, which nobody is to take for the first.
    fn told_twice(&mut self, state: &State) -> Option<Vec<Plot>> {
        let id = *state.ids().choose(&mut self.random)?;
        let (one, other) = (self.row(state, id), self.row(state, id));
        let fits = state.has_feed && !self.choice.appends && !self.choice.keys.settles;
        let first = Plot::Another(Row {
            id: Some(1_000 + id),
            ..one
        });
        let second = Plot::Another(Row {
            id: Some(1_000 + id),
            ..other
        });
        fits.then(|| vec![Plot::Sync, Plot::Newest, second, first])
    }

    /// A row without a key comes and goes.
    fn unkeyed_for_a_while(&mut self, state: &State) -> Option<Vec<Plot>> {
        let row = Row {
            id: None,
            ..self.row(state, 0)
        };
        let fits = self.choice.keys.keeps_null && state.has_feed && !self.choice.appends;
        fits.then(|| vec![Plot::Sync, Plot::Newest, Plot::Another(row)])
    }

    /// What the job did without it wants from now on.
    fn wanted_again(&mut self) -> Option<Vec<Plot>> {
        let synced = |setting| vec![Plot::Sync, Plot::Want(setting), Plot::Sync];
        match &self.choice {
            choice if choice.lists => None,
            choice if choice.ignores => {
                let mut plot = synced(Setting::Ignores);
                plot.extend([Plot::Insert, Plot::AddColumn]);
                Some(plot)
            }
            choice => choice.excludes.then(|| synced(Setting::Excludes)),
        }
    }

    /// More keys get rows at once than are looked up one by one, of which many have one in a file that
    /// has only later keys.
    fn keys_in_runs(&mut self) -> Option<Vec<Plot>> {
        let fits = self.choice.keys.settles && self.choice.is_crowded;
        let runs = [10, 120, 90].map(Plot::Run);
        let [lower, upper, there] = runs;
        fits.then(|| vec![Plot::Sync, lower, upper, Plot::Sync, there])
    }

    /// There are two columns that not all tables have, which may tell rows of a key apart.
    fn columns_that_rank(&self, state: &State) -> Option<Vec<Plot>> {
        let fits = self.is_mapped && self.choice.keys.settles;
        let missing = 2_usize.saturating_sub(extras(state).count());
        let mut plot = vec![Plot::RankOtherwise];
        plot.extend(vec![Plot::AddColumn; missing]);
        fits.then_some(plot)
    }

    /// The column goes that told which of two rows of a key is greater, and the next one tells
    /// otherwise.
    fn ranked_otherwise(&mut self, state: &State) -> Option<Vec<Plot>> {
        let mut extras = extras(state);
        let (first, second) = (extras.next()?.clone(), extras.next()?.clone());
        let mut cells = [&first, &second].map(|column| {
            let mut cells = [(); 2].map(|()| self.cell(column.of));
            cells.sort();
            cells
        });
        cells[1].reverse();
        let id = 1_000 + self.random.random_range(0..100);
        let base = self.row(state, id);
        let [less, greater] = [0, 1].map(|place| {
            let mut row = base.clone();
            for (column, cells) in [&first, &second].into_iter().zip(&cells) {
                match &cells[place] {
                    Some(cell) => row.cells.insert(column.identity, cell.clone()),
                    None => row.cells.remove(&column.identity),
                };
            }
            Plot::Another(row)
        });
        let gone = Plot::DropColumn(first.identity);
        Some(vec![Plot::Sync, gone, Plot::Sync, greater, less])
    }
}
