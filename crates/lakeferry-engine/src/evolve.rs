//! What it means for a target that its source has other columns, decided purely.
//!
//! A column is the same one as long as its identity is the same, whatever it is called. Those that
//! the target was made from are held against those that the source has now:
//!
//! | the source | the target | rows that did not change | in a source's terms |
//! |---|---|---|---|
//! | has a new column | gets it, NULL in all rows | are right | ADD COLUMN |
//! | has one that was left out until now, or that it had before | gets it | differ: rebuild | RESTORE |
//! | calls one otherwise | calls it so too | are right | RENAME COLUMN |
//! | has a wider type | takes its values | are right, but for more digits after the point, a filter, or a key that is written otherwise: rebuild | type widening |
//! | has any other type | is left as it is | differ: rebuild | overwriteSchema |
//! | has no such column any more | keeps it, detached; or drops it | are right | DROP COLUMN |
//! | has one again that was detached | has it still | differ: rebuild | RESTORE |
//! | has another one of that name | keeps the old one under a name that tells, gets the new one | differ: rebuild | DROP and ADD |
//! | has them in another order, or takes NULL | is left as it is | are right | |
//! | has no column with the identity that one of the key had, or is another table | takes columns of one name for the same | differ: rebuild | REPLACE TABLE |
//! | calls a column as it called another one | as said above | with a filter: rebuild, for it knows columns by their names | |
//!
//! The columns that a target writes by itself come as soon as the job asks for them, NULL in rows that
//! are not written after, and are detached when it does not any more.
//!
//! Where rows of one key are told apart by all columns (`dedupe_by`), other columns or another order of
//! them may tell otherwise: a rebuild.
//!
//! A job that lists its columns wants them: such a column is new to the target, but need not be to
//! the source, so it is a rebuild.

use std::collections::HashSet;

use arrow_schema::{
    DataType, Field, FieldRef, Schema, TimeUnit, extension::EXTENSION_TYPE_NAME_KEY,
};
use lakeferry_model::{
    Alteration, COLUMN_IDENTITY, COLUMN_NUMBER, COLUMNS_MADE, ColumnRole, Fingerprint, OwnColumns,
    TargetColumn, asked_type, source_name,
};

use crate::job::{DropColumns, OnSchemaChange, Policy, Request};

#[cfg(test)]
mod tests;

/// The longest name that Postgres keeps whole.
const MAX_NAME_BYTES: usize = 63;

/// What a target has to become, and what that takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evolution {
    /// In the order in which they have to be done.
    pub alterations: Vec<Alteration>,
    /// What the target is made from afterwards: what the source has, in its order, then what it had.
    pub columns: Vec<TargetColumn>,
    /// The key that the target was made with, as it is called now.
    pub key: Vec<String>,
    /// Whether rows that did not change may have other values now.
    pub rebuilds: bool,
    /// What the job's policy does not follow, in words.
    pub refused: Vec<String>,
}

/// Begins the identity of a column that was there before its table was written anew: another one may
/// have the rest of it now.
const OF_BEFORE: &str = "before: ";

/// A column of the source as it is now.
struct Now<'a> {
    field: &'a FieldRef,
    column: TargetColumn,
}

/// What a job does about a difference.
#[derive(Clone, Copy)]
struct Rules {
    /// Whether new columns are left out.
    leaves_out: bool,
    /// Whether those that were stay so.
    keeps_out: bool,
    /// Whether a column that is new or back waits for an operator.
    halts: bool,
    /// Whether one that is gone does.
    halts_when_gone: bool,
    /// What becomes of one that is gone.
    gone: DropColumns,
    /// Whether anything else does.
    halts_otherwise: bool,
    /// Whether the columns are the job's choice, and not all that the source has.
    chooses: bool,
    is_filtered: bool,
}

