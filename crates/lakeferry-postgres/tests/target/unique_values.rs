//! Rows that pass values on under a unique index of the user's: it is checked row by row, the way
//! there is not unique, and the end is.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakeferry_model::{Effect, FailureClass, Stage};

use crate::fixture::{Desk, brought, on_each_server, refused};

type Row<'a> = (i64, Option<&'a str>, Option<i64>);

/// Rows of `id bigint, value text, place bigint`.
fn rows(rows: &[Row<'_>]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, ..)| *id));
    let values: StringArray = rows.iter().map(|(_, value, _)| *value).collect();
    let places: Int64Array = rows.iter().map(|(.., place)| *place).collect();
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("id", Arc::new(ids), true),
        ("value", Arc::new(values), true),
        ("place", Arc::new(places), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

const BEFORE: [Row<'static>; 4] = [
    (1, Some("a"), Some(1)),
    (2, Some("b"), Some(2)),
    (3, Some("c"), Some(3)),
    (4, Some("d"), None),
];

/// Brings the table back to `BEFORE`, with `indexes` on it and no others.
async fn restore(desk: &Desk, indexes: &str) {
    desk.run(
        "DROP TABLE IF EXISTS child; TRUNCATE target; DO $$ DECLARE it record; BEGIN \
            FOR it IN SELECT conname FROM pg_constraint \
                WHERE conrelid = 'target'::regclass AND contype IN ('u', 'c') \
            LOOP EXECUTE format('ALTER TABLE target DROP CONSTRAINT %I', it.conname); END LOOP; \
            FOR it IN SELECT indexrelid::regclass AS name FROM pg_index \
                WHERE indrelid = 'target'::regclass AND NOT indisprimary \
            LOOP EXECUTE format('DROP INDEX %s', it.name); END LOOP; END $$; \
         ALTER TABLE target ALTER value DROP NOT NULL; \
         INSERT INTO target VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', NULL)",
    )
    .await;
    assert_eq!(found(desk).await, shown(&BEFORE));
    desk.run(indexes).await;
}

/// Rows as [`found`] shows them.
fn shown(rows: &[Row<'_>]) -> String {
    let row = |(id, value, place): &Row<'_>| {
        let place = place.map_or("-".to_owned(), |place| place.to_string());
        format!("{id}:{}:{place}", value.unwrap_or("-"))
    };
    rows.iter().map(row).collect::<Vec<_>>().join(" ")
}

async fn found(desk: &Desk) -> String {
    desk.ask(
        "SELECT string_agg(concat_ws(':', id, coalesce(value, '-'), coalesce(place::text, '-')), \
        ' ' ORDER BY id) FROM target",
    )
    .await
}

/// What becomes of `BEFORE`: the rows to delete, to update, to insert, and all of them after it.
struct Move {
    deletes: &'static [Row<'static>],
    updates: &'static [Row<'static>],
    inserts: &'static [Row<'static>],
    after: &'static [Row<'static>],
}

/// Two that exchange their values, one of them with NULL; three in a circle; a chain that begins at
/// a row that goes and ends at one that comes.
const MOVES: [Move; 4] = [
    Move {
        deletes: &[],
        updates: &[(1, Some("b"), Some(2)), (2, Some("a"), Some(1))],
        inserts: &[],
        after: &[
            (1, Some("b"), Some(2)),
            (2, Some("a"), Some(1)),
            (3, Some("c"), Some(3)),
            (4, Some("d"), None),
        ],
    },
    Move {
        deletes: &[],
        updates: &[(2, Some("d"), None), (4, Some("b"), Some(2))],
        inserts: &[],
        after: &[
            (1, Some("a"), Some(1)),
            (2, Some("d"), None),
            (3, Some("c"), Some(3)),
            (4, Some("b"), Some(2)),
        ],
    },
    Move {
        deletes: &[],
        updates: &[
            (1, Some("c"), Some(3)),
            (2, Some("a"), Some(1)),
            (3, Some("b"), Some(2)),
        ],
        inserts: &[],
        after: &[
            (1, Some("c"), Some(3)),
            (2, Some("a"), Some(1)),
            (3, Some("b"), Some(2)),
            (4, Some("d"), None),
        ],
    },
    Move {
        deletes: &[(1, None, None)],
        updates: &[(2, Some("a"), Some(1)), (3, Some("b"), Some(2))],
        inserts: &[(5, Some("c"), Some(3))],
        after: &[
            (2, Some("a"), Some(1)),
            (3, Some("b"), Some(2)),
            (4, Some("d"), None),
            (5, Some("c"), Some(3)),
        ],
    },
];

/// Under each of these, values can be parked at NULL, or are looked at in the end.
const PARKED: [&str; 8] = [
    "ALTER TABLE target ADD UNIQUE (value)",
    "CREATE UNIQUE INDEX rival ON target (value)",
    "CREATE UNIQUE INDEX rival ON target (value) WHERE id < 100",
    "CREATE UNIQUE INDEX one ON target (value); CREATE UNIQUE INDEX two ON target (place)",
    "ALTER TABLE target ALTER value SET NOT NULL; CREATE UNIQUE INDEX r ON target (value, place)",
    "CREATE UNIQUE INDEX rival ON target (place) INCLUDE (value)",
    "CREATE UNIQUE INDEX rival ON target (place, lower(value))",
    "ALTER TABLE target ALTER value SET NOT NULL; ALTER TABLE target ADD UNIQUE (value) DEFERRABLE",
];

