//! The nearest values that Postgres can hold: texts without the character NUL, and the first or last
//! date or time there is. Whatever else it cannot hold has none.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Date32Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
    types::{Date32Type, TimestampMicrosecondType},
};
use arrow_schema::ArrowError;

use crate::{
    encode::{DATES, Fault, TIMESTAMPS},
    error::Error,
    target::columns::Columns,
    type_map::PgType,
};

/// `rows` with the nearest values in the place of faults outside of the key, and of how many; none
/// where no fault has one.
pub(super) fn replaced(
    columns: &Columns,
    rows: &RecordBatch,
    faults: &[Fault],
) -> Result<Option<(RecordBatch, u64)>, Error> {
    let wrong = |error: ArrowError| Error::bug("a bad value was not replaced").caused_by(error);
    let (mut arrays, mut values) = (rows.columns().to_vec(), 0);
    for ((place, array), column) in arrays.iter_mut().enumerate().zip(columns.iter()) {
        let mut here = faults
            .iter()
            .filter(|fault| fault.column == place)
            .peekable();
        if here.peek().is_none() || column.is_key {
            continue;
        }
        let near = nearest(array, column.postgres == PgType::Jsonb).map_err(wrong)?;
        let is_other = |fault: &&Fault| *near.slice(fault.row, 1) != *array.slice(fault.row, 1);
        values += here.filter(is_other).count() as u64;
        *array = near;
    }
    match values {
        0 => Ok(None),
        _ => {
            let rows = RecordBatch::try_new(rows.schema(), arrays).map_err(wrong)?;
            Ok(Some((rows, values)))
        }
    }
}

/// The same values where Postgres can hold them; jsonb has no first date.
fn nearest(array: &ArrayRef, in_json: bool) -> Result<ArrayRef, ArrowError> {
    let any = array.as_any();
    if let Some(texts) = any.downcast_ref::<StringArray>() {
        let texts = texts.iter().map(|text| Some(text?.replace('\0', "")));
        return Ok(Arc::new(texts.collect::<StringArray>()));
    }
    if let Some(days) = any.downcast_ref::<Date32Array>().filter(|_| !in_json) {
        let held = |day: i32| day.clamp(*DATES.start(), *DATES.end());
        return Ok(Arc::new(days.unary::<_, Date32Type>(held)));
    }
    if let Some(micros) = any
        .downcast_ref::<TimestampMicrosecondArray>()
        .filter(|_| !in_json)
    {
        let held = |micros: i64| micros.clamp(*TIMESTAMPS.start(), *TIMESTAMPS.end());
        let held = micros.unary::<_, TimestampMicrosecondType>(held);
        return Ok(Arc::new(
            held.with_timezone_opt(micros.timezone().map(Arc::<str>::from)),
        ));
    }
    if let Some(lists) = any.downcast_ref::<ListArray>() {
        let (field, offsets, elements, nulls) = lists.clone().into_parts();
        let elements = nearest(&elements, in_json)?;
        return Ok(Arc::new(ListArray::try_new(
            field, offsets, elements, nulls,
        )?));
    }
    if let Some(structs) = any.downcast_ref::<StructArray>() {
        let (fields, parts, nulls) = structs.clone().into_parts();
        let parts = parts.iter().map(|part| nearest(part, in_json));
        let parts = parts.collect::<Result<_, _>>()?;
        return Ok(Arc::new(StructArray::try_new(fields, parts, nulls)?));
    }
    if let Some(maps) = any.downcast_ref::<MapArray>() {
        let (field, offsets, entries, nulls, ordered) = maps.clone().into_parts();
        let (fields, mut parts, of_entries) = entries.into_parts();
        // Keys stay: two of them could become one.
        if let Some(values) = parts.last_mut() {
            *values = nearest(values, in_json)?;
        }
        let entries = StructArray::try_new(fields, parts, of_entries)?;
        return Ok(Arc::new(MapArray::try_new(
            field, offsets, entries, nulls, ordered,
        )?));
    }
    Ok(array.clone())
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field, Schema, TimeUnit};

    use super::*;

    fn rows() -> RecordBatch {
        let texts = || StringArray::from(vec![Some("a\0b"), None, Some("c")]);
        let days = Date32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]);
        let days_in_list = ListArray::from_iter_primitive::<Date32Type, _, _>([
            Some(vec![Some(0), Some(i32::MIN)]),
            None,
            Some(vec![]),
        ]);
        let micros = TimestampMicrosecondArray::from(vec![Some(i64::MIN), None, Some(0)]);
        let micros = micros.with_timezone("UTC");
        let part = Arc::new(Field::new("t", DataType::Utf8, true));
        let parts: ArrayRef = Arc::new(texts());
        let structs = StructArray::from(vec![(part, parts)]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(StringArray::from(vec!["1\0", "2", "3"]))),
            ("text", Arc::new(texts())),
            ("day", Arc::new(days)),
            ("days", Arc::new(days_in_list)),
            ("at", Arc::new(micros)),
            ("struct", Arc::new(structs)),
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn what_has_a_nearest_value_gets_it() {
        let rows = rows();
        let columns = Columns::new(&rows.schema(), &["id".to_owned()]).unwrap();
        let all = (0..rows.num_columns()).flat_map(|column| {
            (0..3).map(move |row| Fault {
                row,
                column,
                what: String::new(),
            })
        });
        let faults: Vec<Fault> = all.collect();
        let (near, values) = replaced(&columns, &rows, &faults).unwrap().unwrap();
        assert_eq!(values, 6);
        let held = columns.encoder().unwrap();
        let left = held.checked(&near, None).unwrap().unwrap_err();
        let left: Vec<_> = left.iter().map(|fault| (fault.row, fault.column)).collect();
        assert_eq!(left, [(0, 0)], "a key stays as it is");
        assert!(replaced(&columns, &near, &faults).unwrap().is_none());
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(*near.schema().field(4).data_type(), zone);
        assert_eq!(Schema::clone(&near.schema()), Schema::clone(&rows.schema()));
    }
}
