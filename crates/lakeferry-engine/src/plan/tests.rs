//! Each case of the planner's tables, by its letter.

use std::sync::Arc;

use arrow_schema::Schema;
use lakeferry_model::{Digest, Epoch, FillPlan, Holder, JobKey, OwnColumns, Size, TableId};

use super::*;
use crate::job::{DropColumns, OnSchemaChange, Retry};

mod adopting;
mod altering;
mod appending;
mod filling;
mod moving;
mod retrying;

pub(crate) fn policy() -> Policy {
    Policy {
        key: JobKey {
            deployment: "d".to_owned(),
            name: "j".to_owned(),
        },
        holder: Holder("me".to_owned()),
        key_columns: vec!["id".to_owned()],
        filter: None,
        timezone: "UTC".to_owned(),
        always_refresh: false,
        appends: false,
        dedupe_by: None,
        on_null_key: lakeferry_model::OnNullKey::Halt,
        lists_columns: false,
        excluded: Vec::new(),
        own: OwnColumns::default(),
        on_source_replaced: OnSourceReplaced::Halt,
        on_schema_change: OnSchemaChange::Evolve,
        drop_columns: DropColumns::Detach,
        refresh_above: 0.5,
        collapse_memory_bytes: 1000,
        retry: Retry::default(),
        ignores_pause: false,
    }
}

fn digest(version: u64) -> Digest {
    Digest([u8::try_from(version).unwrap(); 32])
}

fn at(version: u64) -> Watermark<u64> {
    Watermark {
        table_id: TableId("t".to_owned()),
        version,
        digest: Some(digest(version)),
        instant: Instant(100),
    }
}

fn head(version: u64) -> Head<u64> {
    Head {
        table_id: TableId("t".to_owned()),
        version,
        digest: Some(digest(version)),
        columns: Arc::new(Schema::empty()),
        size: Size {
            files: 1,
            bytes: 10_000,
            rows: None,
        },
    }
}

fn made_by(rows: &str) -> Fingerprint {
    Fingerprint {
        key: vec!["id".to_owned()],
        rows: rows.to_owned(),
        columns: Vec::new(),
        columns_made: 0,
    }
}

fn standing(version: Option<u64>, table: TableStanding) -> Standing<u64> {
    let progress = version.map(|version| Progress {
        watermark: at(version),
        fingerprint: made_by("f"),
    });
    Standing {
        progress,
        epoch: Epoch(1),
        table,
        unfinished: None,
        quarantined: 0,
        paused: None,
    }
}

/// A situation that the cases change one thing of.
struct Case {
    request: Request,
    policy: Policy,
    standing: Standing<u64>,
    head: Head<u64>,
    fingerprint: Fingerprint,
    evolution: Evolution,
    now: i64,
    timed: bool,
    narrowed: Option<u64>,
    range_commits: usize,
    range_bytes: u64,
    fills_anew: bool,
    adopts_head: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            request: Request::Sync,
            policy: policy(),
            standing: standing(Some(5), TableStanding::Filled),
            head: head(9),
            fingerprint: made_by("f"),
            evolution: Evolution {
                key: vec!["id".to_owned()],
                ..Evolution::default()
            },
            now: 200,
            timed: false,
            narrowed: None,
            range_commits: usize::MAX,
            range_bytes: 1000,
            fills_anew: false,
            adopts_head: false,
        }
    }
}

impl Case {
    fn situation(&self) -> Situation<'_, u64> {
        Situation {
            request: self.request,
            policy: &self.policy,
            standing: &self.standing,
            head: &self.head,
            fingerprint: &self.fingerprint,
            evolution: &self.evolution,
            now: Instant(self.now),
            timed: self.timed,
            narrowed: self.narrowed,
            range_commits: self.range_commits,
            range_bytes: self.range_bytes,
            fills_anew: self.fills_anew,
            adopts_head: self.adopts_head,
        }
    }

    fn look(&self) -> Look<u64> {
        first_look(&self.situation())
    }

    fn decided(&self) -> Plan<u64> {
        match self.look() {
            Look::Decided(plan) => plan,
            look => panic!("undecided: {look:?}"),
        }
    }

    fn why(&self) -> (Stage, Why) {
        match self.decided() {
            Plan::Rebuild { stage, why, .. } => (stage, why),
            plan => panic!("{plan:?}"),
        }
    }

    fn plan(&self, commits: &[(Content, u64)]) -> Plan<u64> {
        self.plan_with(AtWatermark::Commit(digest(5)), commits)
    }

    fn plan_with(&self, at_watermark: AtWatermark, commits: &[(Content, u64)]) -> Plan<u64> {
        let commits = (6..)
            .zip(commits)
            .map(|(version, &(content, bytes))| Commit {
                version,
                digest: digest(version),
                content,
                only_adds: matches!(content, Content::Added | Content::Feed),
                metadata: false,
                size: Size {
                    bytes,
                    ..Size::default()
                },
            });
        let survey = Survey {
            at_watermark,
            commits: commits.collect(),
        };
        plan(&self.situation(), &at(5), &survey)
    }
}

