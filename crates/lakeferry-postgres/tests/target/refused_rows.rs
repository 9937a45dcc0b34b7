//! Rows that only the server refuses, whatever says no to them, go into quarantine and hold up no
//! others.

use lakeferry_model::{Applied, BadRows, CommitOutcome, Effect, FailureClass, OnBadValue, Stage};

use crate::fixture::{Desk, Lease, apply, batch, brought, on_each_server, refused, stage};

const QUARANTINE: BadRows = BadRows {
    on_bad_value: OnBadValue::Quarantine,
    max_rows: 100,
    max_share: 0.0,
    ..BadRows::HALT
};

/// Keys and values.
type Rows<'a> = &'a [(i64, Option<&'a str>)];

/// Stages and applies; gives what was done.
async fn done(
    session: &mut Lease,
    version: u64,
    kind: Stage,
    parts: &[(Effect, Rows<'_>)],
) -> Applied {
    let batches: Vec<_> = parts
        .iter()
        .map(|(effect, rows)| (*effect, batch(rows)))
        .collect();
    let parts: Vec<_> = batches
        .iter()
        .map(|(effect, rows)| (*effect, rows))
        .collect();
    stage(session, kind, &parts).await.unwrap();
    match apply(session, version).await.unwrap() {
        CommitOutcome::Applied(applied) => applied,
        outcome => panic!("{outcome:?}"),
    }
}

/// Key, column and reason of each.
async fn kept(desk: &Desk) -> String {
    desk.ask(
        "SELECT coalesce(string_agg(concat_ws('|', key, column_name, reason), e'\n' \
            ORDER BY (key ->> 0)::bigint), '') FROM lakeferry.quarantine",
    )
    .await
}

/// What says no, and how it is told for key 2, whose value is a long text.
const REFUSALS: [(&str, &str); 6] = [
    (
        "value text CHECK (char_length(value) < 9)",
        "value|what the server refuses: new row for relation \"target\" violates check constraint \
         \"target_value_check\"",
    ),
    (
        "value short",
        "value|what the server refuses: value for domain short violates check constraint \
         \"short_check\"",
    ),
    ("value varchar(8)", "value|a text of more than 8 characters"),
    (
        "value text, CHECK (id < 100 AND char_length(value) < 9)",
        "|what the server refuses: new row for relation \"target\" violates check constraint \
         \"target_check\"",
    ),
    (
        "value text); CREATE INDEX by_value ON target (value",
        "value|what the server refuses: index row size",
    ),
    (
        "value text); CREATE TRIGGER judge BEFORE INSERT OR UPDATE ON target FOR EACH ROW \
            EXECUTE FUNCTION judge(",
        "value|what the server refuses: too long for me",
    ),
];

const MADE_FIRST: &str = "\
CREATE DOMAIN short AS text CHECK (char_length(VALUE) < 9); \
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF char_length(NEW.value) > 8 THEN \
        RAISE 'too long for me' USING ERRCODE = '22001', COLUMN = 'value'; \
    END IF; RETURN NEW; END $$";

/// Long even where it is compressed.
fn long_text() -> String {
    let mut state = 1_u32;
    let letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from(state >> 24).unwrap() % 90)
    };
    (0..4_000).map(letter).collect()
}

#[tokio::test]
async fn whatever_refuses_them() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = QUARANTINE;
        desk.run(MADE_FIRST).await;
        let text = long_text();
        let long = Some(text.as_str());
        for (column, told) in REFUSALS {
            desk.run(&format!(
                "CREATE TABLE target (id bigint PRIMARY KEY, {column})"
            ))
            .await;
            let mut session = desk.claim().await;
            let first = [(1, Some("one")), (2, long), (3, None)];
            let now = done(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &first)]).await;
            assert_eq!((now.bad.quarantined, now.rows.inserted), (1, 2), "{column}");
            let found = kept(&desk).await;
            assert!(
                found.starts_with(&format!("[2]|{told}")),
                "{column}: {found}"
            );
            assert_eq!(desk.rows().await, "1:one 3:-");
            // One turns bad, one comes bad, one good, among others; one turns good.
            let parts: [(Effect, &[_]); 2] = [
                (
                    Effect::Update,
                    &[(1, long), (2, Some("two")), (3, Some("three"))],
                ),
                (Effect::Insert, &[(4, long), (5, Some("five"))]),
            ];
            let now = done(&mut session, 2, Stage::Changes, &parts).await;
            assert_eq!((now.bad.quarantined, now.bad.released), (2, 1), "{column}");
            assert_eq!(desk.rows().await, "2:two 3:three 5:five");
            let payload = "SELECT payload ->> 'value' FROM lakeferry.quarantine \
                WHERE key ->> 0 = '4'";
            assert_eq!(desk.ask(payload).await, text);
            let gone: [(Effect, &[_]); 1] = [(Effect::Delete, &[(1, None), (4, None), (5, None)])];
            let now = done(&mut session, 3, Stage::Changes, &gone).await;
            assert_eq!((now.bad.released, now.rows.deleted), (2, 1));
            assert_eq!(
                (desk.rows().await, kept(&desk).await),
                ("2:two 3:three".into(), "".into())
            );
            drop(session);
            desk.run("DROP TABLE target; TRUNCATE lakeferry.jobs CASCADE")
                .await;
        }
    })
    .await;
}

