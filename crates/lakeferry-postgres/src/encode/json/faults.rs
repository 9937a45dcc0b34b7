//! Values that have a form in JSON and none in jsonb. Its limits are those of
//! `src/include/utils/jsonb.h`, of the server's memory (`MaxAllocSize`), and of PostgreSQL's text,
//! which has no NUL.

use std::{collections::HashSet, ops::Range};

use arrow_array::StringArray;

use super::{Form, Json, START, span, span_of};
use crate::encode::{
    check::{binary_bytes, has_nul, text_bytes},
    scalars::Scalars,
};

/// The most bytes of a text, and of all that one array or object holds (`JENTRY_OFFLENMASK`).
const MAX_BYTES: usize = (1 << 28) - 1;
/// The most elements of an array, and of members of an object: the server doubles the room for
/// them, from four on, and gets none of 1 GiB.
const MAX_ELEMENTS: usize = 1 << 24;
const MAX_MEMBERS: usize = 1 << 23;

/// What a value takes beside the bytes of a text, at most: in JSON (a number has 44 characters at
/// most, and a separator) and in jsonb (an entry of four bytes, a numeric of 30, alignment).
const VALUE_BYTES: usize = 48;
/// A byte of a text is at most `\u0001`.
const ESCAPED_BYTES: usize = 6;

/// Keys of an object that are compared each with each.
const FEW_KEYS: usize = 8;

const NUL: &str = "a text with the character NUL, which jsonb cannot hold";
const SAME_KEY: &str = "a map that has the same key twice, which a json object cannot hold";

impl Json<'_> {
    /// Whether any value of `rows` may be at fault, under a NULL or not.
    pub(in crate::encode) fn suspect(&self, rows: &Range<usize>) -> bool {
        self.most_bytes(rows) > MAX_BYTES || self.has_suspect_part(rows)
    }

    fn has_suspect_part(&self, rows: &Range<usize>) -> bool {
        match &self.form {
            Form::Scalar(Scalars::Text(array)) => has_nul(array, rows),
            Form::Scalar(_) | Form::Instant(_) => false,
            Form::Text(texts) => rows.clone().any(|row| escapes_nul(texts.value(row))),
            Form::Array { offsets, elements } => elements.has_suspect_part(&span(offsets, rows)),
            Form::Struct(members) => members
                .iter()
                .any(|member| member.values.has_suspect_part(rows)),
            Form::Object {
                offsets,
                keys,
                values,
            } => {
                let entries = span(offsets, rows);
                let mut seen = HashSet::new();
                has_nul(keys, &entries)
                    || (rows.clone()).any(|row| repeats(keys, span_of(offsets, row), &mut seen))
                    || values.has_suspect_part(&entries)
            }
            Form::Pairs {
                offsets,
                keys,
                values,
            } => {
                let entries = span(offsets, rows);
                keys.has_suspect_part(&entries) || values.has_suspect_part(&entries)
            }
        }
    }

    /// What jsonb cannot hold of the value of `row`.
    pub(in crate::encode) fn fault(&self, row: usize) -> Option<String> {
        if self.is_null(row) {
            return None;
        }
        let fault = match &self.form {
            Form::Scalar(Scalars::Text(array)) => text_fault(array.value(row).as_bytes()),
            Form::Scalar(Scalars::Bytes(array)) => too_long(array.value(row).len().div_ceil(3) * 4),
            Form::Scalar(_) | Form::Instant(_) => None,
            Form::Text(texts) => escapes_nul(texts.value(row)).then(|| NUL.to_owned()),
            Form::Array { offsets, elements } => {
                let mut span = span_of(offsets, row);
                too_many(span.len(), MAX_ELEMENTS)
                    .or_else(|| span.find_map(|element| elements.fault(element)))
            }
            Form::Struct(members) => members.iter().find_map(|member| member.values.fault(row)),
            Form::Object {
                offsets,
                keys,
                values,
            } => {
                let mut span = span_of(offsets, row);
                let repeats = repeats(keys, span.clone(), &mut HashSet::new());
                let entry = |entry| {
                    text_fault(keys.value(entry).as_bytes()).or_else(|| values.fault(entry))
                };
                too_many(span.len(), MAX_MEMBERS)
                    .or_else(|| repeats.then(|| SAME_KEY.to_owned()))
                    .or_else(|| span.find_map(entry))
            }
            Form::Pairs {
                offsets,
                keys,
                values,
            } => {
                let mut span = span_of(offsets, row);
                let entry = |entry| keys.fault(entry).or_else(|| values.fault(entry));
                too_many(span.len(), MAX_ELEMENTS).or_else(|| span.find_map(entry))
            }
        };
        fault.or_else(|| {
            let most = self.most_bytes(&(row..row + 1));
            let stored = || self.stored_bytes(row);
            (most > MAX_BYTES && stored() > MAX_BYTES)
                .then(|| format!("a value of {} bytes as jsonb, {LIMIT}", stored()))
        })
    }

    /// How many bytes the values of `rows` have in JSON at most; in jsonb they have no more.
    pub(in crate::encode) fn most_bytes(&self, rows: &Range<usize>) -> usize {
        let own = VALUE_BYTES * rows.len();
        own + match &self.form {
            Form::Scalar(Scalars::Text(array)) => ESCAPED_BYTES * text_bytes(array, rows),
            Form::Scalar(Scalars::Bytes(array)) => 2 * binary_bytes(array, rows),
            Form::Scalar(_) | Form::Instant(_) => 0,
            Form::Text(texts) => text_bytes(texts, rows),
            Form::Array { offsets, elements } => elements.most_bytes(&span(offsets, rows)),
            Form::Struct(members) => members
                .iter()
                .map(|member| member.label.len() * rows.len() + member.values.most_bytes(rows))
                .sum(),
            Form::Object {
                offsets,
                keys,
                values,
            } => {
                let entries = span(offsets, rows);
                VALUE_BYTES * entries.len()
                    + ESCAPED_BYTES * text_bytes(keys, &entries)
                    + values.most_bytes(&entries)
            }
            Form::Pairs {
                offsets,
                keys,
                values,
            } => {
                let entries = span(offsets, rows);
                VALUE_BYTES * entries.len()
                    + keys.most_bytes(&entries)
                    + values.most_bytes(&entries)
            }
        }
    }

    /// How many bytes the value of `row` has in jsonb, or a few more: an entry of four bytes for
    /// each value, texts as they are, numbers by their digits of base 10,000.
    fn stored_bytes(&self, row: usize) -> usize {
        const ENTRY: usize = 4;
        if self.is_null(row) {
            return ENTRY;
        }
        ENTRY
            + match &self.form {
                Form::Scalar(Scalars::Text(array)) => array.value(row).len(),
                // The least: what its values take, the server says where it is too much.
                Form::Text(texts) => texts.value(row).len(),
                Form::Scalar(Scalars::Boolean(_)) => 0,
                Form::Scalar(Scalars::Int8(_) | Scalars::Int16(_)) => 15,
                Form::Scalar(_) | Form::Instant(_) => self.written(row) - START.len() + 8,
                Form::Array { offsets, elements } => {
                    ENTRY
                        + sum(span_of(offsets, row), |element| {
                            elements.stored_bytes(element)
                        })
                }
                Form::Struct(members) => {
                    let member = |place: usize| {
                        members[place].label.len() + ENTRY + members[place].values.stored_bytes(row)
                    };
                    ENTRY + sum(0..members.len(), member)
                }
                Form::Object {
                    offsets,
                    keys,
                    values,
                } => {
                    let entry =
                        |entry| ENTRY + keys.value(entry).len() + values.stored_bytes(entry);
                    ENTRY + sum(span_of(offsets, row), entry)
                }
                Form::Pairs {
                    offsets,
                    keys,
                    values,
                } => {
                    let entry =
                        |entry| 2 * ENTRY + keys.stored_bytes(entry) + values.stored_bytes(entry);
                    ENTRY + sum(span_of(offsets, row), entry)
                }
            }
    }
}

