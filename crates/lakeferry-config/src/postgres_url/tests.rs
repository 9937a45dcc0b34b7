//! Passwords never show, and two URLs of one database are known as such.

use proptest::prelude::*;

use super::PostgresUrl;

#[test]
fn urls_show_without_their_password() {
    for (text, shown) in [
        ("postgresql://db/app", "postgresql://db/app"),
        ("postgres://db", "postgres://db/"),
        ("postgresql://me@db:5433/app", "postgresql://me@db:5433/app"),
        (
            "postgresql://me:s%40crt@db/app",
            "postgresql://me:***@db/app",
        ),
        ("postgresql://:scrt@db/app", "postgresql://:***@db/app"),
        (
            "postgresql://me:scrt@[::1]:5433/app",
            "postgresql://me:***@[::1]:5433/app",
        ),
        (
            "postgresql:///app?host=/tmp&port=1",
            "postgresql:///app?host=/tmp&port=1",
        ),
        (
            "postgresql://db/app?sslmode=disable",
            "postgresql://db/app?sslmode=disable",
        ),
        (
            "postgresql://me@a,b:1/app?password=scrt&sslcert=",
            "postgresql://me@a,b:1/app?password=***&sslcert=",
        ),
        (
            "user=me  password='s crt' host=db",
            "host=db user=me password=***",
        ),
    ] {
        let url = PostgresUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("crt"));
    }
}

#[test]
fn parameters_are_read_from_both_forms() {
    for (text, expected) in [
        ("postgresql://db/app", "dbname=app host=db"),
        ("postgres://me@db:5433", "host=db port=5433 user=me"),
        (
            "postgresql://a:1,b,[::1]:3/app",
            "dbname=app host=a,b,::1 port=1,,3",
        ),
        (
            "postgresql:///app?host=/run&port=1",
            "dbname=app host=/run port=1",
        ),
        ("postgresql://%2Frun%2Fpg/a%20b", "dbname=a b host=/run/pg"),
        (
            "postgresql://db/?ssl=true&sslrootcert=",
            "host=db sslmode=require",
        ),
        (
            "postgresql://db?options=-c%20a%3Db",
            "host=db options=-c a=b",
        ),
        ("postgresql://", ""),
        ("host=db user='a b'  port = 1", "host=db port=1 user=a b"),
        ("dbname=''  hostaddr=10.0.0.1", "hostaddr=10.0.0.1"),
    ] {
        let url = PostgresUrl::parse(text).unwrap();
        let pairs = url
            .given()
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        assert_eq!(pairs.collect::<Vec<_>>().join(" "), expected, "{text}");
    }
}

#[test]
fn wrong_urls_are_refused_without_repeating_them() {
    for text in [
        "",
        "scrt",
        "mysql://me:scrt@db/app",
        "host=db password=scrt crt2",
        "host=db password='scrt",
        "host=db hun2scrt=1",
        "postgresql://me:s@crt@db/app",
        "postgresql://me:s/crt@db/app",
        "postgresql://me:scrt?@db/app",
        "postgresql://me:s crt@db/app",
        "postgresql://me:scrt%@db/app",
        "postgresql://me:scrt%zz@db/app",
        "postgresql://me:scrt%ff@db/app",
        "postgresql://me:scrt%00@db/app",
        "postgresql://me:scrt@[]/app",
        "postgresql://me:scrt@[::1/app",
        "postgresql://me:scrt@[::1]x/app",
        "postgresql://me:scrt@db/app?password=scrt",
        "postgresql://db/app?sslmode=verify",
        "postgresql://db/app?sslmode=",
        "postgresql://db/app?require_auth=scrt",
        "postgresql://db/app?sslcertmode=require",
        "postgresql://db/app?sslmod=disable",
        "postgresql://db/app?sslmode",
        "postgresql://db/app?host=other",
        "postgresql://db/app?connect_timeout=soon",
    ] {
        let fault = PostgresUrl::parse(text).unwrap_err();
        assert!(
            !fault.what.contains("crt") && !fault.hint.contains("crt"),
            "{fault:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_password_shows_in_a_url(password in "[a-zA-Z0-9.~!$^*]{5,20}", rest in "[a-z@:/?#%&=\\[\\],]{0,12}") {
        let password = format!("X{password}");
        let text = format!("postgresql://me:{password}{rest}@db/app?sslmode=disable");
        let shown = match PostgresUrl::parse(&text) {
            Ok(url) => format!("{url} {url:?}"),
            Err(fault) => format!("{fault:?}"),
        };
        prop_assert!(!shown.contains(&password), "{}", shown);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(postgresql://)?.*") {
        let _ = PostgresUrl::parse(&text);
    }
}
