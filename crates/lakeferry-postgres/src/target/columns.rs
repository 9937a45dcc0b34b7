//! The synced columns of a target and the SQL that names them. Only they ever stand in a column
//! list; columns that users added are left alone.

use std::collections::HashSet;

use arrow_array::{Array, RecordBatch, new_null_array};
use arrow_schema::{Field, Schema};
use lakeferry_model::{WIDENS, source_name};

use crate::{
    encode::{Conversion, Encoder, Fault, refusal},
    error::Error,
    sql::{Sql, Table},
    target::{
        compatibility::Fit,
        settings::{MAX_NAME_BYTES, check_name},
    },
    type_map::{Asked, PgType, asked},
};

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// What the source calls it.
    source: String,
    pub(super) postgres: PgType,
    /// What it would be if it were of no other type for the job asks for that, or for it is to become
    /// none when the source's gets wider.
    usual: Option<PgType>,
    /// Whether the latter alone is why. A target that has the usual type is as good.
    is_ahead: bool,
    /// The schema of a type that is an extension's, where it was looked for.
    pub(super) type_schema: Option<String>,
    /// As the target's column has it, where it is not the one of the type.
    pub(super) collation: Option<Table>,
    /// How its values become those of the target's column.
    pub(super) fit: Fit,
    pub(super) is_key: bool,
}

/// The columns of a stage, in the order in which rows come.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    all: Vec<Column>,
    /// Places of the key columns in `all`, in the order of the key.
    key: Vec<usize>,
}

