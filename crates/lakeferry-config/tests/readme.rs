//! The configuration that the README shows is one.

use std::{collections::BTreeMap, path::Path};

#[test]
fn the_readme_shows_a_valid_configuration() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let blocks: Vec<_> = readme
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty(), "the README shows no configuration");
    let env = BTreeMap::from([("FERRY_PASSWORD".to_owned(), "secret".to_owned())]);
    for block in blocks {
        let loaded = lakeferry_config::load(
            block,
            Path::new("lakeferry.yaml"),
            &env,
            lakeferry_config::Tables::Unknown,
        );
        assert!(
            loaded.is_ok(),
            "{}",
            loaded.err().map_or_else(String::new, |p| p.to_string())
        );
    }
}
