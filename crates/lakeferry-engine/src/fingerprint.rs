//! The fingerprint: all that a target's rows depend on besides the source's history; its columns as
//! such, all else as a digest.

use std::fmt::Write;

use arrow_schema::Schema;
use lakeferry_model::{FILTER_COLUMNS, Fingerprint, asked_type};
use sha2::{Digest, Sha256};

use crate::{
    evolve::{columns_made, identity, made_from},
    job::Policy,
};

/// The fingerprint of a new target with `columns` under `policy`, stored as `encoding` says.
///
/// Each part is preceded by its name and length, so that no two lists of parts read the same.
pub fn fingerprint(policy: &Policy, columns: &Schema, encoding: &str) -> Fingerprint {
    let mut text = String::new();
    let mut part = |name: &str, value: &str| {
        write!(text, "{name} {} {value};", value.len()).expect("a String takes all text");
    };
    part("encoding", encoding);
    part("timezone", &policy.timezone);
    part("filter", policy.filter.as_deref().unwrap_or_default());
    if let Some(read) = columns.metadata().get(FILTER_COLUMNS) {
        part("filter columns", read);
    }
    // A column that is new to a target is new to its source only if the job has all of them.
    let columns_are = if policy.lists_columns {
        "listed"
    } else {
        "all"
    };
    part("columns", columns_are);
    for name in &policy.excluded {
        part("excluded", name);
    }
    if let Some(by) = &policy.dedupe_by {
        part("dedupe_by", &identity(columns, by));
    }
    // Rows that were deleted stay, or go.
    if policy.own.deleted_at {
        part("deletes", "soft");
    }
    // As whatever they were, values become other ones, or bad ones.
    for field in columns.fields() {
        if let Some(asked) = asked_type(field) {
            part(
                "type",
                &format!("{asked} {}", identity(columns, field.name())),
            );
        }
    }
    let digest = Sha256::digest(text.as_bytes());
    let mut rows = String::new();
    for byte in digest.iter().take(16) {
        write!(rows, "{byte:02x}").expect("a String takes all text");
    }
    Fingerprint {
        key: policy.key_columns.clone(),
        rows,
        columns: made_from(columns, policy.own),
        columns_made: columns_made(columns),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};
    use lakeferry_model::{ASKED_TYPE, COLUMN_IDENTITY, OwnColumns};

    use super::*;
    use crate::plan::tests::policy;

    #[test]
    fn a_column_made_again_is_another_one() {
        let column = |identity: &str| {
            let metadata = [(COLUMN_IDENTITY.to_owned(), identity.to_owned())].into();
            let field = Field::new("a", DataType::Int32, true).with_metadata(metadata);
            fingerprint(&policy(), &Schema::new(vec![field]), "e1")
        };
        assert_eq!(column("col-1"), column("col-1"));
        assert_ne!(column("col-1"), column("col-2"));
    }

    #[test]
    fn columns_of_the_filter_count() {
        let reads = |read: &str| {
            let field = Field::new("a", DataType::Int32, true);
            let metadata = [(FILTER_COLUMNS.to_owned(), read.to_owned())].into();
            fingerprint(
                &policy(),
                &Schema::new_with_metadata(vec![field], metadata),
                "e1",
            )
            .rows
        };
        assert_eq!(reads("x int"), reads("x int"));
        assert_ne!(reads("x int"), reads("x double"));
    }

    #[test]
    fn each_part_counts() {
        let column = |name: &str, of| Schema::new(vec![Field::new(name, of, true)]);
        let one = fingerprint(&policy(), &column("a", DataType::Int32), "e1");
        assert_eq!(
            one,
            fingerprint(&policy(), &column("a", DataType::Int32), "e1")
        );
        let filtered = Policy {
            filter: Some("a > 1".to_owned()),
            ..policy()
        };
        let elsewhere = Policy {
            timezone: "Europe/Oslo".to_owned(),
            ..policy()
        };
        let listed = Policy {
            lists_columns: true,
            ..policy()
        };
        let soft = Policy {
            own: OwnColumns {
                deleted_at: true,
                ..OwnColumns::default()
            },
            ..policy()
        };
        let deduped = Policy {
            dedupe_by: Some("a".to_owned()),
            ..policy()
        };
        let all_but_one = Policy {
            excluded: vec!["b".to_owned()],
            ..policy()
        };
        let field = column("a", DataType::Int32).field(0).clone();
        let asked = [(ASKED_TYPE.to_owned(), "bigint".to_owned())].into();
        let asked = Schema::new(vec![field.with_metadata(asked)]);
        for other in [
            fingerprint(&policy(), &asked, "e1"),
            fingerprint(&policy(), &column("a", DataType::Int32), "e2"),
            fingerprint(&filtered, &column("a", DataType::Int32), "e1"),
            fingerprint(&elsewhere, &column("a", DataType::Int32), "e1"),
            fingerprint(&listed, &column("a", DataType::Int32), "e1"),
            fingerprint(&soft, &column("a", DataType::Int32), "e1"),
            fingerprint(&deduped, &column("a", DataType::Int32), "e1"),
            fingerprint(&all_but_one, &column("a", DataType::Int32), "e1"),
        ] {
            assert_ne!(one.rows, other.rows);
        }
        for other in [
            fingerprint(&policy(), &column("b", DataType::Int32), "e1"),
            fingerprint(&policy(), &column("a", DataType::Int64), "e1"),
        ] {
            assert_eq!(one.rows, other.rows);
            assert_ne!(one.columns, other.columns);
        }
    }
}
