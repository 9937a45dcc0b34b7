//! The target refers to a table of the user's, which gets the row that it needs a moment later.

use crate::scene::{LIMIT, Scene, on_each_server};

#[test]
fn a_row_whose_parent_comes_later() {
    on_each_server("a_row_whose_parent_comes_later", async |version, random| {
        let mut scene = Scene::filled(version, random).await;
        scene.deployment.sql(
            "CREATE TABLE parent (id bigint PRIMARY KEY); INSERT INTO parent SELECT id FROM moving; \
             ALTER TABLE moving ADD FOREIGN KEY (id) REFERENCES parent",
        );
        let before = scene.expect_version();
        scene.moving.insert("a child").await;
        let mut process = scene.begin(&["sync"]);
        process.until_said("23503", LIMIT).await.unwrap();
        let said = process.said().unwrap();
        assert!(
            said.contains("bring the rows of public.parent first"),
            "{said}"
        );
        assert_eq!(scene.expect_version(), before);
        scene
            .deployment
            .sql("INSERT INTO parent SELECT max(id) + 1 FROM moving");
        scene.expect_done(&process.end(LIMIT).await.unwrap());
    });
}
