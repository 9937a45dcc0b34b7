//! Values with parts as jsonb takes them (`jsonb_recv` in `src/backend/utils/adt/jsonb.c`): a
//! version byte, then JSON text.
//!
//! | in Delta | in JSON |
//! |---|---|
//! | struct | object, fields in their order, null ones too |
//! | map with string keys | object |
//! | other maps | array of `[key, value]` |
//! | array | array |
//! | integers, decimals | numbers, exact, decimals with all digits of their scale |
//! | float, double | the shortest number that reads as the same; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | string | string |
//! | binary | string, base64 with padding (RFC 4648), as Spark's `to_json` writes it |
//! | date | `"2026-01-31"`; years beyond four digits with their sign |
//! | timestamp | `"2026-01-31T12:00:00.000001Z"`, the fraction without zeros at its end |
//! | timestamp_ntz | the same without `Z` |
//!
//! | variant | what its text says, for it is JSON |
//!
//! jsonb itself knows no −0.0: it makes 0.0 of it.

mod faults;
mod text;
mod time;

use std::ops::Range;

use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, FieldRef, Fields};
use bytes::BytesMut;

use super::{
    column::some_nulls,
    list::{put_length, span},
    scalars::{Scalars, put},
};
use crate::type_map::{Scalar, is_json};

/// The version of the format that `jsonb_recv` knows, after room for the length.
const START: [u8; 5] = [0, 0, 0, 0, 1];

