//! Columns in the types that a job asks for. The server's own casts of the source's texts say what
//! must be there; what is refused here, the server refuses or would change.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use lakeferry_model::{
    ASKED_TYPE, Applied, BadRows, CommitOutcome, Effect, FailureClass, RowCounts, Stage,
};

use crate::fixture::{Desk, Lease, apply, on_each_server, refused, stage};

/// Rows of `id bigint, value text`, the value asked for as `asked`.
fn batch(asked: &str, rows: &[(i64, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
    let values = StringArray::from_iter_values(rows.iter().map(|(_, value)| *value));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(values)];
    let told = [(ASKED_TYPE.to_owned(), asked.to_owned())].into();
    let value = Field::new("value", columns[1].data_type().clone(), true).with_metadata(told);
    let id = Field::new("id", columns[0].data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![id, value])), columns).unwrap()
}

async fn done(
    session: &mut Lease,
    version: u64,
    kind: Stage,
    parts: &[(Effect, &RecordBatch)],
) -> Applied {
    stage(session, kind, parts).await.unwrap();
    match apply(session, version).await.unwrap() {
        CommitOutcome::Applied(applied) => applied,
        outcome => panic!("{outcome:?}"),
    }
}

/// A type, texts that it holds, and texts that it does not, or not as they are meant.
const TYPES: [(&str, &[&str], &[&str]); 8] = [
    ("varchar(3)", &["", "äöü", "a  "], &["abcd", "abc "]),
    ("citext", &["Äbc", "x "], &["nul\0"]),
    (
        "uuid",
        &[
            "00112233-4455-6677-8899-aabbccddeeff",
            "{00112233-4455-6677-8899-AABBCCDDEEFF}",
            "0011-22334455-66778899aabb-ccddeeff",
        ],
        &[
            "",
            "00112233-4455-6677-8899-aabbccddeef",
            "001-12233445566778899aabbccddeeff",
        ],
    ),
    (
        "inet",
        &["10.1.2.3", "10.1.2.3/8", "::ffff:1.2.3.4", "2001:db8::1/64"],
        &["10.1.2.3/33", "10.1.2", "host", "10.0.0.1/"],
    ),
    (
        "cidr",
        &["10.0.0.0/8", "10.1.2.3", "2001:db8::/32"],
        &["10.1.2.3/8", "2001:db8::1/32"],
    ),
    (
        "macaddr",
        &[
            "08:00:2b:01:02:03",
            "08-00-2B-01-02-03",
            "08002b:010203",
            "0800.2b01.0203",
            "0800-2b01-0203",
            "08002b010203",
        ],
        &["08:00:2b:01:02", "08:00:2b:01:02:0g", "08:00-2b:01:02:03:"],
    ),
    (
        "json",
        &[
            r#"{ "a" : [1e400, null, "\ud800"], "a": 2 }"#,
            "  1 ",
            r#""\u0000""#,
        ],
        &["", "{", "{'a': 1}", "[1,]", "01", "NaN", "\"tab\t\"", "1 2"],
    ),
    (
        "jsonb",
        &[
            r#"{"b": 1.50, "a": "\ud83d\ude00", "b": 2}"#,
            "1e131071",
            "-0.0",
            "true",
        ],
        &[
            "",
            "[",
            "1e131072",
            "1e-16384",
            r#""\ud83d""#,
            r#""\ude00\ud83d""#,
            r#"{"\u0000": 1}"#,
        ],
    ),
];

#[tokio::test]
async fn texts_become_what_the_server_makes_of_them() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = BadRows::default();
        let citext = desk
            .client
            .batch_execute(
                "CREATE SCHEMA \"my types\"; \
            CREATE EXTENSION citext SCHEMA \"my types\"",
            )
            .await;
        for (asked, good, bad) in TYPES {
            if asked == "citext" && citext.is_err() {
                continue;
            }
            comes(&desk, asked, good, bad).await;
            desk.run("DROP TABLE target; TRUNCATE lakeferry.jobs CASCADE")
                .await;
        }
    })
    .await;
}