impl Columns {
    /// # Errors
    /// [`Error::NeedsOperator`] if a name or type cannot be had in Postgres, names come twice, or
    /// a key column is missing.
    pub(super) fn new(schema: &Schema, key: &[String]) -> Result<Self, Error> {
        let mut seen = HashSet::new();
        let mut all = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            check_column_name(field.name())?;
            if !seen.insert(field.name()) {
                return Err(twice(field.name()));
            }
            let (usual, is_key) = (PgType::of(field)?, key.contains(field.name()));
            let asked = asked(field, usual, is_key)?;
            let ahead = field.metadata().get(WIDENS).and_then(|_| usual.widest());
            let other = asked.or(ahead);
            all.push(Column {
                name: field.name().clone(),
                source: source_name(field).to_owned(),
                postgres: other.unwrap_or(usual),
                usual: other.map(|_| usual),
                is_ahead: asked.is_none() && ahead.is_some(),
                type_schema: None,
                collation: None,
                fit: Fit::default(),
                is_key,
            });
        }
        let place = |name: &String| all.iter().position(|column| column.name == *name);
        let key: Vec<usize> = key
            .iter()
            .map(|name| place(name).ok_or_else(|| not_there(name)))
            .collect::<Result<_, _>>()?;
        if let Some(column) = key
            .iter()
            .map(|place| &all[*place])
            .find(|column| !column.postgres.fits_key())
        {
            return Err(no_key(column));
        }
        Ok(Self { all, key })
    }

    /// What writes rows of these columns, as the target has them.
    pub(super) fn encoder(&self) -> Result<Encoder, Error> {
        let columns = self
            .iter()
            .map(|column| (column.name.clone(), column.postgres, column.conversion()));
        Encoder::of(columns.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Column> + Clone {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.all.iter_mut()
    }

    pub(super) fn key(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|place| &self.all[*place])
    }

    /// Texts that the target's column takes only up to so many characters.
    pub(super) fn limited(&self) -> impl Iterator<Item = (&Column, u32)> {
        self.iter()
            .filter_map(|column| Some((column, column.fit.max_characters?)))
    }

    /// Whether all are collated as in `others`, which are the same columns.
    pub(super) fn are_collated_as(&self, others: &Self) -> bool {
        let mut pairs = self.iter().zip(others.iter());
        pairs.all(|(left, right)| left.collation == right.collation)
    }

    /// The key in words: `(a, b)`.
    pub(super) fn key_in_words(&self) -> String {
        let names: Vec<&str> = self.key().map(|column| column.name.as_str()).collect();
        format!("({})", names.join(", "))
    }

    /// `"a", "b"`
    pub(super) fn names(&self) -> Sql {
        Sql::list(", ", self.iter().map(|column| Sql::name(&column.name)))
    }

    /// `s."a", s."b"::bigint`: staged values as the target's columns take them.
    pub(super) fn staged(&self, staged: &'static str) -> Sql {
        Sql::list(", ", self.iter().map(|column| column.staged(staged)))
    }

    /// `t."a", t."b"::text`: the target's values in the types of [`Columns::staged`].
    pub(super) fn compared(&self, target: &'static str) -> Sql {
        Sql::list(", ", self.iter().map(|column| column.compared(target)))
    }

    /// `s."a", s."b"::text`: staged values in the types of [`Column::read_as`].
    pub(super) fn read_back(&self, staged: &'static str) -> Sql {
        let each = self
            .iter()
            .map(|column| match column.postgres == column.read_as() {
                true => column.of(staged),
                false => Sql::of("{}::{}", &[&column.of(staged), &column.read_as().sql()]),
            });
        Sql::list(", ", each)
    }

    /// The name of the column at `place`.
    pub(super) fn name_at(&self, place: usize) -> &str {
        self.all.get(place).map_or("?", |column| &column.name)
    }

    /// Says that a column holds a value that Postgres cannot.
    pub(super) fn refusal(&self, fault: &Fault) -> Error {
        let column = self.all.get(fault.column).map(Column::in_words);
        refusal(&column.unwrap_or_default(), &fault.what)
    }

    /// Where the key columns stand, in the order of the key.
    pub(super) fn key_places(&self) -> &[usize] {
        &self.key
    }

    /// Whether a key tells the rows apart.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// The key columns as in [`Columns::names`].
    pub(super) fn key_names(&self) -> Sql {
        Sql::list(", ", self.key().map(|column| Sql::name(&column.name)))
    }

    /// `t."a", t."b"`, of the key columns.
    pub(super) fn key_of(&self, alias: &'static str) -> Sql {
        Sql::list(", ", self.key().map(|column| column.of(alias)))
    }

    /// `t."a"::text, t."b"::text`, of the key columns.
    pub(super) fn key_as_text(&self, alias: &'static str) -> Sql {
        let text = |column: &Column| Sql::of("{}::text", &[&column.of(alias)]);
        Sql::list(", ", self.key().map(text))
    }

    /// `t."a" = s."a" AND t."b" = s."b"`, of the key columns.
    pub(super) fn same_key(&self, target: &'static str, staged: &'static str) -> Sql {
        let same = self
            .key()
            .map(|column| Sql::of("{} = {}", &[&column.of(target), &column.staged(staged)]));
        Sql::list(" AND ", same)
    }

    /// As [`Columns::same_key`], of rows that both are as they wait.
    pub(super) fn same_staged_key(&self, one: &'static str, other: &'static str) -> Sql {
        let same = self
            .key()
            .map(|column| Sql::of("{} = {}", &[&column.of(one), &column.of(other)]));
        Sql::list(" AND ", same)
    }

    /// Whether rows differ in any bit of a synced column: true for what `=` overlooks (−0.0, the
    /// scale of a numeric) and defined for types without `=`.
    pub(super) fn differ(&self, target: &'static str, staged: &'static str) -> Sql {
        differ_in(self.iter(), target, staged)
    }

    /// As [`Columns::differ`], of those columns alone for which `is_meant` holds; at least one.
    pub(super) fn differ_where(
        &self,
        is_meant: impl Fn(&Column) -> bool,
        target: &'static str,
        staged: &'static str,
    ) -> Sql {
        differ_in(
            self.iter().filter(|column| is_meant(column)),
            target,
            staged,
        )
    }

    /// `"a" = s."a", "b" = s."b"`
    pub(super) fn assignments(&self, staged: &'static str) -> Sql {
        let each = self.iter().map(|column| {
            Sql::of(
                "{} = {}",
                &[&Sql::name(&column.name), &column.staged(staged)],
            )
        });
        Sql::list(", ", each)
    }

    /// `"a" bigint NOT NULL, "b" text`, as rows wait.
    pub(super) fn definitions(&self) -> Sql {
        let each = self
            .iter()
            .map(|column| column.with_type(&column.waits_as(), column.is_key));
        Sql::list(", ", each)
    }

    /// `rows` with NULL in all columns but the key's.
    ///
    /// # Errors
    /// [`Error::Bug`] if they are of other columns.
    pub(super) fn only_key(&self, rows: &RecordBatch) -> Result<RecordBatch, Error> {
        let schema = rows.schema();
        let parts = self.all.iter().zip(rows.columns()).zip(schema.fields());
        let (fields, arrays): (Vec<Field>, Vec<_>) = parts
            .map(|((column, array), field)| {
                let array = match column.is_key {
                    true => array.clone(),
                    false => new_null_array(array.data_type(), rows.num_rows()),
                };
                (field.as_ref().clone().with_nullable(true), array)
            })
            .unzip();
        RecordBatch::try_new(Schema::new(fields).into(), arrays)
            .map_err(|error| Error::bug("deleted rows are of other columns").caused_by(error))
    }

    /// As [`Columns::definitions`], for a table that will be called `table`: constraints get the
    /// names that Postgres would give them in it. (Before version 18 it keeps no such names.)
    pub(super) fn fill_definitions(&self, table: &Table) -> Sql {
        let each = self.iter().map(|column| {
            let not_null = match column.is_key {
                true => {
                    let name = constraint_name(&table.name, &column.name, "not_null");
                    Sql::of(" CONSTRAINT {} NOT NULL", &[&Sql::name(&name)])
                }
                false => Sql::default(),
            };
            let definition = column.with_type(&column.declared(), false);
            Sql::of("{}{}", &[&definition, &not_null])
        });
        Sql::list(", ", each)
    }

    /// # Errors
    /// [`Error::NeedsOperator`] naming a key column that is NULL in `rows`, and in how many.
    pub(super) fn refuse_null_keys(&self, rows: &RecordBatch, table: &Table) -> Result<(), Error> {
        for place in &self.key {
            let nulls = rows
                .columns()
                .get(*place)
                .map_or(0, |array| array.null_count());
            if nulls > 0 {
                let name = self.all[*place].in_words();
                let count = rows.num_rows();
                return Err(Error::needs_operator(format!(
                    "key column {name} of {table} is null in {nulls} of {count} rows"
                ))
                .advise(
                    "choose a key that is never null, keep such rows out by the filter, or aside by \
                     on_null_key: quarantine",
                ));
            }
        }
        Ok(())
    }

    /// A key column that is NULL somewhere in `rows`.
    pub(super) fn null_key(&self, rows: &RecordBatch) -> Option<&str> {
        let is_null = |place: &&usize| rows.column(**place).null_count() > 0;
        let place = self.key.iter().find(is_null)?;
        Some(self.name_at(*place))
    }
}

