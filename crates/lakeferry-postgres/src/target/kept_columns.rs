//! What a target was made from, as the state keeps it: JSON, for whoever reads the state with SQL.

use lakeferry_model::{ColumnRole, TargetColumn};
use serde_json::{Map, Value, json};

const ROLES: [(ColumnRole, &str); 4] = [
    (ColumnRole::Synced, "synced"),
    (ColumnRole::LeftOut, "left out"),
    (ColumnRole::Detached, "detached"),
    (ColumnRole::Own, "own"),
];

/// The same columns as the same text, and none as nothing, as an earlier build left it; `made` is the
/// greatest number of one.
pub(super) fn to_json(columns: &[TargetColumn], made: u64) -> Option<String> {
    if columns.is_empty() {
        return None;
    }
    let column = |column: &TargetColumn| {
        let role = ROLES.iter().find(|(role, _)| *role == column.role);
        let parts = [
            ("name", column.name.as_str()),
            ("identity", &column.identity),
            ("type", &column.of),
            ("is", role.map_or("", |(_, word)| word)),
        ];
        let parts = parts.map(|(part, text)| (part.to_owned(), Value::from(text)));
        Value::Object(Map::from_iter(parts))
    };
    let columns: Vec<Value> = columns.iter().map(column).collect();
    Some(json!({ "columns": columns, "made": made }).to_string())
}

/// None where the text is not ours.
pub(super) fn from_json(text: &str) -> Option<(Vec<TargetColumn>, u64)> {
    let column = |value: &Value| {
        let part = |name: &str| value.get(name)?.as_str();
        let role = ROLES
            .iter()
            .find(|(_, word)| part("is").is_some_and(|is| is == *word));
        Some(TargetColumn {
            name: part("name")?.to_owned(),
            identity: part("identity")?.to_owned(),
            of: part("type")?.to_owned(),
            role: role?.0,
        })
    };
    let parsed: Value = serde_json::from_str(text).ok()?;
    let columns = parsed.get("columns")?.as_array()?.iter().map(column);
    let made = parsed.get("made")?.as_u64()?;
    Some((columns.collect::<Option<_>>()?, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let column = |name: &str, role| TargetColumn {
            name: name.to_owned(),
            identity: "col-\"1\"".to_owned(),
            of: "Decimal128(10, 2)".to_owned(),
            role,
        };
        let columns = vec![
            column("a", ColumnRole::Synced),
            column("ß \\ \n", ColumnRole::LeftOut),
            column("", ColumnRole::Detached),
        ];
        let text = to_json(&columns, u64::MAX).unwrap();
        assert_eq!(from_json(&text), Some((columns, u64::MAX)));
        insta::assert_snapshot!(text);
        assert_eq!(to_json(&[], 0), None);
        assert_eq!(from_json("[]"), None);
        assert_eq!(from_json(r#"{"columns": [{}], "made": 0}"#), None);
        assert_eq!(from_json("nothing"), None);
    }
}
