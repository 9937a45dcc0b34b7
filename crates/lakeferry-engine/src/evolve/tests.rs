//! Each row of the table, under each policy.

use std::sync::Arc;

use lakeferry_model::SOURCE_NAME;

use super::*;
use crate::plan::tests::policy;

/// A column: name, identity, type.
type Of<'a> = (&'a str, &'a str, DataType);

fn source(columns: &[Of<'_>]) -> Schema {
    let field = |(name, identity, of): &Of<'_>| {
        let metadata = [(COLUMN_IDENTITY.to_owned(), (*identity).to_owned())].into();
        Field::new(*name, of.clone(), true).with_metadata(metadata)
    };
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

fn made(columns: Vec<TargetColumn>) -> Fingerprint {
    Fingerprint {
        key: vec!["id".to_owned()],
        rows: "f".to_owned(),
        columns,
        columns_made: 0,
    }
}

fn made_of(columns: &[Of<'_>]) -> Fingerprint {
    made(made_from(&source(columns), OwnColumns::default()))
}

fn with(on_schema_change: OnSchemaChange) -> Policy {
    Policy {
        on_schema_change,
        ..policy()
    }
}

const EVOLVE: OnSchemaChange = OnSchemaChange::Evolve;

/// What a target of the columns `had` becomes; and that it has become it then.
#[track_caller]
fn followed(had: &Fingerprint, now: &[Of<'_>]) -> Evolution {
    let now = source(now);
    let evolution = evolve(had, &now, &with(EVOLVE), Request::Sync);
    assert_eq!(evolution.refused, [""; 0]);
    let again = Fingerprint {
        key: evolution.key.clone(),
        ..made(evolution.columns.clone())
    };
    let then = evolve(&again, &now, &with(EVOLVE), Request::Sync);
    let settled = Evolution {
        columns: evolution.columns.clone(),
        key: evolution.key.clone(),
        ..Evolution::default()
    };
    assert_eq!(then, settled, "it is not settled");
    evolution
}

/// Alterations in short.
fn told(evolution: &Evolution) -> Vec<String> {
    let told = evolution
        .alterations
        .iter()
        .map(|alteration| match alteration {
            Alteration::Detach(name) => format!("detach {name}"),
            Alteration::Clear(name) => format!("clear {name}"),
            Alteration::Drop(name) => format!("drop {name}"),
            Alteration::Rename { from, to } => format!("{from} to {to}"),
            Alteration::Widen(field) => format!("widen {}", field.name()),
            Alteration::Add(field) => format!("add {}", field.name()),
        });
    told.collect()
}

fn refused(had: &Fingerprint, now: &[Of<'_>], on: OnSchemaChange) -> Vec<String> {
    evolve(had, &source(now), &with(on), Request::Sync).refused
}

const ID: Of<'static> = ("id", "c1", DataType::Int64);
const WORD: Of<'static> = ("word", "c2", DataType::Utf8);

#[test]
fn a_new_column_is_added() {
    let had = made_of(&[ID]);
    let evolution = followed(&had, &[ID, WORD]);
    assert_eq!(told(&evolution), ["add word"]);
    assert!(!evolution.rebuilds);
    let halted = refused(&had, &[ID, WORD], OnSchemaChange::Halt);
    assert_eq!(halted, ["column word is new"]);
}

/// All columns tell apart which of several rows of a key is the greatest, in their order.
#[test]
fn other_columns_may_choose_other_rows() {
    let number = || ("number", "c3", DataType::Int64);
    let called = ("text", "c2", DataType::Utf8);
    let had = made_of(&[ID, WORD, number()]);
    for (now, rebuilds) in [
        (vec![ID, WORD, number()], false),
        (vec![ID, called, number()], false),
        (vec![ID, number(), WORD], true),
        (vec![ID, number()], true),
        (
            vec![ID, WORD, number(), ("new", "c4", DataType::Utf8)],
            true,
        ),
    ] {
        for (dedupe_by, rebuilds) in [(Some("number".to_owned()), rebuilds), (None, false)] {
            let policy = Policy {
                dedupe_by,
                ..with(EVOLVE)
            };
            let evolution = evolve(&had, &source(&now), &policy, Request::Sync);
            assert_eq!(evolution.rebuilds, rebuilds, "{now:?}");
        }
    }
}

/// Where a source gives columns no identity, it is what it calls them that stays, not the target.
#[test]
fn a_column_that_the_job_calls_otherwise_is_renamed() {
    let called = |name: &str| {
        let field = Field::new(name, DataType::Utf8, true);
        let told = [(SOURCE_NAME.to_owned(), "Word".to_owned())];
        match name {
            "Word" => Schema::new(vec![field]),
            _ => Schema::new(vec![field.with_metadata(told.into())]),
        }
    };
    for (before, after) in [("Word", "word"), ("word", "Word"), ("word", "w")] {
        let had = made(made_from(&called(before), OwnColumns::default()));
        let evolution = evolve(&had, &called(after), &with(EVOLVE), Request::Sync);
        assert_eq!(told(&evolution), [format!("{before} to {after}")]);
        assert!(!evolution.rebuilds);
    }
}

#[test]
fn own_columns_come_stay_and_are_detached() {
    let own = |commit_version, deleted_at| Policy {
        own: OwnColumns {
            commit_version,
            deleted_at,
            ..OwnColumns::default()
        },
        ..with(OnSchemaChange::Halt)
    };
    let step = |had: &Fingerprint, now: &[Of<'_>], policy: &Policy| {
        let evolution = evolve(had, &source(now), policy, Request::Sync);
        (told(&evolution), evolution.refused, made(evolution.columns))
    };
    let none = [""; 0];
    let (told, refused, had) = step(&made_of(&[ID]), &[ID], &own(true, true));
    assert_eq!(told, ["add _commit_version", "add _deleted_at"]);
    assert_eq!(refused, none);
    assert_eq!(had, made(made_from(&source(&[ID]), own(true, true).own)));
    let (told, refused, had) = step(&had, &[ID], &own(false, true));
    assert_eq!(
        (told.as_slice(), refused.as_slice()),
        (&none.map(str::to_owned)[..], &none.map(str::to_owned)[..])
    );
    assert_eq!(had.columns[2].role, ColumnRole::Detached);
    // A source's column of that name and the job's own exclude each other.
    let taken = ("_commit_version", "c2", DataType::Utf8);
    let (_, refused, _) = step(&had, &[ID, taken.clone()], &own(true, true));
    let words = "column _commit_version is one that the job writes itself";
    assert!(refused.contains(&words.to_owned()), "{refused:?}");
    let evolve_all = Policy {
        on_schema_change: EVOLVE,
        ..own(false, true)
    };
    let (told, _, had) = step(&had, &[ID, taken], &evolve_all);
    let evaded = "_commit_version to _commit_version__detached_1";
    assert_eq!(told, [evaded, "add _commit_version"]);
    let evolve_all = Policy {
        on_schema_change: EVOLVE,
        ..own(true, true)
    };
    let (told, refused, _) = step(&had, &[ID], &evolve_all);
    assert_eq!(refused, none);
    let back = "_commit_version__detached_1 to _commit_version";
    assert!(told.contains(&back.to_owned()), "{told:?}");
}

#[test]
fn own_columns_outlive_their_table() {
    let policy = Policy {
        own: OwnColumns {
            commit_version: true,
            ..OwnColumns::default()
        },
        ..with(EVOLVE)
    };
    let had = made(made_from(&source(&[ID]), policy.own));
    let other = source(&[("id", "c9", DataType::Int64)]);
    let evolution = evolve_replaced(&had, &other, &policy, Request::Sync);
    assert!(
        evolution.alterations.is_empty(),
        "{:?}",
        evolution.alterations
    );
    assert_eq!(evolution.columns, made_from(&other, policy.own));
}

#[test]
fn a_column_that_is_listed_is_wanted_but_need_not_be_new() {
    for on in [EVOLVE, OnSchemaChange::Halt, OnSchemaChange::Ignore] {
        let policy = Policy {
            lists_columns: true,
            ..with(on)
        };
        let now = source(&[ID, WORD]);
        let evolution = evolve(&made_of(&[ID]), &now, &policy, Request::Sync);
        assert_eq!(told(&evolution), ["add word"]);
        assert!(evolution.rebuilds && evolution.refused.is_empty());
    }
}

#[test]
fn a_new_column_is_left_out_until_it_is_asked_for() {
    let (had, now) = (made_of(&[ID]), source(&[ID, WORD]));
    let ignore = with(OnSchemaChange::Ignore);
    let left = evolve(&had, &now, &ignore, Request::Sync);
    assert_eq!(told(&left), [""; 0]);
    assert_eq!(left.columns[1].role, ColumnRole::LeftOut);
    assert!(!left.rebuilds && left.refused.is_empty());
    let had = made(left.columns);
    for on in [OnSchemaChange::Halt, OnSchemaChange::Ignore] {
        for request in [Request::Sync, Request::Backfill] {
            let still = evolve(&had, &now, &with(on), request);
            assert_eq!(still.columns, had.columns);
            assert!(still.refused.is_empty());
        }
    }
    for (on, request) in [
        (EVOLVE, Request::Sync),
        (OnSchemaChange::Ignore, Request::RefreshSchema),
    ] {
        let taken_in = evolve(&had, &now, &with(on), request);
        assert_eq!(told(&taken_in), ["add word"]);
        assert!(taken_in.rebuilds, "rows from before have values in it");
    }
    // What the source drops can come back, with its values.
    let gone = evolve(&had, &source(&[ID]), &ignore, Request::Sync);
    assert_eq!(gone.columns, had.columns);
    let back = evolve(&made(gone.columns), &now, &with(EVOLVE), Request::Sync);
    assert!(back.rebuilds);
    // Its name is nobody's.
    let other = followed(&had, &[ID, ("word", "c3", DataType::Utf8)]);
    assert_eq!(told(&other), ["add word"]);
    assert!(!other.rebuilds);
}

/// A filter may look at what is left out.
#[test]
fn what_is_left_out_and_changes_may_change_verdicts() {
    let ignore = with(OnSchemaChange::Ignore);
    let filtered = Policy {
        filter: Some("n > 1".to_owned()),
        ..ignore.clone()
    };
    let number = |identity, of| source(&[ID, ("n", identity, of)]);
    let n = number("c2", DataType::Int32);
    let had = made(evolve(&made_of(&[ID]), &n, &ignore, Request::Sync).columns);
    for (now, rebuilds) in [
        (n, false),
        (number("c2", DataType::Float64), true),
        (number("c3", DataType::Int32), true),
    ] {
        let evolution = evolve(&had, &now, &filtered, Request::Sync);
        assert_eq!((told(&evolution).len(), evolution.rebuilds), (0, rebuilds));
        let settled = evolve(&made(evolution.columns), &now, &filtered, Request::Sync);
        assert!(!settled.rebuilds);
        assert!(!evolve(&had, &now, &ignore, Request::Sync).rebuilds);
    }
}

#[test]
fn a_column_that_was_dropped_before_the_fill_is_not_new() {
    let numbered = |number: u64| {
        let metadata = [
            (COLUMN_IDENTITY.to_owned(), format!("c{number}")),
            (COLUMN_NUMBER.to_owned(), number.to_string()),
        ];
        let word = Field::new("word", DataType::Utf8, true).with_metadata(metadata.into());
        let mut fields = source(&[ID]).fields().to_vec();
        fields.push(Arc::new(word));
        Schema::new(fields)
    };
    let had = Fingerprint {
        columns_made: 4,
        ..made_of(&[ID])
    };
    for (number, rebuilds) in [(3, true), (4, true), (5, false)] {
        let evolution = evolve(&had, &numbered(number), &with(EVOLVE), Request::Sync);
        assert_eq!(told(&evolution), ["add word"]);
        assert_eq!(evolution.rebuilds, rebuilds, "{number}");
    }
}

#[test]
fn a_column_that_is_gone_is_detached() {
    let had = made_of(&[ID, WORD]);
    let evolution = followed(&had, &[ID]);
    assert_eq!(told(&evolution), ["detach word"]);
    assert!(!evolution.rebuilds);
    assert_eq!(evolution.columns[1].role, ColumnRole::Detached);
    let halted = refused(&had, &[ID], OnSchemaChange::Halt);
    assert_eq!(halted, ["column word is gone"]);
    assert!(refused(&had, &[ID], OnSchemaChange::Ignore).is_empty());
    // It stays where it is when another one comes.
    let had = made(evolution.columns);
    let next = followed(&had, &[ID, ("note", "c3", DataType::Utf8)]);
    assert_eq!(told(&next), ["add note"]);
    // And comes back where the source is taken back.
    let back = followed(&had, &[ID, WORD]);
    assert_eq!(told(&back), [""; 0]);
    assert!(back.rebuilds);
}

#[test]
fn a_column_that_is_gone_can_be_dropped_or_halt() {
    let (had, now) = (made_of(&[ID, WORD]), source(&[ID]));
    let with = |drop_columns| Policy {
        drop_columns,
        ..policy()
    };
    let halted = evolve(&had, &now, &with(DropColumns::Halt), Request::Sync);
    assert_eq!(halted.refused, ["column word is gone"]);
    let asked = evolve(&had, &now, &with(DropColumns::Halt), Request::RefreshSchema);
    assert_eq!(
        (told(&asked), asked.refused.len()),
        (vec!["detach word".to_owned()], 0)
    );
    let cleared = evolve(&had, &now, &with(DropColumns::Null), Request::Sync);
    assert_eq!(told(&cleared), ["detach word", "clear word"]);
    assert!(!cleared.rebuilds);
    let drop = with(DropColumns::Drop);
    let dropped = evolve(&had, &now, &drop, Request::Sync);
    assert_eq!(told(&dropped), ["drop word"]);
    assert!(!dropped.rebuilds);
    // It is not forgotten: were it to come back, it would have its values.
    let back = followed(&made(dropped.columns), &[ID, WORD]);
    assert_eq!(told(&back), ["add word"]);
    assert!(back.rebuilds);
    // Nothing has to make room for another one of its name.
    let again = source(&[ID, ("word", "c3", DataType::Utf8)]);
    let again = evolve(&had, &again, &drop, Request::Sync);
    assert_eq!(told(&again), ["drop word", "add word"]);
    assert!(again.rebuilds);
}

#[test]
fn another_column_of_the_same_name_takes_its_place() {
    let again = ("word", "c3", DataType::Utf8);
    let had = made_of(&[ID, WORD]);
    let evolution = followed(&had, &[ID, again]);
    let first = ["detach word", "word to word__detached_1", "add word"];
    assert_eq!(told(&evolution), first);
    assert!(evolution.rebuilds);
    let third = ("word", "c4", DataType::Int32);
    let evolution = followed(&made(evolution.columns), &[ID, third]);
    let second = ["detach word", "word to word__detached_2", "add word"];
    assert_eq!(told(&evolution), second);
    // A rename can want the name as well.
    let renamed = ("word", "c9", DataType::Utf8);
    let had = made_of(&[ID, WORD, ("note", "c9", DataType::Utf8)]);
    let evolution = followed(&had, &[ID, renamed]);
    let third = ["detach word", "word to word__detached_1", "note to word"];
    assert_eq!(told(&evolution), third);
}

#[test]
fn names_are_cut_where_they_would_be_too_long() {
    let taken = HashSet::from([format!("{}__detached_1", "x".repeat(51))]);
    let long = free_name(&"x".repeat(63), "detached", &taken);
    assert_eq!(long, format!("{}__detached_2", "x".repeat(51)));
    let umlauts = free_name(&"ü".repeat(31), "detached", &HashSet::new());
    assert_eq!(umlauts, format!("{}__detached_1", "ü".repeat(25)));
}

#[test]
fn a_renamed_column_keeps_its_values() {
    let had = made_of(&[ID, WORD]);
    let renamed = [ID, ("text", "c2", DataType::Utf8)];
    let evolution = followed(&had, &renamed);
    assert_eq!(told(&evolution), ["word to text"]);
    assert!(!evolution.rebuilds);
    for on in [OnSchemaChange::Halt, OnSchemaChange::Ignore] {
        let halted = refused(&had, &renamed, on);
        assert_eq!(halted, ["column word is called text now"]);
    }
    let key = followed(&had, &[("number", "c1", DataType::Int64), WORD]);
    assert_eq!(key.key, ["number"]);
}

#[test]
fn renames_wait_for_the_names_that_they_need() {
    let text = |name, identity| (name, identity, DataType::Utf8);
    let had = made_of(&[ID, text("a", "ca"), text("b", "cb"), text("c", "cc")]);
    let chain = followed(
        &had,
        &[ID, text("b", "ca"), text("c", "cb"), text("d", "cc")],
    );
    assert_eq!(told(&chain), ["c to d", "b to c", "a to b"]);
    let round = followed(
        &had,
        &[ID, text("b", "ca"), text("a", "cb"), text("c", "cc")],
    );
    let steps = ["a to b__renamed_1", "b to a", "b__renamed_1 to b"];
    assert_eq!(told(&round), steps);
}

/// A filter knows columns by their names, and sees others under them.
#[test]
fn names_that_other_columns_have_now_may_change_verdicts() {
    let number = |name, identity| (name, identity, DataType::Int32);
    let had = made_of(&[ID, number("a", "ca"), number("b", "cb")]);
    let filtered = Policy {
        filter: Some("a > 1".to_owned()),
        ..policy()
    };
    for (a, b, rebuilds) in [("a", "b", false), ("b", "a", true), ("c", "a", true)] {
        let now = source(&[ID, number(a, "ca"), number(b, "cb")]);
        let evolution = evolve(&had, &now, &filtered, Request::Sync);
        assert_eq!(evolution.rebuilds, rebuilds, "{a} {b}");
        let settled = evolve(&made(evolution.columns), &now, &filtered, Request::Sync);
        assert!(!settled.rebuilds);
        assert!(!evolve(&had, &now, &policy(), Request::Sync).rebuilds);
    }
    // One that is dropped here and there is not forgotten, and means nothing any more.
    let drops = Policy {
        drop_columns: DropColumns::Drop,
        ..filtered
    };
    let again = source(&[ID, number("a", "cc"), number("b", "cb")]);
    let dropped = evolve(&had, &again, &drops, Request::Sync);
    assert!(dropped.rebuilds);
    let settled = evolve(&made(dropped.columns), &again, &drops, Request::Sync);
    assert!(!settled.rebuilds);
}

#[test]
fn order_does_not_matter() {
    let evolution = followed(&made_of(&[ID, WORD]), &[WORD, ID]);
    assert_eq!(told(&evolution), [""; 0]);
    assert!(!evolution.rebuilds);
}

#[test]
fn wider_types_are_followed_and_others_rebuild() {
    use DataType as T;
    let decimal = T::Decimal128;
    let ntz = T::Timestamp(TimeUnit::Microsecond, None);
    let utc = T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (old, new, widens, rebuilds) in [
        (T::Int8, T::Int64, true, false),
        (T::Int16, T::Int32, true, false),
        (T::Int32, T::Float64, true, false),
        (T::Float32, T::Float64, true, false),
        (T::Date32, ntz, true, false),
        (decimal(10, 2), decimal(12, 2), true, false),
        (decimal(10, 2), decimal(12, 4), true, true),
        (T::Int32, decimal(10, 0), true, false),
        (T::Int32, decimal(12, 2), true, true),
        (T::Int32, decimal(11, 2), false, true),
        (decimal(10, 2), decimal(11, 4), false, true),
        (T::Int64, T::Int32, false, true),
        (T::Int64, T::Float64, false, true),
        (T::Int32, T::Utf8, false, true),
        (T::Date32, utc, false, true),
        (T::Utf8, T::Binary, false, true),
    ] {
        let had = made_of(&[ID, ("n", "c2", old.clone())]);
        let now = [ID, ("n", "c2", new.clone())];
        let evolution = followed(&had, &now);
        let expected: &[&str] = if widens { &["widen n"] } else { &[] };
        assert_eq!(told(&evolution), expected, "{old} {new}");
        assert_eq!(evolution.rebuilds, rebuilds, "{old} {new}");
        for on in [OnSchemaChange::Halt, OnSchemaChange::Ignore] {
            assert_eq!(refused(&had, &now, on).len(), 1);
        }
    }
    // Keys in quarantine are known as they are written, and these would be written otherwise.
    for (old, new, rebuilds) in [
        (T::Int32, T::Int64, false),
        (T::Int32, decimal(10, 0), false),
        (T::Int32, T::Float64, true),
        (T::Date32, T::Timestamp(TimeUnit::Microsecond, None), true),
    ] {
        let evolution = followed(&made_of(&[("id", "c1", old)]), &[("id", "c1", new)]);
        assert_eq!(told(&evolution), ["widen id"]);
        assert_eq!(evolution.rebuilds, rebuilds);
    }
    // 3 / 2 is 1, and 1.5.
    let policy = Policy {
        filter: Some("n / 2 > 1".to_owned()),
        ..policy()
    };
    let had = made_of(&[ID, ("n", "c2", T::Int32)]);
    let now = source(&[ID, ("n", "c2", T::Float64)]);
    assert!(evolve(&had, &now, &policy, Request::Sync).rebuilds);
}

#[test]
fn parts_of_a_column_that_are_others_rebuild() {
    let had = made_of(&[ID, ("s", "c2(c3)", DataType::Utf8)]);
    let evolution = followed(&had, &[ID, ("s", "c2(c4)", DataType::Utf8)]);
    assert_eq!(told(&evolution), [""; 0]);
    assert!(evolution.rebuilds);
    let json = [(EXTENSION_TYPE_NAME_KEY.to_owned(), "arrow.json".to_owned())];
    let json = Field::new("s", DataType::Utf8, true).with_metadata(json.into());
    assert_ne!(synced(&json).of, "Utf8");
}

/// Column mapping gives columns the names that they have in files already.
#[test]
fn column_mapping_that_is_turned_on_changes_nothing() {
    let plain = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let had = made(made_from(&plain, OwnColumns::default()));
    let evolution = followed(&had, &[("id", "id", DataType::Int64)]);
    assert!(evolution.alterations.is_empty() && !evolution.rebuilds);
}

#[test]
fn a_table_that_is_written_anew_keeps_the_names_of_its_columns() {
    let had = made_of(&[ID, WORD, ("old", "c3", DataType::Utf8)]);
    let anew = [
        ("id", "d1", DataType::Int64),
        ("word", "d2", DataType::Utf8),
        ("new", "d3", DataType::Utf8),
    ];
    let evolution = followed(&had, &anew);
    assert_eq!(told(&evolution), ["detach old", "add new"]);
    assert!(evolution.rebuilds);
    // Without a key, it takes all of them to be others.
    let keyless = Fingerprint {
        key: Vec::new(),
        ..made_of(&[WORD])
    };
    let evolution = followed(&keyless, &[("word", "d2", DataType::Utf8)]);
    assert_eq!(told(&evolution), [""; 0]);
    assert!(evolution.rebuilds);
}

/// Names in files mean something in one table only; so do those that were written before column
/// mapping, or by a writer that counts.
#[test]
fn columns_of_another_table_are_known_by_their_names() {
    let had = made_of(&[ID, WORD]);
    let now = source(&[
        ("id", "c2", DataType::Int64),
        ("text", "c1", DataType::Utf8),
    ]);
    let evolution = evolve_replaced(&had, &now, &with(EVOLVE), Request::Sync);
    assert_eq!(told(&evolution), ["detach word", "add text"]);
    assert_eq!(evolution.key, ["id"]);
    assert!(evolution.rebuilds);
}

#[test]
fn a_rebuild_that_was_asked_for_does_not_halt() {
    let had = made_of(&[ID]);
    let halt = with(OnSchemaChange::Halt);
    for request in [Request::Backfill, Request::RefreshSchema] {
        let evolution = evolve(&had, &source(&[ID, WORD]), &halt, request);
        assert_eq!(told(&evolution), ["add word"]);
        assert!(evolution.refused.is_empty());
    }
}

#[test]
fn what_an_earlier_build_made_is_rebuilt_as_ever() {
    let evolution = evolve(
        &made(Vec::new()),
        &source(&[ID]),
        &with(EVOLVE),
        Request::Sync,
    );
    assert!(evolution.alterations.is_empty());
    assert_eq!(evolution.columns.len(), 1);
}
