//! Fills that were cut off.

use super::*;

/// A fill of version 7 that stopped half-way.
pub(super) fn unfinished() -> UnfinishedFill<u64> {
    UnfinishedFill {
        plan: FillPlan {
            watermark: at(7),
            fingerprint: made_by("f"),
            pieces: 4,
            pieces_digest: Digest([4; 32]),
        },
        loaded: 2,
        rows: 20,
    }
}
fn interrupted() -> Case {
    Case {
        standing: Standing {
            unfinished: Some(unfinished()),
            ..standing(None, TableStanding::Absent)
        },
        ..Case::default()
    }
}

#[test]
fn a_fill_is_gone_on_with_if_all_is_as_it_was() {
    for request in [Request::Sync, Request::Backfill] {
        let case = Case {
            request,
            ..interrupted()
        };
        let look = Look::Unfinished {
            unfinished: unfinished(),
            why: Why::FirstFill,
        };
        assert_eq!(case.look(), look); // A
        let decide = |at_watermark| {
            let commits = Vec::new();
            let survey = Survey {
                at_watermark,
                commits,
            };
            resume(&case.situation(), &unfinished(), Why::FirstFill, &survey)
        };
        let go_on = Plan::Resume {
            unfinished: unfinished(),
        };
        assert_eq!(decide(AtWatermark::Commit(digest(7))), go_on); // Q
        for other in [AtWatermark::Gone, AtWatermark::Commit(digest(77))] {
            let anew = rebuild(&case.situation(), Stage::Fill, Why::FirstFill);
            assert_eq!(decide(other), anew, "{other:?}"); // R
        }
    }
}

#[test]
fn a_fill_starts_anew_if_anything_differs() {
    let with = |change: fn(&mut Case)| {
        let mut case = interrupted();
        change(&mut case);
        match case.decided() {
            Plan::Rebuild { at, stage, why } => {
                assert_eq!((stage, why), (Stage::Fill, Why::FirstFill));
                assert_eq!(at.version, case.head.version, "anew, but not at the head");
            }
            plan => panic!("{plan:?}"),
        }
    };
    with(|case| case.fills_anew = true);
    with(|case| case.fingerprint = made_by("g"));
    with(|case| case.fingerprint.key = vec!["other".to_owned()]);
    with(|case| case.head.table_id = TableId("other".to_owned()));
    with(|case| case.head = head(6));
    // A digest that nobody kept cannot be compared.
    let mut case = interrupted();
    let mut without = unfinished();
    without.plan.watermark.digest = None;
    case.standing.unfinished = Some(without.clone());
    let survey = Survey {
        at_watermark: AtWatermark::Commit(digest(7)),
        commits: Vec::new(),
    };
    let plan = resume(&case.situation(), &without, Why::FirstFill, &survey);
    assert!(matches!(plan, Plan::Rebuild { .. }), "{plan:?}"); // R
}

/// Whoever asked for a table that is gone does not have to ask again after an interruption.
#[test]
fn a_fill_that_was_asked_for_is_gone_on_with() {
    let mut case = Case {
        standing: Standing {
            unfinished: Some(unfinished()),
            ..standing(Some(5), TableStanding::Absent)
        },
        ..Case::default()
    };
    let look = Look::Unfinished {
        unfinished: unfinished(),
        why: Why::Asked,
    };
    assert_eq!(case.look(), look); // D
    // The instant of a target never moves back.
    if let Some(progress) = &mut case.standing.progress {
        progress.watermark.instant = Instant(101);
    }
    assert_eq!(case.why(), (Stage::Fill, Why::Asked)); // D
}
