//! What to do next, decided from what source and target say and from nothing else.
//!
//! First without the log ([`first_look`]), from the watermark and the head:
//!
//! | case | target | source | plan |
//! |---|---|---|---|
//! | A | no progress, no table | | backfill: fill, or go on with a fill: see below |
//! | B | no progress, empty table | | backfill: refresh into it |
//! | C | no progress, table with rows | | halt: not ours |
//! | D | table gone, or another one of its name | | halt, or fill as in A if backfill was asked for |
//! | E | key changed | | halt |
//! | F | | another table id, or head below the watermark | source replaced |
//! | G | | head is the watermark, other digest | source replaced |
//! | AA | made from other columns than the source has | | halt, or alter it: see [`crate::evolve`] |
//! | H | backfill asked for, or fingerprint changed and no commit since | | refresh |
//! | I | | head is the watermark | up to date |
//! | X | as I, rows in quarantine, and a retry was asked for | | retry; without a key, or as in Z, refresh |
//!
//! Where the filter depends on time and its instant is behind, case I is one of these. So the version
//! moves at the stored instant, the instant at a fixed version, and only a rebuild moves both:
//!
//! | case | job | plan |
//! |---|---|---|
//! | Y | | move the rows that time alone lets in or out |
//! | Z | every run refreshes, or the commit at the watermark is gone, by which it would be known | refresh |
//!
//! Where a fill was begun and did not end, and source, version and fingerprint are still those that
//! it was planned with, the log is looked at ([`resume`]):
//!
//! | case | log | plan |
//! |---|---|---|
//! | Q | the commit at the fill's version is the one that it had | go on with the fill |
//! | R | anything else | fill anew, at the head |
//!
//! Whether the source is still cut into the same pieces shows only once it is read; where it is
//! not, the fill starts anew, too. After a fill that was gone on with, changes lead to the head.
//!
//! Where a table is to be adopted, none of the cases above counts:
//!
//! | case | target | source | plan |
//! |---|---|---|---|
//! | S | no table | | halt: nothing to adopt |
//! | T | the table that the job filled | | up to date: it needs no adopting |
//! | U | any other table | the job has a watermark that is the head | adopt at the watermark |
//! | V | any other table | the log has the job's watermark ([`adopt`]) | adopt at the watermark |
//! | W | any other table | anything else | adopt at the head |
//!
//! At the watermark, for the other table may be a restored copy of the one that the job filled.
//!
//! Then with what the log says about the commits between ([`plan`]):
//!
//! | case | log | plan |
//! |---|---|---|
//! | K | commit at the watermark has another digest | source replaced |
//! | H | fingerprint changed, or every run refreshes | refresh |
//! | J | no commit file at the watermark, or a gap | past the horizon: refresh |
//! | L | nothing but commits that change no row | advance |
//! | M | changes larger than their share of the table | refresh |
//! | N | a commit that does not tell enough of the files it removed comes next | refresh |
//! | O | commits with the feed come next | their range, through the feed |
//! | P | commits without the feed come next | their range, as the difference of files |
//!
//! Where rows are only to be added, the range reads the files that were added, also of commits with
//! the feed; and these come before the cases above:
//!
//! | case | situation | plan |
//! |---|---|---|
//! | AB | a commit comes next that did not only add files, or that cannot be told | halt |
//! | AC | any case that would refresh, but for B and one that was asked for | halt |
//! | AD | the filter depends on time, which takes rows away | halt |
//!
//! Where there are commits after the watermark, a target is altered (AA) only once the commit at it is
//! known to be the same, or gone. Once it is altered, what follows is decided anew.
//!
//! A range ends before a commit that must be read in another way, before one that changes
//! metadata, and before more bytes than may be held at once. The next look plans what follows.

use lakeferry_model::{
    Alteration, AtWatermark, Commit, CommitRange, Content, Fingerprint, Head, Instant, NotAfter,
    Position, Progress, Reading, Stage, Standing, Survey, TableStanding, UnfinishedFill, Watermark,
};

use crate::{
    evolve::Evolution,
    job::{OnSourceReplaced, Policy, Request},
};

mod halt;

#[cfg(test)]
pub(crate) mod tests;