fn differ_in<'a>(
    columns: impl Iterator<Item = &'a Column> + Clone,
    target: &'static str,
    staged: &'static str,
) -> Sql {
    let here = Sql::list(", ", columns.clone().map(|column| column.compared(target)));
    let there = Sql::list(", ", columns.map(|column| column.staged(staged)));
    Sql::of(
        "pg_catalog.record_image_ne(ROW({}), ROW({}))",
        &[&here, &there],
    )
}

impl Column {
    /// `"a"`, or `"a" ("A" in the source)`.
    fn in_words(&self) -> String {
        match self.name == self.source {
            true => format!("{:?}", self.name),
            false => format!("{:?} ({:?} in the source)", self.name, self.source),
        }
    }

    fn of(&self, alias: &'static str) -> Sql {
        Sql::of("{}.{}", &[&alias.into(), &Sql::name(&self.name)])
    }

    /// `s."a"::bigint`, or without the cast where types are the same.
    fn staged(&self, alias: &'static str) -> Sql {
        self.cast_to(self.fit.cast.as_ref(), alias)
    }

    /// The target's value in the type of [`Column::staged`].
    fn compared(&self, alias: &'static str) -> Sql {
        self.cast_to(self.fit.domain_of.as_ref(), alias)
    }

    fn cast_to(&self, to: Option<&Sql>, alias: &'static str) -> Sql {
        match to {
            Some(to) => Sql::of("{}::{}", &[&self.of(alias), to]),
            None => self.of(alias),
        }
    }

