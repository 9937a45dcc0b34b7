//! A table that has the rows already is adopted without one of them being written; any other is
//! left to the byte as it was.

use lakeferry_model::{
    CommitOutcome, Differences, DifferingKeys, Effect, FailureClass, Session, Stage, TableStanding,
    Target,
};
use tokio::join;

use crate::fixture::{Desk, Lease, apply, batch, brought, on_each_server, refused, stage};

/// With wider types, a column of the user's in front, and what hangs on a table.
const TABLE: &str = "\
CREATE TABLE target (note text NOT NULL DEFAULT 'mine', value varchar(9), \
    id numeric(20) PRIMARY KEY, drawn serial); \
CREATE INDEX by_value ON target (value); \
CREATE VIEW seen AS SELECT id, value FROM target; \
INSERT INTO target (id, value) VALUES (4, NULL), (2, 'b'), (9, 'gone'), (1, ''), (3, 'cc'); \
DELETE FROM target WHERE id = 9; UPDATE target SET note = 'old' WHERE id = 2";

/// Where each row stands, which transaction wrote it, and what is in it.
const ROWS: &str = "SELECT string_agg(concat_ws(' ', ctid, xmin, xmax, t), ',') FROM target AS t";

/// The recorded runs, and what bears a name of ours besides.
const LEFT: &str = "\
SELECT concat_ws(' ', (SELECT string_agg(concat(kind, through_version, inserted, updated, deleted), \
    ',') FROM lakeferry.runs), (SELECT string_agg(relname::text, ',') FROM pg_class \
        WHERE starts_with(relname, '_lakeferry_')))";

/// What an apply of `rows`, staged to be adopted at version 9, comes to.
async fn adopted(session: &mut Lease, rows: &[(i64, Option<&str>)]) -> CommitOutcome {
    let parts = [(Effect::Insert, &batch(rows))];
    stage(session, Stage::Adopt, &parts).await.unwrap();
    apply(session, 9).await.unwrap()
}

fn keys(count: u64, examples: &[&str]) -> DifferingKeys {
    DifferingKeys {
        count,
        examples: examples.iter().map(|key| (*key).to_owned()).collect(),
    }
}

async fn table_now(desk: &Desk) -> TableStanding {
    desk.target().inspect().await.unwrap().table
}

const WANTED: [(i64, Option<&str>); 4] =
    [(1, Some("")), (2, Some("b")), (3, Some("cc")), (4, None)];

#[tokio::test]
async fn rows_of_the_user_are_adopted_as_they_stand() {
    on_each_server(async |desk| {
        desk.run(TABLE).await;
        let before = desk.ask(ROWS).await;
        let mut session = desk.claim().await;
        let outcome = adopted(&mut session, &WANTED).await;
        assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
        assert_eq!(desk.ask(ROWS).await, before);
        assert_eq!(desk.ask(LEFT).await, "adopt9000");
        let parts = [
            (Effect::Delete, &batch(&[(1, None)])),
            (Effect::Update, &batch(&[(2, Some("B"))])),
            (Effect::Insert, &batch(&[(5, Some("e"))])),
        ];
        brought(&mut session, 10, Stage::Changes, &parts).await;
        session.release().await.unwrap();
        assert_eq!(desk.rows().await, "2:B 3:cc 4:- 5:e");
        let notes = "SELECT string_agg(note, ' ' ORDER BY id) FROM target";
        assert_eq!(desk.ask(notes).await, "old mine mine mine");
        assert_eq!(desk.ask("SELECT count(*) FROM seen").await, "4");
        assert_eq!(table_now(&desk).await, TableStanding::Filled);
    })
    .await;
}

