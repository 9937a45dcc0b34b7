//! Scalars as JSON text.

use std::fmt::{Display, Write as _};

use arrow_array::temporal_conversions::{
    NANOSECONDS, date32_to_datetime, timestamp_ns_to_datetime, timestamp_us_to_datetime,
};
use arrow_schema::ArrowError;

use super::malformed;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Appends what `Display` shows, which JSON takes as it is.
pub(super) fn plain(value: impl Display, out: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}

pub(super) fn string(value: &str, out: &mut String) -> Result<(), ArrowError> {
    let quoted = serde_json::to_string(value);
    out.push_str(&quoted.map_err(|error| ArrowError::JsonError(error.to_string()))?);
    Ok(())
}

/// `Debug` is the shortest form that reads as the same, with an exponent where that is shorter.
pub(super) fn float<F: Into<f64> + std::fmt::Debug + Copy>(value: F, out: &mut String) {
    match value.into() {
        wide if wide.is_finite() => plain(format_args!("{value:?}"), out),
        f64::INFINITY => out.push_str("\"Infinity\""),
        f64::NEG_INFINITY => out.push_str("\"-Infinity\""),
        _ => out.push_str("\"NaN\""),
    }
}

/// `unscaled · 10^−scale`.
pub(super) fn decimal(unscaled: i128, scale: u32, out: &mut String) {
    let scale = scale as usize;
    let digits = format!("{:0>1$}", unscaled.unsigned_abs(), scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    plain(format_args!("{sign}{whole}{point}{fraction}"), out);
}

pub(super) fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push('"');
    for three in bytes.chunks(3) {
        let byte = |place: usize| usize::from(three.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = char::from(ALPHABET[bits >> shift & 63]);
            out.push(if place > three.len() { '=' } else { letter });
        }
    }
    out.push('"');
}

pub(super) fn uuid(bytes: [u8; 16], out: &mut String) {
    out.push('"');
    for (place, byte) in bytes.into_iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&place) {
            "-"
        } else {
            ""
        };
        plain(format_args!("{dash}{byte:02x}"), out);
    }
    out.push('"');
}

pub(super) fn date(days: i32, out: &mut String) -> Result<(), ArrowError> {
    let date = date32_to_datetime(days).ok_or_else(|| malformed("a date is out of range"))?;
    plain(format_args!("\"{}\"", date.format("%Y-%m-%d")), out);
    Ok(())
}

/// Whether a time is an instant, in UTC, or that of a clock on a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    Utc,
    None,
}

/// Microseconds since 1970.
pub(super) fn micros(micros: i64, zone: Zone, out: &mut String) -> Result<(), ArrowError> {
    let time = timestamp_us_to_datetime(micros);
    let time = time.ok_or_else(|| malformed("a time is out of range"))?;
    let fraction = micros.rem_euclid(MICROS_PER_SECOND) * 1_000;
    moment(time.format("%Y-%m-%dT%H:%M:%S"), fraction, zone, out);
    Ok(())
}

/// Nanoseconds since 1970.
pub(super) fn nanos(nanos: i64, zone: Zone, out: &mut String) -> Result<(), ArrowError> {
    let time = timestamp_ns_to_datetime(nanos);
    let time = time.ok_or_else(|| malformed("a time is out of range"))?;
    let fraction = nanos.rem_euclid(NANOSECONDS);
    moment(time.format("%Y-%m-%dT%H:%M:%S"), fraction, zone, out);
    Ok(())
}

/// Microseconds since midnight.
pub(super) fn time_of_day(micros: i64, out: &mut String) {
    let (seconds, part) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let clock = format_args!("{hours:02}:{minutes:02}:{seconds:02}").to_string();
    moment(clock, part * 1_000, Zone::None, out);
}

fn moment(whole: impl Display, nanos: i64, zone: Zone, out: &mut String) {
    plain(format_args!("\"{whole}"), out);
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        plain(format_args!(".{}", digits.trim_end_matches('0')), out);
    }
    out.push_str(if zone == Zone::Utc { "Z\"" } else { "\"" });
}
