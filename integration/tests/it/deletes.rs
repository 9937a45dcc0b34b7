//! A key that goes from the source goes from the target, and may come back.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

/// Many rows, so that changes to few of them are worth reading as changes.
const ROWS: i64 = 2_000;

async fn start(
    version: lakeferry_postgres_testkit::Version,
) -> (Deployment, lakeferry_delta_testkit::DeltaTable) {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("words");
    let words: Vec<_> = (0..ROWS)
        .map(|id| (id, format!("word {:x}", id * 7_919 % 65_536)))
        .collect();
    let words: Vec<_> = words
        .iter()
        .map(|(id, word)| (*id, Some(word.as_str())))
        .collect();
    let table = tables::create(&path, NewTable::with_feed(), &words).await;
    deployment.job("words", &path, &["refresh_above: 100%"]);
    assert_eq!(deployment.sync().rows(), [ROWS as u64, 0, 0]);
    (deployment, table)
}

const COUNT: &str = "SELECT count(*) FROM words";

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_goes_and_comes_back() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        table.delete(Some("id = 5")).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [0, 0, 1]);
        assert_eq!(
            deployment.sql("SELECT count(*) FROM words WHERE id = 5"),
            "0"
        );

        let back = tables::puts(&[(5, Some("back"))]);
        table.merge(&["id"], back).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
        assert_eq!(
            deployment.sql("SELECT word FROM words WHERE id = 5"),
            "back"
        );
        assert_eq!(deployment.sql(COUNT), ROWS.to_string());
    }
}

/// Seen from a target that was not there in between: another row is an update, the same row is
/// nothing, and a key that came and went was never there.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_went_between_two_syncs_is_its_net_effect() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        let same = deployment.sql("SELECT word FROM words WHERE id = 6");
        let before = deployment.row_versions("words");
        table.delete(Some("id IN (5, 6)")).await.unwrap();
        let back = tables::puts(&[(5, Some("other")), (6, Some(&same)), (-1, None)]);
        table.merge(&["id"], back).await.unwrap();
        table.merge(&["id"], tables::deletes(&[-1])).await.unwrap();

        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [0, 1, 0]);
        assert_eq!(
            deployment.sql("SELECT word FROM words WHERE id = 5"),
            "other"
        );
        let after = deployment.row_versions("words");
        let written: Vec<_> = (0..ROWS as usize)
            .filter(|&at| before[at] != after[at])
            .collect();
        assert_eq!((written, after.len()), (vec![5], before.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_rows_is_a_target_without_rows() {
    for version in servers() {
        let (deployment, mut table) = start(version).await;
        table.delete(None).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, ROWS as u64]);
        assert_eq!(deployment.sql(COUNT), "0");
        table
            .append(tables::words(&[(1, Some("first again"))]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
        assert_eq!(deployment.dump("words"), "1,first again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_never_had_rows_fills_an_empty_table() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let columns = tables::words(&[]).schema();
        let mut table =
            lakeferry_delta_testkit::DeltaTable::create(&path, &columns, NewTable::with_feed())
                .await
                .unwrap();
        deployment.job("words", &path, &[]);
        let done = deployment.sync();
        done.assert_only("fill the table");
        assert_eq!((done.through, done.rows()), (Some(0), [0, 0, 0]));
        assert_eq!(deployment.sql(COUNT), "0");
        table.append(tables::words(&[(1, None)])).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 0]);
        assert_eq!(deployment.dump("words"), "1,");
    }
}
