//! Which columns of a source a job has, and what its target calls them.

use arrow_schema::Field;

use crate::ColumnType;

/// The key in a column's Arrow metadata under which a source puts what it calls the column itself,
/// where the target calls it otherwise.
pub const SOURCE_NAME: &str = "lakeferry.source_name";

/// What the source itself calls a column of [`crate::Head::columns`].
pub fn source_name(column: &Field) -> &str {
    let name = column.metadata().get(SOURCE_NAME);
    name.unwrap_or(column.name())
}

/// Names of columns in here are the source's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnChoice {
    /// These alone, in this order; all where absent.
    pub listed: Option<Vec<String>>,
    /// All but these.
    pub excluded: Vec<String>,
    /// What the target calls columns, each beside what the source calls it.
    pub renamed: Vec<(String, String)>,
    /// What the target calls all others.
    pub naming: Naming,
    /// Types of the target that are asked for instead of the usual ones.
    pub types: Vec<(String, ColumnType)>,
}

/// What a target calls a column, made of what its source calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Naming {
    #[default]
    AsIs,
    /// `CustomerID` is `customerid`.
    Lower,
    /// `CustomerID` and `Customer Id` are `customer_id`.
    Snake,
}

impl Naming {
    pub fn of(self, name: &str) -> String {
        match self {
            Self::AsIs => name.to_owned(),
            Self::Lower => name.to_lowercase(),
            Self::Snake => snake(name),
        }
    }
}

/// Words in lower case with `_` between them. A word ends before anything that is neither a letter
/// nor a digit, and where a capital follows that begins another one: `HTTPServerID`, `http_server_id`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len());
    let mut ended = false;
    for (place, &letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            // Those before the first word mean something: `_id` stays so.
            match snake.trim_start_matches('_').is_empty() {
                true if letter == '_' => snake.push('_'),
                true => {}
                false => ended = true,
            }
            continue;
        }
        let before = place.checked_sub(1).and_then(|place| letters.get(place));
        let after = letters.get(place + 1);
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                let in_capitals = before.is_uppercase();
                let ends_capitals = after.is_some_and(|after| after.is_lowercase());
                before.is_alphanumeric() && (!in_capitals || ends_capitals)
            });
        if ended || begins {
            snake.push('_');
        }
        ended = false;
        snake.extend(letter.to_lowercase());
    }
    match snake.is_empty() {
        true => name.to_owned(),
        false => snake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for (name, expected) in [
            ("customer_id", "customer_id"),
            ("CustomerId", "customer_id"),
            ("customerID", "customer_id"),
            ("HTTPServerID", "http_server_id"),
            ("Order Date", "order_date"),
            ("order - date!", "order_date"),
            ("_rescued_data", "_rescued_data"),
            ("__Start", "__start"),
            ("address2", "address2"),
            ("Q1Sales", "q1_sales"),
            ("ABC", "abc"),
            ("Straßen_Größe", "straßen_größe"),
            ("a__b", "a_b"),
            ("_", "_"),
            ("$%", "$%"),
        ] {
            assert_eq!(Naming::Snake.of(name), expected);
            assert_eq!(Naming::Snake.of(expected), expected, "once is enough");
        }
        assert_eq!(Naming::Lower.of("Order Date"), "order date");
        assert_eq!(Naming::AsIs.of("Order Date"), "Order Date");
    }
}
