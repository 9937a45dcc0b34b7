//! Which columns a job has and what they are called. Names are the source's, compared as Delta does,
//! without regard to case; what is in the source is not known here.

use lakeferry_model::{COLUMN_TYPES, ColumnChoice, ColumnType, Naming, NoColumnType};

use crate::{
    field::{Field, Written},
    identifier::{check_identifier, check_name},
    problem::{Fault, Report},
    raw::RawColumns,
    secret::shown,
    suggest,
};

/// The most columns that a table of Postgres can have.
const TABLE_COLUMNS: usize = 1_600;

/// What `columns` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    include: Option<Vec<String>>,
    exclude: Vec<String>,
    rename: Vec<(String, String)>,
}

impl Columns {
    /// What is wrong is reported where it stands.
    pub(super) fn check(raw: Field<RawColumns>, report: &mut Report) -> Field<Self> {
        let (raw, place) = match raw {
            Field::Absent => return Field::Absent,
            Field::Faulty => return Field::Faulty,
            Field::Given(Written { value, place }) => (value, place),
        };
        let include = check_list(raw.include, TABLE_COLUMNS, "columns", report);
        let exclude = check_list(raw.exclude, usize::MAX, "exclude", report);
        if let (Field::Given(_), Field::Given(exclude)) = (&include, &exclude) {
            let what = "`columns` has both `include` and `exclude`";
            report.add(&exclude.place, Fault::new(what, "keep one of them"));
            return Field::Faulty;
        }
        let rename = check_rename(raw.rename, report);
        let checked = (|| {
            Some(Self {
                include: include.optional()?.map(texts),
                exclude: exclude.optional()?.map(texts).unwrap_or_default(),
                rename: rename.optional()?.unwrap_or_default(),
            })
        })();
        let Some(value) = checked else {
            return Field::Faulty;
        };
        let is_lost = |(from, _): &&(String, String)| value.lacks(from) || value.excludes(from);
        if let Some((from, _)) = value.rename.iter().find(is_lost) {
            let what = format!("`columns` renames column {} and leaves it out", shown(from));
            report.add(&place, Fault::new(what, "do one of the two"));
            return Field::Faulty;
        }
        Field::Given(Written { value, place })
    }

    /// Whether others are listed, and `column` is not.
    pub(super) fn lacks(&self, column: &str) -> bool {
        let listed = self.include.as_ref();
        listed.is_some_and(|listed| !has(listed, column))
    }

    /// Whether `column` is left out by name.
    pub(super) fn excludes(&self, column: &str) -> bool {
        has(&self.exclude, column)
    }

    /// With `naming` for what is not renamed, and the types that are asked for.
    pub(super) fn named(self, naming: Naming, types: Vec<(String, ColumnType)>) -> ColumnChoice {
        ColumnChoice {
            listed: self.include,
            excluded: self.exclude,
            renamed: self.rename,
            naming,
            types,
        }
    }
}

fn has(columns: &[String], column: &str) -> bool {
    columns.iter().any(|other| same_column(other, column))
}

/// A mapping from names of the source to names of the target; each wrong one is reported where it
/// stands.
fn check_rename(
    raw: Field<Vec<(Written<String>, Written<String>)>>,
    report: &mut Report,
) -> Field<Vec<(String, String)>> {
    let mut faulty = false;
    if let Field::Given(pairs) = &raw {
        for (index, (from, to)) in pairs.value.iter().enumerate() {
            let mut before = pairs.value.iter().take(index);
            let checked = check_name(&from.value).and_then(|()| check_identifier(&to.value));
            let checked = checked.and_then(|()| {
                let (other, _) = match before.find(|(other, name)| {
                    same_column(&other.value, &from.value) || name.value == to.value
                }) {
                    None => return Ok(()),
                    Some(other) => other,
                };
                let [from, other, to] = [from, other, to].map(|name| shown(&name.value));
                let what = match same_column(&from, &other) {
                    true => format!("`rename` has column {from} twice"),
                    false => format!("`rename` calls both {other} and {from} {to}"),
                };
                Err(Fault::new(
                    what,
                    "give each column one name, and each its own",
                ))
            });
            if let Err(fault) = checked {
                report.add(&to.place, fault);
                faulty = true;
            }
        }
    }
    if faulty {
        return Field::Faulty;
    }
    let plain = |(from, to): (Written<String>, Written<String>)| (from.value, to.value);
    raw.check(report, |pairs| Ok(pairs.into_iter().map(plain).collect()))
}

