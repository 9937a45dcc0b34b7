//! The faults, in the order of the data, and the test that each must turn red.

use crate::sabotage::{Fault, NamedTest};

const SIMULATION: NamedTest = NamedTest {
    package: "lakeferry-engine",
    program: &["--test", "simulation"],
    filter: "a_target_is_always_a_version_of_its_source",
};

/// Hundreds of histories, which find a fault before they end.
pub(super) const HISTORIES: NamedTest = NamedTest {
    package: "lakeferry",
    program: &["--test", "histories"],
    filter: "whatever_happens_a_target_is_a_version_of_its_source",
};

const PLANNER: NamedTest = NamedTest {
    package: "lakeferry-engine",
    program: &["--lib"],
    filter: "plan::tests",
};

const COLLAPSE: NamedTest = NamedTest {
    package: "lakeferry-engine",
    program: &["--lib"],
    filter: "collapse::tests",
};

const SOURCE_CONTRACT: NamedTest = NamedTest {
    package: "lakeferry-delta",
    program: &["--test", "delta_source"],
    filter: "a_delta_table_keeps_the_contract",
};

const TARGET_CONTRACT: NamedTest = NamedTest {
    package: "lakeferry-postgres",
    program: &["--test", "contract"],
    filter: "keeps_the_contract",
};

const ENCODER: NamedTest = NamedTest {
    package: "lakeferry-postgres",
    program: &["--lib"],
    filter: "encode::tests",
};

