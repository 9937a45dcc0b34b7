//! Scalars as JSON text.

use super::{Sink, time};
use crate::encode::scalars::Scalars;

/// Puts the value of `row`, which is not null.
pub(super) fn scalar(values: &Scalars<'_>, row: usize, out: &mut impl Sink) {
    match values {
        Scalars::Boolean(array) => out.put(if array.value(row) { b"true" } else { b"false" }),
        Scalars::Int8(values) => integer(values[row].into(), out),
        Scalars::Int16(values) => integer(values[row].into(), out),
        Scalars::Int32(values) => integer(values[row].into(), out),
        Scalars::Int64(values) => integer(values[row], out),
        Scalars::Float32(values) => float(values[row], out),
        Scalars::Float64(values) => float(values[row], out),
        Scalars::Decimal(values, digits) => decimal(values[row], digits.scale, out),
        Scalars::Text(array) => string(array.value(row).as_bytes(), out),
        Scalars::Bytes(array) => base64(array.value(row), out),
        Scalars::Date(values) => time::date(values[row], out),
        Scalars::Timestamp(values) => time::local(values[row], out),
    }
}

fn integer(value: i64, out: &mut impl Sink) {
    out.put(itoa::Buffer::new().format(value).as_bytes());
}

fn float<F: ryu::Float + Into<f64>>(value: F, out: &mut impl Sink) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        return out.put(ryu::Buffer::new().format_finite(value).as_bytes());
    }
    out.put(match wide {
        f64::INFINITY => b"\"Infinity\"".as_slice(),
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    });
}

/// Puts `value · 10^−scale` with `scale` digits after the point.
fn decimal(value: i128, scale: u8, out: &mut impl Sink) {
    const ZEROS: [u8; 38] = [b'0'; 38];
    if value < 0 {
        out.put(b"-");
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let scale = usize::from(scale);
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.put(if whole.is_empty() { b"0" } else { whole });
    if scale > 0 {
        out.put(b".");
        out.put(&ZEROS[..scale - fraction.len()]);
        out.put(fraction);
    }
}

/// What stands for each byte after a backslash: nothing for those that stand for themselves.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\t' as usize] = b't';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Puts `text`, which is UTF-8, quoted.
pub(super) fn string(text: &[u8], out: &mut impl Sink) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put(b"\"");
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|byte| ESCAPES[usize::from(*byte)] != 0)
    {
        out.put(&rest[..at]);
        let byte = usize::from(rest[at]);
        match ESCAPES[byte] {
            b'u' => out.put(&[b'\\', b'u', b'0', b'0', HEX[byte >> 4], HEX[byte & 15]]),
            escape => out.put(&[b'\\', escape]),
        }
        rest = &rest[at + 1..];
    }
    out.put(rest);
    out.put(b"\"");
}

fn base64(bytes: &[u8], out: &mut impl Sink) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.put(b"\"");
    for three in bytes.chunks(3) {
        let byte = |place: usize| usize::from(three.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let mut four = [18, 12, 6, 0].map(|shift| ALPHABET[bits >> shift & 63]);
        four[three.len() + 1..].fill(b'=');
        out.put(&four);
    }
    out.put(b"\"");
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn told(put: impl Fn(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn decimals_have_all_their_digits() {
        let nines = 10_i128.pow(38) - 1;
        for (value, scale, text) in [
            (0, 0, "0".to_owned()),
            (0, 2, "0.00".to_owned()),
            (-1, 2, "-0.01".to_owned()),
            (-123, 2, "-1.23".to_owned()),
            (100, 2, "1.00".to_owned()),
            (nines, 0, nines.to_string()),
            (-nines, 38, format!("-0.{nines}")),
            (1, 38, format!("0.{}1", "0".repeat(37))),
        ] {
            assert_eq!(told(|out| decimal(value, scale, out)), text);
        }
    }

    #[test]
    fn floats_read_as_what_they_are() {
        assert_eq!(told(|out| float(0.1_f32, out)), "0.1");
        assert_eq!(told(|out| float(-0.0_f64, out)), "-0.0");
        assert_eq!(told(|out| float(f64::MAX, out)), "1.7976931348623157e308");
        assert_eq!(told(|out| float(f32::NAN, out)), "\"NaN\"");
        assert_eq!(told(|out| float(f64::NEG_INFINITY, out)), "\"-Infinity\"");
        assert_eq!(told(|out| float(f32::INFINITY, out)), "\"Infinity\"");
    }

    #[test]
    fn strings_are_escaped_as_little_as_possible() {
        let text = "a\"b\\c/\u{1}\n\u{1f}\u{7f}ü🦆";
        let json = "\"a\\\"b\\\\c/\\u0001\\n\\u001f\u{7f}ü🦆\"";
        assert_eq!(told(|out| string(text.as_bytes(), out)), json);
    }

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn binaries_are_base64() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let json = format!("\"{text}\"");
            assert_eq!(told(|out| base64(bytes.as_bytes(), out)), json);
        }
        assert_eq!(told(|out| base64(&[0xfb, 0xff, 0xfe], out)), "\"+//+\"");
    }
}
