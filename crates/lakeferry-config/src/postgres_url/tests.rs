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
    ] {
        let url = PostgresUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(url.expose(), text);
        assert!(!format!("{url:?}").contains("crt"));
    }
}

#[test]
fn the_same_database_has_the_same_address() {
    let address = |text| PostgresUrl::parse(text).unwrap().address().clone();
    let one = address("postgresql://a:x@DB:5432/app");
    assert_eq!(one, address("postgres://b@db/app?connect_timeout=3"));
    assert_eq!(one, address("postgresql:///?host=db&dbname=app"));
    assert_ne!(one, address("postgresql://a@db:5433/app"));
    assert_ne!(one, address("postgresql://a@db/app2"));
}

#[test]
fn wrong_urls_are_refused_without_repeating_them() {
    for text in [
        "",
        "scrt",
        "mysql://me:scrt@db/app",
        "host=db password=scrt",
        "postgresql://",
        "postgresql:///app",
        "postgresql://me:scrt@/app",
        "postgresql://me:s@crt@db/app",
        "postgresql://me:s/crt@db/app",
        "postgresql://me:scrt?@db/app",
        "postgresql://me:s crt@db/app",
        "postgresql://me:scrt%@db/app",
        "postgresql://me:scrt%zz@db/app",
        "postgresql://me:scrt%ff@db/app",
        "postgresql://me:scrt%00@db/app",
        "postgresql://me:scrt@db:port/app",
        "postgresql://me:scrt@db:0/app",
        "postgresql://me:scrt@db:65536/app",
        "postgresql://me:scrt@a,b/app",
        "postgresql://me:scrt@[::1]x/app",
        "postgresql://db/app?password=scrt",
        "postgresql://db/app?sslmode=verify-full",
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
