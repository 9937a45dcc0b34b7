//! Rows that are only to be added.

use super::*;

fn appends() -> Case {
    Case {
        policy: Policy {
            appends: true,
            ..policy()
        },
        ..Case::default()
    }
}

fn never(why: Why) -> Plan<u64> {
    Plan::Halt(Halt::AppendsOnly { why })
}

#[test]
fn added_files_are_read_until_something_else_comes() {
    let case = appends();
    // Those with the feed only added, too.
    let plan = case.plan(&[
        (Content::Feed, 900),
        (Content::Nothing, 0),
        (Content::Added, 50),
    ]);
    assert_eq!(changes(plan), (Reading::Files, 8));
    let plan = case.plan(&[(Content::Added, 1), (Content::Rewritten, 1)]);
    assert_eq!(changes(plan), (Reading::Files, 6));
    for content in [Content::Rewritten, Content::Opaque] {
        let plan = case.plan(&[(content, 1), (Content::Added, 1)]);
        assert_eq!(plan, Plan::Halt(Halt::NotAdded { version: 6 })); // AB
    }
    // However large they are.
    let large = Case {
        range_bytes: u64::MAX,
        ..appends()
    };
    let plan = large.plan(&[(Content::Added, 1_000_000)]);
    assert_eq!(changes(plan), (Reading::Files, 6));
}

#[test]
fn nothing_is_rebuilt_unasked() {
    let gone = appends().plan_with(AtWatermark::Gone, &[(Content::Added, 1)]);
    assert_eq!(gone, never(Why::PastHorizon)); // AC
    let other = Case {
        fingerprint: made_by("g"),
        ..appends()
    };
    assert_eq!(other.decided(), never(Why::FingerprintChanged)); // AC
    let asked = Case {
        request: Request::Backfill,
        ..appends()
    };
    assert_eq!(asked.why(), (Stage::Refresh, Why::Asked)); // H
    let empty = Case {
        standing: standing(None, TableStanding::Empty),
        ..appends()
    };
    assert_eq!(empty.why(), (Stage::Refresh, Why::FirstFill)); // B
    let timed = Case {
        timed: true,
        standing: standing(None, TableStanding::Absent),
        ..appends()
    };
    assert_eq!(timed.decided(), never(Why::FilterMoved)); // AD
}
