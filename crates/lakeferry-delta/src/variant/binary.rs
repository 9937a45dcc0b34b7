//! The binary encoding of a variant: names in `metadata`, everything else in `value`.

use arrow_schema::ArrowError;

use super::{malformed, text};

/// How deep a value may be nested: each level takes room on the stack.
const MAX_DEPTH: usize = 500;

/// The names of members, by their number.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    bytes: Bytes<'a>,
    /// Bytes of a number.
    width: usize,
    count: usize,
}

impl<'a> Names<'a> {
    pub(super) fn of(metadata: &'a [u8]) -> Result<Self, ArrowError> {
        let bytes = Bytes(metadata);
        let header = bytes.byte(0)?;
        if header & 0xf != 1 {
            return Err(malformed(&format!("its version is {}", header & 0xf)));
        }
        let width = usize::from(header >> 6) + 1;
        let count = bytes.number(1, width)?;
        Ok(Self {
            bytes,
            width,
            count,
        })
    }

    fn get(&self, number: usize) -> Result<&'a str, ArrowError> {
        if number >= self.count {
            return Err(malformed(&format!("it has no name {number}")));
        }
        let offset = |place: usize| self.bytes.number(1 + self.width * (1 + place), self.width);
        let start = 1 + self.width * (self.count + 2);
        let name = self
            .bytes
            .part(start + offset(number)?, start + offset(number + 1)?)?;
        utf8(name)
    }
}

/// Appends `value` as JSON.
pub(super) fn write(value: &[u8], names: &Names<'_>, out: &mut String) -> Result<(), ArrowError> {
    write_at(Bytes(value), 0, names, out)
}

/// Appends the members of `value`, an object, without braces; says whether there are any.
pub(super) fn write_members(
    value: &[u8],
    names: &Names<'_>,
    out: &mut String,
) -> Result<bool, ArrowError> {
    match Container::of(Bytes(value))? {
        Some(object) if object.ids.is_some() => {
            object.write(0, names, out)?;
            Ok(object.count > 0)
        }
        _ => Err(malformed("a shredded object has a value that is none")),
    }
}

fn write_at(
    value: Bytes<'_>,
    depth: usize,
    names: &Names<'_>,
    out: &mut String,
) -> Result<(), ArrowError> {
    if depth > MAX_DEPTH {
        return Err(malformed(&format!("it is nested deeper than {MAX_DEPTH}")));
    }
    let header = value.byte(0)?;
    match (header & 3, Container::of(value)?) {
        (0, _) => primitive(header >> 2, Bytes(value.from(1)?), out),
        (1, _) => {
            let end = 1 + usize::from(header >> 2);
            text::string(utf8(value.part(1, end)?)?, out)
        }
        (_, Some(container)) => {
            let (open, close) = if container.ids.is_some() {
                ('{', '}')
            } else {
                ('[', ']')
            };
            out.push(open);
            container.write(depth, names, out)?;
            out.push(close);
            Ok(())
        }
        (_, None) => Err(malformed("it is of no type")),
    }
}

/// An object or an array.
struct Container<'a> {
    bytes: Bytes<'a>,
    count: usize,
    /// Where the numbers of an object's names begin, and bytes of each.
    ids: Option<(usize, usize)>,
    offsets: usize,
    /// Bytes of an offset.
    width: usize,
}

impl<'a> Container<'a> {
    fn of(bytes: Bytes<'a>) -> Result<Option<Self>, ArrowError> {
        let header = bytes.byte(0)?;
        let (is_object, large) = match header & 3 {
            2 => (true, header >> 6 & 1),
            3 => (false, header >> 4 & 1),
            _ => return Ok(None),
        };
        let count_width = if large == 1 { 4 } else { 1 };
        let count = bytes.number(1, count_width)?;
        let start = 1 + count_width;
        let id_width = usize::from(header >> 4 & 3) + 1;
        let ids = is_object.then_some((start, id_width));
        Ok(Some(Self {
            bytes,
            count,
            ids,
            offsets: start + ids.map_or(0, |(_, width)| width * count),
            width: usize::from(header >> 2 & 3) + 1,
        }))
    }