/// Many rows over many blocks, a few of them bad; with a key and without one.
#[tokio::test]
async fn few_among_many() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = QUARANTINE;
        for key in [vec!["id".to_owned()], vec![]] {
            let primary = if key.is_empty() { "" } else { "PRIMARY KEY" };
            desk.settings.key = key;
            desk.run(&format!(
                "CREATE TABLE target (id bigint {primary}, value text, CHECK (value <> 'x'))"
            ))
            .await;
            let bad = [1, 7_777, 20_000];
            let value = |id| if bad.contains(&id) { "x" } else { "a" };
            let rows: Vec<_> = (1..=20_000).map(|id| (id, Some(value(id)))).collect();
            let mut session = desk.claim().await;
            let now = done(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
            assert_eq!((now.bad.quarantined, now.rows.inserted), (3, 19_997));
            let held = "SELECT count(*) || ' ' || sum(id) FROM target";
            let sum: i64 = (1..=20_000).filter(|id| !bad.contains(id)).sum();
            assert_eq!(desk.ask(held).await, format!("19997 {sum}"));
            // As before: nothing is written.
            let now = done(&mut session, 2, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
            assert_eq!(now, Applied::default());
            drop(session);
            desk.run("DROP TABLE target; TRUNCATE lakeferry.jobs CASCADE")
                .await;
        }
    })
    .await;
}

/// Values move from row to row under a unique index, and one of the rows is bad.
#[tokio::test]
async fn among_rows_that_exchange_values() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = QUARANTINE;
        desk.run(
            "CREATE TABLE target (id bigint PRIMARY KEY, value text UNIQUE CHECK (value <> 'x'))",
        )
        .await;
        let mut session = desk.claim().await;
        let rows = batch(&[
            (1, Some("a")),
            (2, Some("b")),
            (3, Some("c")),
            (4, Some("d")),
        ]);
        brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        let parts: [(Effect, &[_]); 1] = [(
            Effect::Update,
            &[
                (1, Some("b")),
                (2, Some("a")),
                (3, Some("x")),
                (4, Some("c")),
            ],
        )];
        let now = done(&mut session, 2, Stage::Changes, &parts).await;
        assert_eq!((now.bad.quarantined, now.rows.updated), (1, 3));
        assert_eq!(desk.rows().await, "1:b 2:a 4:c");
    })
    .await;
}

/// A value that the server refuses is NULL only where that is held, and the column is known.
#[tokio::test]
async fn null_where_it_can_be() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = BadRows {
            on_bad_value: OnBadValue::Null,
            ..QUARANTINE
        };
        for (column, rows, nulled) in [
            ("value text CHECK (value <> 'x')", "1:a 2:-", 1),
            (
                "value text CHECK (value IS NOT NULL AND value <> 'x')",
                "1:a",
                1,
            ),
            ("value text NOT NULL CHECK (value <> 'x')", "1:a", 0),
            ("value text, CHECK (id > 0 AND value <> 'x')", "1:a", 0),
            ("value varchar(1)", "1:a 2:-", 1),
        ] {
            desk.run(&format!(
                "CREATE TABLE target (id bigint PRIMARY KEY, {column})"
            ))
            .await;
            let mut session = desk.claim().await;
            let value = if column.contains("varchar") {
                "xyz"
            } else {
                "x"
            };
            let first = [(1, Some("a")), (2, Some(value))];
            let now = done(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &first)]).await;
            assert_eq!(
                (desk.rows().await, now.bad.nulled),
                (rows.to_owned(), nulled),
                "{column}"
            );
            drop(session);
            desk.run("DROP TABLE target; TRUNCATE lakeferry.jobs CASCADE")
                .await;
        }
    })
    .await;
}

/// The search ends once more are found than are allowed; what cannot be told apart halts.
#[tokio::test]
async fn too_many_or_for_another_reason() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = BadRows {
            max_rows: 2,
            max_share: 0.1,
            ..QUARANTINE
        };
        let table = "CREATE TABLE target (id bigint PRIMARY KEY, value text CHECK (value <> 'x'))";
        desk.run(table).await;
        let all = |bad: i64| {
            let value = move |id| if id <= bad { "x" } else { "a" };
            let rows: Vec<_> = (1..=40).map(|id| (id, Some(value(id)))).collect();
            batch(&rows)
        };
        let parts = [(Effect::Insert, &all(5))];
        let (class, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        let told = "of the source of public.target, at least 5 rows would be in quarantine, and \
            max_quarantined allows 2, or 10 % of the table; in one column \"value\" holds what the \
            server refuses";
        assert!(text.starts_with(told), "{text}");
        let parts = [(Effect::Insert, &all(4))];
        let mut session = desk.claim().await;
        brought(&mut session, 1, Stage::Refresh, &parts).await;
        drop(session);
        assert_eq!(desk.ask("SELECT count(*) FROM target").await, "36");
        // The key of one row that comes is there, too: that is told, and nothing changed.
        desk.run("INSERT INTO target VALUES (50, 'mine')").await;
        let parts = [(Effect::Insert, &batch(&[(50, Some("a")), (51, Some("x"))]))];
        let mut session = desk.claim().await;
        let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
        assert!(
            matches!(class, FailureClass::BadRow | FailureClass::NeedsOperator),
            "{text}"
        );
        assert_eq!(
            desk.ask("SELECT value FROM target WHERE id = 50").await,
            "mine"
        );
    })
    .await;
}