    /// Whether the job asks for its type.
    pub(super) fn is_asked(&self) -> bool {
        self.usual.is_some() && !self.is_ahead
    }

    /// As the target has it: a wider type is not made up for what was there before.
    pub(super) fn fall_back(&mut self, shown: &str) {
        if let Some(usual) = self.usual.filter(|_| self.is_ahead)
            && shown != self.postgres.sql().as_str()
        {
            (self.postgres, self.usual, self.is_ahead) = (usual, None, false);
        }
    }

    fn conversion(&self) -> Conversion {
        match (self.usual, self.is_key) {
            (None, _) => Conversion::None,
            (Some(_), false) => Conversion::Asked,
            (Some(_), true) => Conversion::AskedAsKey,
        }
    }

    /// The type in which what waits is read, which is the usual one but for what has parts.
    pub(super) fn read_as(&self) -> PgType {
        match self.usual {
            Some(usual @ PgType::Scalar(_)) => usual,
            _ => self.postgres,
        }
    }

    /// As it is asked for, before it is looked at what the target has.
    pub(super) fn is_of_extension(&self) -> bool {
        self.postgres == PgType::Asked(Asked::Citext)
    }

    /// The type of the target's column.
    fn declared(&self) -> Sql {
        let of_type = self.postgres.sql();
        match &self.type_schema {
            Some(schema) => Sql::of("{}.{}", &[&Sql::name(schema), &of_type]),
            None => of_type,
        }
    }

    /// The type in which its values wait: one that every server has.
    fn waits_as(&self) -> Sql {
        match self.is_of_extension() {
            true => "text".into(),
            false => self.postgres.sql(),
        }
    }

    pub(super) fn definition(&self) -> Sql {
        self.with_type(&self.declared(), self.is_key)
    }

    fn with_type(&self, of_type: &Sql, not_null: bool) -> Sql {
        let not_null = if not_null { " NOT NULL" } else { "" };
        let collation = match &self.collation {
            Some(collation) => Sql::of(" COLLATE {}", &[&collation.sql()]),
            None => Sql::default(),
        };
        Sql::of(
            "{} {}{}{}",
            &[
                &Sql::name(&self.name),
                of_type,
                &collation,
                &not_null.into(),
            ],
        )
    }
}

/// `orders_id_not_null`: where the whole is too long, the longer part is cut first, as
/// `makeObjectName` of Postgres does.
fn constraint_name(table: &str, column: &str, label: &str) -> String {
    let room = MAX_NAME_BYTES - label.len() - 2;
    let (mut first, mut second) = (table.len(), column.len());
    while first + second > room {
        if first > second {
            first -= 1;
        } else {
            second -= 1;
        }
    }
    let (first, second) = (
        table.floor_char_boundary(first),
        column.floor_char_boundary(second),
    );
    format!("{}_{}_{label}", &table[..first], &column[..second])
}

/// # Errors
/// [`Error::NeedsOperator`] if a column cannot have that name in Postgres, which would cut it.
pub(super) fn check_column_name(name: &str) -> Result<(), Error> {
    check_name("column", name)?;
    refuse_system_column(name)
}

/// Every table has these (Postgres manual, "System Columns").
fn refuse_system_column(name: &str) -> Result<(), Error> {
    let system = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
    if !system.contains(&name) {
        return Ok(());
    }
    Err(Error::needs_operator(format!(
        "the column name {name:?} is one of postgres itself"
    ))
    .advise("give it another name by rename: in columns:"))
}

fn twice(name: &str) -> Error {
    Error::needs_operator(format!("the source has two columns named {name:?}"))
        .advise("rename one of them in the job's columns")
}

fn not_there(name: &str) -> Error {
    Error::needs_operator(format!(
        "key column {name:?} is not among the job's columns"
    ))
    .advise("add it to the columns, or correct the key")
}

fn no_key(column: &Column) -> Error {
    let postgres = column.postgres.sql();
    Error::needs_operator(format!(
        "key column {:?} is {}, whose equality is not that of bytes",
        column.name,
        postgres.as_str()
    ))
    .advise("choose key columns without parts")
}
