//! Names that try to break out of the SQL they stand in, for the snapshots of every statement.

use arrow_schema::{DataType, Field, Schema};
use std::time::Duration;

use lakeferry_model::{BadRows, Guard, JobKey, OwnColumns};

use crate::{
    connect::ConnectSettings,
    sql::Table,
    target::{apply::Locked, columns::Columns, own::Marks, settings::TargetSettings, shape::Shape},
};

pub(super) fn evil_table() -> Table {
    Table {
        schema: "my \"schema\"".to_owned(),
        name: "we\"ird.Tä ble".to_owned(),
    }
}

pub(super) fn evil_schema() -> Schema {
    Schema::new(vec![
        Field::new("id\"; DROP TABLE x; --", DataType::Int64, false),
        Field::new("SELECT", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(15, 2), true),
    ])
}

pub(super) fn evil_settings() -> TargetSettings {
    TargetSettings {
        connect: ConnectSettings::parse("postgresql://ferry@db/app").unwrap(),
        state_schema: "lakeferry".to_owned(),
        job: JobKey {
            deployment: "test".to_owned(),
            name: "job".to_owned(),
        },
        table: evil_table(),
        key: vec!["SELECT".to_owned(), "id\"; DROP TABLE x; --".to_owned()],
        comment: Some("it's \\ kept by lakeferry".to_owned()),
        lease: Duration::from_secs(30),
        guard: Guard::default(),
        allow_rewrite: false,
        bad_rows: BadRows::HALT,
        own: OwnColumns::default(),
        max_connections: 8,
    }
}

pub(super) fn evil_columns() -> Columns {
    Columns::new(&evil_schema(), &evil_settings().key).unwrap()
}

pub(super) fn evil_locked() -> Locked {
    Locked {
        columns: evil_columns(),
        shape: Shape::default(),
        marks: Marks::default(),
    }
}

/// The same of a job that has all columns of its own, at version 7.
pub(super) fn evil_marked() -> Locked {
    let own = OwnColumns {
        commit_version: true,
        synced_at: true,
        deleted_at: true,
    };
    Locked {
        marks: Marks::new(own, 7),
        ..evil_locked()
    }
}

#[test]
fn names_that_postgres_would_cut_off_or_that_are_ours_are_refused() {
    let long = "x".repeat(64);
    for name in ["", "a\0b", long.as_str(), "_lakeferry_mine"] {
        let mut settings = evil_settings();
        settings.table.name = name.to_owned();
        let error = settings.check().unwrap_err();
        assert!(error.to_string().starts_with("the table name"), "{error}");
    }
}

#[test]
fn columns_are_refused_by_name() {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let key = ["id".to_owned()];
    for (fields, message) in [
        (
            vec![field("id"), field("id")],
            "the source has two columns named \"id\"",
        ),
        (
            vec![field("a")],
            "key column \"id\" is not among the job's columns",
        ),
        (
            vec![field("id"), field("_lakeferry_effect")],
            "which is reserved",
        ),
        (
            vec![field("id"), field("xmin")],
            "the column name \"xmin\" is one of postgres itself",
        ),
    ] {
        let error = Columns::new(&Schema::new(fields), &key).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
