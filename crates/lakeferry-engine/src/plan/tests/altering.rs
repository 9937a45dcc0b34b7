//! Targets that were made from other columns than their source has.

use lakeferry_model::Alteration;

use super::*;

/// A target that has a column less than its source.
fn behind() -> Case {
    let mut case = Case::default();
    let detach = Alteration::Detach("old".to_owned());
    case.evolution.alterations.push(detach);
    case
}

/// The fingerprint's digest that the alteration leaves.
fn altered(plan: &Plan<u64>) -> &str {
    match plan {
        Plan::Alter { fingerprint, .. } => &fingerprint.rows,
        plan => panic!("{plan:?}"),
    }
}

#[test]
fn a_target_is_altered_once_its_source_is_known_to_be_the_same() {
    let case = behind();
    assert_eq!(case.look(), Look::Behind(at(5)));
    let feed = [(Content::Feed, 10)];
    assert_eq!(altered(&case.plan(&feed)), "f"); // Y
    let anew = case.plan_with(AtWatermark::Commit(digest(66)), &feed);
    assert!(matches!(anew, Plan::Halt(Halt::SourceReplaced { .. }))); // K
    // Past the horizon, it is altered all the same before the rebuild.
    let gone = case.plan_with(AtWatermark::Gone, &feed);
    assert_eq!(altered(&gone), "f"); // Y
}

#[test]
fn a_rebuild_comes_after_the_alteration() {
    let rebuilds = |case: &mut Case| case.evolution.rebuilds = true;
    let asked = |case: &mut Case| case.request = Request::Backfill;
    let always = |case: &mut Case| case.policy.always_refresh = true;
    let other = |case: &mut Case| case.fingerprint = made_by("g");
    let idle = |case: &mut Case| case.head = head(5);
    let feed = [(Content::Feed, 10)];
    for (change, is_decided, left) in [
        (&rebuilds as &dyn Fn(&mut Case), false, ""),
        (&asked, true, "f"),
        (&always, false, "f"),
        (&other, false, "f"),
        (&idle, true, "f"),
    ] {
        let mut case = behind();
        change(&mut case);
        let plan = if is_decided {
            case.decided()
        } else {
            case.plan(&feed)
        };
        assert_eq!(altered(&plan), left); // AA
    }
    // Where there is nothing to alter, the rebuild comes at once.
    let mut case = Case::default();
    case.evolution.rebuilds = true;
    assert_eq!(refresh(case.plan(&feed)), Why::FingerprintChanged); // H
}

#[test]
fn what_is_not_followed_halts_before_anything_is_done() {
    let mut case = behind();
    let what = vec!["column a is new".to_owned()];
    case.evolution.refused.clone_from(&what);
    let halt = Plan::Halt(Halt::ColumnsChanged { what });
    assert_eq!(case.plan(&[(Content::Feed, 10)]), halt); // Y
    case.head = head(5);
    assert_eq!(case.decided(), halt); // Y
}

#[test]
fn another_source_of_other_columns() {
    let mut case = behind();
    case.head.table_id = TableId("other".to_owned());
    assert!(matches!(
        case.decided(),
        Plan::Halt(Halt::SourceReplaced { .. })
    )); // F
    case.policy.on_source_replaced = OnSourceReplaced::Refresh;
    altered(&case.decided()); // Y
}

#[test]
fn a_key_under_another_name_is_the_same_key() {
    let mut case = behind();
    case.fingerprint.key = vec!["number".to_owned()];
    let was = vec!["id".to_owned()];
    assert_eq!(case.decided(), Plan::Halt(Halt::KeyChanged { was })); // E
    case.evolution.key = vec!["number".to_owned()];
    assert_eq!(case.look(), Look::Behind(at(5)));
    // The source has another column of the key's name, which tells nobody what to set it to.
    case.fingerprint.key = vec!["id".to_owned()];
    let was = vec!["number".to_owned()];
    assert_eq!(case.decided(), Plan::Halt(Halt::KeyChanged { was })); // E
}
