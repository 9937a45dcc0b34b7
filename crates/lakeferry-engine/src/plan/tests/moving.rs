//! Cases Y and Z: filters that depend on time.

use super::*;

/// A job at version 5 and instant 100 whose filter should be at 200; the head is at `version`.
fn behind(version: u64) -> Case {
    Case {
        timed: true,
        head: head(version),
        ..Case::default()
    }
}

#[test]
fn time_moves_rows_at_a_fixed_version() {
    let until = Instant(200);
    let moves = Plan::Move { at: at(5), until };
    assert_eq!(behind(5).decided(), moves); // Y
    let mut mode = behind(5);
    mode.policy.always_refresh = true;
    let Plan::Rebuild { at, stage, why } = mode.decided() else {
        panic!("no rebuild") // Z
    };
    assert_eq!((stage, why), (Stage::Refresh, Why::FilterMoved));
    assert_eq!((at.version, at.instant), (5, until));
}

/// Whoever reads a version has to know it by its commit.
#[test]
fn without_the_commit_at_the_watermark_time_is_a_rebuild() {
    let mut cleaned = behind(5);
    cleaned.head.digest = None;
    assert_eq!(cleaned.why(), (Stage::Refresh, Why::FilterMoved)); // Z
    // The rebuild leaves a watermark that knows none.
    let progress = cleaned.standing.progress.as_mut().unwrap();
    progress.watermark.digest = None;
    assert!(matches!(cleaned.decided(), Plan::Move { .. })); // Y
}

#[test]
fn time_that_stands_still_or_runs_back_moves_nothing() {
    for now in [100, 99, i64::MIN] {
        let case = Case { now, ..behind(5) };
        assert_eq!(case.decided(), Plan::UpToDate, "{now}"); // I
        let mut mode = case;
        mode.policy.always_refresh = true;
        assert_eq!(mode.decided(), Plan::UpToDate, "{now}"); // I
    }
}

#[test]
fn without_time_in_the_filter_no_instant_matters() {
    let case = Case {
        timed: false,
        ..behind(5)
    };
    assert_eq!(case.decided(), Plan::UpToDate); // I
}

/// `changes` asserts that a range has the stored instant at both ends.
#[test]
fn the_version_moves_first() {
    let case = behind(9);
    assert_eq!(case.look(), Look::Behind(at(5)));
    let plan = case.plan(&[(Content::Feed, 1)]);
    assert_eq!(changes(plan), (Reading::Feed, 6));
    let Plan::Advance { range } = case.plan(&[(Content::Nothing, 0)]) else {
        panic!("no advance")
    };
    assert_eq!(range.through().instant, Instant(100));
}

#[test]
fn a_rebuild_moves_both() {
    for timed in [false, true] {
        let case = Case {
            timed,
            request: Request::Backfill,
            ..behind(9)
        };
        let Plan::Rebuild { at, .. } = case.decided() else {
            panic!("no rebuild")
        };
        assert_eq!((at.version, at.instant), (9, Instant(200)));
    }
}

#[test]
fn a_fill_that_is_gone_on_with_keeps_its_instant() {
    let case = Case {
        standing: Standing {
            unfinished: Some(filling::unfinished()),
            ..standing(None, TableStanding::Absent)
        },
        ..behind(9)
    };
    let Look::Unfinished { unfinished, why } = case.look() else {
        panic!("{:?}", case.look())
    };
    let survey = Survey {
        at_watermark: AtWatermark::Commit(digest(7)),
        commits: Vec::new(),
    };
    let plan = resume(&case.situation(), &unfinished, why, &survey);
    let Plan::Resume { unfinished } = plan else {
        panic!("{plan:?}") // Q
    };
    assert_eq!(unfinished.plan.watermark.instant, Instant(100));
}