/// An empty text is not NULL, and blanks count.
#[tokio::test]
async fn what_differs_is_counted_and_left_as_it_is() {
    on_each_server(async |desk| {
        desk.run(TABLE).await;
        let before = desk.ask(ROWS).await;
        let mut session = desk.claim().await;
        let wanted = [
            (1, None),
            (2, Some("b ")),
            (3, Some("cc")),
            (7, Some("g")),
            (8, Some("h")),
        ];
        let expected = Differences {
            missing: keys(2, &["7", "8"]),
            surplus: keys(1, &["4"]),
            unlike: keys(2, &["1", "2"]),
        };
        let outcome = adopted(&mut session, &wanted).await;
        assert_eq!(outcome, CommitOutcome::Differs(expected));
        assert_eq!(desk.ask(ROWS).await, before);
        assert_eq!(desk.ask(LEFT).await, "");
        assert_eq!(table_now(&desk).await, TableStanding::Foreign);
        session.release().await.unwrap();
        let leases = "SELECT count(*) FROM lakeferry.leases";
        assert_eq!(desk.ask(leases).await, "0");
    })
    .await;
}

/// As by a fill into an empty table.
#[tokio::test]
async fn what_does_not_fit_is_not_adopted() {
    let cases = [
        ("id bigint PRIMARY KEY", "has no column \"value\""),
        (
            "id int PRIMARY KEY, value text",
            "key column \"id\" of public.target is integer and not bigint",
        ),
        (
            "id bigint, value text",
            "has no unique index on exactly its key (id)",
        ),
        (
            "id bigint PRIMARY KEY, value text, more int NOT NULL",
            "\"more\"",
        ),
        (
            "id bigint PRIMARY KEY, value varchar(1)",
            "column \"value\" of public.target takes 1 characters, and 1 rows have more",
        ),
    ];
    on_each_server(async |desk| {
        for (columns, message) in cases {
            desk.run(&format!("CREATE TABLE target ({columns})")).await;
            desk.run("CREATE VIEW seen AS SELECT * FROM target").await;
            let mut session = desk.claim().await;
            let parts = [(Effect::Insert, &batch(&[(1, Some("aa"))]))];
            let (class, text) = refused(&mut session, Stage::Adopt, &parts).await;
            assert!(text.contains(message), "{text}");
            assert!(
                matches!(class, FailureClass::NeedsOperator | FailureClass::BadRow),
                "{class:?}: {text}"
            );
            desk.run("DROP TABLE target CASCADE").await;
        }
    })
    .await;
}

/// A row that is not yet committed when it looks is waited for, and counted.
#[tokio::test]
async fn rows_under_way_are_waited_for() {
    on_each_server(async |desk| {
        desk.run(TABLE).await;
        let mut session = desk.claim().await;
        desk.hold("INSERT INTO target (id, value) VALUES (6, 'late')")
            .await;
        let (outcome, ()) = join!(adopted(&mut session, &WANTED), async {
            desk.until_waiting(1).await;
            desk.let_go().await;
        });
        let expected = Differences {
            surplus: keys(1, &["6"]),
            ..Differences::default()
        };
        assert_eq!(outcome, CommitOutcome::Differs(expected));
    })
    .await;
}

/// A restored copy has another OID.
#[tokio::test]
async fn a_copy_in_the_place_of_the_filled_table_is_adopted_by_its_own_oid() {
    on_each_server(async |desk| {
        drop(desk.filled(&batch(&WANTED)).await);
        desk.run(
            "CREATE TABLE copy (LIKE target INCLUDING ALL); INSERT INTO copy TABLE target; \
             DROP TABLE target; ALTER TABLE copy RENAME TO target",
        )
        .await;
        assert_eq!(table_now(&desk).await, TableStanding::Replaced);
        let mut session = desk.claim().await;
        let outcome = adopted(&mut session, &WANTED).await;
        assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
        drop(session);
        assert_eq!(table_now(&desk).await, TableStanding::Filled);
        let oid = "SELECT target_oid = 'target'::regclass FROM lakeferry.jobs";
        assert_eq!(desk.ask(oid).await, "true");
    })
    .await;
}