pub use self::halt::Halt;

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a, P> {
    pub request: Request,
    pub policy: &'a Policy,
    pub standing: &'a Standing<P>,
    pub head: &'a Head<P>,
    /// The fingerprint that the target should have.
    pub fingerprint: &'a Fingerprint,
    /// What that takes, where the job has filled a table.
    pub evolution: &'a Evolution,
    /// The instant at which the filter is to be evaluated, cut to its steps.
    pub now: Instant,
    /// Whether the filter depends on it.
    pub timed: bool,
    /// A range must not reach further: an earlier one that did was too large for memory.
    pub narrowed: Option<P>,
    /// A range of which files are read must not have more commits that change rows: their changes
    /// are net, so that none of them is where it became too large.
    pub range_commits: usize,
    /// A range must not have more bytes, as stored.
    pub range_bytes: u64,
    /// An unfinished fill turned out not to be one to go on with.
    pub fills_anew: bool,
    /// The version of the watermark turned out not to be one to hold a table against.
    pub adopts_head: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan<P> {
    UpToDate,
    /// Alter the table and note the fingerprint.
    Alter {
        alterations: Vec<Alteration>,
        fingerprint: Fingerprint,
    },
    /// Read the snapshot at the watermark and stage all of it.
    Rebuild {
        at: Watermark<P>,
        stage: Stage,
        why: Why,
    },
    /// Read and load the pieces that the fill does not have yet.
    Resume {
        unfinished: UnfinishedFill<P>,
    },
    /// Read the snapshot at the watermark and hold the table against it.
    Adopt {
        at: Watermark<P>,
    },
    /// Read the snapshot at the watermark, and stage the rows that are in quarantine.
    Retry {
        at: Watermark<P>,
    },
    /// No row changed: move the watermark.
    Advance {
        range: CommitRange<P>,
    },
    /// Read, collapse and apply the changes of the range.
    Changes {
        range: CommitRange<P>,
        reading: Reading,
    },
    /// Read, collapse and apply what time changes at the watermark, from its instant until this one.
    Move {
        at: Watermark<P>,
        until: Instant,
    },
    Halt(Halt),
    /// The survey contradicts itself: a bug of the source.
    Broken(NotAfter),
}

/// Why a snapshot is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    FirstFill,
    Asked,
    Mode,
    FingerprintChanged,
    SourceReplaced,
    PastHorizon,
    LargeChanges,
    /// A commit removed files and does not tell enough of them.
    Opaque,
    /// The source got other columns while the changes were read.
    OtherColumns,
    /// A key was null or had two rows in a version before the head, which may be mended there.
    KeysMended,
    /// A row with NULL in its key went that the target does not know as it went.
    UnkeyedUnmatched,
    /// Time changes what the filter lets through.
    FilterMoved,
}

/// What can be said without the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<P> {
    Decided(Plan<P>),
    /// There is a fill to go on with, if the log still has its version: survey from there.
    Unfinished {
        unfinished: UnfinishedFill<P>,
        why: Why,
    },
    /// There are commits after this watermark: survey them.
    Behind(Watermark<P>),
    /// The table may be a copy of the target at this watermark, if the log still has that: survey
    /// from there.
    Copied(Watermark<P>),
}

/// Decides as far as is possible without the log.
pub fn first_look<P: Position>(situation: &Situation<'_, P>) -> Look<P> {
    let Situation {
        request,
        policy,
        standing,
        head,
        fingerprint,
        evolution,
        ..
    } = *situation;
    let refresh = |why| Look::Decided(rebuild(situation, Stage::Refresh, why));
    if request == Request::Adopt {
        return look_at_table(situation);
    }
    if situation.timed && policy.appends {
        let why = Why::FilterMoved;
        return Look::Decided(Plan::Halt(Halt::AppendsOnly { why })); // Case AD
    }
    let Some(Progress {
        watermark,
        fingerprint: had,
    }) = &standing.progress
    else {
        return first_fill(situation);
    };
    match standing.table {
        TableStanding::Filled => {}
        // A fill that was begun was asked for.
        TableStanding::Absent if request == Request::Backfill || standing.unfinished.is_some() => {
            return fill(situation, Why::Asked); // Case D
        }
        TableStanding::Absent => return Look::Decided(Plan::Halt(Halt::TableGone)), // Case D
        _ => return Look::Decided(Plan::Halt(Halt::TableReplaced)),                 // Case D
    }
    if evolution.key != fingerprint.key {
        // As it is called now, for the source may have another column of its name.
        let was = evolution.key.clone();
        return Look::Decided(Plan::Halt(Halt::KeyChanged { was })); // Case E
    }
    let replaced = replaced(watermark, head).map(|what| source_replaced(situation, what));
    if let Some(halt @ Plan::Halt(_)) = replaced {
        return Look::Decided(halt); // Cases F, G
    }
    let is_other = rows_differ(situation, had);
    if is_other && let Some(halt) = only_appends(situation, Why::FingerprintChanged) {
        return Look::Decided(halt); // Case AC
    }
    // Also where all will be read anew: whether it is still the history that the target came from.
    let is_behind = head.version != watermark.version;
    if is_behind && replaced.is_none() && request != Request::Backfill {
        return Look::Behind(watermark.clone());
    }
    if let Some(plan) = altered(situation, had) {
        return Look::Decided(plan); // Case AA
    }
    if let Some(rebuild) = replaced {
        return Look::Decided(rebuild); // Cases F, G
    }
    if request == Request::Backfill {
        return refresh(Why::Asked); // Case H
    }
    if is_other {
        return refresh(Why::FingerprintChanged); // Case H
    }
    Look::Decided(at_head(situation, watermark))
}

