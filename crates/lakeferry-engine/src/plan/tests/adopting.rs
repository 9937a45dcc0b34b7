//! Cases S to W: tables to adopt.

use super::*;

/// An adoption of a table that stands so, by a job that has version 5 or nothing.
fn to_adopt(had: Option<u64>, table: TableStanding) -> Case {
    Case {
        request: Request::Adopt,
        standing: standing(had, table),
        ..Case::default()
    }
}

fn adopted_at(plan: Plan<u64>) -> Watermark<u64> {
    match plan {
        Plan::Adopt { at } => at,
        plan => panic!("{plan:?}"),
    }
}

#[test]
fn what_is_adopted_is_a_table_that_the_job_did_not_fill() {
    for had in [None, Some(5)] {
        let absent = to_adopt(had, TableStanding::Absent);
        assert_eq!(absent.decided(), Plan::Halt(Halt::NothingToAdopt)); // S
    }
    let mut own = to_adopt(Some(5), TableStanding::Filled);
    assert_eq!(own.decided(), Plan::UpToDate); // T
    own.fingerprint = made_by("g");
    assert_eq!(own.decided(), Plan::UpToDate); // T
    for table in [TableStanding::Empty, TableStanding::Foreign] {
        let at = adopted_at(to_adopt(None, table).decided());
        assert_eq!((at.version, at.instant), (9, Instant(200))); // W
    }
}

#[test]
fn a_copy_is_held_against_the_version_that_the_job_had() {
    let copy = to_adopt(Some(5), TableStanding::Replaced);
    assert_eq!(copy.look(), Look::Copied(at(5)));
    let decide = |at_watermark| {
        let commits = Vec::new();
        let survey = Survey {
            at_watermark,
            commits,
        };
        adopted_at(adopt(&copy.situation(), &at(5), &survey))
    };
    assert_eq!(decide(AtWatermark::Commit(digest(5))), at(5)); // V
    for other in [AtWatermark::Gone, AtWatermark::Commit(digest(77))] {
        assert_eq!(decide(other).version, 9, "{other:?}"); // W
    }
    let mut at_head = to_adopt(Some(5), TableStanding::Replaced);
    at_head.head = head(5);
    assert_eq!(adopted_at(at_head.decided()), at(5)); // U
    let with = |change: fn(&mut Case)| {
        let mut case = to_adopt(Some(5), TableStanding::Replaced);
        change(&mut case);
        adopted_at(case.decided()).version
    };
    assert_eq!(with(|case| case.adopts_head = true), 9); // W
    assert_eq!(with(|case| case.fingerprint = made_by("g")), 9); // W
    assert_eq!(with(|case| case.head = head(4)), 4); // W
    let other_table = |case: &mut Case| case.head.table_id = TableId("other".to_owned());
    assert_eq!(with(other_table), 9); // W
}