#[tokio::test]
async fn values_that_move_among_rows_are_survived() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&rows(&BEFORE)).await;
        for index in PARKED {
            for moved in &MOVES {
                for kind in [Stage::Changes, Stage::Refresh] {
                    restore(&desk, index).await;
                    let (deletes, updates) = (rows(moved.deletes), rows(moved.updates));
                    let (inserts, after) = (rows(moved.inserts), rows(moved.after));
                    let parts = match kind {
                        Stage::Changes => vec![
                            (Effect::Delete, &deletes),
                            (Effect::Update, &updates),
                            (Effect::Insert, &inserts),
                        ],
                        _ => vec![(Effect::Insert, &after)],
                    };
                    let done = brought(&mut session, 2, kind, &parts).await;
                    let case = format!("{kind:?} under {index}");
                    assert_eq!(found(&desk).await, shown(moved.after), "{case}");
                    assert_eq!(done.deleted, moved.deletes.len() as u64, "{case}");
                    assert_eq!(done.updated, moved.updates.len() as u64, "{case}");
                    assert_eq!(done.inserted, moved.inserts.len() as u64, "{case}");
                }
            }
        }
    })
    .await;
}

/// Whether a row is in such an index can be what two rows exchange, and not what is indexed.
#[tokio::test]
async fn a_place_in_a_part_of_the_rows_can_be_exchanged() {
    on_each_server(async |desk| {
        let mut session = desk.filled(&rows(&BEFORE)).await;
        for kind in [Stage::Changes, Stage::Refresh] {
            restore(&desk, "UPDATE target SET value = 'same'").await;
            desk.run("CREATE UNIQUE INDEX rival ON target (value) WHERE place = 1")
                .await;
            let after = rows(&[
                (1, Some("same"), Some(2)),
                (2, Some("same"), Some(1)),
                (3, Some("same"), Some(3)),
                (4, Some("same"), None),
            ]);
            let effect = match kind {
                Stage::Changes => Effect::Update,
                _ => Effect::Insert,
            };
            let done = brought(&mut session, 2, kind, &[(effect, &after)]).await;
            assert_eq!(done.updated, 2);
            let expected = "1:same:2 2:same:1 3:same:3 4:same:-";
            assert_eq!(found(&desk).await, expected);
        }
    })
    .await;
}

/// Where no value can be parked: what makes it so, and whether doing what is advised helps.
const HALTED: [(&str, bool); 6] = [
    (
        "ALTER TABLE target ALTER value SET NOT NULL; \
         ALTER TABLE target ADD CONSTRAINT rival UNIQUE (value)",
        true,
    ),
    (
        "ALTER TABLE target ALTER value SET NOT NULL; CREATE UNIQUE INDEX rival ON target (value)",
        true,
    ),
    (
        "ALTER TABLE target ADD CHECK (value IS NOT NULL); \
         ALTER TABLE target ADD CONSTRAINT rival UNIQUE (value)",
        true,
    ),
    (
        "ALTER TABLE target ADD CONSTRAINT rival UNIQUE NULLS NOT DISTINCT (value)",
        true,
    ),
    ("CREATE UNIQUE INDEX rival ON target (lower(value))", false),
    // A value that is parked would take the child's with it.
    (
        "ALTER TABLE target ADD CONSTRAINT rival UNIQUE (value); \
         CREATE TABLE child (value text REFERENCES target (value) ON UPDATE CASCADE); \
         INSERT INTO child VALUES ('a'), ('b')",
        false,
    ),
];

#[tokio::test]
async fn values_that_cannot_be_parked_halt_with_advice() {
    on_each_server(async |desk| {
        desk.filled(&rows(&BEFORE)).await;
        for (index, helps) in HALTED {
            for kind in [Stage::Changes, Stage::Refresh] {
                restore(&desk, index).await;
                let (updates, after) = (rows(MOVES[0].updates), rows(MOVES[0].after));
                let parts = match kind {
                    Stage::Changes => [(Effect::Update, &updates)],
                    _ => [(Effect::Insert, &after)],
                };
                let mut session = desk.claim().await;
                let (class, text) = refused(&mut session, kind, &parts).await;
                assert_eq!(class, FailureClass::NeedsOperator, "{text}");
                let message = "rows of public.target exchange values, or have the same, under the \
                    unique ";
                assert!(text.starts_with(message), "{text}");
                assert!(text.contains("\"rival\" on ("), "{text}");
                assert!(text.contains("DEFERRABLE"), "{text}");
                assert_eq!(found(&desk).await, shown(&BEFORE));
                if helps {
                    let (_, advice) = text.split_once("hint: ").unwrap();
                    desk.run(advice).await;
                    brought(&mut desk.claim().await, 2, kind, &parts).await;
                    assert_eq!(found(&desk).await, shown(MOVES[0].after));
                }
            }
        }
    })
    .await;
}

/// Rows that have the same values in the end are not those of an exchange.
#[tokio::test]
async fn values_that_come_twice_are_told_as_such() {
    on_each_server(async |desk| {
        desk.filled(&rows(&BEFORE)).await;
        for deferrable in ["", "DEFERRABLE"] {
            restore(
                &desk,
                &format!("ALTER TABLE target ADD CONSTRAINT rival UNIQUE (value) {deferrable}"),
            )
            .await;
            for (effect, row) in [
                (Effect::Update, (1, Some("b"), None)),
                (Effect::Insert, (9, Some("b"), None)),
            ] {
                let mut session = desk.claim().await;
                let row = rows(&[row]);
                let (class, text) = refused(&mut session, Stage::Changes, &[(effect, &row)]).await;
                assert_eq!(class, FailureClass::NeedsOperator, "{text}");
                let message = "rows for public.target have the same values under its unique \
                    constraint \"rival\" on (value)";
                assert!(text.starts_with(message), "{text}");
                assert!(!text.contains("=("), "a row's values are shown: {text}");
                assert_eq!(found(&desk).await, shown(&BEFORE));
            }
        }
    })
    .await;
}