const LIMIT: &str = "and jsonb holds less than 256 MiB";

fn text_fault(text: &[u8]) -> Option<String> {
    too_long(text.len()).or_else(|| text.contains(&0).then(|| NUL.to_owned()))
}

/// Whether JSON has the character NUL in a string: an escape whose backslash is none itself.
fn escapes_nul(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(place, _)| {
        let before = json[..place].bytes().rev();
        before.take_while(|byte| *byte == b'\\').count() % 2 == 0
    })
}

fn too_long(bytes: usize) -> Option<String> {
    (bytes > MAX_BYTES).then(|| format!("a text of {bytes} bytes, {LIMIT}"))
}

fn too_many(parts: usize, limit: usize) -> Option<String> {
    (parts > limit).then(|| format!("a value of {parts} parts, and jsonb holds at most {limit}"))
}

fn sum(parts: Range<usize>, bytes: impl Fn(usize) -> usize) -> usize {
    parts.map(bytes).sum()
}

/// Whether two of `entries` have the same key. `seen` is empty, and is so again afterwards.
fn repeats<'a>(keys: &'a StringArray, entries: Range<usize>, seen: &mut HashSet<&'a str>) -> bool {
    if entries.len() <= FEW_KEYS {
        let is_before = |entry: usize| {
            (entries.start..entry).any(|other| keys.value(other) == keys.value(entry))
        };
        return entries.clone().any(is_before);
    }
    let all = entries.len();
    seen.extend(entries.map(|entry| keys.value(entry)));
    let different = seen.len();
    seen.clear();
    different < all
}

#[cfg(test)]
mod tests;
