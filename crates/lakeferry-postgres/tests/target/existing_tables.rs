//! A table that exists is taken as it is: what users added stays, what does not fit is refused by
//! name.

use lakeferry_model::{Effect, FailureClass, RowCounts, Session, Stage, TableStanding, Target};

use crate::fixture::{applied, batch, brought, on_each_server, refused, stage};

/// Two columns of the job's, and what users put beside them.
const TABLE: &str = "\
CREATE TABLE target ( \
    tag text NOT NULL DEFAULT 'new', value text, note text, id bigint PRIMARY KEY, \
    length int GENERATED ALWAYS AS (char_length(value)) STORED, \
    number int GENERATED ALWAYS AS IDENTITY, drawn serial, \
    CHECK (id > 0), CHECK (value <> ''), gone int); \
ALTER TABLE target DROP gone; \
CREATE UNIQUE INDEX by_value ON target (value); \
CREATE INDEX by_expression ON target (upper(value)); \
CREATE INDEX by_part ON target (note) WHERE note IS NOT NULL; \
CREATE VIEW seen AS SELECT * FROM target; \
CREATE MATERIALIZED VIEW kept AS SELECT id, value FROM target; \
COMMENT ON COLUMN target.value IS 'a word'; \
ALTER TABLE target ALTER value SET STATISTICS 500; \
CREATE STATISTICS together ON id, value FROM target";

/// All that hangs on the table but its rows.
const HANGS_ON_IT: &str = "\
SELECT concat_ws(e'\n', c.oid, c.relacl, c.relfilenode, \
    (SELECT string_agg(indexdef, ',' ORDER BY indexdef) FROM pg_indexes WHERE tablename = c.relname), \
    (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY oid) FROM pg_constraint \
        WHERE conrelid = c.oid), \
    (SELECT string_agg(concat(attname, attstattarget, col_description(c.oid, attnum)), ',' \
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid), \
    (SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = c.oid), \
    pg_get_viewdef('seen'), pg_get_viewdef('kept')) \
FROM pg_class AS c WHERE oid = 'target'::regclass";

