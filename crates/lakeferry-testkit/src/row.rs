//! The rows of in-memory tables: a key, a value, the columns that the filter looks at, and one more
//! that comes and goes.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use lakeferry_model::{COLUMN_IDENTITY, COLUMN_NUMBER, COLUMNS_MADE, Instant, Sign};

/// The key of every in-memory table.
pub const KEY: &str = "id";

/// How long a row with a time passes a filter that looks at it.
pub const WINDOW: Duration = Duration::from_secs(10);

/// A filter that looks at time moves in steps of this length.
pub const STEP: Duration = Duration::from_secs(5);

/// The identity of the value's column, whatever it is called.
const VALUE: &str = "value";

/// A row as it stands in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub id: Option<i64>,
    pub value: Option<String>,
    /// Not synced; the filter is `hot`, so `None` is UNKNOWN and not TRUE.
    pub hot: Option<bool>,
    /// Not synced. A filter that looks at time lets a row with a time pass from then on for
    /// [`WINDOW`], and one without always.
    pub seen: Option<Instant>,
    /// What the row has in the extra column of this identity; in all others it has NULL.
    pub extra: Option<(u64, String)>,
}

/// The filter of every in-memory job: TRUE, not merely not FALSE.
pub fn is_hot(row: &Row) -> bool {
    row.hot == Some(true)
}

/// The filter of jobs that look at time: `hot AND (seen IS NULL OR seen <= now AND seen > now −
/// WINDOW)`.
pub(crate) fn is_hot_at(row: &Row, now: Instant) -> bool {
    let begins = now.0.saturating_sub(micros(WINDOW));
    is_hot(row) && row.seen.is_none_or(|seen| seen <= now && seen.0 > begins)
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What the columns of a source are called, and which there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub value: String,
    /// Its identity, which is its number, and its name.
    pub extra: Option<(u64, String)>,
    /// The greatest number that an extra column ever had.
    pub made: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            value: VALUE.to_owned(),
            extra: None,
            made: 0,
        }
    }
}

impl Layout {
    /// The job's columns: all but those that only the filter looks at.
    pub fn columns(&self) -> SchemaRef {
        let text = |name: &String, identity: &str| {
            let field = Field::new(name, DataType::Utf8, true);
            match name == identity {
                true => field,
                false => {
                    let identity = (COLUMN_IDENTITY.to_owned(), identity.to_owned());
                    field.with_metadata([identity].into())
                }
            }
        };
        let mut fields = vec![
            Field::new(KEY, DataType::Int64, true),
            text(&self.value, VALUE),
        ];
        if let Some((number, name)) = &self.extra {
            let mut field = text(name, &extra_identity(*number));
            let number = (COLUMN_NUMBER.to_owned(), number.to_string());
            field.metadata_mut().extend([number]);
            fields.push(field);
        }
        let made = (COLUMNS_MADE.to_owned(), self.made.to_string());
        Arc::new(Schema::new_with_metadata(fields, [made].into()))
    }

    /// What a row has in the extra column, if there is one.
    pub(crate) fn extra_of(&self, row: &Row) -> Option<String> {
        extra(row, self.extra.as_ref()?.0)
    }

    /// The job's columns of `rows`.
    pub fn batch<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> RecordBatch {
        let rows: Vec<&Row> = rows.into_iter().collect();
        let ids: Int64Array = rows.iter().map(|row| row.id).collect();
        let values: StringArray = rows.iter().map(|row| row.value.clone()).collect();
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(values)];
        if self.extra.is_some() {
            let extras: StringArray = rows.iter().map(|row| self.extra_of(row)).collect();
            arrays.push(Arc::new(extras));
        }
        RecordBatch::try_new(self.columns(), arrays).expect("all columns have the declared type")
    }
}

/// The identity of an extra column, as the port knows it.
fn extra_identity(identity: u64) -> String {
    format!("extra-{identity}")
}

/// What a row has in the extra column of this identity.
fn extra(row: &Row, identity: u64) -> Option<String> {
    let (of, text) = row.extra.as_ref()?;
    (*of == identity).then(|| text.clone())
}

/// What a row has in the column of this identity, as the port knows it.
pub(crate) fn cell(row: &Row, identity: &str) -> Option<String> {
    match identity.strip_prefix("extra-") {
        Some(number) => extra(row, number.parse().ok()?),
        None => row.value.clone(),
    }
}

/// The columns of a table that nobody altered.
pub fn columns() -> SchemaRef {
    Layout::default().columns()
}

/// Those columns of `rows`.
pub fn batch<'a>(rows: impl IntoIterator<Item = &'a Row>) -> RecordBatch {
    Layout::default().batch(rows)
}

/// The keys and the values in a batch.
pub fn rows_of(batch: &RecordBatch) -> Vec<(Option<i64>, Option<String>)> {
    let first = |(id, cells): (_, Vec<Option<String>>)| (id, cells.into_iter().next().flatten());
    cells_of(batch).into_iter().map(first).collect()
}

/// The keys in a batch, and what follows them as text; times are microseconds since 1970.
pub(crate) fn cells_of(batch: &RecordBatch) -> Vec<(Option<i64>, Vec<Option<String>>)> {
    let ids = batch
        .column(0)
        .as_primitive::<arrow_array::types::Int64Type>();
    let texts = batch.columns()[1..].iter();
    let texts: Vec<StringArray> = texts.map(texts_of).collect();
    let cell = |texts: &StringArray, row| texts.is_valid(row).then(|| texts.value(row).to_owned());
    (0..batch.num_rows())
        .map(|row| {
            let id = ids.is_valid(row).then(|| ids.value(row));
            (id, texts.iter().map(|texts| cell(texts, row)).collect())
        })
        .collect()
}

fn texts_of(column: &ArrayRef) -> StringArray {
    let to = |column: &ArrayRef, of| cast(column, &of).expect("all scalars have a text");
    let column = match column.data_type() {
        DataType::Timestamp(..) => to(column, DataType::Int64),
        _ => Arc::clone(column),
    };
    to(&column, DataType::Utf8).as_string::<i32>().clone()
}

/// A change and its row.
pub(crate) type SignedRow = (Sign, Row);