/// A mapping from names of the source to types of the target; each wrong one is reported where it
/// stands.
pub(super) fn check_types(
    raw: Field<Vec<(Written<String>, Written<String>)>>,
    columns: &Field<Columns>,
    report: &mut Report,
) -> Option<Vec<(String, ColumnType)>> {
    let mut types: Vec<(String, ColumnType)> = Vec::new();
    let mut faulty = false;
    for (column, asked) in raw.optional()?.unwrap_or_default() {
        let name = &column.value;
        let is_lost = matches!(columns, Field::Given(columns)
            if columns.value.lacks(name) || columns.value.excludes(name));
        let is_twice = types.iter().any(|(other, _)| same_column(other, name));
        let fault = if is_lost {
            let what = format!("`types` has column {}, which is not synced", shown(name));
            Some(Fault::new(what, "remove it, or sync the column"))
        } else if is_twice {
            let what = format!("`types` has column {} twice", shown(name));
            Some(Fault::new(what, "case makes no difference"))
        } else {
            check_name(name).err()
        };
        match (fault, parse_type(&asked.value)) {
            (None, Ok(asked)) => types.push((column.value, asked)),
            (Some(fault), _) => {
                report.add(&column.place, fault);
                faulty = true;
            }
            (None, Err(fault)) => {
                report.add(&asked.place, fault);
                faulty = true;
            }
        }
    }
    (!faulty).then_some(types)
}

fn parse_type(text: &str) -> Result<ColumnType, Fault> {
    text.parse().map_err(|wrong| {
        let asked = shown(text);
        match wrong {
            NoColumnType::Unknown => {
                let what = format!("{asked} is not a type that a column can be given");
                let known = COLUMN_TYPES.map(|(_, written)| written);
                Fault::new(what, suggest::hint(text, known, "write one of"))
            }
            NoColumnType::Padded => {
                let what = format!("{asked} would make texts equal that differ in blanks");
                Fault::new(what, "write varchar(n)")
            }
            NoColumnType::OutOfRange => {
                let what = format!("{asked} has no length or digits that a column can be given");
                let hint = "write varchar(n) with n from 1 to 10485760, numeric(p,s) with p from 1 \
                    to 38 and s up to p, or text";
                Fault::new(what, hint)
            }
        }
    })
}

/// A list of columns; each wrong one is reported where it stands.
pub(super) fn check_list(
    raw: Field<Vec<Written<String>>>,
    most: usize,
    option: &str,
    report: &mut Report,
) -> Field<Vec<Written<String>>> {
    let mut faulty = false;
    let checked = raw.check(report, |columns| match columns.len() {
        0 => Err(Fault::new(
            format!("`{option}` is empty"),
            "name at least one column",
        )),
        count if count > most => {
            let what = format!("`{option}` has {count} columns");
            Err(Fault::new(what, format!("Postgres allows {most}")))
        }
        _ => Ok(columns),
    });
    if let Field::Given(columns) = &checked {
        for (index, column) in columns.value.iter().enumerate() {
            let before = columns.value.iter().take(index);
            if let Err(fault) = check_column(&column.value, before, option) {
                report.add(&column.place, fault);
                faulty = true;
            }
        }
    }
    if faulty { Field::Faulty } else { checked }
}

fn check_column<'a>(
    column: &str,
    mut before: impl Iterator<Item = &'a Written<String>>,
    option: &str,
) -> Result<(), Fault> {
    check_name(column)?;
    if before.any(|other| same_column(&other.value, column)) {
        let what = format!("column {} is in `{option}` twice", shown(column));
        return Err(Fault::new(
            what,
            "name each column once; case makes no difference",
        ));
    }
    Ok(())
}

/// Whether two names are of the same column of a source.
fn same_column(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

pub(super) fn texts(columns: Vec<Written<String>>) -> Vec<String> {
    columns.into_iter().map(|column| column.value).collect()
}
