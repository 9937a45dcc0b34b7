//! Dates and timestamps as ISO 8601, in the calendar that Postgres and Delta share: the Gregorian
//! one, also before it was made, with a year 0.

use super::Sink;

const DAY_MICROS: i64 = 86_400_000_000;
/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01: years that begin with March end with their leap day.
const EPOCH_DAYS: i64 = 719_468;

/// Puts `days` since 1970-01-01, quoted.
pub(super) fn date(days: i32, out: &mut impl Sink) {
    out.put(b"\"");
    day(days.into(), out);
    out.put(b"\"");
}

/// Puts `micros` since 1970-01-01 00:00 UTC, quoted.
pub(super) fn instant(micros: i64, out: &mut impl Sink) {
    out.put(b"\"");
    moment(micros, out);
    out.put(b"Z\"");
}

/// Puts `micros` since 1970-01-01 00:00, quoted.
pub(super) fn local(micros: i64, out: &mut impl Sink) {
    out.put(b"\"");
    moment(micros, out);
    out.put(b"\"");
}

fn moment(micros: i64, out: &mut impl Sink) {
    day(micros.div_euclid(DAY_MICROS), out);
    let micros = micros.rem_euclid(DAY_MICROS);
    let seconds = micros / 1_000_000;
    let mut time = *b"T00:00:00";
    put_two(&mut time[1..3], seconds / 3_600);
    put_two(&mut time[4..6], seconds / 60 % 60);
    put_two(&mut time[7..9], seconds % 60);
    out.put(&time);
    let micros = micros % 1_000_000;
    if micros > 0 {
        let mut fraction = *b".000000";
        put_two(&mut fraction[1..3], micros / 10_000);
        put_two(&mut fraction[3..5], micros / 100 % 100);
        put_two(&mut fraction[5..7], micros % 100);
        let end = fraction.iter().rposition(|digit| *digit != b'0');
        out.put(&fraction[..=end.unwrap_or_default()]);
    }
}

fn day(days: i64, out: &mut impl Sink) {
    let days = days + EPOCH_DAYS;
    let era = days.div_euclid(ERA_DAYS);
    let in_era = days.rem_euclid(ERA_DAYS);
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March.
    let month = (5 * in_year + 2) / 153;
    let in_month = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    year(era * 400 + year_of_era + next, out);
    let mut rest = *b"-00-00";
    put_two(&mut rest[1..3], month);
    put_two(&mut rest[4..6], in_month);
    out.put(&rest);
}

/// Puts four digits, or more of them with a sign.
fn year(year: i64, out: &mut impl Sink) {
    match year {
        ..0 => out.put(b"-"),
        10_000.. => out.put(b"+"),
        _ => {}
    }
    let year = year.unsigned_abs();
    if year >= 10_000 {
        return out.put(itoa::Buffer::new().format(year).as_bytes());
    }
    let mut four = [0; 4];
    put_two(&mut four[..2], (year / 100).cast_signed());
    put_two(&mut four[2..], (year % 100).cast_signed());
    out.put(&four);
}

/// `value` is below 100.
fn put_two(place: &mut [u8], value: i64) {
    place[0] = b'0' + (value / 10) as u8;
    place[1] = b'0' + (value % 10) as u8;
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
    fn dates() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0000-12-31"),
            (-719_529, "-0001-12-31"),
            (i32::MAX, "+5881580-07-11"),
            (i32::MIN, "-5877641-06-23"),
        ] {
            assert_eq!(told(|out| date(days, out)), format!("\"{text}\""));
        }
    }

    #[test]
    fn timestamps() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00"),
            (-1, "1969-12-31T23:59:59.999999"),
            (1_500_000, "1970-01-01T00:00:01.5"),
            (86_399_000_010, "1970-01-01T23:59:59.00001"),
            (i64::MAX, "+294247-01-10T04:00:54.775807"),
            (i64::MIN, "-290308-12-21T19:59:05.224192"),
        ] {
            assert_eq!(told(|out| local(micros, out)), format!("\"{text}\""));
            assert_eq!(told(|out| instant(micros, out)), format!("\"{text}Z\""));
        }
    }
}