    /// Appends the parts, without brackets.
    fn write(&self, depth: usize, names: &Names<'_>, out: &mut String) -> Result<(), ArrowError> {
        let start = self.offsets + self.width * (self.count + 1);
        for place in 0..self.count {
            if place > 0 {
                out.push(',');
            }
            if let Some((ids, width)) = self.ids {
                let id = self.bytes.number(ids + width * place, width)?;
                text::string(names.get(id)?, out)?;
                out.push(':');
            }
            let offset = self
                .bytes
                .number(self.offsets + self.width * place, self.width)?;
            let part = Bytes(self.bytes.from(start + offset)?);
            write_at(part, depth + 1, names, out)?;
        }
        Ok(())
    }
}

/// Appends the scalar of type `kind` ("Variant Binary Encoding", "Encoding types").
fn primitive(kind: u8, bytes: Bytes<'_>, out: &mut String) -> Result<(), ArrowError> {
    use text::Zone;
    match kind {
        0 => out.push_str("null"),
        1 => out.push_str("true"),
        2 => out.push_str("false"),
        3 => text::plain(i8::from_le_bytes(bytes.fixed(0)?), out),
        4 => text::plain(i16::from_le_bytes(bytes.fixed(0)?), out),
        5 => text::plain(i32::from_le_bytes(bytes.fixed(0)?), out),
        6 => text::plain(i64::from_le_bytes(bytes.fixed(0)?), out),
        7 => text::float(f64::from_le_bytes(bytes.fixed(0)?), out),
        8 => decimal(i32::from_le_bytes(bytes.fixed(1)?), bytes, out)?,
        9 => decimal(i64::from_le_bytes(bytes.fixed(1)?), bytes, out)?,
        10 => decimal(i128::from_le_bytes(bytes.fixed(1)?), bytes, out)?,
        11 => text::date(i32::from_le_bytes(bytes.fixed(0)?), out)?,
        12 => text::micros(i64::from_le_bytes(bytes.fixed(0)?), Zone::Utc, out)?,
        13 => text::micros(i64::from_le_bytes(bytes.fixed(0)?), Zone::None, out)?,
        14 => text::float(f32::from_le_bytes(bytes.fixed(0)?), out),
        15 => text::base64(long(bytes)?, out),
        16 => text::string(utf8(long(bytes)?)?, out)?,
        17 => text::time_of_day(i64::from_le_bytes(bytes.fixed(0)?), out),
        18 => text::nanos(i64::from_le_bytes(bytes.fixed(0)?), Zone::Utc, out)?,
        19 => text::nanos(i64::from_le_bytes(bytes.fixed(0)?), Zone::None, out)?,
        20 => text::uuid(bytes.fixed(0)?, out),
        _ => {
            return Err(malformed(&format!(
                "it has a value of the unknown type {kind}"
            )));
        }
    }
    Ok(())
}

fn decimal(
    unscaled: impl Into<i128>,
    bytes: Bytes<'_>,
    out: &mut String,
) -> Result<(), ArrowError> {
    text::decimal(unscaled.into(), bytes.byte(0)?.into(), out);
    Ok(())
}

/// What stands after its own length.
fn long(bytes: Bytes<'_>) -> Result<&[u8], ArrowError> {
    bytes.part(4, 4 + bytes.number(0, 4)?)
}

fn utf8(bytes: &[u8]) -> Result<&str, ArrowError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
}

/// Bytes that may end too early.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn part(self, start: usize, end: usize) -> Result<&'a [u8], ArrowError> {
        let part = self.0.get(start..end);
        part.ok_or_else(|| malformed("it ends too early"))
    }

    fn from(self, start: usize) -> Result<&'a [u8], ArrowError> {
        self.part(start, self.0.len())
    }

    fn byte(self, place: usize) -> Result<u8, ArrowError> {
        Ok(self.part(place, place + 1)?[0])
    }

    fn fixed<const N: usize>(self, start: usize) -> Result<[u8; N], ArrowError> {
        let bytes = self.part(start, start + N)?;
        bytes.try_into().map_err(|_| malformed("it ends too early"))
    }

    /// An unsigned number of `width` bytes, four at most.
    fn number(self, start: usize, width: usize) -> Result<usize, ArrowError> {
        let bytes = self.part(start, start + width)?;
        let number = bytes.iter().rev();
        Ok(number.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
}