/// Whether rows that did not change may be others under the settings of now.
fn rows_differ<P: Position>(situation: &Situation<'_, P>, had: &Fingerprint) -> bool {
    had.rows != situation.fingerprint.rows || situation.evolution.rebuilds
}

/// What to do where the job has brought nothing yet.
fn first_fill<P: Position>(situation: &Situation<'_, P>) -> Look<P> {
    let why = Why::FirstFill;
    match situation.standing.table {
        TableStanding::Absent => fill(situation, why), // Case A
        TableStanding::Empty => Look::Decided(rebuild(situation, Stage::Refresh, why)), // Case B
        _ => Look::Decided(Plan::Halt(Halt::ForeignTable)), // Case C
    }
}

/// What is left to do where the target is at the head.
fn at_head<P: Position>(situation: &Situation<'_, P>, watermark: &Watermark<P>) -> Plan<P> {
    let Situation {
        request,
        policy,
        standing,
        fingerprint,
        now,
        ..
    } = *situation;
    let refresh = |why| rebuild(situation, Stage::Refresh, why);
    let is_behind = situation.timed && watermark.instant < now;
    let at = watermark.clone();
    let unknown = is_unknown(watermark, situation.head);
    match (request, is_behind) {
        (Request::Retry, _) if standing.quarantined > 0 => {
            match fingerprint.key.is_empty() || unknown {
                true => refresh(Why::Asked), // Case X
                false => Plan::Retry { at }, // Case X
            }
        }
        (_, false) => Plan::UpToDate, // Case I
        (_, true) if policy.always_refresh || unknown => refresh(Why::FilterMoved), // Case Z
        (_, true) => Plan::Move { at, until: now }, // Case Y
    }
}

/// Whether the head has no commit file any more to hold the watermark's digest against.
fn is_unknown<P: Position>(watermark: &Watermark<P>, head: &Head<P>) -> bool {
    watermark.digest.is_some() && head.digest.is_none()
}

/// What to do about other columns, where there is anything to do.
fn altered<P: Position>(situation: &Situation<'_, P>, had: &Fingerprint) -> Option<Plan<P>> {
    let Situation {
        fingerprint,
        evolution,
        ..
    } = *situation;
    if !evolution.refused.is_empty() {
        let what = evolution.refused.clone();
        return Some(Plan::Halt(Halt::ColumnsChanged { what }));
    }
    if evolution.alterations.is_empty() {
        return None;
    }
    // One that no rows have, where they are to be rebuilt.
    let rows = match evolution.rebuilds {
        true => String::new(),
        false => had.rows.clone(),
    };
    Some(Plan::Alter {
        alterations: evolution.alterations.clone(),
        fingerprint: Fingerprint {
            rows,
            ..fingerprint.clone()
        },
    })
}

/// Decides on a table to adopt, as far as is possible without the log.
fn look_at_table<P: Position>(situation: &Situation<'_, P>) -> Look<P> {
    match situation.standing.table {
        TableStanding::Absent => Look::Decided(Plan::Halt(Halt::NothingToAdopt)), // Case S
        TableStanding::Filled => Look::Decided(Plan::UpToDate),                   // Case T
        _ => match still_ours(situation) {
            Some(at) if at.version == situation.head.version && !is_unknown(at, situation.head) => {
                Look::Decided(Plan::Adopt { at: at.clone() }) // Case U
            }
            Some(at) => Look::Copied(at.clone()),
            None => Look::Decided(adopt_head(situation)), // Case W
        },
    }
}

/// The watermark, if the job's settings and its source are still those that it was made with.
fn still_ours<'a, P: Position>(situation: &Situation<'a, P>) -> Option<&'a Watermark<P>> {
    let progress = situation.standing.progress.as_ref()?;
    let is_ours = !situation.adopts_head
        && progress.fingerprint == *situation.fingerprint
        && replaced(&progress.watermark, situation.head).is_none();
    is_ours.then_some(&progress.watermark)
}

