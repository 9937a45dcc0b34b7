//! Columns that the job writes by itself, beside those of its source ([`OwnColumns`]): an apply marks
//! the rows that it writes, and where deleted rows stay, those that it would delete.

use arrow_schema::Schema;
use lakeferry_model::{COMMIT_VERSION, DELETED_AT, OwnColumns};

use crate::{error::Error, sql::Sql, target::columns::Columns};

/// The same for all rows of a transaction.
const NOW: &str = "pg_catalog.now()";

/// The columns with what one apply writes into them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    own: OwnColumns,
    version: u64,
}

impl Marks {
    /// Those of an apply that leads to `version`.
    pub(super) fn new(own: OwnColumns, version: u64) -> Self {
        Self { own, version }
    }

    /// Whether rows stay when they are deleted.
    pub(super) fn keep_deleted(&self) -> bool {
        self.own.deleted_at
    }

    /// `, "_synced_at"`, after the synced columns of an insert; nothing if there are none.
    pub(super) fn names(&self) -> Sql {
        self.each(|name, _| Sql::of(", {}", &[&name]), true)
    }

    /// `, pg_catalog.now()`, the values of [`Marks::names`].
    pub(super) fn values(&self) -> Sql {
        self.each(|_, value| Sql::of(", {}", &[&value]), true)
    }

    /// `, "_synced_at" = pg_catalog.now()`, after the assignments of an update.
    pub(super) fn assignments(&self) -> Sql {
        self.each(|name, value| Sql::of(", {} = {}", &[&name, &value]), true)
    }

    /// `DELETE FROM t USING s WHERE …`, or what marks the rows instead.
    pub(super) fn delete(&self, target: &Sql, using: Option<&Sql>, which: &Sql) -> Sql {
        if !self.keep_deleted() {
            return match using {
                Some(staging) => Sql::of(
                    "DELETE FROM {} AS t USING {} AS s WHERE {}",
                    &[target, staging, which],
                ),
                None => Sql::of("DELETE FROM {} AS t WHERE {}", &[target, which]),
            };
        }
        let from = match using {
            Some(staging) => Sql::of(" FROM {} AS s", &[staging]),
            None => Sql::default(),
        };
        let marks = self.each(|name, value| Sql::of("{} = {}, ", &[&name, &value]), false);
        let deleted = Sql::of("{}{} = {}", &[&marks, &Sql::name(DELETED_AT), &NOW.into()]);
        let live = live(self.own);
        let parts = [target, &deleted, &from, which, &live];
        Sql::of("UPDATE {} AS t SET {}{} WHERE {}{}", &parts)
    }

    /// As [`where_live`].
    pub(super) fn where_live(&self) -> Sql {
        where_live(self.own)
    }

    /// `condition`, of rows `t` that live.
    pub(super) fn and_live(&self, condition: &Sql) -> Sql {
        Sql::of("{}{}", &[condition, &live(self.own)])
    }

    /// `condition`, of rows `t` that are marked as deleted; only where such rows stay.
    pub(super) fn and_deleted(&self, condition: &Sql) -> Option<Sql> {
        let deleted = Sql::name(DELETED_AT);
        let marked = || Sql::of("{} AND t.{} IS NOT NULL", &[condition, &deleted]);
        self.keep_deleted().then(marked)
    }

    fn each(&self, part: impl Fn(Sql, Sql) -> Sql, with_deletion: bool) -> Sql {
        let fields = self.own.fields();
        let parts = fields.iter().filter_map(|field| {
            let value = match field.name().as_str() {
                COMMIT_VERSION => Sql::number(self.version),
                DELETED_AT if !with_deletion => return None,
                DELETED_AT => "NULL".into(),
                _ => NOW.into(),
            };
            Some(part(Sql::name(field.name()), value))
        });
        Sql::list("", parts)
    }
}

/// ` AND t."_deleted_at" IS NULL` where deleted rows stay, else nothing.
fn live(own: OwnColumns) -> Sql {
    match own.deleted_at {
        true => Sql::of(" AND t.{} IS NULL", &[&Sql::name(DELETED_AT)]),
        false => Sql::default(),
    }
}

/// ` WHERE t."_deleted_at" IS NULL` where deleted rows stay, else nothing.
pub(super) fn where_live(own: OwnColumns) -> Sql {
    match own.deleted_at {
        true => Sql::of(" WHERE t.{} IS NULL", &[&Sql::name(DELETED_AT)]),
        false => Sql::default(),
    }
}

/// The columns as a table has them, for their names and types.
///
/// # Errors
/// Those of [`Columns::new`], which takes each of them.
pub(super) fn columns(own: OwnColumns) -> Result<Columns, Error> {
    Columns::new(&Schema::new(own.fields()), &[])
}

/// `, "_synced_at" timestamptz DEFAULT …`: a fill at `version` has its rows marked without a word.
pub(super) fn fill_definitions(own: OwnColumns, version: u64) -> Result<Sql, Error> {
    let marks = Marks::new(own, version);
    let columns = columns(own)?;
    let each = columns.iter().map(|column| {
        let name = column.name.as_str();
        let default = match name {
            COMMIT_VERSION => Sql::number(marks.version),
            DELETED_AT => "NULL".into(),
            _ => NOW.into(),
        };
        Sql::of(", {} DEFAULT {}", &[&column.definition(), &default])
    });
    Ok(Sql::list("", each))
}

/// Takes the defaults of a fill away.
pub(super) fn drop_defaults(own: OwnColumns, table: &Sql) -> Sql {
    let each = own.fields();
    let each = each.iter().map(|field| {
        let name = Sql::name(field.name());
        Sql::of(
            "ALTER TABLE {} ALTER COLUMN {} DROP DEFAULT; ",
            &[table, &name],
        )
    });
    Sql::list("", each)
}
