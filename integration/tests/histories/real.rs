//! A table under deltalake's own operations, in the words of the ledger.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, TimeUnit};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};

use crate::{
    ledger::{Column, Of, Row, State, VALUE},
    operation::{Operation, Which},
};

const FEED: &str = "delta.enableChangeDataFeed";

pub(crate) struct RealLake(DeltaTable);

impl RealLake {
    pub(crate) async fn create(
        path: &Path,
        partition: Option<&'static str>,
        state: &State,
    ) -> Result<Self> {
        let new = NewTable {
            change_data_feed: state.has_feed,
            partition_by: partition.iter().map(ToString::to_string).collect(),
            ..NewTable::default()
        };
        let new = new.property("delta.deletedFileRetentionDuration", "interval 0 hours");
        let rows = batch(&state.columns, &state.rows)?;
        Ok(Self(DeltaTable::create_with(path, rows, new).await?))
    }

    pub(crate) async fn open(path: &Path) -> Result<Self> {
        Ok(Self(DeltaTable::open(path).await?))
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.version()
    }

    pub(crate) async fn checkpoint(&mut self) -> Result<()> {
        self.0.checkpoint().await
    }

    pub(crate) async fn perform(&mut self, operation: &Operation, now: &State) -> Result<()> {
        let (table, columns) = (&mut self.0, &now.columns);
        match operation {
            Operation::Insert(rows) => table.append(batch(columns, rows)?).await?,
            Operation::Duplicate(row) => {
                table
                    .append(batch(columns, std::slice::from_ref(row))?)
                    .await?
            }
            Operation::Update(which, identity, cell, _) => {
                let column = now.column(*identity).context("no such column")?;
                let value = literal(column.of, cell.as_deref());
                table
                    .update(&[(&column.name, &value)], Some(&predicate(which, columns)))
                    .await?
            }
            Operation::Delete(which, _) => table.delete(Some(&predicate(which, columns))).await?,
            Operation::Merge(upserts, deletes, _) => {
                let gone = deletes.iter().map(|id| Row {
                    id: Some(*id),
                    cells: Default::default(),
                });
                let rows: Vec<Row> = upserts.iter().cloned().chain(gone).collect();
                let kinds = ["upsert"].repeat(upserts.len());
                let kinds = [kinds, ["delete"].repeat(deletes.len())].concat();
                let rows = batch(columns, &rows)?;
                let schema = rows.schema();
                let names = schema.fields().iter().map(|field| field.name().as_str());
                let kinds: ArrayRef = Arc::new(StringArray::from(kinds));
                let all = names.zip(rows.columns().iter().cloned());
                let all = all.chain([(OP_COLUMN, kinds)]);
                let all = all.map(|(name, array)| (name, array, true));
                let changes = RecordBatch::try_from_iter_with_nullable(all)?;
                table.merge(&["id"], changes).await?
            }
            Operation::Overwrite(rows) => table.overwrite(batch(columns, rows)?).await?,
            Operation::Rekey(moves, _) => {
                let cases = moves.iter();
                let cases: Vec<String> = cases
                    .map(|(from, to)| format!("WHEN id = {from} THEN {to}"))
                    .collect();
                let id = format!("CASE {} ELSE id END", cases.join(" "));
                let ids = moves.iter().map(|(from, _)| *from).collect();
                let which = predicate(&Which::Ids(ids), columns);
                table.update(&[("id", &id)], Some(&which)).await?
            }
            Operation::Optimize => table.optimize().await?,
            Operation::Vacuum => table.vacuum().await?,
            Operation::Restore(version) => table.restore(*version as u64).await?,
            Operation::AddColumn(column) => {
                let field = Field::new(&column.name, arrow_type(column.of), true);
                table.add_column(&field).await?
            }
            Operation::Feed(on) => table.set_properties(&[(FEED, &on.to_string())]).await?,
            other => bail!("{other:?} is not for this writer"),
        };
        Ok(())
    }
}

fn batch(columns: &[Column], rows: &[Row]) -> Result<RecordBatch> {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>());
    let mut arrays = vec![("id", ids, true)];
    for column in columns {
        let cells = rows.iter().map(|row| row.cells.get(&column.identity));
        let cells: Vec<Option<&str>> = cells.map(|cell| cell.map(String::as_str)).collect();
        let array: ArrayRef = match column.of {
            Of::Text => Arc::new(StringArray::from(cells)),
            Of::Boolean => Arc::new(BooleanArray::from(parsed(&cells)?)),
            Of::Integer => Arc::new(Int32Array::from(parsed(&cells)?)),
            Of::Time => {
                let times = TimestampMicrosecondArray::from(parsed(&cells)?);
                Arc::new(times.with_timezone("UTC"))
            }
            other => bail!("no cells of type {other:?}"),
        };
        arrays.push((&column.name, array, true));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(arrays)?)
}

fn parsed<T: std::str::FromStr>(cells: &[Option<&str>]) -> Result<Vec<Option<T>>, T::Err> {
    let parsed = |cell: &Option<&str>| cell.map(str::parse).transpose();
    cells.iter().map(parsed).collect()
}

fn arrow_type(of: Of) -> DataType {
    match of {
        Of::Byte => DataType::Int8,
        Of::Short => DataType::Int16,
        Of::Integer => DataType::Int32,
        Of::Long => DataType::Int64,
        Of::Text => DataType::Utf8,
        Of::Boolean => DataType::Boolean,
        Of::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn literal(of: Of, cell: Option<&str>) -> String {
    match (of, cell) {
        (_, None) => "NULL".to_owned(),
        (Of::Text, Some(text)) => quoted(text),
        (Of::Time, Some(micros)) => {
            format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
        }
        (_, Some(text)) => text.to_owned(),
    }
}

fn predicate(which: &Which, columns: &[Column]) -> String {
    match which {
        Which::Ids(ids) if ids.is_empty() => "false".to_owned(),
        Which::Ids(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("id IN ({})", ids.join(", "))
        }
        Which::Like(id, value) => {
            let name = columns.iter().find(|column| column.identity == VALUE);
            let name = name.map_or("value", |column| &column.name);
            let is = |name: &str, value: Option<String>| match value {
                Some(value) => format!("{name} = {value}"),
                None => format!("{name} IS NULL"),
            };
            let value = value.as_deref().map(quoted);
            format!(
                "{} AND {}",
                is("id", id.map(|id| id.to_string())),
                is(name, value)
            )
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