/// Decides with the log on a table to adopt: `watermark` is the one that [`first_look`] gave,
/// `survey` what the source says about it.
pub fn adopt<P: Position>(
    situation: &Situation<'_, P>,
    watermark: &Watermark<P>,
    survey: &Survey<P>,
) -> Plan<P> {
    match survey.at_watermark {
        AtWatermark::Commit(now) if watermark.digest == Some(now) => Plan::Adopt {
            at: watermark.clone(),
        }, // Case V
        _ => adopt_head(situation), // Case W
    }
}

fn adopt_head<P: Position>(situation: &Situation<'_, P>) -> Plan<P> {
    Plan::Adopt {
        at: rebuilt_at(situation),
    }
}

/// Decides with the log on a fill to go on with: `why` and `unfinished` are those that
/// [`first_look`] gave, `survey` what the source says about its watermark.
pub fn resume<P: Position>(
    situation: &Situation<'_, P>,
    unfinished: &UnfinishedFill<P>,
    why: Why,
    survey: &Survey<P>,
) -> Plan<P> {
    let then = unfinished.plan.watermark.digest;
    match survey.at_watermark {
        AtWatermark::Commit(now) if then == Some(now) => Plan::Resume {
            unfinished: unfinished.clone(),
        }, // Case Q
        _ => rebuild(situation, Stage::Fill, why), // Case R
    }
}

/// A fill, or the one to go on with.
fn fill<P: Position>(situation: &Situation<'_, P>, why: Why) -> Look<P> {
    match &situation.standing.unfinished {
        Some(unfinished) if can_go_on(situation, unfinished) => Look::Unfinished {
            unfinished: unfinished.clone(),
            why,
        },
        _ => Look::Decided(rebuild(situation, Stage::Fill, why)),
    }
}

/// Whether a fill is still what would be planned now, but for its version.
fn can_go_on<P: Position>(situation: &Situation<'_, P>, unfinished: &UnfinishedFill<P>) -> bool {
    let at = &unfinished.plan.watermark;
    let had = situation.standing.watermark().map(|had| had.instant);
    !situation.fills_anew
        && unfinished.plan.fingerprint == *situation.fingerprint
        && at.table_id == situation.head.table_id
        && at.version <= situation.head.version
        && had.is_none_or(|had| had <= at.instant)
}

/// Decides with the log: `watermark` is the one that [`first_look`] gave, `survey` what the
/// source says about it.
pub fn plan<P: Position>(
    situation: &Situation<'_, P>,
    watermark: &Watermark<P>,
    survey: &Survey<P>,
) -> Plan<P> {
    let refresh = |why| rebuild(situation, Stage::Refresh, why);
    let digests = match survey.at_watermark {
        AtWatermark::Commit(now) => watermark.digest.map(|then| (now, then)),
        AtWatermark::Gone => None,
    };
    let replaced = digests.filter(|(now, then)| now != then).map(|_| {
        let what = format!("version {} was committed anew", watermark.version);
        source_replaced(situation, what)
    });
    if let Some(halt @ Plan::Halt(_)) = replaced {
        return halt; // Case K
    }
    let had = situation.standing.progress.as_ref();
    let had = had.map(|progress| &progress.fingerprint);
    if let Some(plan) = had.and_then(|had| altered(situation, had)) {
        return plan; // Case AA
    }
    if let Some(rebuild) = replaced {
        return rebuild; // Case K
    }
    if had.is_some_and(|had| rows_differ(situation, had)) {
        return refresh(Why::FingerprintChanged); // Case H
    }
    if situation.policy.always_refresh {
        return refresh(Why::Mode); // Case H
    }
    if digests.is_none() || survey.commits.is_empty() {
        return refresh(Why::PastHorizon); // Case J
    }
    let bytes: u64 = survey.commits.iter().map(staged_bytes).sum();
    if !situation.policy.appends
        && bytes as f64 > situation.policy.refresh_above * situation.head.size.bytes as f64
    {
        return refresh(Why::LargeChanges); // Case M
    }
    let (reading, commits) = next_range(situation, &survey.commits);
    let Some(last) = commits.last() else {
        return match survey.commits.first() {
            Some(next) if situation.policy.appends => Plan::Halt(Halt::NotAdded {
                version: next.version.to_number(),
            }), // Case AB
            _ => refresh(Why::Opaque), // Case N
        };
    };
    let through = Watermark {
        version: last.version,
        digest: Some(last.digest),
        ..watermark.clone()
    };
    match (CommitRange::new(watermark.clone(), through), reading) {
        (Ok(range), Some(reading)) => Plan::Changes { range, reading }, // Cases O, P
        (Ok(range), None) => Plan::Advance { range },                   // Case L
        (Err(broken), _) => Plan::Broken(broken),
    }
}

