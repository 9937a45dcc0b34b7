//! Settings show where they lead, and no secret.

use super::*;

#[test]
fn places_name_user_host_and_database() {
    for (url, place) in [
        (
            "postgresql://ferry:secret@db.internal/app",
            "ferry@db.internal:5432/app",
        ),
        ("postgresql://ferry@a:1,b:2/app", "ferry@a:1,b:2/app"),
        (
            "host=/run/postgresql user=ferry password=secret",
            "ferry@/run/postgresql:5432/ferry",
        ),
    ] {
        let settings = ConnectSettings::parse(url).unwrap();
        assert_eq!(settings.parameters.place.to_string(), place);
        assert!(!format!("{settings:?}").contains("secret"));
    }
}

#[test]
fn a_bad_url_is_refused_without_being_shown() {
    let error = ConnectSettings::parse("postgresql://ferry:secret@db/app?nonsense=1");
    let error: &dyn std::error::Error = &error.unwrap_err();
    let chain = std::iter::successors(Some(error), |error| error.source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    assert!(!chain.join(": ").contains("secret"), "{chain:?}");
}

#[test]
fn a_balanced_list_has_each_server_once() {
    let hosts = "a,b,c,d,e,f,g,h";
    let pairs = [
        ("host", hosts),
        ("user", "me"),
        ("load_balance_hosts", "random"),
    ];
    let settings = ConnectSettings::new(pairs, None).unwrap();
    let orders: std::collections::BTreeSet<Vec<String>> = (0..50)
        .map(|_| {
            let order = settings.parameters.in_order();
            order
                .into_iter()
                .map(|server| server.host.clone())
                .collect()
        })
        .collect();
    assert!(orders.len() > 1, "{orders:?}");
    for mut order in orders {
        order.sort();
        assert_eq!(order.join(","), hosts);
    }
}
