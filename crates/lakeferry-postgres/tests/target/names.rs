//! Names stand as they are, whatever is in them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakeferry_model::{Effect, Stage, TableStanding, Target};
use lakeferry_postgres::Table;

use crate::fixture::{applied, on_each_server, stage};

const COLUMNS: [&str; 3] = ["we\"ird.Tä ble", "select", "'; DROP TABLE x; --"];

fn rows(values: &[(i64, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(values.iter().map(|(id, _)| *id));
    let texts = StringArray::from_iter_values(values.iter().map(|(_, text)| *text));
    let [key, first, second] = COLUMNS;
    let columns: [(&str, ArrayRef); 3] = [
        (key, Arc::new(ids)),
        (first, Arc::new(texts.clone())),
        (second, Arc::new(texts)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn any_name_works() {
    let tables = [
        "we\"ird.Tä ble",
        "UPPER",
        "100%; --",
        &"ä".repeat(31),
        &"x".repeat(63),
    ];
    on_each_server(async |mut desk| {
        desk.run(r#"CREATE SCHEMA "my ""Schema"".x"; CREATE SCHEMA plain"#)
            .await;
        for (number, name) in tables.iter().enumerate() {
            desk.settings.job.name = format!("job '{number}\" \\");
            desk.settings.table = Table {
                schema: "my \"Schema\".x".to_owned(),
                name: (*name).to_owned(),
            };
            desk.settings.key = vec![COLUMNS[0].to_owned()];
            desk.settings.comment = Some(format!("it's \\ {name}"));
            let mut session = desk.filled(&rows(&[(1, "a"), (2, "b")])).await;
            let parts = [(Effect::Insert, &rows(&[(1, "A"), (3, "c")]))];
            stage(&mut session, Stage::Refresh, &parts).await.unwrap();
            applied(&mut session, 2).await;
            let parts = [
                (Effect::Delete, &rows(&[(1, "")])),
                (Effect::Update, &rows(&[(3, "C")])),
                (Effect::Insert, &rows(&[(4, "d")])),
            ];
            stage(&mut session, Stage::Changes, &parts).await.unwrap();
            applied(&mut session, 3).await;
            let table = desk.target().inspect().await.unwrap().table;
            assert_eq!(table, TableStanding::Filled, "{name}");
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let (table, key) = (quoted(name), quoted(COLUMNS[0]));
            desk.run(&format!(
                "CREATE TABLE plain.{table} ({key} bigint PRIMARY KEY)"
            ))
            .await;
            let constraints = "SELECT count(DISTINCT names) FROM ( \
                SELECT string_agg(conname, ',' ORDER BY conname) AS names FROM pg_constraint \
                JOIN pg_class AS c ON c.oid = conrelid \
                JOIN pg_class AS p ON p.relname = c.relname AND p.relkind = 'r' \
                    AND p.relnamespace = 'plain'::regnamespace GROUP BY conrelid) AS each";
            assert_eq!(desk.ask(constraints).await, "1", "{name}");
            desk.run(&format!("DROP TABLE plain.{table}")).await;
            let comment = "SELECT obj_description(max(target_oid::int)::oid) FROM lakeferry.jobs";
            assert_eq!(desk.ask(comment).await, format!("it's \\ {name}"));
        }
        let tables = desk.ask(
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE '\\_lakeferry%'",
        );
        assert_eq!(tables.await, "0", "staging is left");
    })
    .await;
}