/// A backfill onto an empty table, an increment and a rebuild.
#[tokio::test]
async fn what_users_added_survives() {
    on_each_server(async |desk| {
        desk.run(TABLE).await;
        let hangs_on_it = desk.ask(HANGS_ON_IT).await;
        let mut session = desk.claim().await;
        let rows = batch(&[(1, Some("a")), (2, Some("b")), (3, None)]);
        brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        desk.run("UPDATE target SET note = 'mine', tag = 'old'; REFRESH MATERIALIZED VIEW kept")
            .await;
        let parts = [
            (Effect::Delete, &batch(&[(1, None)])),
            (Effect::Update, &batch(&[(3, Some("C"))])),
            (Effect::Insert, &batch(&[(4, None)])),
        ];
        brought(&mut session, 2, Stage::Changes, &parts).await;
        let rows = batch(&[(2, Some("B")), (3, Some("C")), (4, None), (5, Some("eee"))]);
        brought(&mut session, 3, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        let seen = "SELECT string_agg(concat_ws(' ', id, value, note, tag, length, number, drawn), \
            ',' ORDER BY id) FROM seen";
        assert_eq!(
            desk.ask(seen).await,
            "2 B mine old 1 2 2,3 C mine old 1 3 3,4 new 4 4,5 eee new 3 5 5"
        );
        assert_eq!(desk.ask(HANGS_ON_IT).await, hangs_on_it);
        assert_eq!(desk.ask("SELECT count(*) FROM kept").await, "3");
    })
    .await;
}

/// An increment and a rebuild that bring nothing.
#[tokio::test]
async fn nothing_to_bring_is_brought() {
    on_each_server(async |desk| {
        desk.run(TABLE).await;
        let mut session = desk.claim().await;
        let none = batch(&[]);
        let nothing = [(Effect::Insert, &none)];
        for (version, kind) in [
            (1, Stage::Refresh),
            (2, Stage::Changes),
            (3, Stage::Refresh),
        ] {
            let rows = brought(&mut session, version, kind, &nothing).await;
            assert_eq!(rows, RowCounts::default());
        }
        let one = batch(&[(1, Some("a"))]);
        brought(&mut session, 4, Stage::Changes, &[(Effect::Insert, &one)]).await;
        let other = [(Effect::Insert, &batch(&[(2, Some("b"))]))];
        let rows = brought(&mut session, 5, Stage::Refresh, &other).await;
        assert_eq!((rows.deleted, rows.inserted), (1, 1));
    })
    .await;
}

/// A table is known by its OID and found by its name.
#[tokio::test]
async fn a_table_that_was_renamed_or_made_anew_is_not_written() {
    on_each_server(async |desk| {
        drop(desk.filled(&batch(&[(1, Some("a"))])).await);
        for (away, back) in [
            (
                "RENAME TO elsewhere",
                "ALTER TABLE elsewhere RENAME TO target",
            ),
            (
                "SET SCHEMA other",
                "ALTER TABLE other.target SET SCHEMA public",
            ),
        ] {
            desk.run("CREATE SCHEMA IF NOT EXISTS other").await;
            desk.run(&format!("ALTER TABLE target {away}")).await;
            let table = desk.target().inspect().await.unwrap().table;
            assert_eq!(table, TableStanding::Absent);
            desk.run("CREATE TABLE target (id bigint PRIMARY KEY, value text)")
                .await;
            let mut session = desk.claim().await;
            assert_eq!(session.standing().table, TableStanding::Replaced);
            let parts = [(Effect::Update, &batch(&[(1, Some("A"))]))];
            let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(text.contains("is another table than the one"), "{text}");
            desk.run(&format!("DROP TABLE target; {back}")).await;
            let mut session = desk.claim().await;
            brought(&mut session, 2, Stage::Changes, &parts).await;
            let parts = [(Effect::Update, &batch(&[(1, Some("a"))]))];
            brought(&mut session, 3, Stage::Changes, &parts).await;
        }
        assert_eq!(desk.rows().await, "1:a");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let cases = [
        (
            "id bigint PRIMARY KEY",
            "public.target has no column \"value\"",
        ),
        (
            "id bigint PRIMARY KEY, value char(9)",
            "\"value\" of public.target is character(9) and not text",
        ),
        (
            "id int PRIMARY KEY, value text",
            "\"id\" of public.target is integer and not bigint",
        ),
        // Postgres wants to be told how.
        (
            "id varchar(9) PRIMARY KEY, value text",
            "\"id\" of public.target is character varying(9) and not bigint",
        ),
        (
            "id bigint, value text",
            "no unique index on exactly its key (id)",
        ),
        (
            "id bigint, value text, UNIQUE (id, value)",
            "no unique index on exactly its key (id)",
        ),
        (
            "id bigint PRIMARY KEY DEFERRABLE, value text",
            "the constraint \"target_pkey\" on the key (id) of public.target is DEFERRABLE",
        ),
        (
            "id bigint PRIMARY KEY, value text, tenant int NOT NULL",
            "column \"tenant\" of public.target takes no NULL, has no default",
        ),
        (
            "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text",
            "\"id\" of public.target is computed",
        ),
        (
            "id bigint PRIMARY KEY, value text GENERATED ALWAYS AS ('x') STORED",
            "\"value\" of public.target is computed",
        ),
    ];
    on_each_server(async |desk| {
        for (columns, message) in cases {
            desk.run(&format!(
                "DROP TABLE IF EXISTS target; CREATE TABLE target ({columns})"
            ))
            .await;
            let mut session = desk.claim().await;
            let rows = batch(&[(1, Some("a"))]);
            let (class, text) =
                refused(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
            assert_eq!(class, FailureClass::NeedsOperator);
            assert!(text.contains(message), "{text}");
            // What it advises helps.
            let (_, advice) = text.split_once("hint: ").unwrap();
            let advice = advice.trim_end_matches(", or SET DEFAULT");
            assert!(advice.starts_with("ALTER TABLE"), "{text}");
            desk.run(advice).await;
            let mut session = desk.claim().await;
            let rows = brought(&mut session, 1, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
            assert_eq!(rows.inserted, 1, "{columns}");
            drop(session);
            desk.run("TRUNCATE lakeferry.jobs CASCADE").await;
        }
    })
    .await;
}

/// Equal under such a collation are texts that differ, so a key would not tell rows apart.
#[tokio::test]
async fn collations_are_kept_or_refused() {
    on_each_server(async |mut desk| {
        desk.settings.key = vec!["value".to_owned()];
        desk.run(r#"CREATE TABLE target (value text COLLATE "C" PRIMARY KEY, id bigint)"#)
            .await;
        let mut session = desk.claim().await;
        let rows = batch(&[(1, Some("a")), (2, Some("B"))]);
        stage(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)])
            .await
            .unwrap();
        assert_eq!(applied(&mut session, 1).await.inserted, 2);
        let parts = [(Effect::Update, &batch(&[(7, Some("B"))]))];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        assert_eq!(applied(&mut session, 2).await.updated, 1);
        // Only ICU has such collations, and not every build has ICU.
        let loose = "CREATE COLLATION loose \
            (provider = icu, locale = 'und', deterministic = false)";
        if desk.client.batch_execute(loose).await.is_err() {
            return;
        }
        desk.run("ALTER TABLE target ALTER value TYPE text COLLATE loose")
            .await;
        let (class, text) = refused(&mut session, Stage::Changes, &parts).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(
            text.contains("key column \"value\" of public.target has a nondeterministic collation"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn rows_of_others_that_came_meanwhile_are_not_touched() {
    on_each_server(async |desk| {
        desk.run("CREATE TABLE target (id bigint PRIMARY KEY, value text)")
            .await;
        let mut session = desk.claim().await;
        desk.run("INSERT INTO target VALUES (5, 'theirs')").await;
        let rows = batch(&[(1, Some("a"))]);
        let (class, text) = refused(&mut session, Stage::Refresh, &[(Effect::Insert, &rows)]).await;
        assert_eq!(class, FailureClass::NeedsOperator);
        assert!(text.contains("rows that its job did not write"), "{text}");
        assert_eq!(desk.rows().await, "5:theirs");
    })
    .await;
}
