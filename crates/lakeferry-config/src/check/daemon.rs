//! How jobs run unattended.

use std::time::Duration;

use crate::{
    Daemon,
    amount::{parse_runs, parse_time},
    problem::Report,
    raw::RawDaemon,
};

/// Each run takes its memory, and the machine is not ours alone.
const DEFAULT_MAX_RUNS: u32 = 4;
/// Less than the 30 seconds that Kubernetes waits before it kills.
const DEFAULT_STOP_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn check(raw: RawDaemon, report: &mut Report) -> Option<Daemon> {
    let max_runs = raw.max_runs.check(report, |text| parse_runs(&text));
    let stop_within = raw.stop_within.check(report, |text| parse_time(&text));
    Some(Daemon {
        max_runs: max_runs.or_default(DEFAULT_MAX_RUNS)?,
        stop_within: stop_within.or_default(DEFAULT_STOP_WITHIN)?,
    })
}
