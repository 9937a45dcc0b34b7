//! Where the row that a key had stays in the target while its new one is in quarantine.

use super::*;

const TABLE: &str = "\
CREATE TABLE rows (id bigint PRIMARY KEY, word varchar(8), day date CHECK (day < '2000-01-01'), \
    cents numeric(9,2))";

/// Days since 1970, which the target does not take.
const LATE: i32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn previous_rows_stay_where_that_is_asked_for() {
    for version in servers() {
        for (new, option) in ways() {
            let mut deployment = Deployment::start(version);
            deployment.sql(TABLE);
            let path = deployment.lake("rows");
            let first: Vec<_> = (1..=20).map(|id| (id, "first", 0, 0)).collect();
            let first = rows(&first);
            let table = DeltaTable::create(&path, &first.schema(), new).await;
            let mut table = table.unwrap();
            table.append(first).await.unwrap();
            deployment.job("rows", &path, &[option, "on_bad_value: keep_previous"]);
            assert_eq!(synced(&deployment, &["sync"]), [0; 3]);
            turn_bad(&deployment, &mut table).await;
            // A rebuild leaves them, too.
            let before = deployment.row_versions("rows");
            deployment.backfill("rows");
            assert_eq!(deployment.row_versions("rows"), before);
            assert_eq!(keys(&deployment), [1, 2, 3, 21]);
            let puts = puts(&[(2, "third", 0, 0), (21, "third", 0, 0)]);
            table.merge(&["id"], puts).await.unwrap();
            table.delete(Some("id = 1")).await.unwrap();
            assert_eq!(synced(&deployment, &["sync"]), [0, 3, 0]);
            let changed = "2,third,1970-01-01,0.00\n4,second,1970-01-01,0.00\n\
                21,third,1970-01-01,0.00";
            assert_eq!(not_first(&deployment), changed);
            assert_eq!(deployment.sql("SELECT count(*) FROM rows"), "20");
            deployment.forget_jobs();
            deployment.job("rows", &path, &[option, "on_bad_value: \"null\""]);
            let retry = ["quarantine", "retry", "rows"];
            assert_eq!(synced(&deployment, &retry), [0, 1, 1]);
            assert!(not_first(&deployment).contains("\n3,,1970-01-01,0.00\n"));
            assert_eq!((keys(&deployment), degraded(&deployment)), (vec![], 0));
        }
    }
}

/// Rows 1 to 3 turn bad, each in its way, and 21 comes so; 4 changes.
async fn turn_bad(deployment: &Deployment, table: &mut DeltaTable) {
    let changes = [
        (1, "much too long", 0, 0),
        (2, "second", LATE, 0),
        (3, "nul\0", 0, 0),
        (4, "second", 0, 0),
        (21, "second", LATE, 0),
    ];
    table.merge(&["id"], puts(&changes)).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [4, 0, 0]);
    assert_eq!(not_first(deployment), "4,second,1970-01-01,0.00");
    assert_eq!(deployment.sql("SELECT count(*) FROM rows"), "20");
    let listed = list(deployment, &[]);
    let listed = listed
        .iter()
        .map(|row| json!([row["key"][0], row["has_previous"]]));
    let wanted = json!([[1, true], [2, true], [3, true], [21, false]]);
    assert_eq!(listed.collect::<Value>(), wanted);
    assert_eq!(degraded(deployment), 4);
}

/// The rows that changed.
fn not_first(deployment: &Deployment) -> String {
    let all = deployment.dump("rows");
    let lines = all.lines().filter(|line| !line.contains("first"));
    lines.collect::<Vec<_>>().join("\n")
}