impl Rules {
    fn of(policy: &Policy, request: Request) -> Self {
        let on = match request {
            Request::RefreshSchema => OnSchemaChange::Evolve,
            _ => policy.on_schema_change,
        };
        // Whoever asked for a rebuild has decided.
        let may_halt = !matches!(request, Request::Backfill | Request::RefreshSchema);
        let halts = on == OnSchemaChange::Halt && may_halt;
        let gone = policy.drop_columns;
        Self {
            leaves_out: on == OnSchemaChange::Ignore && !policy.lists_columns,
            keeps_out: on != OnSchemaChange::Evolve && !policy.lists_columns,
            halts,
            halts_when_gone: halts || (gone == DropColumns::Halt && may_halt),
            gone,
            halts_otherwise: on != OnSchemaChange::Evolve && may_halt,
            chooses: policy.lists_columns,
            is_filtered: policy.filter.is_some(),
        }
    }
}

/// What a target is made from that has all columns of `source`, and its `own`.
pub(crate) fn made_from(source: &Schema, own: OwnColumns) -> Vec<TargetColumn> {
    let synced = source.fields().iter().map(|field| synced(field));
    let own = own.fields();
    synced.chain(own.iter().map(|field| owned(field))).collect()
}

/// What the column of this name is known by; its name where there is none.
pub(crate) fn identity(source: &Schema, name: &str) -> String {
    let field = source.field_with_name(name);
    field.map_or_else(|_| name.to_owned(), |field| synced(field).identity)
}

/// A column that the target writes by itself.
fn owned(field: &Field) -> TargetColumn {
    TargetColumn {
        name: field.name().clone(),
        identity: format!("({})", field.name()),
        of: field.data_type().to_string(),
        role: ColumnRole::Own,
    }
}

/// Whether the target writes this column by itself, or did: no column of a source has an identity in
/// brackets.
fn is_own(column: &TargetColumn) -> bool {
    column.identity.starts_with('(')
}

/// The greatest number that a column of `source` ever had.
pub(crate) fn columns_made(source: &Schema) -> u64 {
    let made = source.metadata().get(COLUMNS_MADE);
    made.and_then(|made| made.parse().ok()).unwrap_or(0)
}

fn synced(field: &Field) -> TargetColumn {
    let name = field.name();
    // The names of inner fields follow in brackets, which a name in storage does not have.
    let (identity, inner) = match field.metadata().get(COLUMN_IDENTITY) {
        Some(all) => all.split_at(all.find('(').unwrap_or(all.len())),
        None => (source_name(field), ""),
    };
    let extension = field.metadata().get(EXTENSION_TYPE_NAME_KEY);
    let extension = extension.map(|name| format!(" as {name}"));
    TargetColumn {
        name: name.clone(),
        identity: identity.to_owned(),
        of: format!(
            "{}{}{inner}",
            field.data_type(),
            extension.unwrap_or_default()
        ),
        role: ColumnRole::Synced,
    }
}

/// What a target that was made under `had` has to become for the columns of `source`.
pub fn evolve(had: &Fingerprint, source: &Schema, policy: &Policy, request: Request) -> Evolution {
    held_against(had, source, policy, (request, false))
}

/// As [`evolve`], where `source` is of another table: what is the same there says nothing here.
pub(crate) fn evolve_replaced(
    had: &Fingerprint,
    source: &Schema,
    policy: &Policy,
    request: Request,
) -> Evolution {
    held_against(had, source, policy, (request, true))
}

fn held_against(
    had: &Fingerprint,
    source: &Schema,
    policy: &Policy,
    (request, is_another): (Request, bool),
) -> Evolution {
    if had.columns.is_empty() {
        // An earlier build did not keep them.
        return Evolution {
            columns: made_from(source, policy.own),
            key: had.key.clone(),
            alterations: (policy.own.fields().into_iter())
                .map(Alteration::Add)
                .collect(),
            ..Evolution::default()
        };
    }
    let now: Vec<Now<'_>> = source
        .fields()
        .iter()
        .map(|field| Now {
            field,
            column: synced(field),
        })
        .collect();
    let mut known = had.columns.clone();
    let anew = is_another || is_written_anew(&had.key, &known, &now);
    if anew {
        // What is the target's own does not come and go with a table.
        for column in known.iter_mut().filter(|column| !is_own(column)) {
            let same = now.iter().find(|now| now.column.name == column.name);
            match same {
                Some(same) => column.identity.clone_from(&same.column.identity),
                None if column.identity.starts_with(OF_BEFORE) => {}
                None => column.identity.insert_str(0, OF_BEFORE),
            }
        }
    }
    let mut evolution = Differences {
        rules: Rules::of(policy, request),
        evolution: Evolution {
            rebuilds: anew,
            ..Evolution::default()
        },
        key: &had.key,
        made: had.columns_made,
        renames: Vec::new(),
        last: Vec::new(),
    }
    .settle(&known, (&now, policy.own));
    let ranks = |columns: &[TargetColumn]| {
        let synced = columns.iter();
        let synced = synced.filter(|column| column.role == ColumnRole::Synced);
        let ranks = synced.map(|column| column.identity.clone());
        ranks.collect::<Vec<_>>()
    };
    evolution.rebuilds |= policy.dedupe_by.is_some() && ranks(&known) != ranks(&evolution.columns);
    evolution
}