/// The leading commits that are read in one way and fit into memory; none if the first one that
/// changes rows cannot be read as changes.
fn next_range<'a, P: Position>(
    situation: &Situation<'_, P>,
    commits: &'a [Commit<P>],
) -> (Option<Reading>, &'a [Commit<P>]) {
    let mut reading = None;
    let (mut bytes, mut with_rows) = (0, 0);
    for (taken, commit) in commits.iter().enumerate() {
        let wants = match commit.content {
            Content::Nothing => None,
            _ if situation.policy.appends => match commit.only_adds {
                true => Some(Reading::Files),
                false => return (reading, &commits[..taken]),
            },
            Content::Feed => Some(Reading::Feed),
            Content::Added | Content::Rewritten => Some(Reading::Files),
            Content::Opaque => return (reading, &commits[..taken]),
        };
        let another_way = wants.is_some() && reading.is_some() && wants != reading;
        let other_metadata = commit.metadata && taken > 0;
        let too_far = situation
            .narrowed
            .is_some_and(|limit| commit.version > limit);
        bytes += staged_bytes(commit);
        let too_large = bytes > situation.range_bytes;
        let too_many = wants == Some(Reading::Files) && with_rows >= situation.range_commits;
        if taken > 0 && (too_many || another_way || other_metadata || too_far || too_large) {
            return (reading, &commits[..taken]);
        }
        with_rows += usize::from(wants.is_some());
        reading = reading.or(wants);
    }
    (reading, commits)
}

/// How many bytes of changes a commit has, as far as can be told before they are read. Most rows of
/// rewritten files were only copied, and what changed shows only once they were read: a few looks at
/// the files before and after, where a refresh stages every row.
fn staged_bytes<P>(commit: &Commit<P>) -> u64 {
    match commit.content {
        Content::Rewritten => 0,
        _ => commit.size.bytes,
    }
}

/// How the source differs from the one that was read, as far as its head shows.
fn replaced<P: Position>(watermark: &Watermark<P>, head: &Head<P>) -> Option<String> {
    if head.table_id != watermark.table_id {
        return Some(format!(
            "its table id is {}, the target was filled from {}",
            head.table_id, watermark.table_id
        ));
    }
    if head.version < watermark.version {
        return Some(format!(
            "its newest version is {}, the target has {}",
            head.version, watermark.version
        ));
    }
    // A digest is absent where the commit file was cleaned away, which says nothing.
    let digests = head.digest.zip(watermark.digest);
    let differ = digests.is_some_and(|(now, then)| now != then);
    (head.version == watermark.version && differ)
        .then(|| format!("version {} was committed anew", head.version))
}

fn source_replaced<P: Position>(situation: &Situation<'_, P>, what: String) -> Plan<P> {
    let asked = situation.request == Request::Backfill;
    match situation.policy.on_source_replaced {
        OnSourceReplaced::Halt if !asked => Plan::Halt(Halt::SourceReplaced { what }),
        _ => rebuild(situation, Stage::Refresh, Why::SourceReplaced),
    }
}

fn rebuild<P: Position>(situation: &Situation<'_, P>, stage: Stage, why: Why) -> Plan<P> {
    if stage == Stage::Refresh
        && let Some(halt) = only_appends(situation, why)
    {
        return halt; // Case AC
    }
    Plan::Rebuild {
        at: rebuilt_at(situation),
        stage,
        why,
    }
}

/// The halt of a job that would rebuild and may only add rows, unless somebody asked for it.
fn only_appends<P: Position>(situation: &Situation<'_, P>, why: Why) -> Option<Plan<P>> {
    let is_asked = situation.request == Request::Backfill || why == Why::Asked;
    (situation.policy.appends && !is_asked && why != Why::FirstFill)
        .then_some(Plan::Halt(Halt::AppendsOnly { why }))
}

/// What a target has after a rebuild: the head, at an instant that never moves back.
pub(crate) fn rebuilt_at<P: Position>(situation: &Situation<'_, P>) -> Watermark<P> {
    let then = situation
        .standing
        .watermark()
        .map(|watermark| watermark.instant);
    let instant = then.map_or(situation.now, |then| then.max(situation.now));
    situation.head.watermark(instant)
}
