//! Times of cron on clocks that are set, and on such as are not.

use chrono::DateTime;
use chrono_tz::Tz;
use lakeferry_model::Instant;

use super::Cron;

fn instant(text: &str) -> Instant {
    Instant(
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros(),
    )
}

/// The times after `after`, as clocks in `zone` show them.
fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(cron).unwrap_or_else(|fault| panic!("{}", fault.what));
    let zone: Tz = zone.parse().unwrap();
    let mut at = instant(after);
    let mut times = Vec::new();
    for _ in 0..count {
        let next = cron.next_after(at, zone).unwrap();
        assert!(next > at, "{cron} goes back");
        at = next;
        let shown = DateTime::from_timestamp_micros(at.0).unwrap();
        let shown = shown.with_timezone(&zone);
        times.push(shown.format("%m-%dT%H:%M:%S%:z").to_string());
    }
    times
}

#[test]
fn fields_are_those_of_cron() {
    for (cron, after, expected) in [
        (
            "*/20 * * * *",
            "2026-01-31T23:39:59Z",
            ["01-31T23:40:00", "02-01T00:00:00"],
        ),
        (
            "*/20 * * * *",
            "2026-01-31T23:40:00Z",
            ["02-01T00:00:00", "02-01T00:20:00"],
        ),
        (
            "15 10 * * * *",
            "2026-01-31T23:40:00Z",
            ["02-01T00:10:15", "02-01T01:10:15"],
        ),
        (
            "30 2 * * MON-FRI",
            "2026-01-30T03:00:00Z",
            ["02-02T02:30:00", "02-03T02:30:00"],
        ),
        (
            "0 0 29 2 *",
            "2026-01-01T00:00:00Z",
            ["02-29T00:00:00", "02-29T00:00:00"],
        ),
        (
            "0 0 L * *",
            "2026-01-31T12:00:00Z",
            ["02-28T00:00:00", "03-31T00:00:00"],
        ),
        (
            "0 12 1,15 JAN,MAR *",
            "2026-01-02T00:00:00Z",
            ["01-15T12:00:00", "03-01T12:00:00"],
        ),
    ] {
        let expected = expected.map(|time| format!("{time}+00:00"));
        assert_eq!(times(cron, "UTC", after, 2), expected, "{cron}");
    }
}

/// At 2026-03-29 02:00 clocks in Berlin are set to 03:00.
#[test]
fn an_hour_that_is_left_out() {
    let berlin = |cron, count| times(cron, "Europe/Berlin", "2026-03-28T23:30:00Z", count);
    assert_eq!(
        berlin("30 2 * * *", 2),
        ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]
    );
    assert_eq!(
        berlin("30 4 * * *", 2),
        ["03-29T04:30:00+02:00", "03-30T04:30:00+02:00"]
    );
    assert_eq!(
        berlin("*/30 * * * *", 4),
        [
            "03-29T01:00:00+01:00",
            "03-29T01:30:00+01:00",
            "03-29T03:00:00+02:00",
            "03-29T03:30:00+02:00"
        ]
    );
    assert_eq!(
        berlin("15 * * * *", 2),
        ["03-29T01:15:00+01:00", "03-29T03:15:00+02:00"]
    );
}

/// At 2026-10-25 03:00 clocks in Berlin are set back to 02:00.
#[test]
fn an_hour_that_comes_twice() {
    let berlin = |cron, count| times(cron, "Europe/Berlin", "2026-10-24T23:30:00Z", count);
    assert_eq!(
        berlin("30 2 * * *", 2),
        ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]
    );
    assert_eq!(
        berlin("30 * * * *", 4),
        [
            "10-25T02:30:00+02:00",
            "10-25T02:30:00+01:00",
            "10-25T03:30:00+01:00",
            "10-25T04:30:00+01:00"
        ]
    );
    assert_eq!(
        berlin("*/30 * * * *", 5),
        [
            "10-25T02:00:00+02:00",
            "10-25T02:30:00+02:00",
            "10-25T02:00:00+01:00",
            "10-25T02:30:00+01:00",
            "10-25T03:00:00+01:00"
        ]
    );
    // Begun in the second of the two hours: what runs once ran in the first.
    let second = times("45 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
    assert_eq!(second, ["10-26T02:45:00+01:00"]);
    let second = times("*/45 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
    assert_eq!(second, ["10-25T02:45:00+01:00"]);
}

#[test]
fn zones_differ_in_more_than_hours() {
    // Half an hour, at 02:00 on Lord Howe.
    let half = times(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00Z",
        2,
    );
    assert_eq!(half, ["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]);
    // A whole day, left out on Samoa in 2011.
    let day = times("0 12 * * *", "Pacific/Apia", "2011-12-29T21:00:00Z", 2);
    assert_eq!(day, ["12-29T12:00:00-10:00", "12-31T00:00:00+14:00"]);
}

/// Over years, each day has one run and none is at another time than its own.
#[test]
fn once_a_day_is_once_a_day() {
    let days = times(
        "30 2 * * *",
        "America/New_York",
        "2024-12-31T12:00:00Z",
        730,
    );
    let mut dates: Vec<_> = days.iter().map(|time| &time[..5]).collect();
    let other = days.iter().filter(|time| !time.contains("T02:30:00"));
    assert_eq!(
        other.collect::<Vec<_>>(),
        ["03-09T03:00:00-04:00", "03-08T03:00:00-04:00"]
    );
    let all = dates.len();
    dates.dedup();
    assert_eq!(dates.len(), all);
}