/// Whether the columns are no longer those that they were, whatever their names say: a column of
/// the key cannot be made anew without the rows.
fn is_written_anew(key: &[String], known: &[TargetColumn], now: &[Now<'_>]) -> bool {
    let is_there =
        |column: &TargetColumn| now.iter().any(|now| now.column.identity == column.identity);
    let has_name = |name: &String| now.iter().any(|now| now.column.name == *name);
    let synced = known
        .iter()
        .filter(|column| column.role == ColumnRole::Synced);
    let of_key = |column: &&TargetColumn| key.contains(&column.name);
    let key_made_anew = synced
        .clone()
        .filter(of_key)
        .any(|column| !is_there(column) && has_name(&column.name));
    key_made_anew || !synced.clone().any(is_there)
}

/// Differences as they are gathered.
struct Differences<'a> {
    rules: Rules,
    evolution: Evolution,
    /// As its columns were called.
    key: &'a [String],
    /// Columns that have no greater number were made before.
    made: u64,
    renames: Vec<(String, String)>,
    /// What needs the names that the renames give.
    last: Vec<Alteration>,
}

impl Differences<'_> {
    fn settle(mut self, known: &[TargetColumn], (now, own): (&[Now<'_>], OwnColumns)) -> Evolution {
        let mut columns = Vec::new();
        for column in now {
            self.evolution.rebuilds |= self.rules.is_filtered && has_name_of_another(known, column);
            let was = known
                .iter()
                .find(|known| known.identity == column.column.identity);
            columns.push(match was {
                None => self.new_column(column),
                Some(was) => self.known_column(was, column),
            });
        }
        let own: Vec<TargetColumn> = (own.fields().into_iter())
            .map(|field| self.own_column(known, now, field))
            .collect();
        columns.extend(own);
        let mut gone = self.gone(known, &columns);
        self.evade(&mut gone, &columns, known);
        self.rename(known);
        columns.extend(gone);
        let called_now = |name: &String| {
            let was = known
                .iter()
                .find(|known| known.role == ColumnRole::Synced && known.name == *name);
            let is = was.and_then(|was| columns.iter().find(|now| now.identity == was.identity));
            is.map_or(name, |is| &is.name).clone()
        };
        let mut evolution = self.evolution;
        evolution.key = self.key.iter().map(called_now).collect();
        evolution.alterations.append(&mut self.last);
        evolution.columns = columns;
        evolution
    }

    fn refuse_if(&mut self, halts: bool, what: String) {
        if halts {
            self.evolution.refused.push(what);
        }
    }

    fn new_column(&mut self, now: &Now<'_>) -> TargetColumn {
        if self.rules.leaves_out {
            return left_out(now);
        }
        let number = now.field.metadata().get(COLUMN_NUMBER);
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        let was_there = number.is_some_and(|number| number <= self.made);
        self.evolution.rebuilds |= self.rules.chooses || was_there;
        // What a job lists it wants.
        let halts = self.rules.halts && !self.rules.chooses;
        self.refuse_if(halts, format!("column {} is new", now.column.name));
        self.last.push(Alteration::Add(now.field.clone()));
        now.column.clone()
    }

    fn own_column(
        &mut self,
        known: &[TargetColumn],
        now: &[Now<'_>],
        field: FieldRef,
    ) -> TargetColumn {
        let column = owned(&field);
        let is_taken = now.iter().any(|now| now.column.name == column.name);
        let what = format!("column {} is one that the job writes itself", column.name);
        self.refuse_if(is_taken, what);
        match known.iter().find(|known| known.identity == column.identity) {
            None => self.last.push(Alteration::Add(field)),
            Some(was) if was.name != column.name => {
                self.renames.push((was.name.clone(), column.name.clone()));
            }
            Some(_) => {}
        }
        column
    }

    fn known_column(&mut self, was: &TargetColumn, now: &Now<'_>) -> TargetColumn {
        let (name, before) = (&now.column.name, &was.name);
        match was.role {
            ColumnRole::LeftOut if self.rules.keeps_out => {
                self.evolution.rebuilds |= self.rules.is_filtered && was.of != now.column.of;
                return left_out(now);
            }
            ColumnRole::LeftOut => {
                self.evolution.rebuilds = true;
                self.last.push(Alteration::Add(now.field.clone()));
                return now.column.clone();
            }
            ColumnRole::Detached => {
                self.evolution.rebuilds = true;
                self.refuse_if(self.rules.halts, format!("column {name} is back"));
            }
            ColumnRole::Synced if before != name => {
                let what = format!("column {before} is called {name} now");
                self.refuse_if(self.rules.halts_otherwise, what);
            }
            ColumnRole::Synced | ColumnRole::Own => {}
        }
        if before != name {
            self.renames.push((before.clone(), name.clone()));
        }
        if was.of != now.column.of {
            self.retype(was, now);
        }
        now.column.clone()
    }

    fn retype(&mut self, was: &TargetColumn, now: &Now<'_>) {
        let name = &now.column.name;
        let what = format!("column {name} was {} and is {} now", was.of, now.column.of);
        self.refuse_if(self.rules.halts_otherwise, what);
        match widening(&was.of, now.field.data_type()) {
            Some(widening) => {
                // A type that was asked for stays.
                if asked_type(now.field).is_none() {
                    self.last.push(Alteration::Widen(now.field.clone()));
                }
                // What a predicate says of a value may depend on its type, and rows in quarantine
                // are known by their keys as they are written.
                self.evolution.rebuilds |= self.rules.is_filtered
                    || match widening {
                        Widening::Plain => false,
                        Widening::OtherText => self.key.contains(&was.name),
                        Widening::OtherScale => true,
                    };
            }
            None => self.evolution.rebuilds = true,
        }
    }

    /// What the source does not have any more. It may have it again, with all values.
    fn gone(&mut self, known: &[TargetColumn], now: &[TargetColumn]) -> Vec<TargetColumn> {
        let is_gone = |known: &&TargetColumn| !now.iter().any(|now| now.identity == known.identity);
        let mut gone = Vec::new();
        for column in known.iter().filter(is_gone) {
            let mut column = column.clone();
            // It takes NULL as it is.
            if column.role == ColumnRole::Own {
                column.role = ColumnRole::Detached;
            }
            if column.role == ColumnRole::Synced {
                let name = column.name.clone();
                let what = format!("column {name} is gone");
                self.refuse_if(self.rules.halts_when_gone, what);
                // What a filter finds under that name is another column now.
                self.evolution.rebuilds |= now.iter().any(|now| now.name == name);
                let clear = Alteration::Clear(name.clone());
                let (alteration, role) = match self.rules.gone {
                    DropColumns::Drop => (Alteration::Drop(name), ColumnRole::LeftOut),
                    _ => (Alteration::Detach(name), ColumnRole::Detached),
                };
                self.evolution.alterations.push(alteration);
                if self.rules.gone == DropColumns::Null {
                    self.evolution.alterations.push(clear);
                }
                column.role = role;
            }
            gone.push(column);
        }
        gone
    }

    /// Gives other names to detached columns whose name is wanted.
    fn evade(
        &mut self,
        gone: &mut [TargetColumn],
        columns: &[TargetColumn],
        known: &[TargetColumn],
    ) {
        let names = |columns: &[TargetColumn]| -> HashSet<String> {
            let in_target = columns
                .iter()
                .filter(|column| column.role != ColumnRole::LeftOut);
            in_target.map(|column| column.name.clone()).collect()
        };
        let wanted = names(columns);
        let mut taken: HashSet<String> = &wanted | &names(known);
        let detached = gone
            .iter_mut()
            .filter(|column| column.role == ColumnRole::Detached);
        for column in detached {
            if wanted.contains(&column.name) {
                let to = free_name(&column.name, "detached", &taken);
                taken.insert(to.clone());
                let from = std::mem::replace(&mut column.name, to.clone());
                self.evolution
                    .alterations
                    .push(Alteration::Rename { from, to });
            }
        }
    }

    /// Orders the renames so that no name is given while another column has it.
    fn rename(&mut self, known: &[TargetColumn]) {
        let mut taken: HashSet<String> = known.iter().map(|column| column.name.clone()).collect();
        taken.extend(self.renames.iter().map(|(_, to)| to.clone()));
        while !self.renames.is_empty() {
            let is_free = |to: &String| !self.renames.iter().any(|(from, _)| from == to);
            let free = self.renames.iter().position(|(_, to)| is_free(to));
            let (from, to) = match free {
                Some(place) => self.renames.remove(place),
                // They go round in a circle.
                None => {
                    let (from, last) = &mut self.renames[0];
                    let between = free_name(last, "renamed", &taken);
                    taken.insert(between.clone());
                    (std::mem::replace(from, between.clone()), between)
                }
            };
            self.evolution
                .alterations
                .push(Alteration::Rename { from, to });
        }
    }
}

/// Whether a filter finds `now` under a name under which it found another column, synced or not. What
/// the source had stands before what it had earlier.
fn has_name_of_another(known: &[TargetColumn], now: &Now<'_>) -> bool {
    let had_name = known.iter().find(|known| known.name == now.column.name);
    had_name.is_some_and(|known| known.identity != now.column.identity)
}

fn left_out(now: &Now<'_>) -> TargetColumn {
    TargetColumn {
        role: ColumnRole::LeftOut,
        ..now.column.clone()
    }
}

/// `name__detached_1`, or with the first number that is free; the name is cut where the whole would
/// be too long.
fn free_name(name: &str, why: &str, taken: &HashSet<String>) -> String {
    let numbered = |number: u32| {
        let end = format!("__{why}_{number}");
        let cut = name.floor_char_boundary(MAX_NAME_BYTES - end.len());
        format!("{}{end}", &name[..cut])
    };
    let mut names = (1..).map(numbered);
    names
        .find(|name| !taken.contains(name))
        .expect("more numbers than columns")
}

/// How a type holds all values of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Widening {
    Plain,
    /// With the same values, which are written otherwise: `1` as `1.0`.
    OtherText,
    /// With another number of digits after the point, which shows where a target keeps them.
    OtherScale,
}

/// Whether `new` holds all values of the type that is `old` in words (Delta protocol, "Type
/// Widening").
fn widening(old: &str, new: &DataType) -> Option<Widening> {
    use DataType as T;
    let old: DataType = old.parse().ok()?;
    // The digits before the point that whole numbers of the type have at most.
    let digits = |of: &DataType| match of {
        T::Int8 => Some(3_i32),
        T::Int16 => Some(5),
        T::Int32 => Some(10),
        T::Int64 => Some(19),
        _ => None,
    };
    match (&old, new) {
        (T::Int8, T::Int16 | T::Int32 | T::Int64)
        | (T::Int16, T::Int32 | T::Int64)
        | (T::Int32, T::Int64) => Some(Widening::Plain),
        (T::Int8 | T::Int16 | T::Int32 | T::Float32, T::Float64)
        | (T::Date32, T::Timestamp(TimeUnit::Microsecond, None)) => Some(Widening::OtherText),
        (T::Decimal128(had, had_scale), T::Decimal128(has, scale)) => {
            let room = |precision: u8, scale: i8| i32::from(precision) - i32::from(scale);
            let holds = room(*has, *scale) >= room(*had, *had_scale) && scale >= had_scale;
            holds.then_some(match scale == had_scale {
                true => Widening::Plain,
                false => Widening::OtherScale,
            })
        }
        (whole, T::Decimal128(precision, scale)) => {
            let holds = i32::from(*precision) - i32::from(*scale) >= digits(whole)?;
            holds.then_some(match scale {
                0 => Widening::Plain,
                _ => Widening::OtherScale,
            })
        }
        _ => None,
    }
}