const fn connecting(filter: &'static str) -> NamedTest {
    NamedTest {
        package: "lakeferry-postgres",
        program: &["--test", "connecting"],
        filter,
    }
}

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "range-end-excluded",
        breaks: "the last commit of a range is taken for one outside of it",
        file: "crates/lakeferry-model/src/watermark.rs",
        find: "version <= self.through.version",
        replace: "version < self.through.version",
        test: SIMULATION,
    },
    Fault {
        name: "source-digest-unchecked",
        breaks: "rows of a log that was replaced while it was read are applied",
        file: "crates/lakeferry-delta/src/table.rs",
        find: "Some(found) if found == digest => return Ok(()),",
        replace: "Some(found) if found == digest || found != digest => return Ok(()),",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "filter-skipped-for-post-images",
        breaks: "updated rows that the filter refuses arrive",
        file: "crates/lakeferry-delta/src/feed.rs",
        find: "let rows = shape.rows(&rows)?;",
        replace: "let width = shape.output.fields().len();
        let rows = if sign == Sign::Plus {
            RecordBatch::try_new(shape.output.clone(), rows.columns()[..width].to_vec())
                .map_err(|error| broken(table, &error.to_string()))?
        } else {
            shape.rows(&rows)?
        };",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "delete-read-as-insert",
        breaks: "deleted rows come back",
        file: "crates/lakeferry-delta/src/feed.rs",
        find: "Some(\"delete\" | \"update_preimage\" | \"update_pre\") => Ok(Some(sign == Sign::Minus)),",
        replace: "Some(\"delete\" | \"update_preimage\" | \"update_pre\") => Ok(Some(sign == Sign::Plus)),",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "changes-at-another-instant",
        breaks: "a commit is seen through the filter of another day than the target's rows",
        file: "crates/lakeferry-delta/src/changes.rs",
        find: "&shown, after.instant)?",
        replace: "&shown, lakeferry_model::Instant(after.instant.0 + 21_600_000_000))?",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "rows-past-their-time-kept",
        breaks: "rows that time alone lets out stay for ever",
        file: "crates/lakeferry-delta/src/shape.rs",
        find: "(Sign::Minus, &was & &!&is)",
        replace: "(Sign::Minus, &was & &!&was)",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "unknown-taken-for-false",
        breaks: "files are skipped that hold rows which time lets in or out",
        file: "crates/lakeferry-delta/src/filter/moved.rs",
        find: "if given.iter().any(|given| rejects_null(given, column)) {",
        replace: "if !given.is_empty() || given.iter().any(|given| rejects_null(given, column)) {",
        test: NamedTest {
            package: "lakeferry-delta",
            program: &["--test", "delta_source"],
            filter: "time::skipping_costs_no_row_that_moves",
        },
    },
    Fault {
        name: "copied-rows-come-again",
        breaks: "rows that a rewritten file only copied come a second time",
        file: "crates/lakeferry-delta/src/difference.rs",
        find: "Sign::Minus => -1,",
        replace: "Sign::Minus => 1,",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "rearranged-files-go",
        breaks: "rows of files that an OPTIMIZE put together go",
        file: "crates/lakeferry-delta/src/net.rs",
        find: "files.filter(|signed| rearranged || signed.data_change)",
        replace: "files.filter(|signed| signed.sign == Sign::Minus || signed.data_change)",
        test: SOURCE_CONTRACT,
    },
    Fault {
        name: "deletion-vector-read-on",
        breaks: "rows behind the end of a deletion vector count as deleted by it",
        file: "crates/lakeferry-delta/src/files.rs",
        find: "part.deleted_by.is_some().then_some(false)",
        replace: "None",
        test: NamedTest {
            package: "lakeferry-delta",
            program: &["--test", "delta_source"],
            filter: "rewritten::of_a_deletion_vector",
        },
    },
    Fault {
        name: "log-digest-unchecked",
        breaks: "changes of another history are applied on top of this one's rows",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "digests.filter(|(now, then)| now != then)",
        replace: "digests.filter(|(now, then)| now != then && now == then)",
        test: SIMULATION,
    },
    Fault {
        name: "instant-moves-back",
        breaks: "a clock that was set back brings rows back that the filter had let go",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "then.map_or(situation.now, |then| then.max(situation.now))",
        replace: "then.map_or(situation.now, |then| then.min(situation.now))",
        test: PLANNER,
    },
    Fault {
        name: "instant-moves-with-the-version",
        breaks: "rows that time lets in or out beside a commit are missed",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "        ..watermark.clone()\n    };",
        replace: "        instant: situation.now,\n        ..watermark.clone()\n    };",
        test: SIMULATION,
    },
    Fault {
        name: "horizon-ignored",
        breaks: "a job that fell behind log cleanup is told that there is nothing to do",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "    if digests.is_none() || survey.commits.is_empty() {\n        return refresh(Why::PastHorizon); // Case J\n    }",
        replace: "    if digests.is_none() || survey.commits.is_empty() {\n        return Plan::UpToDate;\n    }",
        test: PLANNER,
    },
    Fault {
        name: "pre-image-ignored",
        breaks: "an updated row is taken for a new one, a deleted one for nothing",
        file: "crates/lakeferry-engine/src/collapse.rs",
        find: "let was_there = minus.is_some();",
        replace: "let was_there = minus.is_some() && plus.is_some() && minus == plus;",
        test: SIMULATION,
    },
    Fault {
        name: "order-inside-a-commit-trusted",
        breaks: "a row whose pre-image comes after its post-image is deleted",
        file: "crates/lakeferry-engine/src/collapse.rs",
        find: "Sign::Minus => &mut self.minus,",
        replace: "Sign::Minus => {\n                self.plus = None;\n                &mut self.minus\n            }",
        test: SIMULATION,
    },
    Fault {
        name: "rows-on-disk-do-not-meet",
        breaks: "of a commit that was sorted on disk, an updated row is a deleted and a new one",
        file: "crates/lakeferry-engine/src/collapse/spill.rs",
        find: "*next == key)",
        replace: "*next == key && gathered.minus.or(gathered.plus).is_none())",
        test: COLLAPSE,
    },
    Fault {
        name: "staged-rows-forgotten",
        breaks: "the watermark moves, the rows do not",
        file: "crates/lakeferry-engine/src/changes.rs",
        find: "if net.is_empty() =>",
        replace: "if !net.is_empty() =>",
        test: SIMULATION,
    },
    Fault {
        name: "pieces-loaded-twice",
        breaks: "a fill that is gone on with loads again what it has",
        file: "crates/lakeferry-engine/src/fill.rs",
        find: "!loaded.pieces.contains(place)",
        replace: "*place < u64::MAX || !loaded.pieces.contains(place)",
        test: SIMULATION,
    },
    Fault {
        name: "stale-pieces-kept",
        breaks: "a daemon that lost its lease adds rows to a fill",
        file: "crates/lakeferry-postgres/src/target/loader.rs",
        find: "if !noted {",
        replace: "if !noted && rows == u64::MAX {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "pieces-uncounted",
        breaks: "a fill gets its name before all of it is there",
        file: "crates/lakeferry-postgres/src/target/fill.rs",
        find: "Some(fill) if fill.loaded == plan.pieces",
        replace: "Some(fill) if fill.loaded <= plan.pieces",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "null-as-empty",
        breaks: "a null arrives as an empty value",
        file: "crates/lakeferry-postgres/src/encode/column.rs",
        find: "return put(out, NULL);",
        replace: "return put(out, [0, 0, 0, 0]);",
        test: ENCODER,
    },
    Fault {
        name: "epoch-of-2000-forgotten",
        breaks: "every timestamp is thirty years off",
        file: "crates/lakeferry-postgres/src/encode/epoch.rs",
        find: "micros.wrapping_sub(EPOCH_MICROS)",
        replace: "micros.wrapping_add(EPOCH_MICROS)",
        test: ENCODER,
    },
    Fault {
        name: "watermark-before-rows",
        breaks: "a crash or an error between the two loses the rows of a commit range",
        file: "crates/lakeferry-postgres/src/target/changes.rs",
        find: "    let rows = loop {",
        replace: "    apply.batch(\"CREATE TEMPORARY TABLE kept AS TABLE pg_temp._lakeferry_changes; COMMIT; BEGIN; ALTER TABLE kept RENAME TO _lakeferry_changes\").await?;\n    let rows = loop {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "fence-removed",
        breaks: "a daemon that lost its lease writes",
        file: "crates/lakeferry-postgres/src/target/fence.rs",
        find: "Ok(Fence::open_if(moved == 1))",
        replace: "Ok(Fence::open_if(moved <= 1))",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "expired-lease-kept",
        breaks: "a process that was stopped keeps its job for ever",
        file: "crates/lakeferry-postgres/src/target/lease.rs",
        find: "\"coalesce(l.expires_at < pg_catalog.clock_timestamp(), false)\"",
        replace: "\"coalesce(l.expires_at < pg_catalog.clock_timestamp() AND false, false)\"",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "affected-rows-uncounted",
        breaks: "a target that somebody else changed drifts without a word",
        file: "crates/lakeferry-postgres/src/target/changes.rs",
        find: "    if disagree == 0 {",
        replace: "    if disagree < u64::MAX {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "gone-rows-kept",
        breaks: "a rebuild leaves rows that the source no longer has",
        file: "crates/lakeferry-postgres/src/target/refresh.rs",
        find: "rows.deleted = apply.execute(&self.delete).await?;",
        replace: "rows.deleted = 0;",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "differences-uncounted",
        breaks: "a table that is not the source is adopted, and drifts without a word",
        file: "crates/lakeferry-postgres/src/target/adopt.rs",
        find: "if !differences.is_empty() {",
        replace: "if !differences.is_empty() && differences.missing.count == u64::MAX {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "quarantined-row-stays",
        breaks: "the older row of a key that turned bad passes for the present one",
        file: "crates/lakeferry-postgres/src/target/staging.rs",
        find: "        if effect == Effect::Update {
            for rows in bad {",
        replace: "        if effect == Effect::Delete {
            for rows in bad {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "quarantine-outlives-change",
        breaks: "a key that was mended counts as bad for ever",
        file: "crates/lakeferry-postgres/src/target/aside.rs",
        find: "store.remove(&left, &doing).await?;",
        replace: "if scope == Scope::All { store.remove(&left, &doing).await?; }",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "quarantine-without-limit",
        breaks: "a source full of bad rows empties its target row by row",
        file: "crates/lakeferry-model/src/quarantine.rs",
        find: "(quarantined > self.max_rows && !within_share)",
        replace: "(quarantined > self.max_rows && !within_share && rows == u64::MAX)",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "equal-rows-written",
        breaks: "rows that did not change cost writes, and wake everything that listens",
        file: "crates/lakeferry-postgres/src/target/columns.rs",
        find: "record_image_ne",
        replace: "record_image_eq",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "other-commits-appended",
        breaks: "a commit that changed rows is taken for one that added some",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "_ if situation.policy.appends => match commit.only_adds {",
        replace: "_ if situation.policy.appends => match commit.size.bytes < u64::MAX {",
        test: SIMULATION,
    },
    Fault {
        name: "appends-rebuilt",
        breaks: "a job that only adds rows rebuilds its target unasked",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "(situation.policy.appends && !is_asked && why != Why::FirstFill)",
        replace: "(situation.policy.appends && is_asked && why == Why::FirstFill)",
        test: SIMULATION,
    },
    Fault {
        name: "refused-update-forgotten",
        breaks: "a row that the server refuses leaves the older one of its key in the target",
        file: "crates/lakeferry-postgres/src/target/sift.rs",
        find: "is_by_key && one.effect == Effect::Update;",
        replace: "is_by_key && one.effect == Effect::Delete;",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "refused-by-halves-only",
        breaks: "good rows beside a bad one are held back with it",
        file: "crates/lakeferry-postgres/src/target/sift/bisection.rs",
        find: "if until - from <= 1 {",
        replace: "if until - from <= 1 << BITS_IN_BLOCK {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "left-out-column-taken-for-new",
        breaks: "rows keep NULL in a column that was left out until now",
        file: "crates/lakeferry-engine/src/evolve.rs",
        find: "            ColumnRole::LeftOut => {
                self.evolution.rebuilds = true;",
        replace: "            ColumnRole::LeftOut => {",
        test: SIMULATION,
    },
    Fault {
        name: "renamed-column-taken-for-new",
        breaks: "what the job calls otherwise from now on is detached, and an empty column comes",
        file: "crates/lakeferry-engine/src/evolve.rs",
        find: "None => (source_name(field), \"\"),",
        replace: "None => (field.name().as_str(), \"\"),",
        test: NamedTest {
            package: "lakeferry-engine",
            program: &["--lib"],
            filter: "evolve::tests",
        },
    },
    Fault {
        name: "excluded-columns-do-not-count",
        breaks: "a column that was excluded until now is NULL in rows that did not change",
        file: "crates/lakeferry-engine/src/fingerprint.rs",
        find: "    for name in &policy.excluded {",
        replace: "    for name in policy.excluded.iter().take(0) {",
        test: NamedTest {
            package: "lakeferry-engine",
            program: &["--lib"],
            filter: "fingerprint::tests",
        },
    },
    Fault {
        name: "alteration-unfenced",
        breaks: "a session that lost its lease alters the target all the same",
        file: "crates/lakeferry-postgres/src/target/alter.rs",
        find: "    if apply.fence().await? == Fence::Shut {",
        replace: "    if apply.fence().await? == Fence::Shut && alterations.is_empty() {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "values-of-others-taken",
        breaks: "a column of the user's with values is taken for the source's new one",
        file: "crates/lakeferry-postgres/src/target/alter.rs",
        find: "&[&table, &column])).await? == 0 {",
        replace: "&[&table, &column])).await? < u64::MAX {",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "contradictions-folded",
        breaks: "of two rows with one key that came one after the other, either is taken for the last",
        file: "crates/lakeferry-engine/src/collapse.rs",
        find: "minus => self.contradicts |= folded.is_there || minus.is_some(),",
        replace: "_ => {}",
        test: NamedTest {
            package: "lakeferry-engine",
            program: &["--lib"],
            filter: "versions_that_do_not_follow",
        },
    },
    Fault {
        name: "checkpoints-lead-anywhere",
        breaks: "a log that was cleaned behind an older checkpoint stops its job for ever",
        file: "crates/lakeferry-delta/src/log.rs",
        find: "(first..=version).all(|version| self.commits.contains_key(&version))",
        replace: "first <= version + 1",
        test: NamedTest {
            package: "lakeferry-delta",
            program: &["--test", "delta_source"],
            filter: "logs::an_older_checkpoint",
        },
    },
    Fault {
        name: "narrowed-types-read",
        breaks: "values from before a RESTORE that no longer fit their column stop the job for ever",
        file: "crates/lakeferry-delta/src/changes.rs",
        find: "if !widens && columns::plain",
        replace: "if !widens && shape.read.is_empty() && columns::plain",
        test: NamedTest {
            package: "lakeferry-delta",
            program: &["--test", "delta_source"],
            filter: "rewritten::a_type_that_a_restore",
        },
    },
    Fault {
        name: "columns-known-by-name",
        breaks: "a column that was dropped and made again keeps the values that it had",
        file: "crates/lakeferry-engine/src/evolve.rs",
        find: ".find(|known| known.identity == column.column.identity);
            columns.push",
        replace: ".find(|known| known.name == column.column.name);
            columns.push",
        test: HISTORIES,
    },
    Fault {
        name: "metadata-inside-a-range",
        breaks: "changes are read under columns that they were not written with",
        file: "crates/lakeferry-engine/src/plan.rs",
        find: "let other_metadata = commit.metadata && taken > 0;",
        replace: "let other_metadata = commit.metadata && taken > commits.len();",
        test: PLANNER,
    },
    Fault {
        name: "deleted-row-taken-for-live",
        breaks: "a row that stayed when it was deleted is updated, and deleted again",
        file: "crates/lakeferry-postgres/src/target/own.rs",
        find: "&[condition, &live(self.own)]",
        replace: "&[condition, &live(OwnColumns::default())]",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "equal-row-stays-deleted",
        breaks: "a row that is back as it was stays marked as deleted",
        file: "crates/lakeferry-postgres/src/target/refresh.rs",
        find: "Updates::of_all(",
        replace: "Updates::new(",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "guard-counts-deleted-rows",
        breaks: "rows that stayed when they were deleted make up for those that go",
        file: "crates/lakeferry-postgres/src/target/apply.rs",
        find: "own::where_live(self.settings.own)",
        replace: "own::where_live(lakeferry_model::OwnColumns::default())",
        test: TARGET_CONTRACT,
    },
    Fault {
        name: "server-name-unchecked",
        breaks: "a server with a certificate for another name is believed",
        file: "crates/lakeferry-postgres/src/connect/tls/verify.rs",
        find: "        if self.with_name {",
        replace: "        if self.with_name && self.roots.is_empty() {",
        test: connecting("certificates_are_held_against_roots_and_names"),
    },
    Fault {
        name: "plain-where-tls-is-demanded",
        breaks: "a connection that was to be encrypted is not",
        file: "crates/lakeferry-postgres/src/connect/tls/mod.rs",
        find: "=> &[Way::Tls],",
        replace: "=> &[Way::Tls, Way::Plain],",
        test: connecting("each_mode_falls_back_as_it_may"),
    },
    Fault {
        name: "pooler-unseen",
        breaks: "locks and settings of a job end up in the sessions of others",
        file: "crates/lakeferry-postgres/src/connect/mod.rs",
        find: "let is_direct = opened.announced == Some(opened.backend);",
        replace: "let is_direct = opened.announced.is_some();",
        test: connecting("only_a_pooler_in_session_mode_is_taken"),
    },
];