fn refresh(plan: Plan<u64>) -> Why {
    match plan {
        Plan::Rebuild {
            stage: Stage::Refresh,
            why,
            at,
        } => {
            assert_eq!(at.version, 9, "a rebuild is made from the head");
            why
        }
        plan => panic!("{plan:?}"),
    }
}

fn changes(plan: Plan<u64>) -> (Reading, u64) {
    match plan {
        Plan::Changes { range, reading } => {
            assert_eq!(*range.after(), at(5), "a range starts at the watermark");
            assert_eq!(range.through().instant, Instant(100), "the instant moved");
            (reading, range.through().version)
        }
        plan => panic!("{plan:?}"),
    }
}

#[test]
fn first_fills() {
    let case = |table| Case {
        standing: standing(None, table),
        ..Case::default()
    };
    assert_eq!(
        case(TableStanding::Absent).why(),
        (Stage::Fill, Why::FirstFill)
    ); // A
    assert_eq!(
        case(TableStanding::Empty).why(),
        (Stage::Refresh, Why::FirstFill)
    ); // B
    for request in [Request::Sync, Request::Backfill] {
        let foreign = Case {
            request,
            ..case(TableStanding::Foreign)
        };
        assert_eq!(foreign.decided(), Plan::Halt(Halt::ForeignTable)); // C
    }
}

#[test]
fn lost_tables_and_keys_halt() {
    let case = |request, table| Case {
        request,
        standing: standing(Some(5), table),
        ..Case::default()
    };
    let gone = case(Request::Sync, TableStanding::Absent);
    assert_eq!(gone.decided(), Plan::Halt(Halt::TableGone)); // D
    let asked = case(Request::Backfill, TableStanding::Absent);
    assert_eq!(asked.why(), (Stage::Fill, Why::Asked)); // D
    for request in [Request::Sync, Request::Backfill] {
        let replaced = case(request, TableStanding::Replaced);
        assert_eq!(replaced.decided(), Plan::Halt(Halt::TableReplaced)); // D
        let fingerprint = Fingerprint {
            key: vec!["other".to_owned()],
            ..made_by("f")
        };
        let key = Case {
            fingerprint,
            ..case(request, TableStanding::Filled)
        };
        let was = vec!["id".to_owned()];
        assert_eq!(key.decided(), Plan::Halt(Halt::KeyChanged { was })); // E
    }
}

#[test]
fn replaced_sources_halt_or_rebuild() {
    let other_table = Head {
        table_id: TableId("other".to_owned()),
        ..head(9)
    };
    let other_commit = Head {
        digest: Some(digest(77)),
        ..head(5)
    };
    for head in [other_table, head(4), other_commit] {
        let case = || Case {
            head: head.clone(),
            ..Case::default()
        };
        assert!(matches!(
            case().decided(),
            Plan::Halt(Halt::SourceReplaced { .. })
        )); // F, G
        let mut allowed = case();
        allowed.policy.on_source_replaced = OnSourceReplaced::Refresh;
        let asked = Case {
            request: Request::Backfill,
            ..case()
        };
        for case in [allowed, asked] {
            assert_eq!(case.why(), (Stage::Refresh, Why::SourceReplaced));
        }
    }
}

#[test]
fn a_cleaned_commit_file_says_nothing() {
    let head = Head {
        digest: None,
        ..head(5)
    };
    assert_eq!(
        Case {
            head,
            ..Case::default()
        }
        .decided(),
        Plan::UpToDate
    ); // I
    let mut standing = standing(Some(5), TableStanding::Filled);
    standing.progress.as_mut().unwrap().watermark.digest = None;
    let case = Case {
        head: self::head(5),
        standing,
        ..Case::default()
    };
    assert_eq!(case.decided(), Plan::UpToDate); // I
}

#[test]
fn a_survey_of_the_past_is_broken() {
    let commit = Commit {
        version: 4,
        digest: digest(4),
        content: Content::Feed,
        only_adds: false,
        metadata: false,
        size: Size::default(),
    };
    let at_watermark = AtWatermark::Commit(digest(5));
    let survey = Survey {
        at_watermark,
        commits: vec![commit],
    };
    let plan = plan(&Case::default().situation(), &at(5), &survey);
    assert!(matches!(plan, Plan::Broken(_)));
}

