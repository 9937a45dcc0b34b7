//! The same for rows that only the target's own constraints refuse: a CHECK, a domain, `varchar(n)`.

use super::*;

/// A target with constraints, made before its first sync.
const TABLE: &str = "\
CREATE DOMAIN worth AS numeric(9,2) CHECK (VALUE < 1000); \
CREATE TABLE rows (id bigint PRIMARY KEY, word varchar(8), day date CHECK (day < '2000-01-01'), \
    cents worth)";

/// Days since 1970, of which the target takes only the first.
const EARLY: i32 = 100;
const LATE: i32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_constraints_refuse_hold_up_no_others() {
    for version in servers() {
        for (new, option) in ways() {
            let mut deployment = Deployment::start(version);
            deployment.sql(TABLE);
            let path = deployment.lake("rows");
            let first = rows(&[
                (1, "one", EARLY, 100),
                (2, "two", EARLY, 200),
                (3, "late", LATE, 300),
            ]);
            let mut table = DeltaTable::create(&path, &first.schema(), new)
                .await
                .unwrap();
            table.append(first).await.unwrap();
            deployment.job("rows", &path, &[option]);
            assert_eq!(synced(&deployment, &["sync"]), [1, 0, 0]);
            comes_and_turns_bad(&deployment, &mut table).await;
            // Whoever drops the constraint gets the row.
            deployment.sql("ALTER TABLE rows DROP CONSTRAINT rows_day_check");
            let retry = ["quarantine", "retry", "rows"];
            assert_eq!(synced(&deployment, &retry), [0, 1, 0]);
            let three = "\n3,late,2024-10-04,3.00\n";
            assert!(deployment.dump("rows").contains(three));
            let puts = puts(&[(2, "two", EARLY, 200), (4, "shorter", EARLY, 400)]);
            table.merge(&["id"], puts).await.unwrap();
            table.delete(Some("id = 3")).await.unwrap();
            assert_eq!(synced(&deployment, &["sync"]), [0, 2, 0]);
            assert_eq!((keys(&deployment), degraded(&deployment)), (vec![], 0));
            assert_eq!(
                deployment.dump("rows"),
                "1,one,1970-04-11,1.00\n2,two,1970-04-11,2.00\n4,shorter,1970-04-11,4.00\n\
                 5,five,1970-04-11,5.00"
            );
        }
    }
}

/// Row 4 comes with a text that is too long, a good one with it; row 2 is worth too much.
async fn comes_and_turns_bad(deployment: &Deployment, table: &mut DeltaTable) {
    let more = rows(&[(4, "much too long", EARLY, 400), (5, "five", EARLY, 500)]);
    table.append(more).await.unwrap();
    let bad = puts(&[(2, "two", EARLY, 999_999)]);
    table.merge(&["id"], bad).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [2, 0, 0]);
    let found = list(deployment, &[]);
    let wanted = [
        (2, "cents", "violates check constraint \"worth_check\""),
        (3, "day", "violates check constraint \"rows_day_check\""),
        (4, "word", "a text of more than 8 characters"),
    ];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (row, (key, column, reason)) in found.iter().zip(wanted) {
        let place = json!(["rows", [key], column]);
        assert_eq!(json!([row["job"], row["key"], row["column"]]), place);
        assert!(row["reason"].as_str().unwrap().contains(reason), "{row}");
    }
    let good = "1,one,1970-04-11,1.00\n5,five,1970-04-11,5.00";
    assert_eq!(
        (degraded(deployment), deployment.dump("rows")),
        (3, good.to_owned())
    );
    let shown = result(deployment, &["quarantine", "show", "rows", "2"]);
    let row = r#"{"id":2,"word":"two","day":"1970-04-11","cents":9999.99}"#;
    assert_eq!(shown[0]["row"], row);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_that_constraints_refuse_halt_the_job() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        deployment.sql("CREATE TABLE words (id bigint PRIMARY KEY, word text CHECK (word <> 'x'))");
        let path = deployment.lake("words");
        let first = [(1, Some("one")), (2, Some("x"))];
        let mut table = tables::create(&path, NewTable::with_feed(), &first).await;
        deployment.job(
            "words",
            &path,
            &["max_quarantined: 1", "refresh_above: 100%"],
        );
        deployment.sync();
        let more = [(3, Some("x")), (4, Some("four")), (5, Some("x"))];
        table.append(tables::words(&more)).await.unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        for part in [
            "words",
            "max_quarantined allows 1",
            "\"word\"",
            "nothing was changed",
        ] {
            assert!(failure.contains(part), "{part}: {failure}");
        }
        assert_eq!(deployment.dump("words"), "1,one");
        deployment.forget_jobs();
        deployment.job(
            "words",
            &path,
            &["on_bad_value: halt", "refresh_above: 100%"],
        );
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("words_word_check"), "{failure}");
        assert_eq!(
            (deployment.watermark("words"), deployment.dump("words")),
            (1, "1,one".into())
        );
    }
}
