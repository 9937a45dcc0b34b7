//! Rows in quarantine that are tried again.

use super::*;

#[test]
fn what_is_in_quarantine_is_tried_again_when_asked() {
    let case = |request, quarantined| Case {
        request,
        head: head(5),
        standing: Standing {
            quarantined,
            ..standing(Some(5), TableStanding::Filled)
        },
        ..Case::default()
    };
    let retry = Plan::Retry { at: at(5) };
    assert_eq!(case(Request::Retry, 2).decided(), retry); // X
    assert_eq!(case(Request::Retry, 0).decided(), Plan::UpToDate); // I
    assert_eq!(case(Request::Sync, 2).decided(), Plan::UpToDate); // I
    let mut cleaned = case(Request::Retry, 2);
    cleaned.head.digest = None;
    assert_eq!(cleaned.why(), (Stage::Refresh, Why::Asked)); // X
    let behind = Case {
        head: head(6),
        ..case(Request::Retry, 2)
    };
    assert_eq!(behind.look(), Look::Behind(at(5)));
    let mut keyless = case(Request::Retry, 2);
    keyless.fingerprint.key.clear();
    let progress = keyless.standing.progress.as_mut().unwrap();
    progress.fingerprint.key.clear();
    keyless.evolution.key.clear();
    assert_eq!(keyless.why(), (Stage::Refresh, Why::Asked)); // X
}