#[test]
fn rebuilds_on_demand() {
    let asked = Case {
        request: Request::Backfill,
        head: head(5),
        ..Case::default()
    };
    assert_eq!(asked.why(), (Stage::Refresh, Why::Asked)); // H
    let changed = Case {
        fingerprint: made_by("g"),
        head: head(5),
        ..Case::default()
    };
    assert_eq!(changed.why(), (Stage::Refresh, Why::FingerprintChanged)); // H
    let mut mode = Case::default();
    mode.policy.always_refresh = true;
    let behind = Case {
        fingerprint: made_by("g"),
        ..Case::default()
    };
    for (case, why) in [(&mode, Why::Mode), (&behind, Why::FingerprintChanged)] {
        assert_eq!(case.look(), Look::Behind(at(5)));
        assert_eq!(refresh(case.plan(&[(Content::Feed, 10)])), why); // H
        let anew = case.plan_with(AtWatermark::Commit(digest(66)), &[(Content::Feed, 10)]);
        assert!(matches!(anew, Plan::Halt(Halt::SourceReplaced { .. }))); // K
    }
    mode.head = head(5);
    assert_eq!(mode.decided(), Plan::UpToDate); // I
    assert_eq!(
        Case {
            head: head(5),
            ..Case::default()
        }
        .decided(),
        Plan::UpToDate
    ); // I
    assert_eq!(Case::default().look(), Look::Behind(at(5)));
}

#[test]
fn the_instant_never_moves_back() {
    for (now, wanted) in [(50, 100), (200, 200)] {
        let case = Case {
            request: Request::Backfill,
            now,
            ..Case::default()
        };
        let Plan::Rebuild { at, .. } = case.decided() else {
            panic!("no rebuild")
        };
        assert_eq!(at.instant, Instant(wanted));
    }
}

#[test]
fn horizons_and_other_histories() {
    let case = Case::default();
    let feed = [(Content::Feed, 1)];
    assert_eq!(
        refresh(case.plan_with(AtWatermark::Gone, &feed)),
        Why::PastHorizon
    ); // J
    assert_eq!(refresh(case.plan(&[])), Why::PastHorizon); // J
    let other = case.plan_with(AtWatermark::Commit(digest(77)), &feed);
    assert!(matches!(other, Plan::Halt(Halt::SourceReplaced { .. }))); // K
}

#[test]
fn ranges_by_content() {
    use Content::{Added, Feed, Nothing, Opaque, Rewritten};
    let case = Case::default();
    let Plan::Advance { range } = case.plan(&[(Nothing, 0), (Nothing, 0)]) else {
        panic!("no advance") // L
    };
    assert_eq!(range.through().version, 7);
    assert_eq!(refresh(case.plan(&[(Feed, 5001)])), Why::LargeChanges); // M
    assert_eq!(refresh(case.plan(&[(Opaque, 1), (Feed, 1)])), Why::Opaque); // N
    let table = [
        (vec![(Feed, 1), (Feed, 1)], (Reading::Feed, 7)), // O
        (
            vec![(Nothing, 0), (Feed, 1), (Nothing, 0)],
            (Reading::Feed, 8),
        ), // O
        (
            vec![(Feed, 1), (Nothing, 0), (Added, 1)],
            (Reading::Feed, 7),
        ), // O, then P
        (vec![(Added, 1), (Added, 1), (Feed, 1)], (Reading::Files, 7)), // P, then O
        (vec![(Added, 1), (Opaque, 1)], (Reading::Files, 6)), // P, then N
        (vec![(Rewritten, 5001), (Added, 1)], (Reading::Files, 7)), // P: mostly copied rows
        (vec![(Feed, 600), (Feed, 600)], (Reading::Feed, 6)), // by memory
        (vec![(Feed, 1600), (Feed, 1)], (Reading::Feed, 6)), // one is always tried
    ];
    for (commits, wanted) in table {
        assert_eq!(changes(case.plan(&commits)), wanted, "{commits:?}");
    }
    let Plan::Advance { range } = case.plan(&[(Nothing, 0), (Opaque, 1)]) else {
        panic!("commits that change nothing are passed before a refresh")
    };
    assert_eq!(range.through().version, 6);
}

#[test]
fn narrowed_ranges_end_there() {
    let case = Case {
        narrowed: Some(6),
        ..Case::default()
    };
    let three = [(Content::Feed, 1); 3];
    assert_eq!(changes(case.plan(&three)), (Reading::Feed, 6));
}

#[test]
fn ranges_of_files_have_so_many_commits() {
    let case = Case {
        range_commits: 2,
        ..Case::default()
    };
    let plan = |content| changes(case.plan(&[(content, 1); 3]));
    assert_eq!(plan(Content::Feed), (Reading::Feed, 8));
    assert_eq!(plan(Content::Added), (Reading::Files, 7));
    assert_eq!(plan(Content::Rewritten), (Reading::Files, 7));
    let with_others = [(Content::Nothing, 0), (Content::Added, 1)].repeat(3);
    assert_eq!(changes(case.plan(&with_others)), (Reading::Files, 10));
}

#[test]
fn metadata_splits_a_range() {
    let commit = |version, metadata| Commit {
        version,
        digest: digest(version),
        content: Content::Feed,
        only_adds: false,
        metadata,
        size: Size::default(),
    };
    let survey = Survey {
        at_watermark: AtWatermark::Commit(digest(5)),
        commits: vec![
            commit(6, true),
            commit(7, false),
            commit(8, true),
            commit(9, false),
        ],
    };
    let plan = plan(&Case::default().situation(), &at(5), &survey);
    assert_eq!(changes(plan), (Reading::Feed, 7));
}
