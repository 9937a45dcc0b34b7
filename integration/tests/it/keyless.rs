//! A table without a key is kept as often as each of its rows is there, by a snapshot each time.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: &str = "SELECT id, word FROM words ORDER BY id, word";

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_come_and_go_one_by_one() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let first = [(1, Some("a")), (1, Some("a")), (1, None), (2, Some("b"))];
        let mut table = tables::create(&path, NewTable::without_feed(), &first).await;
        let (from, into) = (path.display(), "serving.public.words");
        deployment.raw_job(&format!(
            "  words: {{ from: {from}, into: {into}, mode: snapshot }}\n"
        ));
        assert_eq!(deployment.sync().rows(), [4, 0, 0]);
        assert_eq!(deployment.sql(ROWS), "1|a\n1|a\n1|\n2|b");

        table
            .append(tables::words(&[(1, Some("a")), (2, None)]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [2, 0, 0]);
        table
            .update(&[("word", "'c'")], Some("id = 2 AND word = 'b'"))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [1, 0, 1]);
        table
            .overwrite(tables::words(&[(1, Some("a")), (2, Some("c"))]))
            .await
            .unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 4]);
        assert_eq!(deployment.sql(ROWS), "1|a\n2|c");
        assert_eq!(deployment.watermark("words"), 4);

        let before = deployment.next_transaction();
        assert_eq!(deployment.sync().steps.len(), 0, "nothing is new");
        assert_eq!(deployment.next_transaction(), before);
    }
}