async fn comes(desk: &Desk, asked: &str, good: &[&str], bad: &[&str]) {
    let all: Vec<(i64, &str)> = (0..).zip(good.iter().chain(bad).copied()).collect();
    let known = all.len() as i64;
    let rows = batch(asked, &all);
    let mut session = desk.claim().await;
    let insert = [(Effect::Insert, &rows)];
    done(&mut session, 1, Stage::Fill, &insert).await;
    as_cast(desk, asked, good).await;
    let kept = "SELECT count(*) FROM lakeferry.quarantine WHERE column_name = 'value'";
    assert_eq!(desk.ask(kept).await, bad.len().to_string(), "{asked}");
    // What is there is equal, and is found again.
    let nothing = RowCounts::default();
    let again = done(&mut session, 2, Stage::Refresh, &insert).await;
    assert_eq!(again.rows, nothing, "{asked}");
    let update = [(Effect::Update, &batch(asked, &all[..good.len()]))];
    let again = done(&mut session, 3, Stage::Changes, &update).await;
    assert_eq!(again.rows, nothing, "{asked}");
    for (place, text) in good.iter().enumerate() {
        let other = (place as i64, good[(place + 1) % good.len()]);
        let turned = batch(asked, &[other, (known, text)]);
        let turned = [
            (Effect::Update, &turned.slice(0, 1)),
            (Effect::Insert, &turned.slice(1, 1)),
        ];
        done(&mut session, 4 + place as u64, Stage::Changes, &turned).await;
        let gone = batch(asked, &[(known, "")]);
        let back = batch(asked, &[(place as i64, text)]);
        let back = [(Effect::Delete, &gone), (Effect::Update, &back)];
        done(&mut session, 4 + place as u64, Stage::Changes, &back).await;
    }
    as_cast(desk, asked, good).await;
    // A row that is there turns bad, and good again.
    let turned = [(Effect::Update, &batch(asked, &[(0, bad[0])]))];
    let turned = done(&mut session, 40, Stage::Changes, &turned).await;
    assert_eq!(
        (turned.bad.quarantined, turned.rows.deleted),
        (1, 1),
        "{asked}"
    );
    let mended = [(Effect::Update, &batch(asked, &[(0, good[0])]))];
    let mended = done(&mut session, 41, Stage::Changes, &mended).await;
    assert_eq!(
        (mended.bad.released, mended.rows.inserted),
        (1, 1),
        "{asked}"
    );
    as_cast(desk, asked, good).await;
    desk.run("TRUNCATE lakeferry.quarantine").await;
}

/// The values that are there are what casts make of the texts.
async fn as_cast(desk: &Desk, asked: &str, good: &[&str]) {
    let schema = if asked == "citext" {
        "\"my types\"."
    } else {
        ""
    };
    for (id, text) in good.iter().enumerate() {
        let sql = format!(
            "SELECT record_image_eq(ROW(value), ROW($1::text::{schema}{asked})) FROM target \
                WHERE id = {id}"
        );
        let row = desk.client.query_one(&sql, &[text]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{asked}: {text}");
    }
    let count = good.len().to_string();
    assert_eq!(
        desk.ask("SELECT count(*) FROM target").await,
        count,
        "{asked}"
    );
}

/// The server's refusal of other rows reads them back as the source has them.
#[tokio::test]
async fn rows_that_the_server_refuses_are_told_as_the_source_has_them() {
    on_each_server(async |mut desk| {
        desk.settings.bad_rows = BadRows::default();
        desk.settings.key = vec!["value".to_owned()];
        desk.run("CREATE TABLE target (id bigint CHECK (id < 9), value uuid PRIMARY KEY)")
            .await;
        let uuid = |last: u8| format!("00112233-4455-6677-8899-aabbccddee0{last}");
        let [one, two] = [1, 2].map(uuid);
        let rows = batch("uuid", &[(1, &one), (9, &two)]);
        let mut session = desk.claim().await;
        let filled = done(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        assert_eq!(filled.bad.quarantined, 1);
        let key = "SELECT key::text FROM lakeferry.quarantine";
        assert_eq!(desk.ask(key).await, format!("[\"{two}\"]"));
        let mended = batch("uuid", &[(2, &two)]);
        let mended = done(
            &mut session,
            2,
            Stage::Changes,
            &[(Effect::Update, &mended)],
        )
        .await;
        assert_eq!((mended.bad.released, mended.rows.inserted), (1, 1));
        // In another spelling it would be another key there, and the same one here.
        let upper = two.to_uppercase();
        let rows = batch("uuid", &[(3, &upper)]);
        let bad = done(&mut session, 3, Stage::Changes, &[(Effect::Insert, &rows)]).await;
        assert_eq!((bad.bad.quarantined, bad.rows), (1, RowCounts::default()));
    })
    .await;
}

#[tokio::test]
async fn tables_of_other_types_are_refused_with_the_statement() {
    on_each_server(async |desk| {
        for (asked, is, statement) in [
            (
                "uuid",
                "text",
                "ALTER COLUMN \"value\" TYPE uuid USING \"value\"::text::uuid",
            ),
            (
                "varchar(9)",
                "text",
                "ALTER COLUMN \"value\" TYPE character varying(9)",
            ),
            (
                "jsonb",
                "text",
                "ALTER COLUMN \"value\" TYPE jsonb USING \"value\"::text::jsonb",
            ),
            ("citext", "text", "ALTER COLUMN \"value\" TYPE citext"),
            ("text", "uuid", "ALTER COLUMN \"value\" TYPE text"),
        ] {
            desk.run(&format!(
                "CREATE TABLE target (id bigint PRIMARY KEY, value {is})"
            ))
            .await;
            let parts = [(Effect::Insert, &batch(asked, &[(1, "x")]))];
            let (class, text) = refused(&mut desk.claim().await, Stage::Refresh, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(
                text.contains(&format!("ALTER TABLE \"public\".\"target\" {statement}")),
                "{text}"
            );
            desk.run("DROP TABLE target").await;
        }
        let parts = [(Effect::Insert, &batch("citext", &[(1, "x")]))];
        let (class, text) = refused(&mut desk.claim().await, Stage::Fill, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("column \"value\" is to be citext, and "),
            "{text}"
        );
        assert!(text.contains("CREATE EXTENSION citext"), "{text}");
    })
    .await;
}