/// Where JSON text goes.
pub(super) trait Sink {
    fn put(&mut self, text: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

impl Sink for BytesMut {
    #[inline]
    fn put(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// Counts what is put.
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, text: &[u8]) {
        self.0 += text.len();
    }
}

/// An array whose values have a form in JSON.
#[derive(Debug)]
pub(super) struct Json<'a> {
    nulls: Option<&'a NullBuffer>,
    form: Form<'a>,
}

#[derive(Debug)]
enum Form<'a> {
    /// No instants.
    Scalar(Scalars<'a>),
    /// Microseconds since 1970, in UTC.
    Instant(&'a [i64]),
    /// Texts that are JSON.
    Text(&'a StringArray),
    Array {
        offsets: &'a [i32],
        elements: Box<Json<'a>>,
    },
    Struct(Vec<Member<'a>>),
    /// A map with string keys.
    Object {
        offsets: &'a [i32],
        keys: &'a StringArray,
        values: Box<Json<'a>>,
    },
    /// Any other map.
    Pairs {
        offsets: &'a [i32],
        keys: Box<Json<'a>>,
        values: Box<Json<'a>>,
    },
}

/// Rows as JSON text, whatever Postgres can hold of them.
#[derive(Debug)]
pub(crate) struct JsonRows<'a>(Vec<Member<'a>>);

impl<'a> JsonRows<'a> {
    /// None if a column has parts that nothing in JSON was chosen for.
    pub(crate) fn of(rows: &'a RecordBatch) -> Option<Self> {
        members(rows.schema_ref().fields(), rows.columns()).map(Self)
    }

    /// Of the columns at `places` alone, in that order.
    pub(crate) fn only(self, places: &[usize]) -> Self {
        let mut all: Vec<_> = self.0.into_iter().map(Some).collect();
        let mut take = |place: &usize| all.get_mut(*place).and_then(Option::take);
        Self(places.iter().filter_map(&mut take).collect())
    }

    /// As [`JsonRows::object`], if it has at most so many bytes.
    pub(crate) fn object_within(&self, row: usize, most: usize) -> Option<String> {
        let mut count = Count(0);
        object(&self.0, row, &mut count);
        (count.0 <= most).then(|| self.object(row))
    }

    /// `{"a":1,"b":"x"}`
    pub(crate) fn object(&self, row: usize) -> String {
        let mut out = Vec::new();
        object(&self.0, row, &mut out);
        text_of(out)
    }

    /// `[1,"x"]`, in which zeros have no sign: as a key they are one.
    pub(crate) fn array(&self, row: usize) -> String {
        let mut out = vec![b'['];
        for (member, separator) in separated(&self.0) {
            out.put(separator);
            match member.values.is_zero(row) {
                true => out.put(b"0.0"),
                false => member.values.text(row, &mut out),
            }
        }
        out.put(b"]");
        text_of(out)
    }
}

/// JSON is made of UTF-8.
fn text_of(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}

/// A field of a struct.
#[derive(Debug)]
struct Member<'a> {
    /// `"name":`
    label: Vec<u8>,
    values: Json<'a>,
}

impl<'a> Json<'a> {
    /// None if `array` has parts that nothing in JSON was chosen for. Texts are JSON: no others are
    /// jsonb but as parts.
    pub(super) fn of(array: &'a ArrayRef) -> Option<Self> {
        match array.as_any().downcast_ref::<StringArray>() {
            Some(texts) => Some(Self {
                nulls: some_nulls(array),
                form: Form::Text(texts),
            }),
            None => Self::of_values(array),
        }
    }

    fn part(field: &Field, array: &'a ArrayRef) -> Option<Self> {
        match is_json(field) {
            true => Self::of(array),
            false => Self::of_values(array),
        }
    }

    fn of_values(array: &'a ArrayRef) -> Option<Self> {
        let any = array.as_any();
        let form = match array.data_type() {
            DataType::List(element) => {
                let lists = any.downcast_ref::<ListArray>()?;
                Form::Array {
                    offsets: lists.value_offsets(),
                    elements: Box::new(Self::part(element, lists.values())?),
                }
            }
            DataType::Struct(fields) => {
                let structs = any.downcast_ref::<StructArray>()?;
                Form::Struct(members(fields, structs.columns())?)
            }
            DataType::Map(..) => map(any.downcast_ref()?)?,
            scalar => match (
                Scalar::of(scalar)?,
                Scalars::of(Scalar::of(scalar)?, array)?,
            ) {
                (Scalar::TimestampTz, Scalars::Timestamp(micros)) => Form::Instant(micros),
                (_, values) => Form::Scalar(values),
            },
        };
        Some(Self {
            nulls: some_nulls(array),
            form,
        })
    }

    /// Appends the value of `row` as jsonb, with its length.
    #[inline(never)]
    pub(super) fn write(&self, row: usize, out: &mut BytesMut) {
        let start = out.len();
        put(out, START);
        self.text(row, out);
        put_length(start, out);
    }

    /// How many bytes [`Json::write`] appends for `row`.
    pub(super) fn written(&self, row: usize) -> usize {
        let mut count = Count(START.len());
        self.text(row, &mut count);
        count.0
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Whether the value of `row` is 0.0 or −0.0.
    fn is_zero(&self, row: usize) -> bool {
        !self.is_null(row)
            && match &self.form {
                Form::Scalar(Scalars::Float32(values)) => values[row] == 0.0,
                Form::Scalar(Scalars::Float64(values)) => values[row] == 0.0,
                _ => false,
            }
    }

    /// Puts the value of `row` as JSON.
    fn text(&self, row: usize, out: &mut impl Sink) {
        if self.is_null(row) {
            return out.put(b"null");
        }
        match &self.form {
            Form::Scalar(values) => text::scalar(values, row, out),
            Form::Instant(micros) => time::instant(micros[row], out),
            Form::Text(texts) => out.put(texts.value(row).as_bytes()),
            Form::Array { offsets, elements } => {
                out.put(b"[");
                for (element, separator) in separated(span_of(offsets, row)) {
                    out.put(separator);
                    elements.text(element, out);
                }
                out.put(b"]");
            }
            Form::Struct(members) => object(members, row, out),
            Form::Object {
                offsets,
                keys,
                values,
            } => {
                out.put(b"{");
                for (entry, separator) in separated(span_of(offsets, row)) {
                    out.put(separator);
                    text::string(keys.value(entry).as_bytes(), out);
                    out.put(b":");
                    values.text(entry, out);
                }
                out.put(b"}");
            }
            Form::Pairs {
                offsets,
                keys,
                values,
            } => {
                out.put(b"[");
                for (entry, separator) in separated(span_of(offsets, row)) {
                    out.put(separator);
                    out.put(b"[");
                    keys.text(entry, out);
                    out.put(b",");
                    values.text(entry, out);
                    out.put(b"]");
                }
                out.put(b"]");
            }
        }
    }
}

fn object(members: &[Member<'_>], row: usize, out: &mut impl Sink) {
    out.put(b"{");
    for (member, separator) in separated(members) {
        out.put(separator);
        out.put(&member.label);
        member.values.text(row, out);
    }
    out.put(b"}");
}

fn members<'a>(fields: &Fields, columns: &'a [ArrayRef]) -> Option<Vec<Member<'a>>> {
    let parts = fields.iter().zip(columns);
    let member = |(field, column): (&FieldRef, _)| {
        let mut label = BytesMut::new();
        text::string(field.name().as_bytes(), &mut label);
        label.put(b":");
        let label = label.to_vec();
        let values = Json::part(field, column)?;
        Some(Member { label, values })
    };
    parts.map(member).collect()
}

fn map(maps: &MapArray) -> Option<Form<'_>> {
    let offsets = maps.value_offsets();
    let (key, value) = maps.entries_fields();
    let values = Box::new(Json::part(value, maps.values())?);
    let keys = maps.keys();
    Some(match keys.as_any().downcast_ref::<StringArray>() {
        Some(keys) => Form::Object {
            offsets,
            keys,
            values,
        },
        None => Form::Pairs {
            offsets,
            keys: Box::new(Json::part(key, keys)?),
            values,
        },
    })
}

fn span_of(offsets: &[i32], row: usize) -> Range<usize> {
    span(offsets, &(row..row + 1))
}

/// `parts`, each with what stands before it.
fn separated<I: IntoIterator>(parts: I) -> impl Iterator<Item = (I::Item, &'static [u8])> {
    let parts = parts.into_iter().enumerate();
    parts.map(|(place, part)| (part, if place == 0 { &b""[..] } else { b"," }))
}
