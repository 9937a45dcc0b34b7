//! The faults, in the order of the data, and the test that each must turn red.

mod source;
mod target;

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
    filter: "encode::",
};

const fn engine(filter: &'static str) -> NamedTest {
    NamedTest {
        package: "lakeferry-engine",
        program: &["--lib"],
        filter,
    }
}

const fn delta_source(filter: &'static str) -> NamedTest {
    NamedTest {
        package: "lakeferry-delta",
        program: &["--test", "delta_source"],
        filter,
    }
}

const fn connecting(filter: &'static str) -> NamedTest {
    NamedTest {
        package: "lakeferry-postgres",
        program: &["--test", "connecting"],
        filter,
    }
}

/// All faults.
pub(super) fn all() -> impl Iterator<Item = &'static Fault> {
    source::FAULTS.iter().chain(target::FAULTS)
}
