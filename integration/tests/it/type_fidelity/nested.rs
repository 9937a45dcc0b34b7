//! Values with parts: arrays of scalars as arrays, the rest as jsonb, by every way in which rows
//! are read.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;

use super::nested_rows::{Ids, ROWS, TYPES, VALUES, maps, puts, rows};
use crate::{deployment::Deployment, tables};

const FIRST: Ids = [1, 2, 3, 4, 5];
const SECOND: Ids = [11, 12, 13, 14, 15];
/// Each key gets the values of its neighbour.
const ROTATED: Ids = [5, 1, 2, 3, 4];

/// Asserts that the target has the expected types, and exactly the values, once for each of `ids`.
#[track_caller]
fn assert_values(deployment: &Deployment, ids: &[Ids]) {
    let values = ids.iter().flat_map(|ids| ids.iter().zip(VALUES));
    let values = values.map(|(id, values)| format!("({id}, {values})"));
    let values = values.collect::<Vec<_>>().join(", ");
    deployment.sql(&format!(
        "SET client_min_messages = warning; DROP TABLE IF EXISTS expected; \
         CREATE TABLE expected ({TYPES}); INSERT INTO expected VALUES {values};"
    ));
    let types = |table: &str| {
        deployment.sql(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ))
    };
    assert_eq!(types("nested"), types("expected"));
    // As texts to be read, and as images, which tell −0.0 from 0.0 and 1.0 from 1.00.
    assert_eq!(deployment.dump("nested"), deployment.dump("expected"));
    let unlike = "SELECT count(*) FROM nested AS f JOIN expected AS e USING (id) WHERE f *<> e";
    assert_eq!(deployment.sql(unlike), "0");
}

async fn create(deployment: &mut Deployment, new: NewTable) -> DeltaTable {
    let path = deployment.lake("nested");
    let rows = rows(FIRST);
    let mut table = DeltaTable::create(&path, &rows.schema(), new)
        .await
        .unwrap();
    table.append(rows).await.unwrap();
    deployment.job("nested", &path, &["refresh_above: 100%"]);
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn every_nested_value_arrives_through_the_feed() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, NewTable::with_feed()).await;
        deployment.sync().assert_only("fill the table");
        assert_values(&deployment, &[FIRST]);
        table.append(rows(SECOND)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [ROWS as u64, 0, 0]);
        assert_values(&deployment, &[FIRST, SECOND]);

        table.merge(&["id"], puts(ROTATED)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [0, ROWS as u64, 0]);
        assert_values(&deployment, &[ROTATED, SECOND]);

        // Written anew with the same values: there is nothing to write.
        let before = deployment.row_versions("nested");
        table.merge(&["id"], puts(ROTATED)).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 0]);
        assert_eq!(deployment.row_versions("nested"), before);
        table.delete(Some("id < 10")).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, ROWS as u64]);
        assert_values(&deployment, &[SECOND]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_nested_value_arrives_through_files() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, NewTable::without_feed()).await;
        deployment.sync().assert_only("fill the table");
        table.append(rows(SECOND)).await.unwrap();
        deployment
            .sync()
            .assert_only("from the files that came and went");
        assert_values(&deployment, &[FIRST, SECOND]);

        table.overwrite(rows(ROTATED)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the files that came and went");
        assert_eq!(done.rows(), [0, ROWS as u64, ROWS as u64]);
        assert_values(&deployment, &[ROTATED]);

        table.overwrite(rows(FIRST)).await.unwrap();
        assert_eq!(deployment.backfill("nested").rows(), [0, ROWS as u64, 0]);
        assert_values(&deployment, &[FIRST]);

        // Nothing differs: no row is written, and no byte of the table's log.
        let before = deployment.row_versions("nested");
        assert_eq!(deployment.backfill("nested").rows(), [0, 0, 0]);
        assert_eq!(deployment.row_versions("nested"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_looks_into_values() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, NewTable::with_feed()).await;
        deployment.forget_jobs();
        let filters = [
            ("field", "point.x > 0", "4"),
            ("element", "longs[1] = 1", "5"),
            ("entry", "by_name['a'] = 1.5", "1"),
            ("absent", "point IS NULL", "3"),
        ];
        for (name, filter, _) in filters {
            let filter = format!("filter: \"{filter}\"");
            let options = [
                filter.as_str(),
                "columns: [id, points]",
                "refresh_above: 100%",
            ];
            deployment.job(name, &deployment.lake("nested"), &options);
        }
        deployment.run(&["sync"]).jobs_done();
        table.append(rows(SECOND)).await.unwrap();
        deployment.run(&["sync"]).jobs_done();
        for (name, filter, id) in filters {
            let ids = deployment.sql(&format!(
                "SELECT string_agg(id::text, ' ' ORDER BY id) FROM {name}"
            ));
            assert_eq!(ids, format!("{id} 1{id}"), "{filter}");
        }
    }
}

/// What jsonb cannot hold stops the job with its column named, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_jsonb_cannot_hold_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let rows = |keys: Vec<&str>| {
            let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
            let keys: ArrayRef = Arc::new(StringArray::from(keys));
            let id: ArrayRef = Arc::new(Int64Array::from_iter_values(FIRST));
            tables::batch([("id", id, false), ("tags", maps(keys, values), true)])
        };
        let good = rows(vec!["a", "b", "c", "d", "e"]);
        let path = deployment.lake("tagged");
        let mut table = DeltaTable::create(&path, &good.schema(), NewTable::without_feed())
            .await
            .unwrap();
        table.append(good).await.unwrap();
        deployment.job("tagged", &path, &["on_bad_value: halt"]);
        deployment.sync();
        let before = deployment.dump("tagged");
        for (keys, told) in [
            (vec!["a", "a", "c", "d", "e"], "has the same key twice"),
            (vec!["a", "b", "c", "d", "nul\0"], "the character NUL"),
        ] {
            table.overwrite(rows(keys)).await.unwrap();
            let failure = deployment.run(&["sync"]).failure(1);
            for told in [told, "\"tags\"", "tagged"] {
                assert!(failure.contains(told), "{failure}");
            }
            assert_eq!(deployment.dump("tagged"), before);
        }
    }
}

/// Byte for byte is how keys are compared; what has parts has no such form.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_parts() {
    for version in servers().into_iter().take(1) {
        let mut deployment = Deployment::start(version);
        let _table = create(&mut deployment, NewTable::without_feed()).await;
        for key in ["longs", "by_name", "point"] {
            deployment.forget_jobs();
            let line = format!("key: [{key}]");
            deployment.job(&format!("by_{key}"), &deployment.lake("nested"), &[&line]);
            let failure = deployment.run(&["validate"]).failure(2);
            let told = format!("column {key} of its key has parts");
            assert!(failure.contains(&told), "{failure}");
        }
    }
}
